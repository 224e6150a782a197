"""The memory check before a training: what its arrays take, against what is free."""

from charlm import environment
from charlm.errors import ConfigError
from charlm.nn.model import Memory, memory
from charlm.optim.optimizers import OPTIMIZERS
from charlm.settings.schema import Config


def need(config: Config, V: int) -> Memory:
    """Return the memory that a training takes.

    Args:
        config: final.
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


def check_memory(config: Config, V: int) -> Memory:
    """Return the memory that a training takes, after a check that it is free.

    Args:
        config: as for `need`.
        V: size of the vocabulary.

    Raises:
        ConfigError: there is too little; the advice names the settings to lower.
    """
    needed, free = need(config, V), environment.free_memory()
    if free is None or needed.total <= free:
        return needed
    keys = ["model.hidden", "model.layers"]
    if needed.caches > needed.weights:
        keys = ["train.batch_size", "train.seq_len"]
    values = config.flat()
    raise ConfigError(
        "train",
        f"needs {_size(needed.total)}, got {_size(free)} of free memory",
        "lower " + " or ".join(f"{key} ({values[key]})" for key in keys),
    )


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
