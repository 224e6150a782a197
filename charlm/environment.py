"""The machine, as far as it matters: versions, the BLAS's threads, free memory.

The thread count must be set before NumPy is imported, so this file imports it only in functions.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from charlm._version import __version__

_THREAD_VARIABLES: Final = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "OMP_NUM_THREADS",
)
_MEMINFO: Final = Path("/proc/meminfo")
_GROUP: Final = Path("/sys/fs/cgroup")


def set_threads(count: int) -> None:
    """Let the BLAS use this many threads; has no effect once NumPy is imported."""
    for variable in _THREAD_VARIABLES:
        os.environ[variable] = str(count)


def chosen_threads() -> int | None:
    """Return how many threads the environment says that the BLAS shall use, if it does."""
    for variable in _THREAD_VARIABLES:
        value = os.environ.get(variable, "")
        if value.isdigit() and int(value) > 0:
            return int(value)
    return None


def threads() -> int:
    """Return how many threads the BLAS uses: what the environment says, else every core."""
    if chosen := chosen_threads():
        return chosen
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_memory() -> int | None:
    """Return the bytes that programs can still take without swapping; None where nobody says.

    On Linux that is what the kernel takes to be available, or what a container may still have; on
    other systems of POSIX's, all the memory there is.
    """
    found = []
    with suppress(OSError, ValueError, KeyError):
        found.append(1024 * _table(_MEMINFO)["MemAvailable:"])
    with suppress(OSError, ValueError, KeyError):
        limit, used = (int((_GROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        # Cached files make room when they have to.
        found.append(limit - used + _table(_GROUP / "memory.stat")["file"])
    if not found:
        with suppress(OSError, ValueError, AttributeError):
            found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found, default=None)


def _table(path: Path) -> dict[str, int]:
    """Read lines of a name and a number."""
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
