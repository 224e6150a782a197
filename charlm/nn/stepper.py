"""The same network one step at a time, for sampling and scoring.

    ids (B,) -> Input -> step of layer 0 -> ... -> step of layer L-1 -> logits (V, B)

Each layer has a rolling one-slot cache, and runs the very step that training runs.
"""

import numpy as np

from charlm.nn.embedding import FoldedEmbedding, OneHot
from charlm.nn.model import Model
from charlm.types import Array, States


class Stepper:
    """Run a model one step at a time, with no memory of the steps before but the state.

    Args:
        model: the network.
        B: streams side by side.

    Attributes:
        state: the current state, as views; `reset` and the caller may write to it.
    """

    def __init__(self, model: Model, B: int) -> None:
        self.model = model
        caches = [layer.cache(1, B, rolling=True) for layer in model.layers]
        self.state: States = [cache.state_out for cache in caches]
        self._output = model.output.cache(1, B)
        self._x = caches[0].x
        # One stream is what sampling mostly runs: moving its one 1 beats writing the column anew.
        one_hot = isinstance(model.input, OneHot | FoldedEmbedding)
        self._column, self._id = (self._x[0, :, 0] if one_hot and B == 1 else None), 0
        above = [cache.x[0] for cache in caches[1:]] + [self._output.y[0]]
        self._way = [
            (layer.step, cache.slots[0], cache.h[0], x)
            for layer, cache, x in zip(model.layers, caches, above, strict=True)
        ]

    def reset(self) -> None:
        """Go back to the zero state."""
        for layer in self.state:
            for q in layer:
                q.fill(0)

    def step(self, ids: Array) -> Array:
        """Read one character a stream.

        Args:
            ids: (B,) characters.

        Returns:
            (V, B) logits of the next character, valid until the next call and free to be changed.
        """
        if self._column is None:
            self.model.input.forward(ids[None], self._x)
        else:
            self._column[self._id] = 0
            self._id = ids.item()
            self._column[self._id] = 1
        for step, slot, h, above in self._way:
            step(slot)
            np.copyto(above, h)
        return self.model.output.forward(self._output, 0)
