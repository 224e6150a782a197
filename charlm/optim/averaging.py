"""Averaged weights: an exponential moving average, better than the weights while the rate is high.

    d = min(decay, (1 + n) / (10 + n))
    mean = d mean + (1 - d) weights

Source: Polyak & Juditsky 1992; the exponential form with a growing decay as in TensorFlow's
ExponentialMovingAverage.
"""

import numpy as np

from charlm.optim.optimizers import BLOCK, Scratch, Split, whole
from charlm.types import Array


class EMA:
    """The moving average of flat weights, in the buffer `mean`, which begins as the weights."""

    def __init__(self, mean: Array, decay: float) -> None:
        self.mean, self.decay, self._scratch = mean, decay, Scratch(mean)

    def update(self, n: int, weights: Array, split: Split = whole) -> None:
        """Update the mean with the weights after step n."""
        keep = min(self.decay, (1 + n) / (10 + n))

        def average(part: slice) -> None:
            for begin in range(part.start, part.stop, BLOCK):
                block = slice(begin, min(begin + BLOCK, part.stop))
                mean = self.mean[block]
                difference = self._scratch.of(part)[: mean.size]
                np.subtract(weights[block], mean, out=difference)
                difference *= 1 - keep
                mean += difference

        split(weights.size, average)
