"""Parameters <-> the named arrays of a checkpoint.

lstm.0.Wx               a weight
average/lstm.0.Wx       the same place in another flat buffer of the same layout
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from charlm.config import Config, from_dict
from charlm.errors import CheckpointError
from charlm.nn.model import Model
from charlm.nn.parameters import Array, Parameters
from charlm.storage.checkpoint import Checkpoint, load
from charlm.text.vocabulary import Vocabulary


class Trained(NamedTuple):
    """What a checkpoint gives to sampling and scoring."""

    model: Model
    vocabulary: Vocabulary
    config: Config
    meta: Mapping[str, Any]


def pack(parameters: Parameters, prefix: str = "") -> dict[str, Array]:
    """Return all named views, their names behind `prefix`."""
    return {prefix + name: view for name, view in parameters.views.items()}


def unpack(checkpoint: Checkpoint, parameters: Parameters, prefix: str = "") -> None:
    """Fill parameters from a checkpoint.

    Raises:
        CheckpointError: an array is missing, or of another shape or type.
    """
    for name, view in parameters.views.items():
        array(checkpoint, prefix + name, view)


def array(checkpoint: Checkpoint, name: str, into: Array) -> None:
    """Copy one array of a checkpoint.

    Raises:
        CheckpointError: it is missing, or of another shape or type.
    """
    found = checkpoint.arrays.get(name)
    if found is None:
        raise CheckpointError(f"{checkpoint.path}: lacks '{name}'; the file is damaged")
    if found.shape != into.shape or found.dtype != into.dtype:
        raise CheckpointError(
            f"{checkpoint.path}: '{name}' is {found.dtype} {found.shape} on disk, "
            f"{into.dtype} {into.shape} expected; the file is damaged"
        )
    into[...] = found


def read_config(checkpoint: Checkpoint) -> tuple[Config, Vocabulary]:
    """Read a checkpoint's settings and vocabulary.

    Raises:
        CheckpointError: they are not those of a charlm checkpoint.
        ConfigError: it has a setting that this version does not know.
    """
    where, meta = str(checkpoint.path), checkpoint.meta
    for key in ("config", "vocabulary"):
        if not isinstance(meta.get(key), dict):
            raise CheckpointError(f"{where}: lacks its {key}; the file is damaged")
    return from_dict(where, meta["config"]), Vocabulary.from_dict(meta["vocabulary"], where)


def load_model(path: Path) -> Trained:
    """Load the weights to sample from or to score: the averaged ones where there are any.

    Args:
        path: a `best.npz` or a `last.npz`.

    Raises:
        CheckpointError: it is missing, damaged or no checkpoint.
    """
    checkpoint = load(path)
    config, vocabulary = read_config(checkpoint)
    model = Model(config.model, vocabulary.size, training=False)
    averaged = any(name.startswith("average/") for name in checkpoint.arrays)
    unpack(checkpoint, model.parameters, "average/" if averaged else "")
    model.prepare()
    return Trained(model, vocabulary, config, checkpoint.meta)
