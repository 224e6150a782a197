"""RNN, GRU and LSTM at equal parameters and minutes: one table, one plot.

All have two layers, the preset's recipe but for the learning rate, and as many units as bring their
parameters closest to the LSTM's. Each trains for the same minutes, so a cell that is cheaper makes
more updates. The plot needs matplotlib: pip install 'charlm[plot]'.
"""

import tempfile
from pathlib import Path

from presets import held_out, once, spread

from charlm.nn.model import Model
from charlm.settings.resolve import resolve
from charlm.settings.schema import ModelConfig, Overrides
from charlm.storage.history import read_history

# Times the preset's learning rate: the best of those tried, see docs/results.md.
RATES = {"lstm": 1.0, "gru": 1.0, "rnn": 0.6}
V = 65


def run(text: str, preset: str, minutes: float, seeds: int, plot: str) -> dict:
    """Train every cell once a seed, print the table, and draw the curves."""
    config = resolve([Overrides("benchmark", {"preset": preset})]).config
    target = size("lstm", config.model.hidden)
    rows, curves = {}, {}
    print("| cell | units | parameters | updates | carried state | cold windows |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        held = held_out(Path(text), Path(folder) / "held-out.txt")
        for cell, share in RATES.items():
            H = units(cell, target)
            options = [
                "--preset", preset, "--cell", cell, "--hidden", str(H), "--minutes", f"{minutes:g}",
                "--lr", f"{config.train.learning_rate * share:g}",
            ]  # fmt: skip
            checkpoints = Path(folder) / cell
            runs = [once(text, options, seed, held, checkpoints) for seed in range(seeds)]
            rows[cell] = {"units": H, "parameters": size(cell, H), "options": options, "runs": runs}
            curves[cell] = read_history(checkpoints / "seed-0" / "history.jsonl").readings
            print(
                f"| {cell} | 2 x {H} | {size(cell, H):,} | {spread(runs, 'updates', '{:,.0f}')} | "
                f"{spread(runs, 'carried', '{:.3f}')} | {spread(runs, 'cold', '{:.3f}')} |",
                flush=True,
            )
    draw(curves, rows, Path(plot))
    return {"preset": preset, "minutes": minutes, "cells": rows, "plot": plot}


def size(cell: str, H: int) -> int:
    """Count the parameters of two layers, for a vocabulary of 65."""
    return Model(ModelConfig(cell=cell, layers=2, hidden=H), V, training=False).parameters.size


def units(cell: str, target: int) -> int:
    """Return the units a layer with which a cell comes closest to so many parameters."""
    H = 1
    while size(cell, H) < target:
        H += 1
    return min((H - 1, H), key=lambda width: abs(size(cell, max(1, width)) - target))


def draw(curves: dict, rows: dict, path: Path) -> None:
    """Draw validation loss against time."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    mpl.rcParams["svg.hashsalt"] = "charlm"
    figure, axes = pyplot.subplots(figsize=(6.4, 4), layout="constrained")
    for cell, readings in curves.items():
        points = [(r.elapsed_s, r.validation) for r in readings if r.validation is not None]
        seconds, losses = zip(*points, strict=True)
        label = f"{cell}, 2 x {rows[cell]['units']}"
        axes.plot(seconds, losses, marker="o", markersize=3, label=label)
    axes.set(xlabel="seconds of training", ylabel="validation, nats per character")
    axes.grid(alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)
    print(path)
