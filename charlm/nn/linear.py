"""The matrix products of a time step: forward, backward, and the gradient of the weights.

    forward     a    = W @ x
    backward    dx   = W^T @ da
    gradient    dW  += da @ x^T

All three are ordinary products of NumPy's. What this room adds is what they run on: contiguous
copies of the weights, made once whenever the weights change, and several time steps side by side
for the gradient, whose inner dimension would otherwise be only B.

Where the input is an embedding E of few characters, x = E @ e with e one-hot, and the embedding
is folded into the first layer's weights: V columns instead of D, and no way back to x at all.

    forward     P = Wx @ E,  a = P @ e
    gradient    dP += da @ e^T;  at the chunk's end dWx += dP @ E^T and dE += Wx^T @ dP
"""

from typing import NamedTuple

import numpy as np

from charlm.nn.parameters import aligned_zeros
from charlm.types import Array

# The gradient is taken over as many steps at a time as fill about this many columns. Fewer make
# adding to dW cost more, and more make the gathered columns leave the caches.
GRADIENT_COLUMNS = 1024


class Table(NamedTuple):
    """Name the embedding that a product folds into its first columns."""

    E: Array  # (D, V)
    dE: Array | None


class Linear:
    """Multiply by one block of weights.

    Args:
        W: (M, K) the block, a view into the parameters.
        dW: (M, K) its gradient, or None for a model that only runs forward.
        wanted: the columns of W for whose inputs `backward` yields a gradient.
        halved: how many of the first rows `forward` halves, for a sigmoid made of a tanh.
        K: rows of x, where they are not the block's columns.
    """

    def __init__(
        self, W: Array, dW: Array | None, wanted: slice, halved: int = 0, K: int | None = None
    ) -> None:
        self.weights = W
        self.dW = dW
        self.wanted = wanted
        self.halved = halved
        self.W = _zeros((W.shape[0], K or W.shape[1]), W)
        if dW is not None:
            self.WT = _zeros((W[:, wanted].shape[1], W.shape[0]), W)
            self.partial = _zeros(self.W.shape, W)
            self.total = dW
        self.reserve(0)

    def reserve(self, B: int) -> None:
        """Make room for the gathered columns of B streams."""
        M, K = self.W.shape
        self.B = B
        self.steps = max(1, GRADIENT_COLUMNS // B) if B else 0
        self.gathered = 0
        self.das = _zeros((M, self.steps * B), self.W)
        self.xs = _zeros((K, self.steps * B), self.W)

    def refresh(self) -> None:
        """Renew the copies; call this whenever the weights have changed."""
        np.copyto(self.W, self.weights)
        self._derive()

    def _derive(self) -> None:
        halved = self.W[: self.halved]
        halved *= 0.5
        if self.dW is not None:
            np.copyto(self.WT, self.weights[:, self.wanted].T)

    def forward(self, x: Array, a: Array) -> None:
        """Write W @ x into a.

        Args:
            x: (K, B) one column a stream; contiguous, as is a.
            a: (M, B) output.
        """
        # dot has less to look at than matmul: for one stream that is a tenth of the product.
        np.dot(self.W, x, out=a)

    def forward_wide(self, x: Array, a: Array) -> None:
        """Write W @ x into a, where x is some columns of a wider array, which dot would copy."""
        np.matmul(self.W, x, out=a)

    def backward(self, da: Array, dx: Array) -> None:
        """Write W^T @ da into dx, for the wanted columns of W.

        Args:
            da: (M, B) gradient of W @ x, nothing halved.
            dx: (wanted, B) output.
        """
        np.matmul(self.WT, da, out=dx)

    def gradient(self, da: Array, x: Array) -> None:
        """Add da @ x^T to dW.

        Args:
            da: (M, N) gradient of W @ x.
            x: (K, N) what W was multiplied by; best for an N of many hundreds.
        """
        np.matmul(da, x.T, out=self.partial)
        self.total += self.partial

    def gather(self, da: Array, x: Array) -> None:
        """Set da and x aside for `gradient`, until there are many columns of them.

        Args:
            da: (M, B) gradient of W @ x.
            x: (K, B) what W was multiplied by.
        """
        B = x.shape[1]
        if self.B != B:
            self.reserve(B)
        here = slice(self.gathered * B, (self.gathered + 1) * B)
        self.das[:, here] = da
        self.xs[:, here] = x
        self.gathered += 1
        if self.gathered == self.steps:
            self._flush()

    def finish(self) -> None:
        """Add to dW what has been set aside; call this at a chunk's end."""
        if self.gathered:
            self._flush()

    def _flush(self) -> None:
        width = self.gathered * self.B
        self.gradient(self.das[:, :width], self.xs[:, :width])
        self.gathered = 0


class FoldedLinear(Linear):
    """Multiply by [Wx E, rest], where the block is [Wx, rest] and x is one-hot.

    Args:
        W: (M, D + R) the block.
        dW: (M, D + R) its gradient, or None.
        wanted: as for `Linear`; none of the first D columns.
        halved: as for `Linear`.
        table: the embedding, (D, V), and its gradient.
    """

    def __init__(
        self, W: Array, dW: Array | None, wanted: slice, halved: int, table: Table
    ) -> None:
        self.table = table
        self.D, self.V = table.E.shape
        super().__init__(W, dW, wanted, halved, K=self.V + W.shape[1] - self.D)
        if dW is not None:
            self.total = _zeros(self.W.shape, W)
            self.unfolded = _zeros(W.shape, W)
            self.dE_here = _zeros(table.E.shape, W)

    def refresh(self) -> None:
        np.matmul(self.weights[:, : self.D], self.table.E, out=self.W[:, : self.V])
        np.copyto(self.W[:, self.V :], self.weights[:, self.D :])
        self._derive()

    def finish(self) -> None:
        super().finish()
        assert self.dW is not None
        assert self.table.dE is not None
        dP, rest = self.total[:, : self.V], self.total[:, self.V :]
        np.matmul(dP, self.table.E.T, out=self.unfolded[:, : self.D])
        np.copyto(self.unfolded[:, self.D :], rest)
        self.dW += self.unfolded
        np.matmul(self.weights[:, : self.D].T, dP, out=self.dE_here)
        self.table.dE[...] += self.dE_here
        self.total.fill(0)


def _zeros(shape: tuple[int, int], like: Array) -> Array:
    return aligned_zeros(shape[0] * shape[1], like.dtype).reshape(shape)
