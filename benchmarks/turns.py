"""Workers that take turns: each a process of its own, which measures while the others sleep.

    bench --job--> worker --result--> bench       a line of JSON each way

What is compared is measured in the same minutes, a turn each, so that a machine whose speed drifts
spoils both alike; what is reported is the ratio turn by turn, its median and its range.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parent
# The threads of a library that has just worked may wait actively for more for up to 0.2 s.
PAUSE_S = 0.3


class Worker:
    """Run a worker's script in a process of its own.

    Args:
        script: such as `pytorch_worker.py`, in this folder.
        threads: for its products; the library's own choice where None.
        launcher: what starts it, such as mpirun.
    """

    def __init__(
        self, script: str, threads: int | None = None, launcher: Sequence[str] = ()
    ) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        if threads is not None:
            for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
                environment[variable] = str(threads)
        self.process = subprocess.Popen(
            [*launcher, sys.executable, str(HERE / script)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def ask(self, job: str, **details: object) -> dict:
        """Let it do a job, and return what it measured."""
        self.process.stdin.write(json.dumps({"job": job, **details}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a worker ended in '{job}' {details}")
        time.sleep(PAUSE_S)
        return json.loads(line)

    def close(self) -> None:
        """End it."""
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serve(jobs: dict) -> None:
    """Do jobs until there are no more; what a worker's script calls.

    One is always there: `peak`, the most bytes that the process has had in memory.
    """
    jobs = {**jobs, "peak": lambda: {"bytes": peak(resource.getrusage(resource.RUSAGE_SELF))}}
    for line in sys.stdin:
        details = json.loads(line)
        print(json.dumps(jobs[details.pop("job")](**details)), flush=True)


def peak(usage: resource.struct_rusage) -> int:
    """Return the most bytes that a process had in memory; macOS counts bytes, Linux kilobytes."""
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Ended(NamedTuple):
    """Say how a process ended, and what it took."""

    code: int
    peak: int  # the most bytes that it had in memory
    cpu_s: float  # of all its threads, the system's work for it included


def finished(process: subprocess.Popen) -> Ended:
    """Wait for a process."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Ended(process.returncode, peak(usage), usage.ru_utime + usage.ru_stime)


def kept(make):
    """Turn a function that makes a piece of work into a job that makes it once, and times it."""
    works: dict = {}

    def job(seconds: float = 0.5, **sizes) -> dict:
        key = tuple(sorted(sizes.items()))
        if key not in works:
            works.clear()
            works[key] = make(**sizes)
            works[key]()
        return {"seconds": timed(works[key], seconds)}

    return job


def timed(work, seconds: float = 0.5, at_least: int = 3) -> float:
    """Repeat some work, and return the median of its seconds."""
    times: list[float] = []
    while len(times) < at_least or sum(times) < seconds:
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def in_turns(ours, theirs, rounds: int) -> tuple[list[float], list[float]]:
    """Measure two things turn by turn; each is a function that returns seconds."""
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    return [a for a, _ in pairs], [b for _, b in pairs]


def named(sizes: dict) -> str:
    """Return sizes as `lstm, L 2, H 256`."""
    return ", ".join(value if key == "cell" else f"{key} {value}" for key, value in sizes.items())


def spread(values: list[float]) -> str:
    """Return the median and the range, such as `1.02 (0.98 to 1.05)`."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def pytorch_is_here() -> bool:
    """Say whether there is a peer to compare with, and what to install where there is none."""
    from importlib.util import find_spec

    if find_spec("torch"):
        return True
    print(
        "PyTorch is not installed, so there is nothing to compare with: pip install torch==2.13.0"
    )
    return False


def environment() -> dict:
    """Return what a result depends on besides the code."""
    from importlib.metadata import PackageNotFoundError, version

    from charlm import environment as ours

    found = ours.versions()
    try:
        found["torch"] = version("torch")
    except PackageNotFoundError:
        found["torch"] = "none"
    names = [
        item
        for item in Path("/proc/cpuinfo").read_text().splitlines()
        if item.startswith("model name")
    ]
    return {
        **found,
        "processor": names[0].partition(": ")[2] if names else "",
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
    }
