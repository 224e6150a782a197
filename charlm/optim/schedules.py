"""The learning rate as a function of the update; of validations too, for `plateau`.

    warm-up    peak (n + 1) / warmup                               n < warmup
    constant   peak
    cosine     peak (final + (1 - final) (1 + cos(pi s)) / 2)      s from 0 to 1 after the warm-up
    linear     peak (final + (1 - final) (1 - s))
    step       peak decay^k                                        k = (n - warmup) // decay_every
    plateau    peak decay^k                                        k as Plateau counts it

Source of the cosine: Loshchilov & Hutter 2017, SGDR, equation 5, without restarts.
"""

import math
from dataclasses import dataclass

from charlm.settings.schema import TrainConfig

# How often a run's rate steps down where nobody said.
_STEPS = 8


@dataclass
class Plateau:
    """Count validations without a new best: for the rate to fall, and for training to stop.

    It is part of a run's progress: what it counts is saved and resumed.

    Attributes:
        best: lowest loss so far; None before the first validation.
        stale: validations in a row since then.
        borne: those of them since the rate fell.
        decays: how often the rate fell.
    """

    best: float | None = None
    stale: int = 0
    borne: int = 0
    decays: int = 0

    def see(self, loss: float, train: TrainConfig) -> None:
        """Take in a validation."""
        if self.best is None or loss < self.best:
            self.best, self.stale, self.borne = loss, 0, 0
            return
        self.stale += 1
        self.borne += 1
        if train.schedule == "plateau" and self.borne > train.plateau:
            self.borne = 0
            self.decays += 1


def learning_rate(n: int, train: TrainConfig, decays: int = 0) -> float:
    """Return the learning rate of update n.

    Args:
        n: counts from 0.
        train: the settings; `train.steps` is set.
        decays: how often the rate fell on a plateau.
    """
    assert train.steps is not None
    peak, warmup = train.learning_rate, min(train.warmup, train.steps // 5)
    if n < warmup:
        return peak * (n + 1) / warmup
    progress = min(1.0, (n - warmup) / max(1, train.steps - 1 - warmup))
    match train.schedule:
        case "constant":
            return peak
        case "cosine":
            wave = (1 + math.cos(math.pi * progress)) / 2
            return peak * (train.final_rate + (1 - train.final_rate) * wave)
        case "linear":
            return peak * (train.final_rate + (1 - train.final_rate) * (1 - progress))
        case "step":
            chosen = train.decay_every
            every = max(1, math.ceil(train.steps / _STEPS)) if chosen == "auto" else chosen
            return float(peak * train.decay ** ((n - warmup) // every))
        case "plateau":
            return float(peak * train.decay**decays)
