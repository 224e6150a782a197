"""Run a benchmark by its name, print what it found, and keep it as JSON in benchmarks/results/."""

import argparse
import json
import time

from turns import HERE, environment


def main() -> None:
    """Parse the command line; each row of docs/performance.md is one name."""
    import growth
    import large
    import memory
    import sampling
    import startup
    import training
    import vocabulary

    benchmarks = {
        "training": lambda rounds: training.run(rounds),
        "cells": lambda rounds: training.run(rounds, cells=True),
        "sampling": lambda rounds: sampling.run(rounds),
        "streams": lambda rounds: sampling.run(rounds, streams=64),
        "startup": startup.run,
        "memory": memory.run,
        "large": large.run,
        "vocabulary": vocabulary.run,
        "growth": growth.run,
    }
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("name", choices=benchmarks)
    parser.add_argument("--rounds", type=int, default=7, help="turns of each side")
    arguments = parser.parse_args()
    result = benchmarks[arguments.name](arguments.rounds)
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    when = time.strftime("%Y-%m-%d %H:%M:%S")
    path = folder / f"{arguments.name}.json"
    path.write_text(json.dumps({"when": when, **environment(), **result}, indent=1) + "\n")
    print(path)


main()
