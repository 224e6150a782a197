"""The learning rate as a function of the update; nothing to save, nothing to resume.

    warm-up    peak (n + 1) / warmup                                   n < warmup
    constant   peak
    cosine     peak (final + (1 - final) (1 + cos(pi progress)) / 2)   progress from 0 to 1

Source of the cosine: Loshchilov & Hutter 2017, SGDR, equation 5, without restarts.
"""

import math

from charlm.config import TrainConfig


def learning_rate(n: int, train: TrainConfig) -> float:
    """Return the learning rate of update n, which counts from 0; `train.steps` is set."""
    assert train.steps is not None
    warmup = min(train.warmup, train.steps // 5)
    if n < warmup:
        return train.learning_rate * (n + 1) / warmup
    if train.schedule == "constant":
        return train.learning_rate
    progress = (n - warmup) / max(1, train.steps - 1 - warmup)
    wave = (1 + math.cos(math.pi * min(1.0, progress))) / 2
    return train.learning_rate * (train.final_rate + (1 - train.final_rate) * wave)
