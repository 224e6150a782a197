"""Locked dropout: one mask an update and stream, held over all steps of the chunk.

    x  = h * m          m is 0 with probability `rate`, else 1 / (1 - rate)
    dh = dx * m

It is applied to what goes up, from layer to layer, never to the carried state.

Sources: Srivastava et al. 2014; Gal & Ghahramani 2016 (the same mask at every step).
"""

import numpy as np

from charlm.nn.parameters import Array


def draw_mask(rate: float, mask: Array, rng: np.random.Generator) -> None:
    """Fill a mask.

    Args:
        rate: probability of a zero, at least 0 and below 1.
        mask: (H, B) output.
        rng: the update's generator.
    """
    keep = 1.0 - rate
    rng.random(out=mask, dtype=mask.dtype)
    np.less(mask, keep, out=mask)
    mask /= keep
