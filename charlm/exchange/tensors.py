"""The tensors of a file to import, and their check against what the model needs.

float64, float32, float16 and bfloat16 are converted to float32, in which charlm computes.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from charlm.errors import ExchangeError
from charlm.types import Array

ACCEPTED = "float32, float64, float16 or bfloat16"
_MOST_NAMES = 3


class Tensor(NamedTuple):
    """A file's entry of one name.

    Attributes:
        dtype: its type as the file names it.
        shape: its shape.
        values: in float32; None where the type is not accepted.
    """

    dtype: str
    shape: tuple[int, ...]
    values: Array | None


class Stored(NamedTuple):
    """A file's tensors, and its entry `charlm`, if any."""

    tensors: Mapping[str, Tensor]
    about: object


def checked(
    tensors: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], where: str
) -> dict[str, Array]:
    """Return tensors as arrays, checked against what a model needs.

    Args:
        tensors: the file's.
        expected: names -> shapes.
        where: the file, for the message.

    Returns:
        Finite float32 arrays of the expected names and shapes.

    Raises:
        ExchangeError: a tensor is missing or unexpected, of another shape or type, or not finite.
    """
    missing = [name for name in expected if name not in tensors]
    besides = sorted(name for name in tensors if name not in expected)
    if missing or besides:
        found = [f"lacks {_listed(missing)}"] if missing else []
        found += [f"has {_listed(besides)} besides"] if besides else []
        raise ExchangeError(
            where,
            f"{len(expected)} tensors expected, {len(tensors)} on disk: it {' and '.join(found)}",
            "keep the exported file's names",
        )
    arrays = {}
    for name, shape in expected.items():
        dtype, found_shape, values = tensors[name]
        if values is None:
            raise ExchangeError(where, f"'{name}' must be {ACCEPTED}, got {dtype}", "convert it")
        if found_shape != shape:
            raise ExchangeError(
                where,
                f"'{name}' is {found_shape} on disk, {shape} expected",
                "keep the exported file's sizes, or train the other model here",
            )
        if not np.isfinite(values).all():
            raise ExchangeError(
                where,
                f"'{name}' holds numbers that are not finite in float32",
                "take weights from before the training diverged",
            )
        arrays[name] = values
    return arrays


def _listed(names: list[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:_MOST_NAMES])
    more = len(names) - _MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown
