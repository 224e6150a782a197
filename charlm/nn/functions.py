"""The output's functions: softmax and cross-entropy over columns, and their derivative.

    p_v     = exp(z_v) / sum_u exp(z_u)
    nats    = -ln p_target = ln sum_u exp(z_u) - z_target
    d nats / d z_v = p_v - [v is the target]

Source: Goodfellow, Bengio & Courville 2016, Deep Learning, equations 6.29 to 6.33.
"""

import numpy as np

from charlm.types import Array, Ids


def softmax(z: Array) -> Array:
    """Turn logits into probabilities, in place.

    Args:
        z: (V, B) logits, one column a stream; becomes the probabilities.

    Returns:
        (B,) the logarithm of the sum that each column was divided by.
    """
    top = z.max(axis=0)
    z -= top
    np.exp(z, out=z)
    total: Array = z.sum(axis=0)
    z /= total
    np.log(total, out=total)
    total += top
    return total


def cross_entropy(z: Array, targets: Ids) -> Array:
    """Score the targets, and turn the logits into probabilities in place.

    Args:
        z: (V, B) logits; becomes the probabilities.
        targets: (B,) ids of the characters that came.

    Returns:
        (B,) nats per character, -ln p of each target.
    """
    at_targets = z[targets, np.arange(targets.size)]
    return softmax(z) - at_targets


def cross_entropy_backward(p: Array, targets: Ids, weight: float) -> None:
    """Turn probabilities into the gradient with respect to the logits, in place.

    Args:
        p: (V, B) probabilities; becomes dz.
        targets: (B,) ids of the characters that came.
        weight: what one character counts in the loss, 1 / (T B) for the mean over a chunk.
    """
    p[targets, np.arange(targets.size)] -= 1
    p *= weight
