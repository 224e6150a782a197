"""Locked dropout: one mask an update and stream, held over all steps of the chunk.

    x  = h * m          m is 0 with probability `rate`, else 1 / (1 - rate)
    dh = dx * m

It is applied to what goes up, from layer to layer, never to the carried state.

Sources: Srivastava et al. 2014; Gal & Ghahramani 2016 (the same mask at every step).
"""

import numpy as np

from charlm.types import Array


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


def apply_mask(mask: Array | None, q: Array, out: Array) -> None:
    """Write the masked q.

    Args:
        mask: (H, B), the same at every step; None keeps everything.
        q: (T, H, B) hidden states on the way up, or their gradient on the way down.
        out: (T, H, B) output; may be q.
    """
    if mask is not None and out is q and q.strides[0] < q.strides[1]:
        # The output layer's, whose rows hold all steps: one after the other, in one buffer.
        rows = q.transpose(1, 0, 2)
        np.multiply(rows, mask[:, None], out=rows)
    elif mask is not None:
        # Step by step: over (T, H, B) at once NumPy would go through buffers of its own.
        for q_t, out_t in zip(q, out, strict=True):
            np.multiply(q_t, mask, out=out_t)
    elif out is not q:
        np.copyto(out, q)
