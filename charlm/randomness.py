"""Every random number of charlm comes from here, and none of the generators is ever stored.

A generator is derived from the run's seed, the purpose it serves and a counter, so the masks of
update 700 are the same whether the run came there in one go or was resumed at 650.
"""

from typing import Final

import numpy as np

INITIAL_WEIGHTS: Final = 0
STREAM_OFFSETS: Final = 1  # n is the epoch
DROPOUT_MASKS: Final = 2  # n is the update
SAMPLES: Final = 3  # n is the update, or 0 outside training


def generator(seed: int, purpose: int, n: int = 0) -> np.random.Generator:
    """Derive the generator that serves `purpose` for the `n`-th time under `seed`."""
    return np.random.default_rng((seed, purpose, n))
