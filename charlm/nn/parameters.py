"""One flat buffer for all parameters, with named views into it; the gradient is its twin.

A layer's parameters lie side by side as one block, `[Wx Wh b]`, so that a time step is one product
with `[x; h; 1]`. The optimizer, clipping and averaging see one long vector and need no names.

    flat    |-- embedding --|-- lstm.0: [Wx Wh b] --|-- lstm.1: [Wx Wh b] --|-- output: [W b] --|
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from charlm.types import Array

# Blocks begin on a cache line; the few numbers between them stay zero, as their gradients do.
_LINE_BYTES = 64


@dataclass(frozen=True)
class Block:
    """Lay out one block of parameters: `rows` by the sum of its parts' columns.

    Args:
        name: the layer's name, such as `lstm.0`.
        rows: the number of rows, such as 4H.
        parts: part -> columns, from left to right; a part whose name begins with `b` is a bias,
            one column wide and shown as a vector.
    """

    name: str
    rows: int
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
    """Hold a model's parameters, or their gradient, in one flat buffer.

    Args:
        blocks: the blocks, in the order in which they lie in the buffer.
        dtype: float32, or float64 for checks.
        flat: lay the names over this buffer of an equal layout, instead of over new zeros.

    Attributes:
        flat: every number, padding included.
        blocks: block index -> its (rows, columns) view.
        views: `lstm.0.Wx` -> its view; writing to it writes to `flat`.
        size: the number of parameters, padding not counted.
    """

    def __init__(
        self, blocks: Iterable[Block], dtype: DTypeLike = np.float32, flat: Array | None = None
    ) -> None:
        self.layout = tuple(blocks)
        dtype = np.dtype(dtype)
        line = _LINE_BYTES // dtype.itemsize
        begins, end = [], 0
        for block in self.layout:
            begins.append(end)
            rows, columns = block.shape
            end += -(-rows * columns // line) * line
        self.flat: Array = aligned_zeros(end, dtype) if flat is None else flat
        self.blocks: list[Array] = []
        self.views: dict[str, Array] = {}
        self.size = 0
        for block, begin in zip(self.layout, begins, strict=True):
            rows, columns = block.shape
            matrix = self.flat[begin : begin + rows * columns].reshape(rows, columns)
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
        """Lay the same names over another flat buffer, such as the optimizer's."""
        return Parameters(self.layout, flat.dtype, flat)

    def copies(self) -> dict[str, Array]:
        """Return a contiguous copy of every named view."""
        return {name: np.ascontiguousarray(view) for name, view in self.views.items()}


def aligned_zeros(size: int, dtype: DTypeLike) -> Array:
    """Return a vector of zeros that begins on a cache line."""
    dtype = np.dtype(dtype)
    room = np.zeros(size * dtype.itemsize + _LINE_BYTES, np.uint8)
    begin = -room.ctypes.data % _LINE_BYTES
    return room[begin : begin + size * dtype.itemsize].view(dtype)
