"""The tensors of a file to import, and their check against what the model needs.

float64, float32, float16 and bfloat16 are converted to float32, in which charlm computes.
"""

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from charlm.errors import ExchangeError
from charlm.types import Array

# Name -> a tensor in float32; what it is instead, where it is of none of these types.
Tensors: TypeAlias = Mapping[str, Array | str]
_MOST_NAMES = 3


def checked(
    tensors: Tensors, expected: Mapping[str, tuple[int, ...]], where: str
) -> dict[str, Array]:
    """Return the tensors of the file `where`: finite, and of the expected names and shapes."""
    missing = [name for name in expected if name not in tensors]
    besides = sorted(name for name in tensors if name not in expected)
    if missing or besides:
        found = [f"lacks {_listed(missing)}"] if missing else []
        found += [f"has {_listed(besides)} besides"] if besides else []
        counted = f"{len(expected)} tensors expected, {len(tensors)} on disk"
        problem = f"{counted}: it {' and '.join(found)}"
        raise ExchangeError(where, problem, "keep the exported file's names")
    arrays = {}
    for name, shape in expected.items():
        array = tensors[name]
        if isinstance(array, str):
            problem = f"must be float32, float64, float16 or bfloat16, got {array}"
            raise ExchangeError(where, f"'{name}' {problem}", "convert it")
        if array.shape != shape:
            advice = "keep the exported file's sizes, or train the other model here"
            problem = f"'{name}' is {array.shape} on disk, {shape} expected"
            raise ExchangeError(where, problem, advice)
        if not np.isfinite(array).all():
            problem = f"'{name}' holds numbers that are not finite in float32"
            raise ExchangeError(where, problem, "take weights from before the training diverged")
        arrays[name] = array
    return arrays


def _listed(names: list[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:_MOST_NAMES])
    more = len(names) - _MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown
