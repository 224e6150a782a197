"""Threads on a quiet and on a busy machine: whole commands, as they are and with all threads.

On the busy machine each CPU also runs a process that never sleeps.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from turns import ROOT, in_turns, spread

from charlm.environment import THREAD_VARIABLES, usable_cpus

TEXT = ROOT / "data" / "shakespeare.txt"
CHARLM = [sys.executable, "-m", "charlm"]
# Steps are what is timed, not the validation after the last of them.
MODEL = ["--preset", "small", "--set", "train.sample_length=0", "--set", "data.validation=0.01"]
HEAT_BYTES = 5000


def run(rounds: int) -> dict:
    """Time each command with the threads that it chooses, and with one for each CPU, in turns."""
    rows, threads = [], usable_cpus()
    with TemporaryDirectory() as folder:
        for name, command in commands(Path(folder)).items():
            for machine, spinners in (("quiet", 0), ("busy", threads)):
                everything = [*command, "--threads", str(threads)]
                with spinning(spinners):
                    ours, all_threads = in_turns(
                        lambda command=command: seconds(command),
                        lambda everything=everything: seconds(everything),
                        rounds,
                    )
                ratios = [b / a for a, b in zip(ours, all_threads, strict=True)]
                print(
                    f"{machine}, {name}: {spread(ours)} s, with {threads} threads "
                    f"{spread(all_threads)} s, {spread(ratios)} x",
                    flush=True,
                )
                rows.append({"machine": machine, "command": name, "seconds": ours,
                             "all_threads": all_threads, "ratios": ratios})  # fmt: skip
    return {"threads": threads, "rows": rows}


def commands(folder: Path) -> dict[str, list[str]]:
    """Make a run and a text for it to read, and return the commands by what they do."""
    runs, text = ["--checkpoints", str(folder)], folder / "short.txt"
    text.write_bytes(TEXT.read_bytes()[:HEAT_BYTES])
    train = [*CHARLM, "train", str(TEXT), *MODEL, *runs, "--steps"]
    seconds([*train, "2", "--name", "read"])
    made = {
        "train, 24 steps": [*train, "24"],
        "train, 50 steps": [*train, "50"],
        "eval --heat, 5 kB": [*CHARLM, "eval", str(text), "--heat", "--run", "read", *runs],
    }
    if find_spec("matplotlib"):
        made["report"] = [*CHARLM, "report", "read", "--out", str(folder / "page.html"), *runs]
    return made


def seconds(command: list[str]) -> float:
    """Return what a whole process takes, that no variable tells how many threads to use."""
    unset = {key: value for key, value in os.environ.items() if key not in THREAD_VARIABLES}
    began = time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=unset, check=True, capture_output=True)
    return time.perf_counter() - began


@contextmanager
def spinning(count: int) -> Iterator[None]:
    """Keep so many CPUs busy, at most as long as this process runs."""
    work = f"import os\nwhile os.getppid() == {os.getpid()}: sum(range(10**6))"
    spinners = [subprocess.Popen([sys.executable, "-c", work]) for _ in range(count)]
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()
