"""One pass of a model over a text: the surprise, states and gates of every symbol.

    start, id_0, id_1, ...  -->  forward, chunk by chunk, state carried  -->  logits, states, gates

    nats_k = -ln p(id_k | start, id_0, ..., id_{k-1})       bits = nats / ln 2
    states_k, gates_k: after symbol k was read

1 bit is the surprise at probability 1/2, 6 bits at 1/64.

Source of gate saturation: Karpathy, Johnson & Li 2015, Visualizing and understanding recurrent
networks, figure 2.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from charlm.nn.functions import cross_entropy
from charlm.nn.model import Model
from charlm.types import Array, Ids

SHUT, OPEN = 0.1, 0.9
# Time steps in a chunk, and symbols in a piece of `Reader.gates`.
_T, _PIECE = 128, 4096


class Surprise(NamedTuple):
    """The surprise of N symbols."""

    nats: Array  # (N,) -ln p
    likeliest: Array  # (N, top) ids of the most probable symbols, in descending order
    probabilities: Array  # (N, top) of these

    @property
    def bits(self) -> Array:
        """Return (N,) -log2 p of each symbol."""
        return self.nats / math.log(2)


class TextReading(NamedTuple):
    """What a model computed while it read N symbols; states and gates only if asked for."""

    surprise: Surprise
    states: Array  # (N, L, H) from -1 to 1: tanh(c) of an LSTM, h of a GRU and a tanh RNN
    gates: Mapping[tuple[int, str], Array]  # (layer, gate) -> (N, H); none for a tanh RNN


class Reader:
    """A model that reads a text piece by piece.

    `start_id` is the symbol that precedes it, and where it holds independent `items`, the symbol
    that ends each: the state is zero where an item begins.
    """

    def __init__(self, model: Model, start_id: int, *, items: bool = False) -> None:
        self._boundary = start_id if items else None
        self._model, self._cache = model, model.cache(_T, 1)
        # Row 0 holds the logits of the next symbol, carried from the chunk before.
        self._z = np.empty((_T + 1, model.V), model.parameters.flat.dtype)
        first = model.cache(1, 1)
        self._state = model.forward(np.array([[start_id]]), model.zero_state(1), first)
        self._z[0] = model.output.forward(first.output, 0)[:, 0]

    def read(
        self, ids: Ids, *, top: int = 0, states: bool = False, gates: bool = False
    ) -> TextReading:
        """Read the next (N,) symbols; `top` is how many of the most probable ones to return."""
        model, N, top, dtype = self._model, ids.size, min(top, self._model.V), self._z.dtype
        L, H = len(model.layers), model.layers[0].H
        likeliest, probabilities = np.empty((N, top), np.intp), np.empty((N, top), np.float32)
        surprise = Surprise(np.empty(N), likeliest, probabilities)
        found_states = np.empty((N if states else 0, L, H), dtype)
        found_gates = {
            (k, gate): np.empty((N, H), dtype)
            for k, layer in enumerate(model.layers)
            for gate in (layer.SIGMOIDS if gates else ())
        }
        for begin in range(0, N, _T):
            here = slice(begin, min(begin + _T, N))
            chunk = ids[here].astype(np.intp)
            T = chunk.size
            cache = self._cache if T == _T else model.cache(T, 1)
            column = chunk[:, None]
            keep = None if self._boundary is None else column != self._boundary
            self._state = model.forward(column, self._state, cache, keep)
            for t in range(T):
                self._z[t + 1] = model.output.forward(cache.output, t)[:, 0]
                for k, layer_cache in enumerate(cache.layers if states else ()):
                    found_states[begin + t, k] = layer_cache.memory(t)[:, 0]
                for (k, gate), values in found_gates.items():
                    values[begin + t] = cache.layers[k].gate(gate, t)[:, 0]
            following = self._z[T].copy()
            p = self._z[:T]
            surprise.nats[here] = cross_entropy(p.T, chunk)
            if top:
                some = np.argpartition(p, -top, axis=1)[:, -top:]
                order = np.argsort(-np.take_along_axis(p, some, 1), axis=1, kind="stable")
                likeliest[here] = np.take_along_axis(some, order, 1)
                probabilities[here] = np.take_along_axis(p, likeliest[here], 1)
            self._z[0] = following
        return TextReading(surprise, found_states, found_gates)

    def gates(self, ids: Ids, *, states: bool = False) -> Iterator[TextReading]:
        """Read the next symbols some thousand at a time, with their gates."""
        for begin in range(0, ids.size, _PIECE):
            yield self.read(ids[begin : begin + _PIECE], states=states, gates=True)


class Saturation(NamedTuple):
    """How often the gates of a layer are shut or open; units that are neither leak."""

    layer: int  # from 0
    gate: str  # its letter in the cell's equations
    below: Array  # (H,) fraction of the time steps at which the unit's gate is below 0.1
    above: Array  # (H,) fraction at which it is above 0.9


def saturation(readings: Iterable[TextReading]) -> list[Saturation]:
    """Return the saturation of each layer's gates over the pieces of a text, read with gates."""
    N, counts = 0, dict[tuple[int, str], Array]()
    for reading in readings:
        N += reading.surprise.nats.size
        for key, s in reading.gates.items():
            found = np.stack([(s < SHUT).sum(axis=0), (s > OPEN).sum(axis=0)])
            counts[key] = counts.get(key, 0) + found
    return [Saturation(*key, below / N, above / N) for key, (below, above) in counts.items()]
