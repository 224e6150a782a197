"""How surprised the model is by each symbol of a text, and what it expected instead.

    nats = -ln p(symbol | all before it)        bits = nats / ln 2

1 bit: the model held it for as likely as not. 6 bits: it would have bet 63 to 1 against it.
"""

import math
from typing import NamedTuple

import numpy as np

from charlm.nn.functions import cross_entropy
from charlm.nn.model import Model
from charlm.nn.stepper import Stepper
from charlm.types import Array, Ids


class Surprise(NamedTuple):
    """Tell of N symbols.

    Attributes:
        nats: (N,) -ln p of each.
        likeliest: (N, top) the ids that were held for likeliest in its place, the first one first.
        probabilities: (N, top) how likely these were held.
    """

    nats: Array
    likeliest: Array
    probabilities: Array

    @property
    def bits(self) -> Array:
        """Return (N,) -log2 p of each."""
        bits: Array = self.nats / math.log(2)
        return bits


class Reader:
    """Read a text piece by piece.

    Args:
        model: prepared weights.
        start_id: what stands before the first symbol.
        top: how many of the likeliest symbols to tell.
    """

    def __init__(self, model: Model, start_id: int, top: int = 0) -> None:
        self.top = min(top, model.V)
        self._stepper = Stepper(model, 1)
        self._before = np.array([start_id])

    def read(self, ids: Ids) -> Surprise:
        """Read the next (N,) symbols."""
        N, top = ids.size, self.top
        nats, likeliest = np.empty(N), np.empty((N, top), np.intp)
        probabilities = np.empty((N, top), np.float32)
        for k, target in enumerate(ids.astype(np.intp)):
            z = self._stepper.step(self._before)
            self._before[0] = target
            nats[k] = cross_entropy(z, self._before)[0]
            if top:
                p = z[:, 0]
                some = np.argpartition(p, -top)[-top:]
                likeliest[k] = some[np.argsort(-p[some], kind="stable")]
                probabilities[k] = p[likeliest[k]]
        return Surprise(nats, likeliest, probabilities)


def surprise(model: Model, ids: Ids, start_id: int, top: int = 0) -> Surprise:
    """Read a text from its beginning.

    Args:
        model: prepared weights.
        ids: (N,) the text.
        start_id: what stands before its first symbol.
        top: how many of the likeliest symbols to tell.
    """
    return Reader(model, start_id, top).read(ids)
