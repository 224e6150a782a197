"""What happens inside while a text is read: the network's own caches, a chunk at a time.

    start, id_0, id_1, ...  -->  forward on a cache of T steps  -->  what each slot holds

Index k of what is returned stands for the moment after symbol k was read.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from charlm.nn.model import Model
from charlm.nn.recurrent import Cache
from charlm.types import Array, Ids

_STEPS = 128


class Piece(NamedTuple):
    """A part of a text that was read.

    Attributes:
        begin: its first symbol's index.
        steps: how many of the caches' slots belong to it, from the first on.
        caches: one a layer, valid until the next piece is read.
    """

    begin: int
    steps: int
    caches: Sequence[Cache]


def pieces(model: Model, ids: Ids, start_id: int) -> Iterator[Piece]:
    """Read a text from its beginning, with the state carried from piece to piece.

    Args:
        model: prepared weights.
        ids: (N,) the text.
        start_id: what stands before its first symbol.
    """
    cache = model.cache(1, 1)
    state = model.forward(np.array([[start_id]]), model.zero_state(1), cache)
    cache = model.cache(_STEPS, 1)
    column = np.full((_STEPS, 1), start_id)
    for begin in range(0, ids.size, _STEPS):
        steps = min(_STEPS, ids.size - begin)
        # A last piece that is shorter is followed by symbols that nobody looks at.
        column[:steps, 0] = ids[begin : begin + steps]
        state = model.forward(column, state, cache)
        yield Piece(begin, steps, cache.layers)


def memory(model: Model, ids: Ids, start_id: int) -> Array:
    """Return what every unit carries on: tanh(c) of an LSTM, h of the others.

    Args:
        model: prepared weights.
        ids: (N,) the text.
        start_id: what stands before its first symbol.

    Returns:
        (N, L, H) numbers from -1 to 1.
    """
    shape = ids.size, len(model.layers), model.layers[0].H
    found = np.empty(shape, model.parameters.flat.dtype)
    for begin, steps, caches in pieces(model, ids, start_id):
        for k, (layer, cache) in enumerate(zip(model.layers, caches, strict=True)):
            for t, slot in enumerate(cache.slots[:steps]):
                found[begin + t, k] = getattr(slot, layer.MEMORY)[:, 0]
    return found
