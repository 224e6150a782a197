"""The machine: versions, CPUs and the BLAS's threads, free memory, the launcher.

NumPy and threadpoolctl are imported in functions, so that `charlm --help` does without.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

from charlm._version import __version__
from charlm.errors import CharlmError
from charlm.terminal import argument

THREAD_VARIABLES: Final = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "OMP_NUM_THREADS",
)
# With the rank and the number of processes: of Open MPI, of MPICH and Intel MPI, of Slurm and of
# MVAPICH. A batch script of Slurm's is one process, and has no such number.
_LAUNCHERS: Final = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
)
# Processors, by OpenBLAS's names, for which it has a kernel for small matrices that packs nothing.
_SMALL_KERNELS: Final = {"SkylakeX", "Cooperlake", "SapphireRapids"}
_MEMINFO: Final = Path("/proc/meminfo")
_GROUP: Final = Path("/sys/fs/cgroup")
_MEMBERSHIP: Final = Path("/proc/self/cgroup")
# A group's limit, what it uses, and how much of that is the page cache; v2, then v1.
_MEMORY: Final = (("max", "current", "file"), ("limit_in_bytes", "usage_in_bytes", "total_cache"))


class Launched(NamedTuple):
    """What `mpirun` or `srun` says of a process."""

    rank: int  # from 0
    size: int  # how many processes it started


def launched() -> Launched:
    """Return this process's rank, and how many processes were started together; one by default."""
    for names in _LAUNCHERS:
        values = [os.environ.get(name, "") for name in names]
        if all(value.isdecimal() for value in values):
            return Launched(*map(int, values))
    return Launched(0, 1)


def set_threads(count: int) -> None:
    """Let the BLAS use this many threads from now on, in child processes too."""
    # Every BLAS reads one of these when it is loaded, Apple's Accelerate then only.
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(count)
    if "numpy" in sys.modules:
        _blas().limit(limits=count)


def can_set_threads() -> bool:
    """Return whether the BLAS's number of threads can be set while it runs."""
    return bool(_blas().info())


def limited(count: int | None) -> AbstractContextManager[Any]:
    """Let the BLAS use this many threads in a `with` block; None changes nothing."""
    limiter: AbstractContextManager[Any] = _blas().limit(limits=count)
    return limiter


def threads() -> int:
    """Return the number of threads of the BLAS."""
    if counts := [library["num_threads"] for library in _blas().info()]:
        return int(max(counts))
    if chosen := chosen_threads():
        return chosen
    return len(affinity())


def has_small_kernel() -> bool:
    """Return whether narrow products should be split into small ones.

    They should where the BLAS has a kernel for small matrices, and one thread. It is never timed:
    the choice may change the last bits of a result.
    """
    return all(
        library.get("architecture") in _SMALL_KERNELS and library["num_threads"] == 1
        for library in _blas().info() or [{}]
    )


def chosen_threads() -> int | None:
    """Return the number of threads that a variable or `set_threads` chose; None without one."""
    for variable in THREAD_VARIABLES:
        value = os.environ.get(variable, "")
        if value.isdigit() and int(value) > 0:
            return int(value)
    return None


def thread_counts(processes: int = 1) -> list[int]:
    """Return the numbers of threads to choose from, the least first.

    Without a chosen one these are 1, 2, 4 and so on, up to as many as there are usable CPUs for
    each of the processes that share them.
    """
    if chosen := chosen_threads():
        return [chosen]
    # A BLAS that cannot be told has one number; a caller's own limit is kept.
    least = 1 if can_set_threads() else threads()
    most = max(least, min(usable_cpus() // processes, threads()))
    return sorted({most, *(2**k for k in range(most.bit_length()) if 2**k >= least)})


def usable_cpus() -> int:
    """Return the CPUs that this process may use: by its affinity, and by its groups' quotas.

    A quota is rounded to the nearest number: with 1.5 CPUs two threads run three quarters of the
    time, which is usually quicker than one thread, and training compares the two.
    """
    quotas = [quota for folder in _groups("cpu") if (quota := _quota(folder)) is not None]
    return min([len(affinity()), *(max(1, int(quota + 0.5)) for quota in quotas)])


def affinity() -> frozenset[int]:
    """Return the CPUs that the system may run this process on."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def _groups(controller: str) -> Iterator[Path]:
    """Yield the folders of this process's control groups, and of those above them; v2 and v1."""
    with suppress(OSError, ValueError):
        for line in _MEMBERSHIP.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers or controller in controllers.split(","):
                group = PurePosixPath(path[1:])
                root = _GROUP / controller if controllers else _GROUP
                yield from (root / folder for folder in (group, *group.parents))


def _quota(group: Path) -> float | None:
    """Return the CPUs that a group may use; None without a limit."""
    for names in (["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):
        # "max" and -1 are no limits.
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = map(int, " ".join((group / name).read_text() for name in names).split())
            if quota > 0:
                return quota / period
    return None


@cache
def _blas() -> Any:
    """Load NumPy and return the controller of its BLAS."""
    import numpy  # noqa: F401
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController().select(user_api="blas")


def free_memory() -> int | None:
    """Return the bytes of memory that can be used without swapping; None where unknown.

    On Linux, the kernel's MemAvailable or what is left of a control group's limit, if that is less;
    on other POSIX systems, all physical memory.
    """
    found = []
    with suppress(OSError, ValueError, KeyError):
        found.append(1024 * _table(_MEMINFO)["MemAvailable:"])
    for group in _groups("memory"):
        for *names, cached in _MEMORY:
            with suppress(OSError, ValueError, KeyError):
                limit, used = (int((group / f"memory.{name}").read_text()) for name in names)
                # The page cache is freed when memory is needed.
                found.append(limit - used + _table(group / "memory.stat")[cached])
    if not found:
        with suppress(OSError, ValueError, AttributeError):
            found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found, default=None)


def _table(path: Path) -> dict[str, int]:
    """Return a file's lines that are a name and a number."""
    lines = (line.split() for line in path.read_text().splitlines())
    return {line[0]: int(line[1]) for line in lines if len(line) > 1 and line[1].isdigit()}


def versions() -> dict[str, str]:
    """Return the versions that a bit-for-bit resume depends on."""
    import platform

    import numpy as np

    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "charlm": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": f"{blas['name']} {blas['version']}",
        "machine": platform.machine(),
    }


def require(module: str, extra: str, where: object, error: type[CharlmError]) -> Any:
    """Import an optional library, or a module of it such as `matplotlib.figure`.

    Where it cannot be imported, `error` is raised; it says that `where` needs it, and which extra
    of pyproject.toml installs it.
    """
    import importlib

    library = module.partition(".")[0]
    try:
        importlib.import_module(library)
        return importlib.import_module(module)
    except (ImportError, OSError, RuntimeError) as cause:
        absent = isinstance(cause, ModuleNotFoundError) and cause.name == library
        first_line = str(cause).partition("\n")[0]
        state = "is not installed" if absent else f"cannot be imported ({first_line})"
        raise error(
            where,
            f"needs {library}, which {state}",
            f"{argument(sys.executable)} -m pip install {library}, or '.[{extra}]' in a checkout",
        ) from None
