"""Gradients through time as a PNG or SVG figure, drawn by matplotlib, the extra `plot`."""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from charlm.environment import require
from charlm.errors import DrawingError
from charlm.insight.comparison import Network
from charlm.pages.plots import STYLE
from charlm.types import Array

# Distinct by lightness too (Okabe & Ito 2008), for a grey print; by the mark of a network.
COLOURS = {
    "r": "#d55e00",
    "g": "#009e73",
    "l": "#0072b2",
    "a": "#7fb8de",  # forget biases, from light to dark
    "b": "#0072b2",
    "c": "#003a5c",
}
_OTHERS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#000000")
SETTINGS = STYLE | {
    # Glyphs as outlines, so that the installed fonts change nothing.
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.color": "#e4e4e4",
    "axes.edgecolor": "#666666",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.constrained_layout.w_pad": 0.1,
    "figure.constrained_layout.h_pad": 0.1,
}
# Beyond these, a curve leaves the figure.
_LOWEST, _HIGHEST = 1e-12, 1e6


def check_figure(path: Path) -> None:
    """Check that a figure can be drawn, before anything is measured for it.

    Raises:
        DrawingError: the file is not a PNG or SVG, or matplotlib is not installed.
    """
    if path.suffix.lower() not in (".png", ".svg"):
        raise DrawingError(path, f"must end in .png or .svg, got {path.suffix or 'no suffix'!r}")
    require("matplotlib", "plot", path, DrawingError)


def draw_gradients(networks: Sequence[Network], path: Path) -> None:
    """Draw the norms of dh against the lag to a file, a panel for each heading.

    Raises as `check_figure`, and OSError where the file cannot be written.
    """
    check_figure(path)
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    panels: dict[str, list[tuple[str, str, Array]]] = {}
    for network in networks:
        panels.setdefault(network.panel, []).extend(network.curves)
    with rc_context(SETTINGS), warnings.catch_warnings():
        # Letters of a run's name that the font lacks are drawn as boxes.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        # Three in a row; four are two rows of two, so that a page need not shrink them.
        rows = math.ceil(len(panels) / 3)
        columns = math.ceil(len(panels) / rows)
        figure = Figure((2.8 * columns + 0.6, 3.1 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for ax in axes.flat[len(panels) :]:
            ax.set_visible(False)
        norms = np.concatenate([norms for curves in panels.values() for _, _, norms in curves])
        shown = norms[(norms > 0) & np.isfinite(norms)].clip(_LOWEST, _HIGHEST)
        # Before the curves: those of a model that is certain, and right, are 0, and give no limits.
        low, high = (shown.min(), shown.max()) if shown.size else (_LOWEST, 1.0)
        axes[0, 0].set(yscale="log", ylim=(max(low / 3, _LOWEST), min(high * 3, _HIGHEST)))
        for ax, (title, curves) in zip(axes.flat, panels.items(), strict=False):
            _draw_panel(ax, title, curves)
        for row in axes:
            row[0].set_ylabel("$||dL_t\\,/\\,dh_{t-k}||$")
        # The same figure is the same bytes.
        metadata = {"Date": None, "Creator": None} if path.suffix.lower() == ".svg" else None
        figure.savefig(path, dpi=200, metadata=metadata)


def _draw_panel(ax: Any, title: str, curves: Sequence[tuple[str, str, Array]]) -> None:
    colour = ""
    for k, (mark, label, norms) in enumerate(curves):
        if mark != "x":  # which has the colour of the curve before it
            colour = COLOURS.get(mark, _OTHERS[k % len(_OTHERS)])
        style = "--" if mark == "x" else "-"
        ax.semilogy(norms, style, color=colour, linewidth=1.6, label=label)
    ax.set_title(title, fontsize=9, parse_math=False)
    ax.set_xlabel("lag k, time steps back")
    # Below the axes: inside them some curve would cross it.
    ax.legend(fontsize=7.5, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncol=2)
