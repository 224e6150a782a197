"""Draw docs/gates.svg: the gates and the state of one unit over a sentence.

    charlm train data/shakespeare.txt --name shakespeare
    python docs/make_gates.py 1.49     read the sentence with the newest run's unit, and draw
    python docs/make_gates.py          draw anew from docs/figures/gates.json

`charlm cells TEXT --find` names the units that follow something. Needs the extra `plot`.
"""

import json
import sys
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

import charlm
from charlm.pages.gradient_figure import SETTINGS

DOCS = Path(__file__).resolve().parent
NUMBERS = DOCS / "figures" / "gates.json"
TEXT = "ISMAY:\nThe lamp is out, and I must find the door alone.\nWho goes there?\n"
NAMES = {"f": "forget gate f", "i": "input gate i", "o": "output gate o", "tanh(c)": "tanh(c)"}
GATE, STATE, GREY = "#0072b2", "#d55e00", "#999999"


def measure(layer: int, unit: int) -> None:
    """Read the sentence with the newest run, and write its numbers down to three decimals."""
    trace = charlm.load().unit_trace(TEXT, (layer, unit))
    values = {name: np.round(row.astype(float), 3).tolist() for name, row in trace.values.items()}
    numbers = {"text": trace.text, "layer": layer, "unit": unit, "values": values}
    NUMBERS.write_text(json.dumps(numbers) + "\n", encoding="utf-8", newline="\n")


def draw(path: Path) -> None:
    """Draw a bar for each number, in a row for each gate and the state, below the sentence."""
    numbers = json.loads(NUMBERS.read_text(encoding="utf-8"))
    text, rows = numbers["text"], numbers["values"]
    edges = np.arange(len(text) + 1)
    with matplotlib.rc_context(SETTINGS | {"axes.grid": False, "axes.spines.bottom": False}):
        figure = Figure(figsize=(9.6, 3.9), layout="constrained")
        columns = figure.subplots(len(rows), sharex=True)
        for axes, (name, values) in zip(columns, rows.items(), strict=True):
            low, colour = (-1, STATE) if name == "tanh(c)" else (0, GATE)
            axes.stairs(values, edges, baseline=0, fill=True, color=colour, alpha=0.75)
            axes.axhline(0, color=GREY, lw=0.6)
            for line_end in [k + 1 for k, c in enumerate(text) if c == "\n"]:
                axes.axvline(line_end, color=GREY, lw=0.6)
            axes.set(xlim=(0, len(text)), ylim=(low * 1.05, 1.05), yticks=sorted({low, 0, 1}))
            axes.set_ylabel(NAMES[name], rotation=0, ha="right", va="center")
            axes.tick_params(length=0, labelbottom=False)
        shown = text.replace("\n", "↵")
        columns[0].tick_params(labeltop=True)
        columns[0].set_xticks(edges[:-1] + 0.5, shown, family="monospace", size=11)
        figure.savefig(path, metadata={"Date": None, "Creator": None})


def main() -> None:
    """Measure where a unit is named, and draw."""
    if sys.argv[1:]:
        measure(*map(int, sys.argv[1].split(".")))
    draw(DOCS / "gates.svg")


if __name__ == "__main__":
    main()
