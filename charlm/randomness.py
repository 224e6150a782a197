"""The source of every random number; no generator is stored.

A generator is derived from the run's seed, its purpose and a counter, so the masks of step 700 are
the same whether or not the run was resumed at step 650.
"""

from typing import Final

import numpy as np

INITIAL_WEIGHTS: Final = 0
STREAM_OFFSETS: Final = 1  # n is the epoch
DROPOUT_MASKS: Final = 2  # n is the step
SAMPLES: Final = 3  # n is the step, or 0 outside training
ITEM_ORDER: Final = 4  # n is the epoch
HELD_OUT: Final = 5


def generator(seed: int, purpose: int, n: int = 0) -> np.random.Generator:
    """Derive the generator that serves `purpose` for the `n`-th time under `seed`."""
    return np.random.default_rng((seed, purpose, n))
