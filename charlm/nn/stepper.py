"""The same network one time step at a time, for sampling and scoring; optionally with n-grams.

    ids (B,) -> Input -> step of layer 0 -> ... -> step of layer L-1 -> logits (V, B)

Each layer has a rolling cache of one time step, and runs the same `step` as in training.

A mixture with the n-grams of the training text has the logits of its own probabilities:

    z = ln((1 - weight) softmax(z) + weight p_ngrams)

Source: Mikolov et al. 2011, Extensions of recurrent neural network language model, section 2.
"""

from functools import partial
from typing import NamedTuple

import numpy as np

from charlm.nn.functions import softmax
from charlm.nn.model import Model
from charlm.text.ngrams import NGrams
from charlm.types import Array, Ids, States

# ln 0 is -inf; a loss stays finite.
_LEAST = np.finfo(np.float32).tiny


class Mixture(NamedTuple):
    """An n-gram model and its weight, to be mixed with a network."""

    ngrams: NGrams
    weight: float  # from 0, the network alone, to 1


class Stepper:
    """A refreshed model run one time step at a time, for B streams."""

    def __init__(self, model: Model, B: int, mixture: Mixture | None = None) -> None:
        self.model, self._mixture = model, mixture
        model.choose_products()
        self.caches = [layer.cache(1, B, rolling=True) for layer in model.layers]
        # The current state, as views that may be written to.
        self.state: States = [cache.state_out for cache in self.caches]
        if mixture:
            self._contexts = mixture.ngrams.contexts(B)
            self.state.append((self._contexts,))
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
        z = self.model.output.forward(self._output, 0)
        if self._mixture:
            self._mix(z, ids, *self._mixture)
        return z

    def _mix(self, z: Array, ids: Ids, ngrams: NGrams, weight: float) -> None:
        """Turn the network's logits behind (B,) symbols into those of the mixture, in place."""
        ngrams.read(self._contexts, ids)
        softmax(z)
        z *= 1 - weight
        z += weight * ngrams.probabilities(self._contexts)
        np.log(np.maximum(z, _LEAST, out=z), out=z)
