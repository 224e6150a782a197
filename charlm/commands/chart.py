"""Small charts of letters, on a logarithmic axis; ASCII does where there is no Unicode."""

import math
import sys
from collections.abc import Sequence
from typing import NamedTuple

from charlm.commands.tables import shorten, width
from charlm.insight.comparison import Panel

# What lies beyond is not drawn: a curve that has left the chart has said what it had to say.
_TINY, _HUGE = 1e-12, 1e12
_GUTTER = 7
# Decades a row: the first with which a chart is no taller than this counts.
_STEPS = (0.25, 0.5, 1.0, 2.0, 3.0)
_TALLEST = 10
_NARROWEST = 26
_WIDEST = 60


class _Lines(NamedTuple):
    side: str
    corner: str
    base: str


_UNICODE, _ASCII = _Lines("│", "└", "─"), _Lines("|", "+", "-")


def charts(panels: Sequence[Panel], columns: int) -> list[str]:
    """Draw panels beside one another, as many as fit, the rest below.

    All have the same axes: from lag 0 to the last, over the decades that any of them needs.

    Args:
        panels: curves of equal length.
        columns: how wide a line may be.
    """
    beside = max(1, min(len(panels), (columns + 2) // (_NARROWEST + 2)))
    # Rows of equal length: four panels of which three would fit stand two by two.
    beside = -(-len(panels) // -(-len(panels) // beside))
    wide = min(_WIDEST, (columns + 2) // beside - 2)
    powers = [
        math.log10(q)
        for panel in panels
        for curve in panel.curves
        for q in curve.norms
        if _TINY <= q <= _HUGE
    ]
    low, high = math.floor(min(powers, default=0)), math.ceil(max(powers, default=0))
    step = next(q for q in _STEPS if high - low <= q * _TALLEST)
    axis = [high - k * step for k in range(max(2, math.ceil((high - low) / step) + 1))]
    lines: list[str] = []
    for k in range(0, len(panels), beside):
        drawn = [_chart(panel, wide, axis) for panel in panels[k : k + beside]]
        for row in zip(*drawn, strict=True):
            cells = (line + " " * (wide - width(line)) for line in row)
            lines.append("  ".join(cells).rstrip())
        lines.append("")
    return lines


def _chart(panel: Panel, wide: int, axis: Sequence[float]) -> list[str]:
    """Draw one panel; the axis holds the power of ten of each row, from the top."""
    side, corner, base = _UNICODE if _shows("│└─") else _ASCII
    columns = max(2, wide - _GUTTER - 1)
    grid = [[" "] * columns for _ in axis]
    for curve in panel.curves:
        last = len(curve.norms) - 1
        for column in range(columns):
            q = curve.norms[round(column * last / (columns - 1))]
            if _TINY <= q <= _HUGE:
                row = round((axis[0] - math.log10(q)) / (axis[0] - axis[1]))
                if row < len(grid):
                    grid[row][column] = curve.mark
    body = []
    for k, (power, marks) in enumerate(zip(axis, grid, strict=True)):
        # Whole powers of ten, a few of them; a row stands for exactly what is written beside it.
        apart = max(3, round(1 / (axis[0] - axis[1])))
        tick = f"1e{power:.0f}" if k % apart == 0 and power == int(power) else ""
        body.append(f"{tick:>{_GUTTER - 1}} {side}" + "".join(marks))
    lags = str(len(panel.curves[0].norms) - 1)
    return [
        " " * (_GUTTER + 1) + shorten(panel.title, columns),
        *body,
        " " * _GUTTER + corner + base * columns,
        " " * (_GUTTER + 1) + "0" + lags.rjust(columns - 1),
    ]


def _shows(text: str) -> bool:
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        return False
    return True
