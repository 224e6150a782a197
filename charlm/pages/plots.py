"""Plots of a training run as SVG, drawn by matplotlib for a page that is light or dark.

Each colour stands for one of the page's (page.css): it is drawn as a colour that nothing else has,
and replaced in the SVG. Text stays text, in the page's fonts.
"""

import io
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from charlm.insight.reading import Saturation
from charlm.pages.page import Markup
from charlm.storage.history import Reading
from charlm.types import Array

# What all figures of charlm share; the salt makes the same figure the same bytes.
STYLE: Any = {
    "svg.hashsalt": "charlm",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}
_NAMES = ("ink", "muted", "line", "one", "other")
_COLOURS = {f"#00000{k}": name for k, name in enumerate(_NAMES, 1)}
_INK, _MUTED, _LINE, _ONE, _OTHER = _COLOURS
_PAGE_STYLE = STYLE | {
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _MUTED,
    "axes.axisbelow": True,
    "grid.color": _LINE,
    "text.color": _INK,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "legend.labelcolor": _INK,
}
_SMALL = (4.4, 2.9)
# Of the loss, for a wide page and for a phone.
_WIDE, _NARROW = (11.2, 4.2), (4.4, 3.4)
# Two layers differ by colour, further ones by their markers as well.
_MARKERS = ("o", "s", "^", "D", "v", "P")


def losses(
    readings: Sequence[Reading], resumes: Sequence[int], levels: Mapping[str, float], *, wide: bool
) -> Markup:
    """Draw the loss of training and validation against steps, for a wide page or for a phone.

    `levels` are one or two losses to compare with, the higher one first: dashed lines.
    """
    with _axes(_WIDE if wide else _NARROW) as axes:
        steps, raw = column(readings, "loss")
        axes.plot(steps, raw, color=_ONE, alpha=0.45, linewidth=1, label="training, a step")
        steps, mean = column(readings, "train_loss")
        # A mean is that of all steps since the one before, so it stands in their middle. The first
        # is left out: a straight line from it would lie above the steep fall.
        middles, mean = (steps[1:] + steps[:-1]) / 2, mean[1:]
        if mean.size:
            axes.plot(middles, mean, color=_ONE, label="training, mean")
        steps, validation = column(readings, "validation")
        if validation.size:
            k, dots = int(validation.argmin()), {"color": _OTHER, "marker": "o"}
            label = f"validation, best {validation[k]:.3f}"
            axes.plot(steps, validation, **dots, markersize=4, label=label)
            axes.plot(steps[k], validation[k], **dots, markersize=8)
        for step in resumes:
            axes.axvline(step, color=_MUTED, linewidth=0.8, linestyle=":")
        # Named beside the axes, where no curve is.
        beside = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
        for end, (name, loss) in zip(("bottom", "top"), levels.items(), strict=False):
            axes.axhline(loss, color=_MUTED, linewidth=0.8, linestyle="--")
            text, grey = f"{name}\n{loss:.2f}", {"color": _MUTED, "fontsize": 9}
            axes.annotate(text, (1, loss), (4, 0), **beside, **grey, va=end)
        compact = {"fontsize": 9, "columnspacing": 1, "handlelength": 1.5}
        axes.figure.legend(loc="outside lower center", ncols=3, **compact)
        return _over_steps(axes, readings, "nats per character")


def curve(readings: Sequence[Reading], key: str, unit: str) -> Markup:
    """Draw one number of a history against steps; return nothing where it has none."""
    steps, values = column(readings, key)
    if not values.size:
        return Markup()
    with _axes(_SMALL) as axes:
        dots = "o" if values.size < 20 else ""
        axes.plot(steps, values, color=_ONE, linewidth=1.3, marker=dots, markersize=4)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(lambda y, _: f"{y:,.0f}" if y >= 1000 else f"{y:g}")
        return _over_steps(axes, readings, unit)


def gate(of_layers: Sequence[Saturation]) -> Markup:
    """Draw how often each unit's gate is open, to the right, and shut, to the top; all layers'."""
    with _axes((4.0, 3.7)) as axes:
        for found in of_layers:
            k = found.layer
            colour, marker = (_ONE, _OTHER)[k % 2], _MARKERS[k % len(_MARKERS)]
            points = {"s": 16, "alpha": 0.6, "linewidths": 0, "label": f"layer {k}"}
            axes.scatter(found.above, found.below, color=colour, marker=marker, **points)
        axes.plot([0, 1], [1, 0], color=_MUTED, linewidth=0.8, linestyle=":")
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        axes.set_xlabel("share of time above 0.9")
        axes.set_ylabel("share of time below 0.1")
        axes.legend(loc="upper right", handletextpad=0)
        return _svg(axes, f"gate {of_layers[0].gate}: a point for each unit")


def column(readings: Sequence[Reading], key: str) -> tuple[Array, Array]:
    """Return the steps and values of one field of `Reading`, where it is not None."""
    pairs = [(reading.step, getattr(reading, key)) for reading in readings]
    kept = [(step, value) for step, value in pairs if value is not None]
    steps, values = np.array(kept, float).reshape(-1, 2).T
    return steps, values


@contextmanager
def _axes(size: tuple[float, float]) -> Iterator[Any]:
    """Begin a plot, in inches; it is drawn and returned inside."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_PAGE_STYLE):
        figure = Figure(size, layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        yield axes


def _over_steps(axes: Any, readings: Sequence[Reading], unit: str) -> Markup:
    """Label a plot with steps, at the bottom, and minutes, at the top; and return it."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlim(left=0)
    axes.set_xlabel("steps")
    axes.set_ylabel(unit)
    steps, elapsed = column(readings, "elapsed_s")
    if elapsed.size and elapsed.max() >= 1:
        clock, name = (elapsed / 60, "minutes") if elapsed.max() >= 120 else (elapsed, "seconds")
        ticks = np.asarray(MaxNLocator(6, integer=True).tick_values(0, clock.max()))
        ticks = ticks[(ticks >= 0) & (ticks <= clock.max())]
        # Repeated steps of a resumed run took their time as well: the clock never goes back.
        at = np.interp(ticks, np.maximum.accumulate(clock), steps)
        top = axes.twiny()
        top.set_xlim(axes.get_xlim())
        top.set_xticks(at, [f"{tick:g}" for tick in ticks])
        top.set_xlabel(name)
        top.grid(False)
    return _svg(axes, f"{unit} against steps")


def _svg(axes: Any, title: str) -> Markup:
    """Return a plot as an element of a page; the same plot gives the same text."""
    file = io.StringIO()
    axes.figure.savefig(file, format="svg", metadata={"Date": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.S)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    for colour, name in _COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    # Ids are unique in a page: each plot has a prefix of its own.
    prefix = f"p{zlib.crc32((title + svg).encode()):x}-"
    svg = re.sub(r'(?<=id=")|(?<=url\(#)|(?<=href="#)', prefix, svg)
    begin = re.compile(r'<svg [^>]*viewBox="([^"]*)"[^>]*>')
    head = rf'<svg viewBox="\1" role="img" aria-label="{title}">'
    return Markup(begin.sub(head, svg, count=1))
