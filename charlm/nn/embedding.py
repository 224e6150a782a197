"""Input layer: symbols become columns, one-hot or learned.

    one-hot       x[:, b] = e_id         D = V; the first layer's Wx holds a column per symbol
    embedding     x[:, b] = E[:, id]     a learned (D, V) matrix in front of the first layer
                  dE[:, id] += dx[:, b]

An embedding learns faster than one-hot input (docs/architecture.md has the measurement). With few
symbols it is folded into the first layer's weights, so that x is one-hot and has no gradient:

    forward     P = Wx @ E;  a = P @ e_id                      P is computed once per step
    gradient    dP += da @ e_id^T;  at the chunk's end dWx += dP @ E^T and dE += Wx^T @ dP
"""

import numpy as np

from charlm.nn.linear import GradBuffer, Linear
from charlm.nn.parameters import Block, aligned_zeros
from charlm.types import Array, Ids

# Standard deviation of the columns that the first layer sees before training. The smaller it is,
# the more of the first steps are spent on telling the symbols apart (docs/results.md).
_SPREAD = 1.0
# The gradient of a looked-up embedding is summed over this many of its rows at a time.
ROWS = 16


class OneHot:
    """One-hot columns, whose weights are the first layer's own; base of the other input layers.

    `first_Wx` is the name of the first layer's input weights, which count D columns.
    """

    needs_dx = False  # whether `backward` uses the gradient of the columns

    def __init__(self, V: int, first_Wx: str = "") -> None:
        self.V, self.D, self._first_Wx = V, V, first_Wx

    def blocks(self) -> list[Block]:
        """Describe its parameters."""
        return []

    def bind(self, blocks: list[Array], gradient: list[Array] | None) -> None:
        """Attach its blocks of the parameters, and of their gradient."""

    def initialize(self, views: dict[str, Array], rng: np.random.Generator) -> None:
        """Draw the initial weights."""
        W = views[self._first_Wx]
        W[...] = rng.normal(0.0, _SPREAD, W.shape)

    def first_linear(self, M: int, K: int, grad_columns: slice, sigmoid_rows: int = 0) -> Linear:
        """Make the linear layer that multiplies these columns; arguments as `Linear`."""
        return Linear(M, K, grad_columns, sigmoid_rows)

    def forward(self, ids: Ids, x: Array) -> None:
        """Write the columns of (T, B) ids into (T, D, B) x."""
        streams = np.arange(ids.shape[1])
        x.fill(0)
        for x_t, ids_t in zip(x, ids, strict=True):
            x_t[ids_t, streams] = 1

    def backward(self, ids: Ids, dx: Array) -> None:
        """Add the gradient of a chunk: (T, B) ids and (T, D, B) dx."""

    def scratch(self, T: int, B: int) -> int:
        """Return how many numbers `backward` allocates for a chunk."""
        return 0


class Embedding(OneHot):
    """Columns of a learned (D, V) matrix, looked up."""

    needs_dx = True

    def __init__(self, V: int, D: int) -> None:
        super().__init__(V)
        self.D = D

    def blocks(self) -> list[Block]:
        return [Block("embedding", self.D, {"W": self.V})]

    def bind(self, blocks: list[Array], gradient: list[Array] | None) -> None:
        (self.E,) = blocks
        if gradient is not None:
            (self.dE,) = gradient
            self._sorted = np.empty((2, ROWS, 0), self.E.dtype)

    def initialize(self, views: dict[str, Array], rng: np.random.Generator) -> None:
        views["embedding.W"][...] = rng.normal(0.0, _SPREAD, (self.D, self.V))

    def forward(self, ids: Ids, x: Array) -> None:
        for t in range(len(ids)):
            # clip: all ids are valid, and checking them would copy the columns once more.
            np.take(self.E, ids[t], axis=1, out=x[t], mode="clip")

    def backward(self, ids: Ids, dx: Array) -> None:
        # The columns of each symbol are sorted side by side and summed, some rows of dx at a time.
        T, B = ids.shape
        order = ids.argsort(axis=None, kind="stable")
        symbols = ids.ravel()[order]
        begins = np.flatnonzero(np.diff(symbols, prepend=-1))
        seen = symbols[begins]
        if self._sorted.shape[2] < T * B:
            self._sorted = np.empty((2, ROWS, T * B), self.dE.dtype)
        for top in range(0, self.D, ROWS):
            rows = min(ROWS, self.D - top)
            columns, ordered = self._sorted[:, :rows, : T * B]
            np.copyto(columns.reshape(rows, T, B), dx[:, top : top + rows].swapaxes(0, 1))
            np.take(columns, order, axis=1, out=ordered, mode="clip")
            self.dE[top : top + rows, seen] += np.add.reduceat(ordered, begins, axis=1)

    def scratch(self, T: int, B: int) -> int:
        return 2 * ROWS * T * B


class FoldedEmbedding(Embedding):
    """A learned matrix that is part of the first layer's weights; its columns are one-hot."""

    needs_dx = False
    forward = OneHot.forward
    backward = OneHot.backward
    scratch = OneHot.scratch

    @staticmethod
    def pays(V: int, D: int) -> bool:
        """Return whether folding saves work.

        The three products of a time step get V columns instead of D, and the third one's share of
        x goes: 2 V against 3 D.
        """
        return 2 * V <= 3 * D

    def first_linear(self, M: int, K: int, grad_columns: slice, sigmoid_rows: int = 0) -> Linear:
        return FoldedLinear(self, M, K, grad_columns, sigmoid_rows)


class FoldedLinear(Linear):
    """The block [Wx, rest] multiplied as [Wx E, rest] by one-hot x; no gradient goes to x."""

    def __init__(
        self, embedding: Embedding, M: int, K: int, grad_columns: slice, sigmoid_rows: int
    ) -> None:
        super().__init__(M, K, grad_columns, sigmoid_rows)
        self.embedding, self.D, self.V = embedding, embedding.D, embedding.V

    @property
    def x_rows(self) -> int:
        """Return the rows of x: V instead of D."""
        return self.V + self.K - self.D

    def shapes(self, *, training: bool) -> list[tuple[int, int]]:
        folded = [(self.M, self.x_rows), (self.M, self.K), (self.D, self.V)]
        return super().shapes(training=training) + (folded if training else [])

    def bind(self, W: Array, dW: Array | None) -> None:
        super().bind(W, dW)
        if dW is not None:
            self.total, self._unfolded, self._dE = (
                aligned_zeros(shape, W.dtype) for shape in self.shapes(training=True)[3:]
            )

    def refresh(self) -> None:
        np.matmul(self.weights[:, : self.D], self.embedding.E, out=self.W[:, : self.V])
        np.copyto(self.W[:, self.V :], self.weights[:, self.D :])
        self._refresh_derived()

    def flush_grad(self, buffer: GradBuffer) -> None:
        super().flush_grad(buffer)
        assert self.dW is not None
        dP, rest = self.total[:, : self.V], self.total[:, self.V :]
        np.matmul(dP, self.embedding.E.T, out=self._unfolded[:, : self.D])
        np.copyto(self._unfolded[:, self.D :], rest)
        self.dW += self._unfolded
        np.matmul(self.weights[:, : self.D].T, dP, out=self._dE)
        self.embedding.dE += self._dE
        self.total.fill(0)
