"""A linear layer: the three matrix products of a block of weights.

    forward     a    = W @ x
    backward    dx   = W^T @ da
    gradient    dW  += da @ x^T

The products run on contiguous copies of the weights, renewed by `refresh` whenever the weights have
changed. The gradient is summed over several time steps at a time: their columns lie side by side in
a `GradBuffer`, since a product over the B columns of one time step would have too short an inner
dimension.

A BLAS packs the weights anew in every product, which takes much of the time where there are few
columns. OpenBLAS's kernel for small matrices packs nothing: where there is one, such a product is a
batch of small ones, a block of rows each.
"""

from functools import cache

import numpy as np

from charlm.nn.parameters import aligned_zeros
from charlm.types import Array

# Columns of a `GradBuffer`. With fewer, adding to dW costs more; with more, they leave the caches.
GRADIENT_COLUMNS = 1024
# A small product has at most so many multiplications, OpenBLAS's own bound; in blocks of fewer rows
# the calls cost more than packing.
SMALL = 100**3
FEWEST_ROWS = 8
# Rows that are transposed at a time: the lines of all stay in the cache from column to column.
ROWS = 128
# Of the arrays of `Linear.shapes`, the first are copies of the weights that replicas share.
SHARED_COPIES = 2


class GradBuffer:
    """Columns da (M, N) and x (K, N) of several time steps whose gradient is not added yet."""

    def __init__(self, M: int, K: int, B: int, dtype: "np.dtype[np.floating]") -> None:
        self.da, self.x = (aligned_zeros(shape, dtype) for shape in self.shapes(M, K, B))
        self.filled = 0  # columns in use; none between chunks

    @staticmethod
    def shapes(M: int, K: int, B: int) -> list[tuple[int, int]]:
        """Return the shapes of its arrays."""
        columns = max(1, GRADIENT_COLUMNS // B) * B
        return [(M, columns), (K, columns)]


class Linear:
    """One (M, K) block of weights.

    Args:
        grad_columns: the columns of W for whose inputs `backward` computes a gradient.
        sigmoid_rows: how many of the first rows `forward` halves, since
            sigmoid(a) = (1 + tanh(a / 2)) / 2.
    """

    def __init__(self, M: int, K: int, grad_columns: slice, sigmoid_rows: int = 0) -> None:
        self.M, self.K = M, K
        self.grad_columns, self.sigmoid_rows = grad_columns, sigmoid_rows
        self.in_blocks = False  # whether the BLAS has a kernel for small matrices
        self.is_zero = False  # whether the gradient is known to be zero: a product may replace it

    @property
    def x_rows(self) -> int:
        """Return the rows of x."""
        return self.K

    def shapes(self, *, training: bool) -> list[tuple[int, int]]:
        """Return the shapes of the arrays that it allocates."""
        if not training:
            return [(self.M, self.x_rows)]
        grad_rows = len(range(self.K)[self.grad_columns])
        return [(self.M, self.x_rows), (grad_rows, self.M), (self.M, self.x_rows)]

    def bind(self, W: Array, dW: Array | None) -> None:
        """Attach the (M, K) weights and their gradient; without one it only runs forward."""
        self.weights, self.dW = W, dW
        copies = [aligned_zeros(shape, W.dtype) for shape in self.shapes(training=dW is not None)]
        self.W = copies[0]
        if dW is not None:
            self.WT, self.partial = copies[1:3]
            self.total = dW

    def share_copies(self, other: "Linear") -> None:
        """Compute with another layer's copies of the same weights, which that one renews."""
        self.W, self.WT = other.W, other.WT

    def buffer(self, B: int) -> GradBuffer:
        """Allocate the columns that `accumulate_grad` fills."""
        return GradBuffer(self.M, self.x_rows, B, self.W.dtype)

    def refresh(self) -> None:
        """Renew the copies; call it after every change of the weights."""
        np.copyto(self.W, self.weights)
        self._refresh_derived()

    def _refresh_derived(self) -> None:
        self.W[: self.sigmoid_rows] *= 0.5
        if self.dW is not None:
            for top in range(0, self.M, ROWS):
                rows = slice(top, top + ROWS)
                np.copyto(self.WT[:, rows], self.weights[rows, self.grad_columns].T)

    def forward(self, x: Array, a: Array) -> None:
        """Write W @ x into a: (K, N), perhaps columns of a wider array, to contiguous (M, N)."""
        _multiply(self.W, x, a, self.in_blocks)

    def backward(self, da: Array, dx: Array) -> None:
        """Write W^T @ da into dx: (M, N), sigmoid rows not halved, to (grad columns, N)."""
        _multiply(self.WT, da, dx, self.in_blocks)

    def add_grad(self, da: Array, x: Array) -> None:
        """Add da (M, N) @ x^T (N, K) to dW; fastest for an N of many hundreds."""
        if self.is_zero:
            np.matmul(da, x.T, out=self.total)
            self.is_zero = False
            return
        np.matmul(da, x.T, out=self.partial)
        self.total += self.partial

    def accumulate_grad(self, da: Array, x: Array, buffer: GradBuffer) -> None:
        """Append a time step's da (M, B) and x (K, B) to the cache's buffer, for `add_grad`."""
        end = buffer.filled + x.shape[1]
        buffer.da[:, buffer.filled : end] = da
        buffer.x[:, buffer.filled : end] = x
        buffer.filled = end
        if end == buffer.x.shape[1]:
            self._add_buffered(buffer)

    def flush_grad(self, buffer: GradBuffer) -> None:
        """Add the columns that are left in the buffer to dW; call it at the end of a chunk."""
        if buffer.filled:
            self._add_buffered(buffer)

    def _add_buffered(self, buffer: GradBuffer) -> None:
        self.add_grad(buffer.da[:, : buffer.filled], buffer.x[:, : buffer.filled])
        buffer.filled = 0


@cache
def block_rows(M: int, K: int, N: int) -> int:
    """Return the rows of the largest blocks that make an (M, K) @ (K, N) product small ones.

    All have the same number of rows; M where no such blocks are worth it.
    """
    most = min(M, SMALL // (K * N))
    return next((m for m in range(most, FEWEST_ROWS - 1, -1) if M % m == 0), M)


def _multiply(W: Array, x: Array, out: Array, in_blocks: bool) -> None:
    (M, K), N = W.shape, x.shape[1]
    rows = block_rows(M, K, N) if in_blocks and N > 1 else M
    if rows < M:
        blocks = M // rows
        np.matmul(W.reshape(blocks, rows, K), x, out=out.reshape(blocks, rows, N))
    elif x.flags.c_contiguous and out.flags.c_contiguous:
        # dot is faster than matmul for one stream by a tenth, but copies what is not contiguous.
        np.dot(W, x, out=out)
    else:
        np.matmul(W, x, out=out)
