"""The machine: versions, the BLAS's threads, free memory.

NumPy and threadpoolctl are imported in functions, so that `charlm --help` does without.
"""

import os
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

from charlm._version import __version__
from charlm.errors import CharlmError

_THREAD_VARIABLES: Final = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "OMP_NUM_THREADS",
)
_MEMINFO: Final = Path("/proc/meminfo")
_GROUP: Final = Path("/sys/fs/cgroup")


def set_threads(count: int) -> None:
    """Let the BLAS use this many threads from now on."""
    if "numpy" in sys.modules:
        _blas().limit(limits=count)
        return
    # Every BLAS reads one of these when it is loaded, Apple's Accelerate then only.
    for variable in _THREAD_VARIABLES:
        os.environ[variable] = str(count)


def threads() -> int:
    """Return the number of threads of the BLAS."""
    if counts := [library["num_threads"] for library in _blas().info()]:
        return int(max(counts))
    if chosen := chosen_threads():
        return chosen
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def chosen_threads() -> int | None:
    """Return the number of threads that an environment variable asks for; None without one."""
    for variable in _THREAD_VARIABLES:
        value = os.environ.get(variable, "")
        if value.isdigit() and int(value) > 0:
            return int(value)
    return None


@cache
def _blas() -> Any:
    """Load NumPy and return the controller of its BLAS."""
    import numpy  # noqa: F401
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController().select(user_api="blas")


def free_memory() -> int | None:
    """Return the bytes of memory that can be used without swapping; None where unknown.

    On Linux, the kernel's MemAvailable or what is left of the container's limit, if that is less;
    on other POSIX systems, all physical memory.
    """
    found = []
    with suppress(OSError, ValueError, KeyError):
        found.append(1024 * _table(_MEMINFO)["MemAvailable:"])
    with suppress(OSError, ValueError, KeyError):
        limit, used = (int((_GROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        # The page cache is freed when memory is needed.
        found.append(limit - used + _table(_GROUP / "memory.stat")["file"])
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
    except (ImportError, OSError) as cause:
        absent = isinstance(cause, ModuleNotFoundError) and cause.name == library
        first_line = str(cause).partition("\n")[0]
        state = "is not installed" if absent else f"cannot be imported ({first_line})"
        raise error(
            where,
            f"needs {library}, which {state}",
            f"pip install {library}, or '.[{extra}]' in a checkout of charlm",
        ) from None
