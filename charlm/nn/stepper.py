"""The same network one time step at a time, for sampling and scoring.

    ids (B,) -> Input -> step of layer 0 -> ... -> step of layer L-1 -> logits (V, B)

Each layer has a rolling cache of one time step, and runs the same `step` as in training.
"""

from functools import partial

import numpy as np

from charlm.nn.model import Model
from charlm.types import Array, Ids, States


class Stepper:
    """A refreshed model run one time step at a time, for B streams."""

    def __init__(self, model: Model, B: int) -> None:
        self.model = model
        model.choose_products()
        self.caches = [layer.cache(1, B, rolling=True) for layer in model.layers]
        # The current state, as views that may be written to.
        self.state: States = [cache.state_out for cache in self.caches]
        self._output = model.output.cache(1, B)
        self._x = self.caches[0].x
        # With one stream, moving the column's 1 is faster than writing the column anew.
        self._column, self._id = None, 0
        if B == 1 and not model.input.needs_dx:
            self._column = self._x[0, :, 0]
        above = [cache.x[0] for cache in self.caches[1:]] + [self._output.y[0]]
        self._steps = [
            (partial(layer.step, cache.steps[0]), cache.h[0], x)
            for layer, cache, x in zip(model.layers, self.caches, above, strict=True)
        ]

    def reset(self) -> None:
        """Return to the zero state."""
        for layer in self.state:
            for part in layer:
                part.fill(0)

    def keep(self, streams: Array) -> None:
        """Return to the zero state where (B,) `streams` are False."""
        for layer in self.state:
            for part in layer:
                np.multiply(part, streams, out=part)

    def step(self, ids: Ids) -> Array:
        """Read (B,) symbols; return (V, B) logits of the next, valid until the next call."""
        if self._column is None:
            self.model.input.forward(ids[None], self._x)
        else:
            self._column[self._id] = 0
            self._id = ids.item()
            self._column[self._id] = 1
        for step, h, above in self._steps:
            step()
            np.copyto(above, h)
        return self.model.output.forward(self._output, 0)
