"""Parameters <-> the named arrays of a checkpoint.

lstm.0.Wx               a weight
average/lstm.0.Wx       the same place in another flat buffer of the same layout
"""

import math
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple, TypeVar, get_args, get_type_hints

import numpy as np

from charlm.errors import CheckpointError, ConfigError
from charlm.nn.model import Model, shapes
from charlm.nn.parameters import Parameters
from charlm.settings.files import from_dict
from charlm.settings.schema import Config
from charlm.storage.archive import Header
from charlm.storage.checkpoint import Checkpoint, check, opened
from charlm.terminal import brief
from charlm.text.vocabulary import Vocabulary
from charlm.types import Array

Counts = TypeVar("Counts")

# No count of a run reaches it.
_LARGEST = 2**53
# A run that explodes sums up losses, and float32 ends at 3e38.
_LARGEST_SUM = 1e60


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
        CheckpointError: it is missing, of another shape or type, or not finite.
    """
    expect(checkpoint, name, into.shape, into.dtype)
    found = checkpoint.arrays[name]
    if not np.isfinite(found).all():
        raise CheckpointError(
            checkpoint.path, f"'{name}' holds numbers that are not finite", "the file is damaged"
        )
    into[...] = found


def expect(
    checkpoint: Checkpoint, name: str, shape: tuple[int, ...], dtype: "np.dtype[Any]"
) -> None:
    """Hold one array of a checkpoint against what is needed.

    Raises:
        CheckpointError: it is missing, or of another shape or type.
    """
    found = checkpoint.arrays.get(name)
    header = None if found is None else Header(found.dtype.str, found.shape)
    check(checkpoint.path, name, header, Header(dtype.str, shape))


def read_config(path: Path, meta: Mapping[str, Any]) -> tuple[Config, Vocabulary]:
    """Read the settings and the vocabulary in a checkpoint's description.

    Raises:
        CheckpointError: they are not those of a charlm checkpoint, or this version does not know
            one of them.
    """
    for key in ("config", "vocabulary"):
        if not isinstance(meta.get(key), dict):
            raise CheckpointError(path, f"lacks its {key}", "the file is damaged")
    try:
        config = from_dict(str(path), meta["config"])
    except ConfigError as error:
        raise CheckpointError(
            error.where, error.problem, "the file is damaged, or of another charlm"
        ) from None
    return config, Vocabulary.from_dict(meta["vocabulary"], str(path))


def read_counts(checkpoint: Checkpoint, key: str, kind: type[Counts]) -> Counts:
    """Read what a run counts, a dataclass of numbers, in a checkpoint's description.

    Raises:
        CheckpointError: it is not there, or counts something else.
    """
    content, hints = checkpoint.meta.get(key), get_type_hints(kind)
    whole = {name for name, hint in hints.items() if hint is int}
    # What is counted since the checkpoint was written begins at its default.
    if not isinstance(content, dict) or not set(content) <= set(hints):
        raise CheckpointError(checkpoint.path, f"lacks its {key}", "it is no last.npz")
    for name, value in content.items():
        if not (value is None and NoneType in get_args(hints[name])) and not _counts(
            value, whole=name in whole
        ):
            raise CheckpointError(
                checkpoint.path, f"its {key}.{name} is {brief(value)}", "the file is damaged"
            )
    return kind(**content)


def _counts(value: object, *, whole: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if whole:
        return isinstance(value, int) and 0 <= value < _LARGEST
    return abs(value) < _LARGEST_SUM


def load_model(path: Path) -> Trained:
    """Load the weights to sample from or to score: the averaged ones where there are any.

    Args:
        path: a `best.npz` or a `last.npz`.

    Raises:
        CheckpointError: it is missing, damaged or no checkpoint, or its weights are not finite.
    """
    with opened(path) as content:
        config, vocabulary = read_config(path, content.meta)
        averaged = any(name.startswith("average/") for name in content.names)
        prefix = "average/" if averaged else ""
        # Before there is a model: settings alone can ask for any size.
        for name, shape in shapes(config.model, vocabulary.size).items():
            content.expect(prefix + name, shape, np.dtype(np.float32))
        model = Model(config.model, vocabulary.size, training=False)
        for name, view in model.parameters.views.items():
            content.read_into(prefix + name, view)
    if not usable(model.parameters.flat):
        raise CheckpointError(
            path, "its weights are not finite numbers", "it is damaged, use another checkpoint"
        )
    model.refresh()
    return Trained(model, vocabulary, config, content.meta)


def usable(weights: Array) -> bool:
    """Say whether weights are finite, and so is their norm: then no product of theirs overflows."""
    return math.isfinite(np.vdot(weights, weights))
