"""Run a benchmark by its name, print what it found, and keep it as JSON in benchmarks/results/."""

import argparse
import json
import sys
import time
from collections.abc import Callable

from turns import HERE, ROOT, environment

# What is measured is the checkout's own, wherever else a charlm is installed.
sys.path.insert(0, str(ROOT))

TEXT = ROOT / "data" / "shakespeare.txt"


def main() -> None:
    """Parse the command line; each row or table of the pages in docs/ is one call."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    names = parser.add_subparsers(dest="name", required=True)
    add_speed(names)
    add_quality(names)
    arguments = vars(parser.parse_args())
    name, run = arguments.pop("name"), arguments.pop("run")
    result = run(**arguments)
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    when = time.strftime("%Y-%m-%d %H:%M:%S")
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"when": when, **environment(), **result}, indent=1) + "\n")
    print(path)


def add_speed(names: argparse._SubParsersAction) -> None:
    """Add what compares speeds, with PyTorch's where there is something to compare."""
    import busy
    import growth
    import large
    import memory
    import parallel
    import sampling
    import startup
    import training
    import vocabulary

    benchmarks: dict[str, Callable[[int], dict]] = {
        "training": lambda rounds: training.run(rounds),
        "cells": lambda rounds: training.run(rounds, cells=True),
        "sampling": lambda rounds: sampling.run(rounds),
        "streams": lambda rounds: sampling.run(rounds, streams=64),
        "startup": startup.run,
        "memory": memory.run,
        "large": large.run,
        "vocabulary": vocabulary.run,
        "growth": growth.run,
        "busy": busy.run,
        "parallel": parallel.run,
    }
    for name, run in benchmarks.items():
        speed = names.add_parser(name, help="speed, against PyTorch's where it is installed")
        speed.add_argument("--rounds", type=int, default=7, help="turns of each side")
        speed.set_defaults(run=lambda rounds, run=run: run(rounds))


def add_quality(names: argparse._SubParsersAction) -> None:
    """Add what measures how well is learned and written."""

    def row(**arguments: object) -> dict:
        import presets

        return presets.run(**arguments)

    def equal(**arguments: object) -> dict:
        import equal_cells

        return equal_cells.run(**arguments)

    def drawing(**arguments: object) -> dict:
        import filters

        return filters.run(**arguments)

    def encodings(**arguments: int) -> dict:
        import decoding

        return decoding.run(**arguments)

    about = {
        "presets": ("a row of the presets' table: train, then score the best weights", row),
        "equal-cells": ("RNN, GRU and LSTM at equal parameters and minutes", equal),
        "filters": ("what temperature, top-k, top-p and min-p do to a run's text", drawing),
        "decoding": ("which encoding the advice on a text names: right, none or wrong", encodings),
    }
    made = {}
    for name, (help_, run) in about.items():
        made[name] = names.add_parser(name, help=help_)
        made[name].set_defaults(run=run)
    for name in ("presets", "equal-cells"):
        made[name].add_argument("--text", default=str(TEXT), help="what to learn")
        made[name].add_argument("--seeds", type=int, default=1, help="runs, seeded 0, 1, ...")
    made["presets"].add_argument("--preset", help="auto where it is not given")
    made["presets"].add_argument("--minutes", type=float, help="instead of the preset's updates")
    made["presets"].add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="changes"
    )
    made["presets"].add_argument("--dynamic", action="store_true", help="score it so as well")
    made["presets"].add_argument(
        "--ngram-weight", type=float, default=0.3, help="of the n-grams that it is mixed with"
    )
    made["equal-cells"].add_argument("--preset", default="tiny")
    made["equal-cells"].add_argument("--minutes", type=float, default=1, help="of each cell")
    made["equal-cells"].add_argument("--plot", default=str(HERE / "results" / "equal-cells.svg"))
    made["decoding"].add_argument("--count", type=int, default=6, help="texts of each kind")
    filters = made["filters"]
    filters.add_argument("checkpoint", nargs="?", help="the newest run's where it is not given")
    filters.add_argument("--checkpoints", default="checkpoints")
    filters.add_argument("--texts", type=int, default=16)
    filters.add_argument("--length", type=int, default=2000)
    filters.add_argument("--seed", type=int, default=0)


main()
