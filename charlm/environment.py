"""What a result depends on besides the settings: versions and the BLAS's threads.

The thread count must be set before NumPy is imported, so this file imports it only in functions.
"""

import os
from typing import Final

from charlm import __version__

_THREAD_VARIABLES: Final = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "OMP_NUM_THREADS",
)


def set_threads(count: int) -> None:
    """Let the BLAS use this many threads; has no effect once NumPy is imported."""
    for variable in _THREAD_VARIABLES:
        os.environ[variable] = str(count)


def threads() -> int:
    """Return how many threads the BLAS uses: what the environment says, else every core."""
    for variable in _THREAD_VARIABLES:
        value = os.environ.get(variable, "")
        if value.isdigit() and int(value) > 0:
            return int(value)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
