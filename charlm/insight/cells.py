"""Which unit tells what of a text.

    r = correlation of a unit's state with a property, over all characters

With hundreds of units some correlate with anything by chance. So a unit is chosen on the first two
thirds of a text, and what is told of it was measured on the last third.

Source of the idea: Karpathy, Johnson & Li 2015, Visualizing and understanding recurrent networks,
section 4.2.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from charlm.types import Array

# The text's characters that are looked at, at the most: enough for hundreds of lines.
CHARACTERS = 20_000
_CHOOSING = 2 / 3
# In fewer than these, anything correlates with anything.
_LEAST = 300


class UnitFinding(NamedTuple):
    """Tell of the unit and the property that it tells.

    Attributes:
        property: its name.
        layer: the unit's layer, from 0.
        unit: its number in the layer, from 0.
        correlation: Pearson's, on the held-out last third of the text.
    """

    property: str
    layer: int
    unit: int
    correlation: float


def held_out(N: int) -> int:
    """Return where the held-out part of N characters begins."""
    return int(N * _CHOOSING)


def correlations(states: Array, values: Array) -> Array:
    """Correlate every unit with every property.

    Args:
        states: (N, U) a unit's state at each character.
        values: (N, K) a property's value.

    Returns:
        (U, K) Pearson's correlations; 0 where a unit or a property never changes.
    """
    states, values = _standard(states), _standard(values)
    r: Array = states.T @ values / max(1, len(states))
    return r


def _standard(q: Array) -> Array:
    """Return columns of mean 0 and deviation 1; those that never change become 0."""
    q = q - q.mean(axis=0)
    deviation = q.std(axis=0)
    standard: Array = q * np.where(deviation > 1e-6, 1 / np.maximum(deviation, 1e-6), 0)
    return standard.astype(np.float32)


def find_units(states: Array, told: Mapping[str, Array], count: int = 10) -> list[UnitFinding]:
    """Find the units that tell most.

    Each unit is named once. Each property has its best unit among them, then its second best,
    and so on, as long as there is room.

    Args:
        states: (N, L, H) from `memory`, by character.
        told: property -> (N,) values; those that do not change in both parts of the text are left
            out.
        count: how many, at the most.

    Returns:
        By falling strength of the held-out correlation; empty where nothing can be measured.
    """
    N, L, H = states.shape
    cut = held_out(N)
    names = [
        name
        for name, q in told.items()
        if N >= _LEAST and np.ptp(q[:cut]) > 0 and np.ptp(q[cut:]) > 0
    ]
    if not names:
        return []
    flat = states.reshape(N, L * H)
    values = np.stack([told[name] for name in names], axis=1)
    chosen_by = np.abs(correlations(flat[:cut], values[:cut]))
    measured = correlations(flat[cut:], values[cut:])
    picked: dict[int, int] = {}
    share = 1
    while len(picked) < min(count, L * H):
        # First each property's best unit, then each one's second, as long as there is room.
        for pair in np.argsort(-chosen_by, axis=None, kind="stable").tolist():
            unit, k = divmod(pair, len(names))
            if unit not in picked and list(picked.values()).count(k) < share:
                picked[unit] = k
                if len(picked) == count:
                    break
        share += 1
    pairs = sorted(picked.items(), key=lambda q: -abs(measured[q]))
    return [
        UnitFinding(names[k], unit // H, unit % H, float(measured[unit, k])) for unit, k in pairs
    ]


def telling(text: str, values: Array, size: int) -> tuple[int, int]:
    """Find the part of the held-out text in which a property changes most.

    Args:
        text: the whole text.
        values: (len(text),) of the property.
        size: characters of the part, at the most.

    Returns:
        Where it begins and ends: whole lines, if it can be.
    """
    last = max(0, len(text) - size)
    first = min(held_out(len(text)), last)
    begins = [k + 1 for k in range(first, last) if text[k] == "\n" != text[k + 1]] or [first]
    begin = max(begins, key=lambda k: float(values[k : k + size].std()))
    return begin, ending(text, begin, min(begin + size, len(text)))


def ending(text: str, begin: int, end: int) -> int:
    """Return where a part of a text had better end: after a paragraph or at least a line.

    That is looked for in the part's second half.
    """
    if end == len(text):
        return end
    ends = (text.rfind(mark, (begin + end) // 2, end) for mark in ("\n\n", "\n"))
    return next((place for place in ends if place >= 0), end)
