"""Gradient clipping by the global norm.

    dp = dp * min(1, max_norm / |dp|)

Source: Pascanu, Mikolov & Bengio 2013, algorithm 1.
"""

import math

import numpy as np

from charlm.types import Array


def global_norm(gradient: Array) -> float:
    """Return the Euclidean norm of a flat gradient; inf or nan where it is not finite."""
    return math.sqrt(float(np.dot(gradient, gradient)))


def clip(gradient: Array, norm: float, max_norm: float) -> None:
    """Scale a flat gradient of this norm down to `max_norm` in place; 0 leaves any norm."""
    if 0 < max_norm < norm:
        gradient *= max_norm / norm
