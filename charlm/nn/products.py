"""The matrix products of a time step: forward, backward, and the gradient of the weights.

    forward     a    = W @ x
    backward    dx   = W^T @ da
    gradient    dW  += da @ x^T

All three are ordinary products of NumPy's. What this room adds is what they run on: contiguous
copies of the weights, made once whenever the weights change, and several time steps side by side
for the gradient, whose inner dimension would otherwise be only B.
"""

import numpy as np

from charlm.nn.parameters import Array, aligned_zeros

# The gradient is taken over as many steps at a time as fill about this many columns. Measured at
# H = 128, 256, 512: from 256 columns on, the product runs at its full rate; past 1,024 the
# gathered columns leave the second-level cache.
GRADIENT_COLUMNS = 512


class Product:
    """Multiply by one block of weights.

    Args:
        W: (M, K) the block, a view into the parameters.
        dW: (M, K) its gradient, or None for a model that only runs forward.
        wanted: the columns of W for whose inputs `backward` yields a gradient.
        halved: how many of the first rows `forward` halves, for a sigmoid made of a tanh.
    """

    def __init__(self, W: Array, dW: Array | None, wanted: slice, halved: int = 0) -> None:
        self.weights = W
        self.dW = dW
        self.wanted = wanted
        self.halved = halved
        self.W = _zeros(W.shape, W)
        if dW is not None:
            self.WT = _zeros((W[:, wanted].shape[1], W.shape[0]), W)
            self.partial = _zeros(W.shape, W)
        self.reserve(0)

    def reserve(self, B: int) -> None:
        """Make room for the gathered columns of B streams."""
        M, K = self.W.shape
        self.B = B
        self.steps = max(1, GRADIENT_COLUMNS // B) if B else 0
        self.gathered = 0
        self.das = _zeros((M, self.steps * B), self.W)
        self.xs = _zeros((K, self.steps * B), self.W)

    def prepare(self) -> None:
        """Renew the copies; call this whenever the weights have changed."""
        top = self.halved
        np.multiply(self.weights[:top], 0.5, out=self.W[:top])
        np.copyto(self.W[top:], self.weights[top:])
        if self.dW is not None:
            np.copyto(self.WT, self.weights[:, self.wanted].T)

    def forward(self, x: Array, a: Array) -> None:
        """Write W @ x into a.

        Args:
            x: (K, B) one column a stream.
            a: (M, B) output.
        """
        np.matmul(self.W, x, out=a)

    def backward(self, da: Array, dx: Array) -> None:
        """Write W^T @ da into dx, for the wanted columns of W.

        Args:
            da: (M, B) gradient of W @ x, nothing halved.
            dx: (wanted, B) output.
        """
        np.matmul(self.WT, da, out=dx)

    def gradient(self, da: Array, x: Array) -> None:
        """Set da @ x^T aside, to be added to dW by `finish` at the latest.

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
            self.finish()

    def finish(self) -> None:
        """Add to dW what `gradient` has set aside."""
        assert self.dW is not None
        width = self.gathered * self.B
        if width:
            np.matmul(self.das[:, :width], self.xs[:, :width].T, out=self.partial)
            self.dW += self.partial
            self.gathered = 0

    @property
    def nbytes(self) -> int:
        """Return the bytes of all copies and gathered columns."""
        arrays = [self.W, self.das, self.xs]
        return sum(q.nbytes for q in arrays + ([] if self.dW is None else [self.WT, self.partial]))


def _zeros(shape: tuple[int, int], like: Array) -> Array:
    return aligned_zeros(shape[0] * shape[1], like.dtype).reshape(shape)
