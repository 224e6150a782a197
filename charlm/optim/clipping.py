"""Clipping by the global norm: a gradient that is too long keeps its direction and loses length.

    dp = dp * min(1, longest / |dp|)

Source: Pascanu, Mikolov & Bengio 2013, algorithm 1.
"""

import math

import numpy as np

from charlm.types import Array


def global_norm(gradient: Array) -> float:
    """Return the Euclidean length of a flat gradient; inf or nan where it is not finite."""
    return math.sqrt(float(np.dot(gradient, gradient)))


def clip(gradient: Array, norm: float, longest: float) -> None:
    """Shorten a gradient in place.

    Args:
        gradient: flat.
        norm: its length.
        longest: the length it may have; 0 for any.
    """
    if 0 < longest < norm:
        gradient *= longest / norm
