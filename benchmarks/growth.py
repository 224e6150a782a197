"""How cost grows: characters a second and memory against H, L, B, T, V and threads.

One size at a time is changed, the others are 2 layers of 256 units, 64 streams, 64 time steps and
65 characters, with Adam. Beside each stands what the matrix products alone would take, each on
arrays that stay where they are.
"""

import os
import statistics
from importlib.util import find_spec

from turns import ROOT, Worker

from charlm.settings.schema import Config
from charlm.training.prepare import training_memory

DEFAULT = {"L": 2, "H": 256, "B": 64, "T": 64, "V": 65}
GRID = {
    "H": [64, 128, 256, 512, 1024],
    "L": [1, 2, 3, 4],
    "B": [4, 16, 64, 256],
    "T": [16, 32, 64, 128, 256],
    "V": [30, 65, 200, 1000, 3000, 10000],
}
PLOT = ROOT / "docs" / "growth.svg"


def run(rounds: int) -> dict:
    """Measure point by point; `rounds` beyond 3 only cost time here."""
    rounds = min(rounds, 3)
    cores = sorted({1, *(2**k for k in range(8) if 2**k < (os.cpu_count() or 1)), os.cpu_count()})
    rows = {"threads": [point(DEFAULT, rounds, threads) for threads in cores]}
    fastest = max(rows["threads"], key=lambda row: row["chars_per_s"])["threads"]
    print(f"the others on {fastest} thread{'s' * (fastest > 1)}")
    for name, values in GRID.items():
        rows[name] = [point({**DEFAULT, name: value}, rounds, fastest) for value in values]
    if find_spec("matplotlib"):
        plot(rows)
        print(PLOT)
    else:
        print("matplotlib is not installed, so there is no plot: pip install 'charlm[plot]'")
    return {"rows": rows}


def point(sizes: dict, rounds: int, threads: int) -> dict:
    """Measure one size, in turns with its products, and print a line of it."""
    characters = sizes["B"] * sizes["T"]
    update_s, products_s = [], []
    with (
        Worker("charlm_worker.py", threads) as whole,
        Worker("charlm_worker.py", threads) as alone,
    ):
        for _ in range(rounds):
            update_s.append(whole.ask("update", cell="lstm", **sizes)["seconds"])
            products_s.append(alone.ask("products", cell="lstm", **sizes)["seconds"])
    row = {
        **sizes,
        "threads": threads,
        "chars_per_s": characters / statistics.median(update_s),
        "products_chars_per_s": characters / statistics.median(products_s),
        "bytes": memory(sizes, threads),
    }
    said = ", ".join(f"{key} {sizes[key]}" for key in DEFAULT)
    print(
        f"{said}, threads {threads}: {row['chars_per_s']:9,.0f} chars/s, products alone "
        f"{row['products_chars_per_s']:9,.0f}, {row['bytes'] / 1e6:7,.0f} MB",
        flush=True,
    )
    return row


def memory(sizes: dict, threads: int) -> int:
    """Return what training takes at this size with so many threads, by its formula."""
    config = Config().replace(
        model__layers=sizes["L"], model__hidden=sizes["H"],
        train__batch_size=sizes["B"], train__seq_len=sizes["T"], train__optimizer="adam",
    )  # fmt: skip
    return training_memory(config, sizes["V"], threads=threads).total


def plot(rows: dict) -> None:
    """Draw a panel a size: speed above, memory below; all axes logarithmic."""
    import matplotlib

    matplotlib.use("svg")
    # The same figures are the same file.
    matplotlib.rcParams["svg.hashsalt"] = "charlm"
    from matplotlib import pyplot

    names = [*GRID, "threads"]
    figure, axes = pyplot.subplots(
        2, len(names), figsize=(15, 6), sharex="col", sharey="row", layout="constrained"
    )
    for (above, below), name in zip(axes.T, names, strict=True):
        x = [row[name] for row in rows[name]]
        above.plot(x, [row["products_chars_per_s"] for row in rows[name]], "--", color="0.5")
        above.plot(x, [row["chars_per_s"] for row in rows[name]], "o-", color="C0")
        below.plot(x, [row["bytes"] / 1e6 for row in rows[name]], "o-", color="C1")
        above.set_title(TITLES[name], fontsize=10)
        for axis in (above, below):
            axis.set_xscale("log", base=2)
            axis.set_yscale("log")
            axis.set_xticks(x, [f"{value:,}" for value in x], rotation=90 if name == "V" else 0)
            axis.minorticks_off()
            axis.yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
            axis.grid(alpha=0.3)
        if name != "threads":
            for axis in (above, below):
                axis.axvline(DEFAULT[name], color="0.85", zorder=0)
    axes[0, 0].set_ylabel("characters a second")
    axes[1, 0].set_ylabel("memory of training, MB")
    axes[0, 0].legend(["products alone", "training"], frameon=False, fontsize=9)
    figure.savefig(PLOT, metadata={"Date": None})


TITLES = {
    "H": "hidden units H",
    "L": "layers L",
    "B": "streams B",
    "T": "steps T",
    "V": "characters V",
    "threads": "threads",
}
