"""Data-parallel training: threads against processes, and what several machines would bring.

One process with a thread on each CPU takes turns with a process on each CPU, with one thread. The
same numbers of streams in one process, and an Allreduce, give what is predicted of N machines:

    step(N)       compute(B / N) + allreduce(N)
    allreduce(N)  2 log2(N) latency + 2 (N - 1) / N nbytes / bandwidth + (N - 1) / N nbytes / adding

The second is Rabenseifner's algorithm, a reduce-scatter and an allgather by halving and
doubling: Thakur, Rabenseifner & Gropp 2005, Optimization of collective communication operations in
MPICH, section 4.5.
"""

import math
import shutil
import statistics
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from turns import Worker, spread, timed

from charlm.environment import usable_cpus
from charlm.nn.model import shapes
from charlm.settings.schema import ModelConfig

SIZES = [(2, 128), (2, 256), (2, 512), (2, 1024)]
T, B, V = 64, 64, 65
# Streams in one process, whose steps the prediction interpolates, and those of the whole run.
LOCAL = (4, 8, 16, 32, 64, 128, 256)
GLOBAL = 256
MACHINES = (2, 4, 8, 16, 32, 64)
# Seconds, and bytes a second: TCP over 10 Gbit/s Ethernet, and 100 Gbit/s with its own protocol.
NETWORKS = {"10 Gbit/s": (30e-6, 1.25e9), "100 Gbit/s": (3e-6, 12.5e9)}
# A size's steps in a turn take about so long.
TURN_S = 4.0


def run(rounds: int) -> dict:
    """Measure and predict, size by size."""
    cpus, rows = usable_cpus(), []
    with ExitStack() as stack:
        workers = {
            "one process, 1 thread": Worker("parallel_worker.py", 1),
            f"one process, {cpus} threads": Worker("parallel_worker.py", cpus),
        }
        if mpirun := launcher():
            several = Worker("parallel_worker.py", 1, [mpirun, "-n", str(cpus)])
            workers[f"{cpus} processes, 1 thread"] = several
        for worker in workers.values():
            stack.enter_context(worker)
        for L, H in SIZES:
            count = parameters(L, H)
            row = {"L": L, "H": H, "parameters": count, "speeds": []}
            rows.append(row)
            for streams in (B, 2 * B):
                row["speeds"].append(compare(workers, L, H, streams, rounds))
            if mpirun:
                seconds = [several.ask("allreduce", count=count)["seconds"] for _ in range(rounds)]
                row["allreduce_s"] = statistics.median(seconds)
                print(f"  Allreduce of {count:,} numbers, {cpus} processes: "
                      f"{1000 * row['allreduce_s']:.2f} ms", flush=True)  # fmt: skip
            together = workers[f"one process, {cpus} threads"]
            row["local_s"] = {
                streams: together.ask("step", L=L, H=H, B=streams, T=T, count=3)["seconds"]
                for streams in LOCAL
            }
            row["adding"] = adding(count)
            row["predicted"] = predict(row["local_s"], 4 * count, row["adding"])
    return {"rows": rows, "latency_and_bandwidth": NETWORKS}


def launcher() -> str | None:
    """Return the mpirun beside this Python, or on the path."""
    if found := shutil.which("mpirun", path=str(Path(sys.executable).parent)):
        return found
    if not (found := shutil.which("mpirun")):
        print("there is no mpirun: pip install '.[mpi]'; without it one process alone is measured")
    return found


def parameters(L: int, H: int) -> int:
    """Return how many numbers a model learns, and its gradient has."""
    return sum(math.prod(shape) for shape in shapes(ModelConfig(layers=L, hidden=H), V).values())


def compare(workers: Mapping[str, Worker], L: int, H: int, streams: int, rounds: int) -> dict:
    """Time steps of each worker in turns; the ratios are those of characters a second."""
    job = {"L": L, "H": H, "B": streams, "T": T}
    first = next(iter(workers.values())).ask("step", **job, count=1)["seconds"]
    count = max(1, min(200, int(TURN_S / first)))
    turns = [
        {
            name: worker.ask("step", **job, count=count)["seconds"]
            for name, worker in workers.items()
        }
        for _ in range(rounds)
    ]
    found = {"B": streams, "steps_a_turn": count, "seconds": turns}
    print(f"{L} x {H}, {streams} streams of {T}", flush=True)
    base = f"one process, {usable_cpus()} threads"
    for name in workers:
        ms = [1000 * turn[name] for turn in turns]
        ratios = [turn[base] / turn[name] for turn in turns]
        print(f"  {name}: {spread(ms)} ms a step, {spread(ratios)} x", flush=True)
    return found


def adding(count: int) -> float:
    """Return the bytes a second of adding one array to another."""
    a, b = np.ones(count, np.float32), np.ones(count, np.float32)
    return 4 * count / timed(lambda: np.add(a, b, out=a), 0.1)


def allreduce_s(N: int, nbytes: float, latency_s: float, bandwidth: float, adding: float) -> float:
    """Return the seconds that N machines need for the sum of a gradient of so many bytes."""
    part = (N - 1) / N * nbytes
    return 2 * math.log2(N) * latency_s + 2 * part / bandwidth + part / adding


def predict(local_s: Mapping[int, float], nbytes: float, adding: float) -> list[dict]:
    """Return how many times as many characters a second N machines read as one.

    `strong` is with GLOBAL streams in all, `weak` with B in each machine.
    """
    sizes = sorted(local_s)
    found = []
    for name, network in NETWORKS.items():
        for N in MACHINES:
            exchange = allreduce_s(N, nbytes, *network, adding)
            own = float(np.interp(GLOBAL / N, sizes, [local_s[size] for size in sizes]))
            strong = local_s[GLOBAL] / (own + exchange)
            weak = N * local_s[B] / (local_s[B] + exchange)
            found.append({"network": name, "N": N, "strong": strong, "weak": weak})
    for name in NETWORKS:
        for kind in ("strong", "weak"):
            row = [f"{p[kind]:.1f}" for p in found if p["network"] == name]
            print(f"  {name}, {kind}: {', '.join(row)} x with {MACHINES} machines", flush=True)
    return found
