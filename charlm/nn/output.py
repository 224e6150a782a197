"""The last room of the network: hidden states become probabilities, and a loss.

    1a.  z = [W b] @ [y; 1]         logits
    2a.  p = softmax(z)
    2b.  nats = -ln p_target        the loss is their mean over the chunk

Nothing goes from step to step here, so several steps lie side by side and are one product. Their
logits are turned into probabilities, into their gradient, and back into dy before the next steps'
are computed, so no array of V x T x B exists whatever V is.
"""

import numpy as np

from charlm.nn.functions import cross_entropy, cross_entropy_backward
from charlm.nn.linear import Linear
from charlm.nn.parameters import Block, Parameters, aligned_zeros
from charlm.types import Array

# So many columns lie side by side, but no more logits than these, 16 MB: wider products gain
# nothing more, and memory should not grow with V.
COLUMNS = 1024
LOGITS = 1 << 22


def steps_abreast(T: int, B: int, V: int) -> int:
    """Return how many of T steps the output layer takes side by side."""
    return max(1, min(T, COLUMNS // B, LOGITS // (V * B)))


class OutputCache:
    """Hold the output layer's input, 4 (H + 1) B bytes a step in float32, and some steps' logits.

    Attributes:
        y: (T, H, B) what the top layer sends up; `loss_and_gradient` puts dy in its place.
        y1: (H+1, T B) the same and ones, step after step side by side.
    """

    def __init__(self, T: int, B: int, H: int, V: int, dtype: np.dtype) -> None:
        self.y1 = aligned_zeros((H + 1) * T * B, dtype).reshape(H + 1, T * B)
        self.y1[-1] = 1
        self.y = self.y1[:H].reshape(H, T, B).transpose(1, 0, 2)
        self.S = steps_abreast(T, B, V)
        self.logits = aligned_zeros(V * self.S * B, dtype)
        self.z = self.logits[: V * B].reshape(V, B)
        self.columns = [self.y1[:, t * B : (t + 1) * B] for t in range(T)]


class Output:
    """Map H hidden units to V logits."""

    def __init__(self, H: int, V: int) -> None:
        self.H, self.V = H, V

    def blocks(self) -> list[Block]:
        return [Block("output", self.V, {"W": self.H, "b": 1})]

    def bind(self, index: int, parameters: Parameters, gradient: Parameters | None) -> None:
        W = parameters.blocks[index]
        dW = None if gradient is None else gradient.blocks[index]
        self.product = Linear(W, dW, slice(0, self.H))

    def initialize(self, views: dict[str, Array], rng: np.random.Generator) -> None:
        """Draw weights so small that the first loss is within 2 % of ln V, whatever the cell."""
        W = views["output.W"]
        bound = 1 / np.sqrt(self.H)
        W[...] = rng.uniform(-bound, bound, W.shape)
        views["output.b"][...] = 0

    def cache(self, T: int, B: int) -> OutputCache:
        """Allocate a workspace for T steps of B streams."""
        return OutputCache(T, B, self.H, self.V, self.product.W.dtype)

    def forward(self, cache: OutputCache, t: int) -> Array:
        """Return the logits of step t, (V, B), valid until the next call."""
        self.product.forward(cache.columns[t], cache.z)
        return cache.z

    def loss_and_gradient(self, targets: Array, cache: OutputCache) -> float:
        """Score a chunk and run back through this layer.

        Args:
            targets: (T, B) ids.
            cache: holds y; holds dy in its place afterwards.

        Returns:
            The mean of the nats per character.
        """
        N, wanted, nats = targets.size, targets.reshape(-1), 0.0
        width = cache.S * targets.shape[1]
        for begin in range(0, N, width):
            here = slice(begin, min(begin + width, N))
            y1, target = cache.y1[:, here], wanted[here]
            z = cache.logits[: self.V * target.size].reshape(self.V, -1)
            # 1a. z = [W b] @ [y; 1]
            self.product.forward_wide(y1, z)
            # 2a, 2b. p = softmax(z); nats = -ln p_target
            nats += float(cross_entropy(z, target).sum(dtype=np.float64))
            # 2a, 2b. dz = (p - [target]) / (T B)
            cross_entropy_backward(z, target, 1.0 / N)
            # 1a. dW += dz @ [y; 1]^T; dy = W^T @ dz
            self.product.gradient(z, y1)
            self.product.backward(z, y1[: self.H])
        return nats / N
