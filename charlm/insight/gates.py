"""How often each gate is shut or wide open.

    below = share of the time at which the gate is below 0.1
    above = share of the time at which it is above 0.9

A unit whose forget gate is above 0.9 nearly all the time carries its memory over a long way; one
whose gates are never at an end passes everything on half-heartedly.

Source: Karpathy, Johnson & Li 2015, Visualizing and understanding recurrent networks, figure 2.
"""

from typing import NamedTuple

import numpy as np

from charlm.insight.trace import pieces
from charlm.nn.model import Model
from charlm.types import Array, Ids

SHUT, OPEN = 0.1, 0.9


class Saturation(NamedTuple):
    """Tell of one layer's gate.

    Attributes:
        layer: its number, from 0.
        gate: its letter in the cell's equations.
        below: (H,) share of the time below 0.1, a unit.
        above: (H,) share of the time above 0.9.
    """

    layer: int
    gate: str
    below: Array
    above: Array


def saturation(model: Model, ids: Ids, start_id: int) -> list[Saturation]:
    """Count how often gates are at an end while a text is read.

    Args:
        model: prepared weights.
        ids: (N,) the text.
        start_id: what stands before its first symbol.

    Returns:
        One for each layer's gates; none for a tanh RNN, which has no gate.

    Raises:
        ValueError: the text is empty.
    """
    if not ids.size:
        raise ValueError("the text is empty")
    counts = {
        (k, gate): np.zeros((2, layer.H), np.intp)
        for k, layer in enumerate(model.layers)
        for gate in layer.SIGMOIDS
    }
    for _, steps, caches in pieces(model, ids, start_id) if counts else ():
        for (k, gate), (below, above) in counts.items():
            for slot in caches[k].slots[:steps]:
                s = getattr(slot, gate)[:, 0]
                below += s < SHUT
                above += s > OPEN
    return [
        Saturation(k, gate, below / ids.size, above / ids.size)
        for (k, gate), (below, above) in counts.items()
    ]
