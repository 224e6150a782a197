"""How long will it take? Time a few updates on a throwaway copy, and do the sum.

total = steps x update + validations x validation
"""

import math
import time
from dataclasses import dataclass

import numpy as np

from charlm.config import Config
from charlm.evaluation.score import PIECES, WARM
from charlm.nn.functions import cross_entropy
from charlm.nn.stepper import Stepper
from charlm.text.corpus import IdFile, TextInfo
from charlm.text.vocabulary import Vocabulary
from charlm.training.trainer import VALIDATIONS, Trainer

_UPDATES = 6
_STEPS = 200
# What the last checkpoint and leaving the program take, as far as it is worth planning for.
_LEAVING_S = 1.0


@dataclass(frozen=True)
class Pace:
    """Hold what was timed: seconds an update, and seconds a validation."""

    update_s: float
    validation_s: float

    def total_s(self, steps: int, validate_every: int) -> float:
        """Return the seconds that a training of `steps` updates takes."""
        return steps * self.update_s + math.ceil(steps / validate_every) * self.validation_s


def measure(
    config: Config, vocabulary: Vocabulary, text: TextInfo, ids: IdFile, seconds: float
) -> Pace:
    """Time updates, and some steps of a validation, on a copy that is thrown away.

    Args:
        config: resolved, but for the number of steps.
        vocabulary: the text's.
        text: which text it is.
        ids: the text as ids.
        seconds: what the timing may take; a few updates are timed in any case, unless one alone
            takes longer than that.
    """
    trainer = Trainer(config, vocabulary, text, ids, run=None)
    # The first update meets cold caches and fresh memory.
    trainer.update()
    updates, began = 0, time.perf_counter()
    while True:
        trainer.update()
        updates += 1
        spent = time.perf_counter() - began
        if spent > seconds or (updates >= _UPDATES and spent > seconds / 2):
            break
    update_s = spent / updates

    stepper = Stepper(trainer.shown, PIECES)
    read = np.zeros(PIECES, np.intp)
    began = time.perf_counter()
    for _ in range(_STEPS):
        cross_entropy(stepper.step(read), read)
    step_s = (time.perf_counter() - began) / _STEPS
    steps = WARM + trainer.validation.size / PIECES if trainer.validation.size else 0
    return Pace(update_s, step_s * steps)


def steps_within(seconds: float, pace: Pace, validate_every: int | None) -> int:
    """Return how many updates fit.

    Args:
        seconds: for everything that is still to be done.
        pace: what was timed.
        validate_every: updates between validations; None for the usual number of them.
    """
    left = seconds - _LEAVING_S
    if validate_every is None:
        left -= VALIDATIONS * pace.validation_s
        return max(1, int(left / pace.update_s))
    return max(1, int(left / (pace.update_s + pace.validation_s / validate_every)))
