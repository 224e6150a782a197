"""From logits to the probabilities that a character is drawn with.

    temperature   p = softmax(z / temperature); 0 puts everything on the likeliest character
    top-k         keep the k likeliest
    top-p         keep the likeliest, until their probabilities sum to p
    min-p         keep those at least min_p times as likely as the likeliest

They are applied in this order, each to what the ones before left.

Sources: Fan et al. 2018 (top-k); Holtzman et al. 2020 (top-p); Nguyen et al. 2024 (min-p).
"""

from dataclasses import dataclass

import numpy as np

from charlm.errors import ConfigError
from charlm.nn.parameters import Array


@dataclass(frozen=True)
class Filters:
    """Say how the next character is drawn.

    Args:
        temperature: at least 0; 1 leaves the model's probabilities, below 1 is more careful.
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
        if not 0 <= self.temperature < float("inf"):
            raise ConfigError(f"--temp: must be at least 0, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError(f"--top-k: must be at least 1, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ConfigError(f"--top-p: must be above 0 and at most 1, got {self.top_p}")
        if self.min_p is not None and not 0 <= self.min_p <= 1:
            raise ConfigError(f"--min-p: must be from 0 to 1, got {self.min_p}")

    def weigh(self, z: Array) -> Array:
        """Turn one stream's logits into weights to draw by.

        Args:
            z: (V,) logits; changed in place.

        Returns:
            (V,) weights, not summing to 1; 0 for what is never drawn.
        """
        if self.temperature == 0:
            weights = np.zeros_like(z)
            weights[z.argmax()] = 1
            return weights
        z -= z.max()
        z /= self.temperature
        weights = np.exp(z, out=z)
        if self.top_k is not None and self.top_k < weights.size:
            # A stable sort keeps exactly k of equals: those of the lowest ids.
            weights[np.argsort(-weights, kind="stable")[self.top_k :]] = 0
        if self.top_p is not None and self.top_p < 1:
            order = np.argsort(-weights, kind="stable")
            before = np.cumsum(weights[order]) - weights[order]
            weights[order[before >= self.top_p * weights.sum()]] = 0
        if self.min_p is not None:
            weights[weights < self.min_p * weights.max()] = 0
        return weights
