"""The first room of the network: ids become columns, one-hot or learned.

    one-hot       x[:, b] = e_id           D = V; the first layer's Wx holds a column a character
    embedding     x[:, b] = E[:, id]       D chosen; the same, with a matrix of its own in front
                  dE[:, id] += dx[:, b]
    folded        x[:, b] = e_id           the embedding again, multiplied into the first layer's
                                           weights once an update (see products.py)

An embedding learns faster than one-hot input (docs/architecture.md has the measurement). Folded it
costs no more, as long as there are not many more characters than D; with thousands of them, or
with dropout on its output, it is looked up.
"""

from typing import Protocol

import numpy as np

from charlm.nn.linear import Table
from charlm.nn.parameters import Block, Parameters
from charlm.types import Array

# Standard deviation of what a character looks like to the first layer at the beginning. The less it
# is, the more of the first updates are spent on telling the characters apart (docs/results.md).
_SPREAD = 1.0

# The gradient of a looked-up embedding is summed over this many of its rows at a time.
ROWS = 16


def folding_pays(V: int, D: int) -> bool:
    """Tell whether folding an embedding saves work.

    A step's three products are V columns wider, and two of three D columns narrower as well as
    the third gone: 2 V against 3 D.
    """
    return 2 * V <= 3 * D


def write_one_hot(ids: Array, x: Array) -> None:
    """Write (T, B) ids as columns of the identity into (T, V, B) x."""
    streams = np.arange(ids.shape[1])
    x.fill(0)
    for x_t, ids_t in zip(x, ids, strict=True):
        x_t[ids_t, streams] = 1


class Input(Protocol):
    """Write columns for ids, and take their gradient back."""

    D: int
    needs_dx: bool
    table: Table | None

    def bind(self, index: int, parameters: Parameters, gradient: Parameters | None) -> None:
        """Attach to the parameters' block at `index`, where there is one."""

    def blocks(self) -> list[Block]:
        """Lay out the parameters, if there are any."""

    def initialize(self, views: dict[str, Array], rng: np.random.Generator) -> None:
        """Draw the initial weights."""

    def forward(self, ids: Array, x: Array) -> None:
        """Write the columns of a chunk, (T, B) ids, into (T, D, B) x."""

    def backward(self, ids: Array, dx: Array) -> None:
        """Add the gradient of a chunk, (T, B) ids and (T, D, B) dx."""


class OneHot:
    """Write one-hot columns; their weights are the first layer's own."""

    needs_dx = False
    table: Table | None = None

    def __init__(self, V: int, first_Wx: str) -> None:
        self.D = V
        self.first_Wx = first_Wx

    def blocks(self) -> list[Block]:
        return []

    def bind(self, index: int, parameters: Parameters, gradient: Parameters | None) -> None:
        pass

    def initialize(self, views: dict[str, Array], rng: np.random.Generator) -> None:
        W = views[self.first_Wx]
        W[...] = rng.normal(0.0, _SPREAD, W.shape)

    def forward(self, ids: Array, x: Array) -> None:
        write_one_hot(ids, x)

    def backward(self, ids: Array, dx: Array) -> None:
        pass


class Embedding:
    """Look columns up in a learned (D, V) matrix."""

    needs_dx = True
    table: Table | None = None

    def __init__(self, V: int, D: int) -> None:
        self.V, self.D = V, D

    def blocks(self) -> list[Block]:
        return [Block("embedding", self.D, {"W": self.V})]

    def bind(self, index: int, parameters: Parameters, gradient: Parameters | None) -> None:
        self.E = parameters.blocks[index]
        if gradient is not None:
            self.dE = gradient.blocks[index]
            self.sorted = np.empty((2, ROWS, 0), self.E.dtype)

    def initialize(self, views: dict[str, Array], rng: np.random.Generator) -> None:
        self.E[...] = rng.normal(0.0, _SPREAD, self.E.shape)

    def forward(self, ids: Array, x: Array) -> None:
        for t in range(len(ids)):
            # clip: the ids are the vocabulary's own; checking them would copy the columns again.
            np.take(self.E, ids[t], axis=1, out=x[t], mode="clip")

    def backward(self, ids: Array, dx: Array) -> None:
        """Sort the columns by character, sum each character's, some rows of dx at a time."""
        T, B = ids.shape
        order = ids.argsort(axis=None, kind="stable")
        characters = ids.ravel()[order]
        begins = np.flatnonzero(np.diff(characters, prepend=-1))
        seen = characters[begins]
        if self.sorted.shape[2] < T * B:
            self.sorted = np.empty((2, ROWS, T * B), self.dE.dtype)
        for top in range(0, self.D, ROWS):
            rows = min(ROWS, self.D - top)
            here, there = self.sorted[:, :rows, : T * B]
            np.copyto(here.reshape(rows, T, B), dx[:, top : top + rows].swapaxes(0, 1))
            np.take(here, order, axis=1, out=there, mode="clip")
            self.dE[top : top + rows, seen] += np.add.reduceat(there, begins, axis=1)


class FoldedEmbedding(Embedding):
    """Write one-hot columns; the learned matrix is part of the first layer's product."""

    needs_dx = False

    def bind(self, index: int, parameters: Parameters, gradient: Parameters | None) -> None:
        self.E = parameters.blocks[index]
        self.table = Table(self.E, None if gradient is None else gradient.blocks[index])

    def forward(self, ids: Array, x: Array) -> None:
        write_one_hot(ids, x)

    def backward(self, ids: Array, dx: Array) -> None:
        pass
