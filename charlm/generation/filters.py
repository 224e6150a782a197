"""Logits -> the distribution that the next symbol is drawn from.

    temperature   p = softmax(z / temperature); 0 is greedy
    top-k         keep the k likeliest symbols
    top-p         keep the likeliest, until their probabilities sum to p
    min-p         keep those at least min_p times as likely as the likeliest

They are applied in this order, each to what the previous ones kept.

Sources: Fan et al. 2018 (top-k); Holtzman et al. 2020 (top-p); Nguyen et al. 2024 (min-p).
"""

import math
from dataclasses import dataclass

import numpy as np

from charlm.errors import CheckpointError, ConfigError
from charlm.terminal import brief
from charlm.types import Array

# Below this, dividing the logits overflows float32; every weight but the likeliest's is 0 long
# before, so sampling is greedy.
_COLDEST = 1e-30
_HOTTEST = 1000


@dataclass(frozen=True)
class Filters:
    """The settings of the distribution that symbols are drawn from.

    Args:
        temperature: from 0 to 1000; 1 leaves the logits as they are.
        top_k: >= 1; None keeps all.
        top_p: > 0, <= 1; None keeps all.
        min_p: from 0 to 1; None keeps all.

    Raises:
        ConfigError: a value is out of range.
    """

    temperature: float = 0.8
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None

    def __post_init__(self) -> None:
        t, k, p, least = self.temperature, self.top_k, self.top_p, self.min_p
        for name, value in (("temperature", t), ("top_p", p), ("min_p", least)):
            if not is_number(value) and not (value is None and name != "temperature"):
                raise ConfigError(name, f"must be a number, got {brief(value)}")
        if not t >= 0:
            raise ConfigError("temperature", f"must be at least 0, got {t}")
        if t > _HOTTEST:
            most = f"{_HOTTEST}, where all characters are about equally likely"
            raise ConfigError("temperature", f"must be at most {most}, got {brief(t)}")
        if k is not None and not _is_whole(k):
            raise ConfigError("top_k", f"must be a whole number, got {brief(k)}")
        if k is not None and k < 1:
            raise ConfigError("top_k", f"must be at least 1, got {brief(k)}")
        if p is not None and not 0 < p <= 1:
            raise ConfigError("top_p", f"must be above 0 and at most 1, got {brief(p)}")
        if least is not None and not 0 <= least <= 1:
            raise ConfigError("min_p", f"must be from 0 to 1, got {brief(least)}")

    def weigh(self, z: Array) -> Array:
        """Return the weights to draw by.

        Args:
            z: (V,) or (V, B) logits, one column a stream; overwritten. -inf is never drawn.

        Returns:
            Unnormalized probabilities in z's shape: 1 for the likeliest, 0 for what is left out.

        Raises:
            CheckpointError: the logits are not finite numbers, since weights are damaged.
        """
        # One stream is the common case; on so few numbers each NumPy call counts.
        top = z[z.argmax()] if z.ndim == 1 else np.maximum.reduce(z, axis=0)
        if not (math.isfinite(top) if z.ndim == 1 else np.isfinite(top).all()):
            problem, advice = "its logits are not finite numbers", "use another checkpoint"
            raise CheckpointError("model", problem, advice)
        if self.temperature < _COLDEST:
            likeliest = np.expand_dims(z.argmax(axis=0), 0)
            z.fill(0)
            np.put_along_axis(z, likeliest, 1, axis=0)
            return z
        z -= top
        z /= self.temperature
        weights = np.exp(z, out=z)
        if self.top_k is not None or self.top_p is not None:
            self._keep_top(weights)
        if self.min_p is not None:
            # The likeliest weighs 1.
            weights[weights < self.min_p] = 0
        return weights

    def _keep_top(self, weights: Array) -> None:
        """Set to 0 what top-k and top-p leave out."""
        # A stable sort keeps exactly k symbols: of equals those with the lowest ids.
        order = np.argsort(-weights, axis=0, kind="stable")
        ranked = np.take_along_axis(weights, order, axis=0)
        if self.top_k is not None:
            ranked[self.top_k :] = 0
        if self.top_p is not None and self.top_p < 1:
            before = np.cumsum(ranked, axis=0) - ranked
            leave_out = before >= self.top_p * ranked.sum(axis=0)
            # The likeliest is kept, however p is rounded.
            leave_out[0] = False
            ranked[leave_out] = 0
        np.put_along_axis(weights, order, ranked, axis=0)


def _is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Return whether a value is a number, Python's or NumPy's; True and False are none."""
    return _is_whole(value) or isinstance(value, float | np.floating)
