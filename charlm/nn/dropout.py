"""Locked dropout: one mask per step and stream, the same at all time steps of the chunk.

    x  = h * m          m is 0 with probability `rate`, else 1 / (1 - rate)
    dh = dx * m

It applies to the non-recurrent connections only: from layer to layer, never to the carried state.

Sources: Srivastava et al. 2014; Gal & Ghahramani 2016 (the same mask at every time step).
"""

import numpy as np

from charlm.types import Array


def draw_mask(rate: float, mask: Array, rng: np.random.Generator) -> None:
    """Fill an (H, B) mask; `rate` is the probability of a zero, at least 0 and below 1."""
    keep = 1.0 - rate
    rng.random(out=mask, dtype=mask.dtype)
    np.less(mask, keep, out=mask)
    mask /= keep


def apply_mask(mask: Array | None, values: Array, out: Array) -> None:
    """Write (T, H, B) hidden states, or gradients, times the mask into `out`, perhaps in place.

    The mask is (H, B), the same at every time step; None keeps everything.
    """
    if mask is not None and out is values and values.strides[0] < values.strides[1]:
        # The output layer's rows hold all time steps: one pass over them.
        rows = values.transpose(1, 0, 2)
        np.multiply(rows, mask[:, None], out=rows)
    elif mask is not None:
        # Over (T, H, B) at once NumPy would go through buffers of its own.
        for values_t, out_t in zip(values, out, strict=True):
            np.multiply(values_t, mask, out=out_t)
    elif out is not values:
        np.copyto(out, values)
