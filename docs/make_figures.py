"""Make every figure of docs/theory.md: the cells' drawings, and what charlm itself measured.

    python docs/make_figures.py              draw anew from docs/figures/measured.json
    python docs/make_figures.py --measure    measure first; all but the timing comes out the same
    python docs/make_figures.py --time       time first
    python docs/make_figures.py --memory     train for the tasks of memory first: 15 minutes

Needs the extra `plot`.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy is imported

import matplotlib
import measurements
import memory_tasks
import numpy as np
from cell_drawings import DRAWINGS
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from charlm.insight import comparison
from charlm.pages import gradient_figure
from charlm.pages.gradient_figure import COLOURS, SETTINGS

HERE = Path(__file__).parent / "figures"
NUMBERS = HERE / "measured.json"
MEASURED = ("forget_bias", "squashing", "truncation", "clipping", "memory")
INK, OTHER = "#0072b2", "#d55e00"


def gradients(folder: Path) -> None:
    """Draw what `charlm gradients --out` draws."""
    networks = comparison.compare_cells(
        (0.5, 1.0, 2.0), (0.0, 1.0, 3.0), lags=measurements.LAGS, hidden=64, seed=0
    )
    gradient_figure.draw_gradients(networks, folder / "gradients.svg")


def forget_bias(numbers: Mapping[str, Any], ax: Axes) -> None:
    data = numbers["forget_bias"]
    bias = np.linspace(min(data["bias"]), max(data["bias"]), 200)
    ax.plot(bias, 1 / (1 + np.exp(-bias)), color="#999999", label="sigmoid(b)")
    ax.plot(data["bias"], data["c_alone"], "o", color=INK, label="along c, hardly any recurrence")
    ax.plot(
        data["bias"], data["h"], "s-", color=OTHER, ms=4, label="h, recurrent weights of scale 1"
    )
    ax.set_xlabel("forget bias b")
    ax.set_ylabel("the gradient's factor a time step")
    ax.legend(loc="lower right")


def squashing(numbers: Mapping[str, Any], left: Axes, right: Axes) -> None:
    for name, colour in (("tanh", INK), ("logistic", OTHER)):
        data = numbers["squashing"][name]
        left.stairs(data["histogram"], data["edges"], fill=True, alpha=0.35, color=colour)
        left.axvline(
            data["mean"], color=colour, lw=1.6, label=f"{name}: mean {abs(data['mean']):.2f}"
        )
        right.semilogy(data["dh"], color=colour, label=name)
    left.set_xlabel("hidden unit's value")
    left.set_ylabel("density")
    left.legend(loc="upper left")
    right.set_ylim(1e-12, 3)
    right.set_xlabel("lag k, time steps back")
    right.set_ylabel("$||dL_t\\,/\\,dh_{t-k}||$")
    right.legend(loc="upper right")


def truncation(numbers: Mapping[str, Any], left: Axes, right: Axes) -> None:
    data = numbers["truncation"]
    for cell in comparison.CELLS:
        for ax, what in ((left, "cosine"), (right, "ratio")):
            ax.semilogx(
                data["T"], data[cell][what], "o-", base=2, ms=4, color=COLOURS[cell[0]], label=cell
            )
    for ax, what in (
        (left, "cosine with the whole gradient"),
        (right, "length, relative to the whole one"),
    ):
        ax.set_xlabel("T, time steps the gradient goes back")
        ax.set_ylabel(what)
        ax.set_ylim(0.55, 1.04)
        ax.set_xticks(data["T"], [str(T) for T in data["T"]])
    left.legend(loc="lower right")


def cost(numbers: Mapping[str, Any], left: Axes, right: Axes) -> None:
    T = numbers["memory"]["T"]
    left.loglog(T, np.array(numbers["timing"]["seconds"]) * 1000, "o-", ms=4, color=INK)
    left.set_ylabel("milliseconds of one core")
    right.loglog(T, np.array(numbers["memory"]["bytes"]) / 1e6, "o-", ms=4, color=INK)
    right.set_ylabel("megabytes of cache")
    for ax in (left, right):
        ax.set_xscale("log", base=2)
        ax.set_xlabel("T, time steps the gradient goes back")
        ax.set_xticks(T, [str(length) for length in T])


def clipping(numbers: Mapping[str, Any], left: Axes, right: Axes) -> None:
    data = numbers["clipping"]
    for name, colour in (("not clipped", OTHER), ("clipped", INK)):
        left.semilogy(data[name]["norm"], color=colour, lw=1, label=name)
        right.plot(data[name]["loss"], color=colour, lw=1, label=name)
    left.axhline(data["longest"], color="#666666", lw=1, ls=":")
    left.set_ylabel("length of the gradient, before clipping")
    right.set_ylabel("loss, nats per character")
    for ax in (left, right):
        ax.set_xlabel("step")
    right.legend(loc="upper right")


def _accuracies(ax: Axes, lags: Sequence[int], rows: Any, colour: str, **line: Any) -> None:
    """Draw the mean accuracy at each lag, and a point for each seed."""
    for seed in zip(*rows, strict=True):
        ax.plot(lags, seed, ".", ms=6, alpha=0.6, mew=0, color=colour)
    ax.plot(lags, np.mean(rows, axis=1), lw=1.6, color=colour, **line)


def _accuracy_axes(title: str, ax: Axes) -> None:
    ax.axhline(memory_tasks.CHANCE, color="#666666", lw=1, ls=":")
    ax.axvspan(memory_tasks.MIXED[-1], 520, color="#eeeeee", lw=0)
    ax.set_xscale("log")
    ax.set_xticks(memory_tasks.TESTED, [str(lag) for lag in memory_tasks.TESTED])
    ax.minorticks_off()
    ax.set_xlim(1.7, 520)
    ax.set_ylim(0, 1.04)
    ax.set_title(title, fontsize=9)
    ax.set_xlabel("lag of the answer")
    ax.set_ylabel("accuracy")


def _legend_below(ax: Axes) -> None:
    ax.legend(loc="lower left", ncols=3, columnspacing=1, handlelength=1.2)


def memory_of_cells(numbers: Mapping[str, Any], *panels: Axes) -> None:
    data = numbers["memory_tasks"]
    for ax, (task, of_cells) in zip(panels, data["cells"].items(), strict=True):
        for cell, rows in of_cells.items():
            _accuracies(ax, data["lags"], rows, COLOURS[cell[0]], label=cell)
        _accuracy_axes(task, ax)
    _legend_below(panels[0])


def memory_truncated(numbers: Mapping[str, Any], *panels: Axes) -> None:
    data = numbers["memory_tasks"]
    shown = (("three letters", "lstm"), ("brackets", "gru"), ("brackets", "lstm"))
    of_T = {
        "T = 16": data["T"]["16"],
        "T = 64": data["cells"],
        "longest line": data["T"]["longest"],
    }
    for ax, (task, cell) in zip(panels, shown, strict=True):
        for mark, (T, found) in zip("abc", of_T.items(), strict=True):
            _accuracies(ax, data["lags"], found[task][cell], COLOURS[mark], label=T)
        _accuracy_axes(f"{task}, {cell}", ax)
    _legend_below(panels[0])


FIGURES = {
    "forget-bias.svg": (forget_bias, 1),
    "squashing.svg": (squashing, 2),
    "truncation.svg": (truncation, 2),
    "cost.svg": (cost, 2),
    "clipping.svg": (clipping, 2),
    "memory.svg": (memory_of_cells, 3),
    "memory-truncation.svg": (memory_truncated, 3),
}


def draw(folder: Path) -> None:
    """Write all figures to a folder."""
    for name, drawing in DRAWINGS.items():
        (folder / name).write_text(drawing(), encoding="utf-8", newline="\n")
    gradients(folder)
    numbers = json.loads(NUMBERS.read_text(encoding="utf-8"))
    for name, (plot, count) in FIGURES.items():
        with matplotlib.rc_context(SETTINGS | {"legend.fontsize": 8}):
            size = ({1: 4.5, 2: 7.8, 3: 9.6}[count], 2.9)
            figure = Figure(figsize=size, layout="constrained")
            plot(numbers, *figure.subplots(1, count, squeeze=False)[0])
            figure.savefig(folder / name, metadata={"Date": None, "Creator": None})


def plain(data: Any) -> Any:
    """Return numbers as JSON holds them, to six digits: more would differ between machines."""
    if isinstance(data, Mapping):
        return {key: plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple | np.ndarray):
        return [plain(value) for value in data]
    return float(f"{data:.6g}") if isinstance(data, float | np.floating) else data


def main() -> None:
    """Measure what was asked for, and draw everything."""
    numbers = json.loads(NUMBERS.read_text(encoding="utf-8")) if NUMBERS.exists() else {}
    for name in ("timing",) * ("--time" in sys.argv) + MEASURED * ("--measure" in sys.argv):
        numbers[name] = plain(getattr(measurements, name)())
    if "--memory" in sys.argv:
        numbers["memory_tasks"] = plain(memory_tasks.memory_tasks())
    lines = [f"{json.dumps(name)}: {json.dumps(numbers[name])}" for name in sorted(numbers)]
    NUMBERS.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8", newline="\n")
    draw(HERE)


if __name__ == "__main__":
    main()
