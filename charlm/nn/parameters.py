"""One flat buffer for all parameters, with named views; the gradient is a second buffer like it.

The parameters of a layer lie side by side as one block, `[Wx Wh b]`, so that a time step is one
product with `[x; h; 1]`. Optimizer, clipping and averaging work on the flat vector.

    flat    |-- embedding --|-- lstm.0: [Wx Wh b] --|-- lstm.1: [Wx Wh b] --|-- output: [W b] --|
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from charlm.types import Array

# Blocks begin on a cache line; the padding between them stays zero, as does its gradient.
_LINE_BYTES = 64


@dataclass(frozen=True)
class Block:
    """The layout of one block of parameters: `rows` by the sum of its parts' columns."""

    name: str  # the layer's, such as `lstm.0`
    rows: int  # such as 4H
    # Part -> columns, from left to right; one that begins with `b` is a bias, viewed as (rows,).
    parts: Mapping[str, int]

    @property
    def shape(self) -> tuple[int, int]:
        """Return (rows, columns)."""
        return self.rows, sum(self.parts.values())

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the names and shapes of its parts."""
        return {
            f"{self.name}.{part}": (self.rows,) if _is_bias(part) else (self.rows, columns)
            for part, columns in self.parts.items()
        }


def _is_bias(part: str) -> bool:
    return part.startswith("b")


class Parameters:
    """A model's parameters, or their gradient, in one flat buffer: a given one, or new zeros."""

    def __init__(
        self, blocks: Iterable[Block], dtype: DTypeLike = np.float32, flat: Array | None = None
    ) -> None:
        self.layout = tuple(blocks)
        dtype = np.dtype(dtype)
        line = _LINE_BYTES // dtype.itemsize
        begins, end = [], 0
        for block in self.layout:
            begins.append(end)
            end += -(-math.prod(block.shape) // line) * line
        self.flat: Array = aligned_zeros((end,), dtype) if flat is None else flat
        self.blocks: list[Array] = []  # (rows, columns) views
        self.views: dict[str, Array] = {}  # `lstm.0.Wx` -> its view
        self.size = 0  # numbers, padding not counted
        for block, begin in zip(self.layout, begins, strict=True):
            matrix = self.flat[begin : begin + math.prod(block.shape)].reshape(block.shape)
            self.blocks.append(matrix)
            self.size += matrix.size
            left = 0
            for part, width in block.parts.items():
                view = matrix[:, left] if _is_bias(part) else matrix[:, left : left + width]
                self.views[f"{block.name}.{part}"] = view
                left += width

    def zeros_like(self) -> "Parameters":
        """Return zeros of the same layout, for the gradient."""
        return Parameters(self.layout, self.flat.dtype)

    def view_of(self, flat: Array) -> "Parameters":
        """Return the same named views of another flat buffer, such as the optimizer's."""
        return Parameters(self.layout, flat.dtype, flat)

    def copies(self) -> dict[str, Array]:
        """Return a contiguous copy of every named view."""
        return {name: np.ascontiguousarray(view) for name, view in self.views.items()}


def aligned_zeros(shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """Return zeros that begin on a cache line."""
    dtype = np.dtype(dtype)
    nbytes = math.prod(shape) * dtype.itemsize
    buffer = np.zeros(nbytes + _LINE_BYTES, np.uint8)
    begin = -buffer.ctypes.data % _LINE_BYTES
    return buffer[begin : begin + nbytes].view(dtype).reshape(shape)
