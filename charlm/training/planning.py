"""How long will it take? Time a few updates on a throwaway copy, and do the sum.

total = steps x update + validations x validation
"""

import math
import statistics
import time
from collections.abc import Callable
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
    updates: list[float] = []
    while sum(updates) < seconds and (len(updates) < _UPDATES or sum(updates) < seconds / 2):
        updates.append(_seconds(trainer.update))
    stepper = Stepper(trainer.shown, PIECES)
    read = np.zeros(PIECES, np.intp)
    steps = [_seconds(lambda: cross_entropy(stepper.step(read), read)) for _ in range(_STEPS)]

    # On a busy machine one pause can be longer than all else that was timed. The medians tell what
    # an update and a step cost beside each other; how much the pauses add is taken over all of it.
    update_s, step_s = statistics.median(updates), statistics.median(steps)
    busy = (sum(updates) + sum(steps)) / (len(updates) * update_s + len(steps) * step_s)
    validation = WARM + trainer.validation.size / PIECES if trainer.validation.size else 0
    return Pace(update_s * busy, step_s * validation * busy)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def plan(seconds: float, pace: Pace, validate_every: int | None) -> tuple[int, int | None]:
    """Find how many updates fit, and how many validations are worth their time.

    Args:
        seconds: for everything that is still to be done.
        pace: what was timed.
        validate_every: updates between validations, where somebody chose it.

    Returns:
        steps: at least 1.
        validate_every: as given, or chosen here where the usual number of validations would take
            more than a quarter of the time, or None for the usual number.
    """
    left = seconds - _LEAVING_S
    if validate_every is not None:
        per_update = pace.update_s + pace.validation_s / validate_every
        return max(1, int(left / per_update)), validate_every
    affordable = VALIDATIONS
    if VALIDATIONS * pace.validation_s > left / 4:
        affordable = max(1, int(left / 4 / pace.validation_s))
    steps = max(1, int((left - affordable * pace.validation_s) / pace.update_s))
    return steps, None if affordable == VALIDATIONS else math.ceil(steps / affordable)
