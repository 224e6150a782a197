"""From logits to the probabilities that a character is drawn with.

    temperature   p = softmax(z / temperature); 0 puts everything on the likeliest character
    top-k         keep the k likeliest
    top-p         keep the likeliest, until their probabilities sum to p
    min-p         keep those at least min_p times as likely as the likeliest

They are applied in this order, each to what the ones before left.

Sources: Fan et al. 2018 (top-k); Holtzman et al. 2020 (top-p); Nguyen et al. 2024 (min-p).
"""

import math
from dataclasses import dataclass

import numpy as np

from charlm.errors import CheckpointError, ConfigError
from charlm.terminal import brief
from charlm.types import Array

# Below this, float32 overflows when logits are divided, and has long rounded all but the likeliest
# character to 0: it is greedy.
_COLDEST = 1e-30
_HOTTEST = 1000


@dataclass(frozen=True)
class Filters:
    """Say how the next character is drawn.

    Args:
        temperature: from 0 to 1000; 1 leaves the model's probabilities, below 1 is more careful.
        top_k: at least 1; None for all.
        top_p: above 0, at most 1; None for all.
        min_p: from 0 to 1; None for all.

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
            if not _is_number(value) and not (value is None and name != "temperature"):
                raise ConfigError(name, f"must be a number, got {brief(value)}")
        if not t >= 0:
            raise ConfigError("temperature", f"must be at least 0, got {t}")
        if t > _HOTTEST:
            raise ConfigError(
                "temperature",
                f"must be at most {_HOTTEST}, where all characters are about equally likely, got "
                f"{brief(t)}",
            )
        if k is not None and not _is_whole(k):
            raise ConfigError("top_k", f"must be a whole number, got {brief(k)}")
        if k is not None and k < 1:
            raise ConfigError("top_k", f"must be at least 1, got {brief(k)}")
        if p is not None and not 0 < p <= 1:
            raise ConfigError("top_p", f"must be above 0 and at most 1, got {brief(p)}")
        if least is not None and not 0 <= least <= 1:
            raise ConfigError("min_p", f"must be from 0 to 1, got {brief(least)}")

    def weigh(self, z: Array) -> Array:
        """Turn logits into weights to draw by.

        Args:
            z: (V,) or (V, B) logits, one column a stream; changed in place. -inf is never drawn.

        Returns:
            Weights in z's shape, not summing to 1; 0 for what is never drawn, 1 for the likeliest.

        Raises:
            CheckpointError: the logits are no numbers, as damaged weights make them.
        """
        # One stream is the common case, and every call on so few numbers counts.
        top = z[z.argmax()] if z.ndim == 1 else np.maximum.reduce(z, axis=0)
        if not (math.isfinite(top) if z.ndim == 1 else np.isfinite(top).all()):
            raise CheckpointError(
                "model",
                "cannot tell what comes next, its logits are not finite numbers",
                "its weights are damaged, use another checkpoint",
            )
        if self.temperature < _COLDEST:
            likeliest = np.expand_dims(z.argmax(axis=0), 0)
            z.fill(0)
            np.put_along_axis(z, likeliest, 1, axis=0)
            return z
        z -= top
        z /= self.temperature
        weights = np.exp(z, out=z)
        if self.top_k is not None or self.top_p is not None:
            self._keep_the_top(weights)
        if self.min_p is not None:
            # The likeliest weighs 1.
            weights[weights < self.min_p] = 0
        return weights

    def _keep_the_top(self, weights: Array) -> None:
        """Set to 0 what top-k and top-p leave out."""
        # A stable sort keeps exactly k of equals: those of the lowest ids.
        order = np.argsort(-weights, axis=0, kind="stable")
        ranked = np.take_along_axis(weights, order, axis=0)
        if self.top_k is not None:
            ranked[self.top_k :] = 0
        if self.top_p is not None and self.top_p < 1:
            before = np.cumsum(ranked, axis=0) - ranked
            leave_out = before >= self.top_p * ranked.sum(axis=0)
            # However small p is, and whatever float32 makes of it, the likeliest stays.
            leave_out[0] = False
            ranked[leave_out] = 0
        np.put_along_axis(weights, order, ranked, axis=0)


def _is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_whole(value) or isinstance(value, float | np.floating)
