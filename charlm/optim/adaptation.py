"""The optimizer of dynamic evaluation: steps in units of the usual gradient, and decay to p_0.

    s = root of the mean squared gradient of each weight, on the training text
    p = p - learning_rate dp / (s + epsilon mean(s))
    p = p + min(1, decay s / mean(s)) (p_0 - p)

Source: Krause, Kahembwe, Murray & Renals 2018, Dynamic evaluation of neural sequence models,
section 5; with an epsilon in units of s, so that it suits networks of any size.
"""

import numpy as np

from charlm.optim.optimizers import Optimizer
from charlm.types import Array


class Adaptation(Optimizer):
    """Dynamic evaluation's update of trained weights.

    Args:
        parameters: the trained weights.
        gradient: their gradient.
        squares: the mean squared gradient on the training text; is overwritten.
        decay: of an average weight towards p_0, per step.
        epsilon: at least 0, in units of the mean of s.
    """

    STATE = ("scale", "pull", "trained")

    def __init__(
        self, parameters: Array, gradient: Array, squares: Array, decay: float, epsilon: float
    ) -> None:
        super().__init__(parameters, gradient)
        s = np.sqrt(squares, out=squares)
        # A weight that never had a gradient gets neither.
        mean = max(float(s.mean()), float(np.finfo(s.dtype).tiny))
        np.add(s, epsilon * mean, out=self.state["scale"])
        np.minimum(s * (decay / mean), 1, out=self.state["pull"])
        np.copyto(self.state["trained"], parameters)

    def _update(self, learning_rate: float, *arrays: Array) -> None:
        p, dp, scale, pull, trained, u = arrays
        np.divide(dp, scale, out=u)
        u *= learning_rate
        p -= u
        np.subtract(trained, p, out=u)
        u *= pull
        p += u
