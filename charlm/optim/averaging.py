"""Averaged weights: an exponential moving average, better than the weights while the rate is high.

    d = min(decay, (1 + n) / (10 + n))
    mean = d mean + (1 - d) weights

Source: Polyak & Juditsky 1992; the exponential form with a growing decay as in TensorFlow's
ExponentialMovingAverage.
"""

import numpy as np

from charlm.optim.optimizers import BLOCK
from charlm.types import Array


class EMA:
    """The moving average of flat weights, in the buffer `mean`, which begins as the weights."""

    def __init__(self, mean: Array, decay: float) -> None:
        self.mean, self.decay = mean, decay
        self._difference = np.empty(min(BLOCK, mean.size), mean.dtype)

    def update(self, n: int, weights: Array) -> None:
        """Update the mean with the weights after step n."""
        keep = min(self.decay, (1 + n) / (10 + n))
        for begin in range(0, weights.size, BLOCK):
            here = slice(begin, begin + BLOCK)
            mean = self.mean[here]
            difference = self._difference[: mean.size]
            np.subtract(weights[here], mean, out=difference)
            difference *= 1 - keep
            mean += difference
