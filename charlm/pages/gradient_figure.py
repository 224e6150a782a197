"""Draw the gradient against the lag with matplotlib, the extra `plot`, as PNG or SVG."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from charlm.errors import DrawingError
from charlm.insight.comparison import Network
from charlm.types import Array

SUFFIXES = (".png", ".svg")

# UnitFinding apart by lightness too (Okabe & Ito 2008), so that a grey print still reads.
COLOURS = {
    "r": "#d55e00",
    "g": "#009e73",
    "l": "#0072b2",
    "a": "#7fb8de",  # forget biases, from the light to the dark
    "b": "#0072b2",
    "c": "#003a5c",
}
_OTHERS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#000000")
SETTINGS: Any = {
    # The same bytes at every run: no random ids, and glyphs as outlines, whatever fonts there are.
    "svg.hashsalt": "charlm",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.edgecolor": "#666666",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "legend.frameon": False,
    "figure.constrained_layout.w_pad": 0.1,
    "figure.constrained_layout.h_pad": 0.1,
}
# Beyond these, a curve has left the picture.
_LOWEST, _HIGHEST = 1e-12, 1e6


def check(path: Path) -> None:
    """Refuse what cannot be drawn, before anything is measured for it.

    Raises:
        DrawingError: matplotlib is not installed, or the file is no PNG or SVG.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise DrawingError(path, f"must end in .png or .svg, got {path.suffix or 'no suffix'!r}")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise DrawingError(
            path,
            "needs matplotlib, which is not installed",
            "pip install matplotlib, or '.[plot]' in a checkout of charlm",
        ) from None


def draw(networks: Sequence[Network], path: Path) -> None:
    """Draw the norms of dh against the lag, a panel for each heading.

    Args:
        networks: of a comparison.
        path: the picture; its suffix says which kind.

    Raises:
        DrawingError: matplotlib is not installed, or the file is no PNG or SVG.
        OSError: the file cannot be written.
    """
    check(path)
    import matplotlib
    import numpy as np
    from matplotlib.figure import Figure

    with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
        # A run's name in letters that the font lacks is drawn as boxes.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        # Three stand in a row; four are two rows of two, so that a page needs not shrink them.
        panels = _panels(networks)
        rows = -(-len(panels) // 3)
        columns = -(-len(panels) // rows)
        size = 2.8 * columns + 0.6, 3.1 * rows
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for ax in axes.flat[len(panels) :]:
            ax.set_visible(False)
        norms = np.concatenate([norms for curves in panels.values() for _, _, norms in curves])
        shown = norms[(norms > 0) & np.isfinite(norms)]
        for ax, (title, curves) in zip(axes.flat, panels.items(), strict=False):
            colour = ""
            for k, (mark, label, norms) in enumerate(curves):
                closed = mark == "x"
                if not closed:  # which is drawn in the colour of the curve that it belongs to
                    colour = COLOURS.get(mark, _OTHERS[k % len(_OTHERS)])
                style = "--" if closed else "-"
                ax.semilogy(norms, style, color=colour, linewidth=1.6, label=label)
            ax.set_title(title, fontsize=9, parse_math=False)
            ax.set_xlabel("lag k, steps back")
            # Below the axes: inside them some curve would run through it.
            ax.legend(fontsize=7.5, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncol=2)
        axes[0, 0].set_ylim(max(shown.min() / 3, _LOWEST), min(shown.max() * 3, _HIGHEST))
        for row in axes:
            row[0].set_ylabel("$||dL_t\\,/\\,dh_{t-k}||$")
        dated = path.suffix.lower() == ".svg"
        figure.savefig(path, dpi=200, metadata={"Date": None, "Creator": None} if dated else None)


def _panels(networks: Sequence[Network]) -> dict[str, list[tuple[str, str, Array]]]:
    """Return the curves of each panel: a mark, a label and (K+1,) norms."""
    panels: dict[str, list[tuple[str, str, Array]]] = {}
    for network in networks:
        curves, dh = panels.setdefault(network.panel, []), network.gradients.dh
        if network.mark:
            curves.append((network.mark, network.name, dh[:, -1]))
        else:
            curves += [(str(k), f"layer {k}", norms) for k, norms in enumerate(dh.T)]
        if network.without_c is not None:
            curves.append(("x", "c closed", network.without_c))
    return panels
