"""Averaged weights: an exponential mean of the weights, ahead of them while the rate is high.

    d = min(decay, (1 + n) / (10 + n))
    average = d average + (1 - d) weights

Source: Polyak & Juditsky 1992; the exponential form with a growing decay as in TensorFlow's
ExponentialMovingAverage.
"""

import numpy as np

from charlm.optim.optimizers import BLOCK
from charlm.types import Array


class Average:
    """Hold the mean of a flat buffer of weights.

    Args:
        mean: the buffer that holds the mean; begins as the weights.
        decay: at least 0 and below 1.
    """

    def __init__(self, mean: Array, decay: float) -> None:
        self.mean, self.decay = mean, decay
        self._difference = np.empty(min(BLOCK, mean.size), mean.dtype)

    def update(self, n: int, weights: Array) -> None:
        """Take in the weights after update n."""
        keep = min(self.decay, (1 + n) / (10 + n))
        for begin in range(0, weights.size, BLOCK):
            here = slice(begin, begin + BLOCK)
            mean = self.mean[here]
            difference = self._difference[: mean.size]
            np.subtract(weights[here], mean, out=difference)
            difference *= 1 - keep
            mean += difference
