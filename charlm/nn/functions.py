"""The output's functions: softmax and cross-entropy over columns, and their derivative.

    p_v     = exp(z_v) / sum_u exp(z_u)
    nats    = -ln p_target = ln sum_u exp(z_u) - z_target
    d nats / d z_v = p_v - [v is the target]

Source: Goodfellow, Bengio & Courville 2016, Deep Learning, equations 6.29 to 6.33.
"""

import numpy as np

from charlm.types import Array, Ids


def softmax(z: Array) -> Array:
    """Turn (V, B) logits into probabilities, in place; return ln sum_u exp(z_u), (B,)."""
    top = z.max(axis=0)
    z -= top
    np.exp(z, out=z)
    total: Array = z.sum(axis=0)
    z /= total
    np.log(total, out=total)
    total += top
    return total


def cross_entropy(z: Array, targets: Ids) -> Array:
    """Return the nats of (B,) targets; turn the (V, B) logits into probabilities in place."""
    at_targets = z[targets, np.arange(targets.size)]
    return softmax(z) - at_targets


def cross_entropy_backward(p: Array, targets: Ids, weight: float) -> None:
    """Turn (V, B) probabilities into the gradient of the logits, in place.

    `weight` is what a character counts in the loss: 1 / (T B) for the mean over a chunk.
    """
    p[targets, np.arange(targets.size)] -= 1
    p *= weight
