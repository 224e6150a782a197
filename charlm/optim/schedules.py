"""The learning rate as a function of the step; of validations too, for `plateau`.

    warm-up    peak (n + 1) / warmup                               n < warmup
    constant   peak
    cosine     peak (final + (1 - final) (1 + cos(pi s)) / 2)      s from 0 to 1 after the warm-up
    linear     peak (final + (1 - final) (1 - s))
    step       peak decay^k                                        k = (n - warmup) // decay_every
    plateau    peak decay^k                                        k = Plateau.decays

Source of the cosine: Loshchilov & Hutter 2017, SGDR, equation 5, without restarts.
"""

import math
from dataclasses import dataclass

from charlm.settings.schema import TrainConfig

# Decays of the `step` schedule over a run, where `decay_every` is `auto`.
_DECAYS = 8


@dataclass
class Plateau:
    """Counters of validations without a new best loss, saved with every checkpoint.

    Attributes:
        bad_validations: validations in a row without a new best.
        bad_since_decay: those of them since the last decay.
        decays: decays of the learning rate.
    """

    bad_validations: int = 0
    bad_since_decay: int = 0
    decays: int = 0

    def update(self, is_best: bool, train: TrainConfig) -> None:
        """Count a validation; the `plateau` schedule decays after more than its patience."""
        if is_best:
            self.bad_validations = self.bad_since_decay = 0
            return
        self.bad_validations += 1
        self.bad_since_decay += 1
        if train.schedule == "plateau" and self.bad_since_decay > train.plateau:
            self.bad_since_decay = 0
            self.decays += 1


def learning_rate(n: int, train: TrainConfig, decays: int = 0) -> float:
    """Return the learning rate of step n.

    Args:
        n: counts from 0.
        train: the settings; `train.steps` is set.
        decays: as counted by `Plateau`.
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
            every = max(1, math.ceil(train.steps / _DECAYS)) if chosen == "auto" else chosen
            return float(peak * train.decay ** ((n - warmup) // every))
        case "plateau":
            return float(peak * train.decay**decays)
