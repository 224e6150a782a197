"""Output layer: hidden states become probabilities, and a loss.

    1a.  z = [W b] @ [y; 1]         logits
    2a.  p = softmax(z)
    2b.  nats = -ln p_target        the loss is their mean over the chunk

Time steps do not depend on one another here, so several of them are one product. Their logits
become probabilities, the gradient of the logits, and dy before the next block's are computed: no
array of V x T x B exists.
"""

import numpy as np

from charlm.nn.functions import cross_entropy, cross_entropy_backward
from charlm.nn.linear import Linear
from charlm.nn.parameters import Block, aligned_zeros
from charlm.types import Array, Ids

# Columns of a block, but no more logits than these, 16 MB: wider products gain nothing more, and
# memory should not grow with V.
COLUMNS = 1024
LOGITS = 1 << 22


def steps_per_block(T: int, B: int, V: int) -> int:
    """Return how many of T time steps the output layer takes in one product."""
    return max(1, min(T, COLUMNS // B, LOGITS // (V * B)))


class OutputCache:
    """The output layer's input, 8 (H + 1) B bytes per time step in float32, and some logits."""

    def __init__(self, layer: "Output", T: int, B: int) -> None:
        shapes, dtype = layer.cache_shapes(T, B, training=layer.training), layer.linear.W.dtype
        arrays = {name: aligned_zeros(shape, dtype) for name, shape in shapes.items()}
        H, self.logits = layer.H, arrays["logits"]
        self.y1 = arrays["y1"]  # (H+1, T B) y and ones, the time steps side by side
        self.y1[-1] = 1
        # (T, H, B) the input from the top layer
        self.y = self.y1[:H].reshape(H, T, B).transpose(1, 0, 2)
        self.columns = [self.y1[:, t * B : (t + 1) * B] for t in range(T)]
        self.z = self.logits[: layer.V * B].reshape(layer.V, B)
        if layer.training:
            self.dy_columns = arrays["dy"]
            self.dy = self.dy_columns.reshape(H, T, B).transpose(1, 0, 2)


class Output:
    """A linear layer from H hidden units to V logits, softmax and cross-entropy."""

    def __init__(self, H: int, V: int) -> None:
        self.H, self.V = H, V
        self.linear = Linear(V, H + 1, slice(0, H))

    def blocks(self) -> list[Block]:
        return [Block("output", self.V, {"W": self.H, "b": 1})]

    def bind(self, blocks: list[Array], gradient: list[Array] | None) -> None:
        self.training = gradient is not None
        self.linear.bind(blocks[0], None if gradient is None else gradient[0])

    def initialize(self, views: dict[str, Array], rng: np.random.Generator) -> None:
        """Draw weights so small that the first loss is within 2 % of ln V, whatever the cell."""
        W = views["output.W"]
        bound = 1 / np.sqrt(self.H)
        W[...] = rng.uniform(-bound, bound, W.shape)
        views["output.b"][...] = 0

    def cache_shapes(self, T: int, B: int, *, training: bool) -> dict[str, tuple[int, ...]]:
        """Return the shapes of a cache's arrays by name; `training` adds those of backward."""
        logits = self.V * steps_per_block(T, B, self.V) * B
        shapes: dict[str, tuple[int, ...]] = {"y1": (self.H + 1, T * B), "logits": (logits,)}
        return shapes | ({"dy": (self.H, T * B)} if training else {})

    def cache(self, T: int, B: int) -> OutputCache:
        """Allocate a cache for T time steps of B streams."""
        return OutputCache(self, T, B)

    def forward(self, cache: OutputCache, t: int) -> Array:
        """Return the logits of time step t, (V, B), valid until the next call."""
        self.linear.forward(cache.columns[t], cache.z)
        return cache.z

    def loss_and_gradient(
        self, targets: Ids, cache: OutputCache, count: int | None = None
    ) -> float:
        """Return the nats of (T, B) targets over how many characters count, these, and write dy."""
        (T, B), V, N = targets.shape, self.V, count or targets.size
        nats, flat_targets = 0.0, targets.reshape(-1)
        width = steps_per_block(T, B, V) * B
        for begin in range(0, targets.size, width):
            block = slice(begin, min(begin + width, targets.size))
            y1, target = cache.y1[:, block], flat_targets[block]
            z = cache.logits[: V * target.size].reshape(V, -1)
            # 1a. z = [W b] @ [y; 1]
            self.linear.forward(y1, z)
            # 2a, 2b. p = softmax(z); nats = -ln p_target
            nats += float(cross_entropy(z, target).sum(dtype=np.float64))
            # 2a, 2b. dz = (p - [target]) / (T B)
            cross_entropy_backward(z, target, 1.0 / N)
            # 1a. dW += dz @ [y; 1]^T; dy = W^T @ dz
            self.linear.add_grad(z, y1)
            self.linear.backward(z, cache.dy_columns[:, block])
        return nats / N
