"""Units whose state correlates most with a property of a text.

    r = correlation of a unit's state with a property, over all characters

Among hundreds of units some correlate with anything by chance. So units are selected on the first
two thirds of a text, and their correlations are measured on the last third.

Source of the idea: Karpathy, Johnson & Li 2015, Visualizing and understanding recurrent networks,
section 4.2.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from charlm.insight.properties import properties
from charlm.types import Array

# Characters of a text that are read at most: enough for hundreds of lines.
CHARACTERS = 20_000
_SELECTION = 2 / 3
# In fewer than these, anything correlates with anything.
_LEAST = 300
# Correlations: above the first, two units show the same; below the second, one shows nothing.
_SAME, _HARDLY = 0.9, 0.1


class UnitFinding(NamedTuple):
    """A unit and the property that it correlates with."""

    property: str
    layer: int  # from 0
    unit: int  # in its layer, from 0
    correlation: float  # Pearson's, on the held-out last third of the text


class UnitTrace(NamedTuple):
    """What one unit computed after each of the N characters of a text.

    `values` has, in the order of the equations, f, i, o and tanh(c) of an LSTM, r, z and h of a
    GRU, h of a tanh RNN: (N,) each. Gates are from 0 to 1, and the last, the state, from -1 to 1.
    """

    text: str
    layer: int  # from 0
    unit: int  # in its layer, from 0
    values: Mapping[str, Array]


class TextStates:
    """The N characters of a text, and (N, L, H) states of every unit after each."""

    def __init__(self, text: str, states: Array) -> None:
        self.text, self.states = text, states

    @cached_property
    def properties(self) -> Mapping[str, Array]:
        """Return (N,) values of each property of the characters, such as upper case."""
        return properties(self.text)

    @property
    def held_out(self) -> int:
        """Return where the held-out part of the text begins."""
        return int(len(self.text) * _SELECTION)

    def find_units(self, count: int = 10) -> list[UnitFinding]:
        """Return the units that correlate most, by descending held-out correlation.

        Each unit is returned once. Each property gets its best unit, then each its second best, and
        so on, up to `count`. Properties that are constant in a part of the text are left out.
        """
        (N, L, H), cut = self.states.shape, self.held_out
        names = [
            name
            for name, values in self.properties.items()
            if N >= _LEAST and np.ptp(values[:cut]) > 0 and np.ptp(values[cut:]) > 0
        ]
        if not names:
            return []
        flat = self.states.reshape(N, L * H)
        values = np.stack([self.properties[name] for name in names], axis=1)
        selected_by = np.abs(correlations(flat[:cut], values[:cut]))
        measured = correlations(flat[cut:], values[cut:])
        # Each property's best unit first, then each one's second best.
        ranking = np.argsort(-selected_by, axis=None, kind="stable").tolist()
        picked: dict[int, int] = {}
        for each in range(1, count + 1):
            for unit, k in (divmod(pair, len(names)) for pair in ranking):
                taken = len(picked) == count or list(picked.values()).count(k) == each
                if unit not in picked and not taken:
                    picked[unit] = k
        findings = [
            UnitFinding(names[k], unit // H, unit % H, float(measured[unit, k]))
            for unit, k in picked.items()
        ]
        return sorted(findings, key=lambda finding: -abs(finding.correlation))

    def distinct(self, findings: Sequence[UnitFinding]) -> list[UnitFinding]:
        """Return the findings that each show something of its own; they come best first.

        Left out are all but the best of a property, units whose states are nearly those of a better
        one, up to the sign, and units that hardly correlate.
        """
        kept: dict[str, UnitFinding] = {}
        for finding in findings:
            shown = [self.states[:, one.layer, one.unit] for one in (*kept.values(), finding)]
            same = np.abs(correlations(np.stack(shown, axis=1), shown[-1][:, None]))[:-1]
            weak = abs(finding.correlation) < _HARDLY
            if not (weak or finding.property in kept or (same > _SAME).any()):
                kept[finding.property] = finding
        return list(kept.values())

    def excerpt(self, finding: UnitFinding, size: int) -> tuple[int, int]:
        """Return where the part of the held-out text begins and ends whose property varies most.

        It is at most `size` characters long: whole lines where possible.
        """
        text, values = self.text, self.properties[finding.property]
        last = max(0, len(text) - size)
        first = min(self.held_out, last)
        begins = [k + 1 for k in range(first, last) if text[k] == "\n" != text[k + 1]] or [first]
        begin = max(begins, key=lambda k: float(values[k : k + size].std()))
        return begin, paragraph_end(text, begin, min(begin + size, len(text)))


def correlations(states: Array, values: Array) -> Array:
    """Return Pearson's correlations of (N, U) states with (N, K) values, (U, K); 0 of constants."""
    products: Array = _standardized(states).T @ _standardized(values)
    return products / len(states)


def _standardized(columns: Array) -> Array:
    """Return columns of mean 0 and deviation 1; constant ones become 0."""
    deviation = columns.std(axis=0)
    scale = np.where(deviation > 1e-6, 1 / np.maximum(deviation, 1e-6), 0)
    standardized: Array = (columns - columns.mean(axis=0)) * scale
    return standardized.astype(np.float32)


def paragraph_end(text: str, begin: int, end: int) -> int:
    """Return the last end of a paragraph, or of a line, in the second half of a part of a text.

    `end` itself where there is none, or where the text ends there.
    """
    if end == len(text):
        return end
    ends = (text.rfind(mark, (begin + end) // 2, end) for mark in ("\n\n", "\n"))
    return next((place for place in ends if place >= 0), end)
