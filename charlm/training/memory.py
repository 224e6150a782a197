"""The memory check before a training: what its arrays take, against what is free."""

from charlm.errors import ConfigError
from charlm.nn.model import Memory, memory
from charlm.optim.optimizers import OPTIMIZERS
from charlm.settings.schema import Config


def need(config: Config, V: int) -> Memory:
    """Return the memory that a training takes.

    Args:
        config: resolved: `train.seq_len` is a number.
        V: size of the vocabulary.
    """
    train = config.train
    assert isinstance(train.seq_len, int)
    return memory(
        config.model,
        V,
        train.seq_len,
        train.batch_size,
        rates=[train.embedding_dropout] + [train.dropout] * config.model.layers,
        optimizer_states=len(OPTIMIZERS[train.optimizer].STATE),
        ema=train.average > 0,
    )


def check(needed: Memory, free: int | None, config: Config) -> None:
    """Refuse a training that does not fit into the memory.

    Args:
        needed: what it needs.
        free: free bytes; None where that is not known.
        config: the settings, to name those to lower.

    Raises:
        ConfigError: there is too little.
    """
    if free is None or needed.total <= free:
        return
    keys = ["model.hidden", "model.layers"]
    if needed.caches > needed.weights:
        keys = ["train.batch_size", "train.seq_len"]
    settings = config.as_dict()
    now = " or ".join(f"{key} ({settings[key[:5]][key[6:]]})" for key in keys)
    raise ConfigError(
        "train",
        f"needs {_size(needed.total)} of memory, got {_size(free)} that are free here",
        f"lower {now}",
    )


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
