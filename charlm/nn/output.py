"""The last room of the network: hidden states become probabilities, and a loss.

    1a.  z = [W b] @ [y; 1]         logits
    2a.  p = softmax(z)
    2b.  nats = -ln p_target        the loss is their mean over the chunk

Nothing goes from step to step here, so several steps lie side by side and are one product. Their
logits are turned into probabilities, into their gradient, and back into dy before the next steps'
are computed, so no array of T x V x B exists whatever V is.
"""

import numpy as np

from charlm.nn.functions import cross_entropy, cross_entropy_backward
from charlm.nn.parameters import Array, Block, Parameters, aligned_zeros
from charlm.nn.products import Product

# So many columns lie side by side, but no more logits than these, 16 MB: wider products gain
# nothing more, and memory should not grow with V.
COLUMNS = 1024
LOGITS = 1 << 22


def steps_abreast(T: int, B: int, V: int) -> int:
    """Return how many of T steps the output layer takes side by side."""
    return max(1, min(T, COLUMNS // B, LOGITS // (V * B)))


class OutputTape:
    """Hold the output layer's input, 4 (H + 1) B bytes a step in float32, and S steps' logits.

    Attributes:
        y: (T, H, B) what the top layer sends up; `loss_and_gradient` puts dy in its place.
        abreast: (H+1, S B) S steps of y side by side, then ones.
        z: (V, S B) their logits.
    """

    def __init__(self, T: int, B: int, H: int, V: int, dtype: np.dtype) -> None:
        self.S = steps_abreast(T, B, V)
        self.y1 = aligned_zeros(T * (H + 1) * B, dtype).reshape(T, H + 1, B)
        self.y1[:, -1] = 1
        self.y = self.y1[:, :H]
        self.abreast = aligned_zeros((H + 1) * self.S * B, dtype).reshape(H + 1, self.S * B)
        self.z = aligned_zeros(V * self.S * B, dtype).reshape(V, self.S * B)
        self.z_step = self.z[:, :B]


class Output:
    """Map H hidden units to V logits."""

    def __init__(self, H: int, V: int) -> None:
        self.H, self.V = H, V

    def blocks(self) -> list[Block]:
        return [Block("output", self.V, {"W": self.H, "b": 1})]

    def bind(self, index: int, parameters: Parameters, gradient: Parameters | None) -> None:
        W = parameters.blocks[index]
        dW = None if gradient is None else gradient.blocks[index]
        self.product = Product(W, dW, slice(0, self.H))

    def initialize(self, views: dict[str, Array], rng: np.random.Generator) -> None:
        """Draw weights so small that the first loss is within 1 % of ln V, whatever the cell."""
        W = views["output.W"]
        bound = 0.5 / np.sqrt(self.H)
        W[...] = rng.uniform(-bound, bound, W.shape)
        views["output.b"][...] = 0

    def tape(self, T: int, B: int) -> OutputTape:
        """Allocate a workspace for T steps of B streams."""
        return OutputTape(T, B, self.H, self.V, self.product.W.dtype)

    def forward(self, tape: OutputTape, t: int) -> Array:
        """Return the logits of step t, (V, B), valid until the next call."""
        self.product.forward(tape.y1[t], tape.z_step)
        return tape.z_step

    def loss_and_gradient(self, targets: Array, tape: OutputTape) -> float:
        """Score a chunk and run back through this layer.

        Args:
            targets: (T, B) ids.
            tape: holds y; holds dy in its place afterwards.

        Returns:
            The mean of the nats per character.
        """
        T, B = targets.shape
        nats = 0.0
        for t in range(0, T, tape.S):
            N = min(tape.S, T - t) * B
            y, z, ids = tape.abreast[:, :N], tape.z[:, :N], targets[t : t + tape.S].ravel()
            np.copyto(y.reshape(self.H + 1, -1, B).swapaxes(0, 1), tape.y1[t : t + tape.S])
            # 1a. z = [W b] @ [y; 1]
            self.product.forward(y, z)
            # 2a, 2b. p = softmax(z); nats = -ln p_target
            nats += float(cross_entropy(z, ids).sum(dtype=np.float64))
            # 2a, 2b. dz = (p - [target]) / (T B)
            cross_entropy_backward(z, ids, 1.0 / (T * B))
            # 1a. dW += dz @ [y; 1]^T; dy = W^T @ dz
            self.product.add_gradient(z, y)
            dy = y[: self.H]
            self.product.backward(z, dy)
            np.copyto(tape.y[t : t + tape.S], dy.reshape(self.H, -1, B).swapaxes(0, 1))
        return nats / float(T * B)
