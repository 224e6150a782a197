"""How long will it take? Time a few updates on a throwaway copy, and do the sum.

total = steps x update + validations x validation
"""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from charlm.evaluation.score import layout
from charlm.nn.functions import cross_entropy
from charlm.nn.stepper import Stepper
from charlm.settings.schema import Config
from charlm.text.corpus import TextInfo
from charlm.text.vocabulary import Vocabulary
from charlm.training.trainer import VALIDATIONS, Trainer
from charlm.types import Ids

# What may go into timing a training. The longer it takes, the more of a shared machine's busy and
# quiet times is in the mean.
TIMING_SHARE = 1 / 25
_UPDATES = 6
_STEPS = 200
_SAMPLES = 3
# What the last checkpoint and leaving the program take, as far as it is worth planning for.
_LEAVING_S = 1.0
# A rate that is too high is for the training to find out: here nothing shall explode.
_RATE = 1e-6


@dataclass(frozen=True)
class Pace:
    """Hold what was timed: seconds an update, and seconds a validation with its sample."""

    update_s: float
    validation_s: float

    def total_s(self, steps: int, validate_every: int) -> float:
        """Return the seconds that a training of `steps` updates takes."""
        return steps * self.update_s + math.ceil(steps / validate_every) * self.validation_s


def measure(
    config: Config, vocabulary: Vocabulary, text: TextInfo, ids: Ids, seconds: float
) -> Pace:
    """Time updates, steps of a validation and samples, on a copy that is thrown away.

    Args:
        config: resolved, but for the number of steps.
        vocabulary: the text's.
        text: which text it is.
        ids: the text as ids.
        seconds: what the timing may take; less is enough for few steps. A few updates are timed
            in any case, unless one alone takes longer than that.
    """
    assert config.train.steps is not None
    calm = config.replace(train__learning_rate=_RATE)
    trainer = Trainer(calm, vocabulary, text, ids, run=None)
    # The first update meets cold caches and fresh memory.
    trainer.update()
    updates: list[float] = []
    enough = config.train.steps * TIMING_SHARE
    while sum(updates) < seconds and (
        len(updates) < _UPDATES or (sum(updates) < seconds * 3 / 4 and len(updates) < enough)
    ):
        updates.append(_seconds(trainer.update))
    pieces, count = layout(trainer.validation.size)
    length = config.train.sample_length if count else 0
    steps, samples = [0.0], [0.0]
    if count:
        stepper, read = Stepper(trainer.ema_model, pieces), np.zeros(pieces, np.intp)
        steps = [_seconds(lambda: cross_entropy(stepper.step(read), read)) for _ in range(_STEPS)]
    few = min(length, _STEPS)
    if few:
        samples = [_seconds(lambda: trainer.sample(few)) for _ in range(_SAMPLES)]

    # On a busy machine one pause can be longer than all else that was timed. The medians tell what
    # the three cost beside each other; how much the pauses add is taken over all of it.
    timed = (updates, steps, samples)
    update_s, step_s, sample_s = map(statistics.median, timed)
    busy = sum(map(sum, timed)) / sum(len(q) * statistics.median(q) for q in timed)
    validation_s = count * step_s + length / max(1, few) * sample_s
    return Pace(update_s * busy, validation_s * busy)


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
    left = max(0.0, seconds - _LEAVING_S)
    if validate_every is not None:
        per_update = pace.update_s + pace.validation_s / validate_every
        return max(1, int(left / per_update)), validate_every
    affordable = VALIDATIONS
    if VALIDATIONS * pace.validation_s > left / 4:
        affordable = max(1, int(left / 4 / pace.validation_s))
    steps = max(1, int((left - affordable * pace.validation_s) / pace.update_s))
    return steps, None if affordable == VALIDATIONS else math.ceil(steps / affordable)
