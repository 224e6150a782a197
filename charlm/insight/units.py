"""Units whose state correlates most with a property of a text.

    r = correlation of a unit's state with a property, over all characters

Among hundreds of units some correlate with anything by chance. So units are selected on the first
two thirds of a text, and their correlations are measured on the last third.

Source of the idea: Karpathy, Johnson & Li 2015, Visualizing and understanding recurrent networks,
section 4.2.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from charlm.types import Array

# Characters of a text that are read at most: enough for hundreds of lines.
CHARACTERS = 20_000
_SELECTION = 2 / 3
# In fewer than these, anything correlates with anything.
_LEAST = 300


class UnitFinding(NamedTuple):
    """A unit and the property that it correlates with."""

    property: str
    layer: int  # from 0
    unit: int  # in its layer, from 0
    correlation: float  # Pearson's, on the held-out last third of the text


def held_out(N: int) -> int:
    """Return where the held-out part of N characters begins."""
    return int(N * _SELECTION)


def correlations(states: Array, values: Array) -> Array:
    """Return Pearson's correlations of (N, U) states with (N, K) values, (U, K); 0 of constants."""
    r: Array = _standardized(states).T @ _standardized(values) / max(1, len(states))
    return r


def _standardized(columns: Array) -> Array:
    """Return columns of mean 0 and deviation 1; constant ones become 0."""
    columns = columns - columns.mean(axis=0)
    deviation = columns.std(axis=0)
    scale = np.where(deviation > 1e-6, 1 / np.maximum(deviation, 1e-6), 0)
    standardized: Array = (columns * scale).astype(np.float32)
    return standardized


def find_units(
    states: Array, properties: Mapping[str, Array], count: int = 10
) -> list[UnitFinding]:
    """Find the units that correlate most.

    Each unit is returned once. Each property gets its best unit, then each its second best, and so
    on, up to `count`.

    Args:
        states: (N, L, H) after each character.
        properties: name -> (N,) values; those that are constant in a part of the text are left out.
        count: how many units, at most.

    Returns:
        By descending held-out correlation; empty where nothing can be measured.
    """
    N, L, H = states.shape
    cut = held_out(N)
    names = [
        name
        for name, values in properties.items()
        if N >= _LEAST and np.ptp(values[:cut]) > 0 and np.ptp(values[cut:]) > 0
    ]
    if not names:
        return []
    flat = states.reshape(N, L * H)
    values = np.stack([properties[name] for name in names], axis=1)
    selected_by = np.abs(correlations(flat[:cut], values[:cut]))
    measured = correlations(flat[cut:], values[cut:])
    # Each property's best unit first, then each one's second best.
    ranking = np.argsort(-selected_by, axis=None, kind="stable").tolist()
    picked: dict[int, int] = {}
    for each in range(1, count + 1):
        for unit, k in (divmod(pair, len(names)) for pair in ranking):
            room = len(picked) < count and list(picked.values()).count(k) < each
            if room and unit not in picked:
                picked[unit] = k
    findings = [
        UnitFinding(names[k], unit // H, unit % H, float(measured[unit, k]))
        for unit, k in picked.items()
    ]
    return sorted(findings, key=lambda finding: -abs(finding.correlation))


def most_varying(text: str, values: Array, size: int) -> tuple[int, int]:
    """Find the part of the held-out text in which a property varies most.

    Args:
        text: the whole text.
        values: (len(text),) of the property.
        size: characters of the part, at most.

    Returns:
        Where it begins and ends: whole lines where possible.
    """
    last = max(0, len(text) - size)
    first = min(held_out(len(text)), last)
    begins = [k + 1 for k in range(first, last) if text[k] == "\n" != text[k + 1]] or [first]
    begin = max(begins, key=lambda k: float(values[k : k + size].std()))
    return begin, paragraph_end(text, begin, min(begin + size, len(text)))


def paragraph_end(text: str, begin: int, end: int) -> int:
    """Return the last end of a paragraph, or of a line, in the second half of a part of a text.

    `end` itself where there is none, or where the text ends there.
    """
    if end == len(text):
        return end
    ends = (text.rfind(mark, (begin + end) // 2, end) for mark in ("\n\n", "\n"))
    return next((place for place in ends if place >= 0), end)
