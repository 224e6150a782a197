"""Memory of training: what the formula says, what is allocated, and what the process takes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from training import SIZES, V
from turns import HERE, ROOT, Worker, finished, named, pytorch_is_here

MOST_MORE = 70e6


def run(_: int) -> dict:
    """Train a little, size by size, from the shell; and make PyTorch's updates."""
    rows, peer = [], pytorch_is_here()
    cases = [("lstm", size) for size in SIZES] + [(cell, SIZES[1]) for cell in ("gru", "rnn")]
    with TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        text.write_text("".join(map(chr, range(32, 32 + V))) * 10_000)
        for cell, (L, H, B, T) in cases:
            sizes = {"cell": cell, "L": L, "H": H, "B": B, "T": T}
            row = {**sizes, **traced(sizes, folder), "process": process(sizes, text)}
            row["more"] = row["process"] - row["formula"]
            line = (
                f"{named(sizes)}: formula {row['formula'] / 1e6:,.1f} MB, allocated "
                f"{row['allocated'] / 1e6:,.1f} ({row['formula'] / row['allocated'] - 1:+.1%}), "
                f"process {row['process'] / 1e6:,.0f}: {row['more'] / 1e6:.0f} MB more"
            )
            if peer:
                with Worker("pytorch_worker.py") as worker:
                    worker.ask("update", form="embedding", **sizes, V=V, seconds=0)
                    row["pytorch"] = worker.ask("peak")["bytes"]
                line += f"; PyTorch's {row['pytorch'] / 1e6:,.0f}"
            print(line, flush=True)
            rows.append(row)
    worst = max(row["more"] for row in rows)
    print(f"at most {worst / 1e6:.0f} MB more than the formula, {MOST_MORE / 1e6:.0f} are to stay")
    return {"rows": rows}


def options(sizes: dict) -> list[str]:
    """Return the options of `charlm train` for these sizes."""
    names = {"cell": "--cell", "L": "--layers", "H": "--hidden", "B": "--batch-size"}
    names["T"] = "--seq-len"
    return [word for key, value in sizes.items() for word in (names[key], str(value))]


def process(sizes: dict, text: Path) -> int:
    """Train from the shell for a short while, timing, validation, sample and saving included.

    Returns:
        The most bytes that the process had in memory.
    """
    with TemporaryDirectory() as runs:
        arguments = ["train", str(text), *options(sizes), "--minutes", "0.1", "--checkpoints", runs]
        arguments += ["--threads", "1"]
        child = subprocess.Popen(
            [sys.executable, "-m", "charlm", *arguments], cwd=ROOT, stderr=subprocess.PIPE
        )
        told = child.stderr.read().decode()
        ended = finished(child)
    if ended.code or not re.search(r"MB while training", told):
        raise SystemExit(told)
    return ended.peak


def traced(sizes: dict, folder: str) -> dict:
    """Sum up what the formula says, and what tracemalloc sees after an update."""
    code = HERE / "traced.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    out = subprocess.run(
        [sys.executable, code, json.dumps({**sizes, "V": V}), folder],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(out.stdout)
