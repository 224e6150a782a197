"""A row of the presets' table: train, score `best.npz` on the validation share, print the row.

Time is that of the whole command `charlm train`, from its start to its end. What is scored is the
part of the text that it validated on, by `charlm eval`: with the state carried, and in cold windows
of 256 characters, both also mixed with the n-grams of the training part. Which weights are kept as
the best was chosen on that same part, by as many validations as are counted here.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from turns import ROOT

from charlm.settings.schema import split_ends
from charlm.storage.history import read_history

HEAD = (
    "| command | seeds | updates | validations | whole command | carried state | cold windows "
    "| carried, n-grams | cold, n-grams |\n|---|---|---|---|---|---|---|---|---|"
)


def run(
    text: str,
    preset: str | None,
    minutes: float | None,
    changes: list[str],
    seeds: int,
    dynamic: bool,
    ngram_weight: float,
) -> dict:
    """Train and score once a seed, and print the row of the means.

    Args:
        text: the file to learn.
        preset: chosen by the text's size where None.
        minutes: instead of the preset's updates.
        changes: other settings, KEY=VALUE.
        seeds: 0, 1, ...
        dynamic: score by dynamic evaluation too.
        ngram_weight: of the n-grams in the last two columns.
    """
    options = [] if preset is None else ["--preset", preset]
    options += [] if minutes is None else ["--minutes", f"{minutes:g}"]
    options += [part for setting in changes for part in ("--set", setting)]
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        held = held_out(Path(text), Path(folder) / "held-out.txt")
        for seed in range(seeds):
            runs.append(
                once(text, options, seed, held, Path(folder) / "runs", dynamic, ngram_weight)
            )
            print(json.dumps(runs[-1]), flush=True)
    print(HEAD)
    command = " ".join(["charlm train", Path(text).name, *options])
    cells = [
        f"`{command}`",
        str(seeds),
        spread(runs, "updates", "{:,.0f}"),
        spread(runs, "validations", "{:.0f}"),
        spread(runs, "seconds", "{:.0f} s"),
        spread(runs, "carried", "{:.3f}"),
        spread(runs, "cold", "{:.3f}"),
        spread(runs, "carried_ngrams", "{:.3f}"),
        spread(runs, "cold_ngrams", "{:.3f}"),
    ]
    print("| " + " | ".join(cells) + " |")
    if dynamic:
        print(f"with dynamic evaluation: {spread(runs, 'dynamic', '{:.3f}')}")
    return {"command": command, "runs": runs}


def once(
    text: str,
    options: list[str],
    seed: int,
    held: Path,
    checkpoints: Path,
    dynamic: bool = False,
    ngram_weight: float = 0.3,
) -> dict:
    """Train with one seed, and score what it kept."""
    name = f"seed-{seed}"
    began = time.perf_counter()
    charlm(
        "train", str(Path(text).absolute()), *options, "--seed", str(seed),
        "--name", name, "--checkpoints", str(checkpoints),
    )  # fmt: skip
    seconds = time.perf_counter() - began
    best = checkpoints / name / "best.npz"
    asked = ["--dynamic"] if dynamic else []
    scoring = ("eval", str(held), "--run", str(best), "--json")
    report = json.loads(charlm(*scoring, *asked))
    mixed = json.loads(charlm(*scoring, "--ngram-weight", str(ngram_weight)))
    report |= {f"{key}_ngrams": mixed[key] for key in ("carried", "cold")}
    readings = read_history(checkpoints / name / "history.jsonl").readings
    keys = ("carried", "cold", "carried_ngrams", "cold_ngrams", "dynamic")
    scores = {key: report[key]["nats"] for key in keys if key in report}
    return {
        "seed": seed,
        "seconds": seconds,
        "updates": readings[-1].step,
        "validations": sum(r.validation is not None for r in readings),
        **scores,
    }


def charlm(*arguments: str) -> str:
    """Run the program as a user does, with no settings file in sight; returns its stdout."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as nowhere:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "charlm", *arguments],
            cwd=nowhere, env=environment, stdout=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"charlm {' '.join(arguments)} ended with {done.returncode}")
    return done.stdout


def held_out(text: Path, target: Path) -> Path:
    """Write the last tenth of a text, on which `charlm train` validates by default."""
    whole = text.read_bytes().decode("utf-8").removeprefix("\ufeff")
    whole = whole.replace("\r\n", "\n")
    begin, _ = split_ends(len(whole), validation=0.1, test=0.0)
    target.write_text(whole[begin:], encoding="utf-8", newline="")
    return target


def spread(runs: list[dict], key: str, form: str) -> str:
    """Return the mean, and the range where it is one."""
    values = [run[key] for run in runs]
    low, mean, high = (
        form.format(item) for item in (min(values), statistics.mean(values), max(values))
    )
    return mean if low == high else f"{mean} ({low} to {high})"
