"""Duration of a training, from timing a few steps on a copy that is thrown away.

total = steps x step + validations x validation
"""

import itertools
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

# A shorter run is over before its duration could be estimated.
WORTH_TIMING = 50
# The share of a training in minutes that timing may take; the longer it takes, the better it
# averages over a shared machine's busy and quiet times.
_TIMING_SHARE = 1 / 25
_LONGEST_S = 12.0
# The same where only the expected duration is shown.
_LONGEST_GLANCE_S = 3.0
_STEPS = 6
_TIME_STEPS = 200
_SAMPLES = 3
# For the last checkpoint and the end of the program.
_LEAVING_S = 1.0
# So small that the loss cannot diverge while steps are timed.
_RATE = 1e-6
_ENDLESS = 10**6


@dataclass(frozen=True)
class Pace:
    """Measured times: seconds per step, and seconds per validation with its sample."""

    step_s: float
    validation_s: float

    def total_s(self, steps: int, validate_every: int) -> float:
        """Return the seconds that a training of so many steps takes."""
        return steps * self.step_s + math.ceil(steps / validate_every) * self.validation_s


def measure(config: Config, vocabulary: Vocabulary, text: TextInfo, ids: Ids) -> Pace:
    """Time steps, time steps of a validation, and samples, on a copy that is thrown away."""
    minutes, goal = config.train.minutes, config.train.steps or _ENDLESS
    seconds = min(minutes * 60 * _TIMING_SHARE, _LONGEST_S) if minutes else _LONGEST_GLANCE_S
    calm = config.replace(train__steps=goal, train__learning_rate=_RATE)
    trainer = Trainer(calm, vocabulary, text, ids, run=None)
    # The first step meets cold caches and fresh memory.
    trainer.update()
    steps: list[float] = []
    enough = goal * _TIMING_SHARE
    while sum(steps) < seconds and (
        len(steps) < _STEPS or (sum(steps) < seconds * 3 / 4 and len(steps) < enough)
    ):
        steps += _seconds(trainer.update, 1)
    pieces, count = layout(trainer.validation.size)
    length = config.train.sample_length if count else 0
    time_steps, samples = [0.0], [0.0]
    if count:
        stepper, read = Stepper(trainer.ema_model, pieces), np.zeros(pieces, np.intp)
        time_steps = _seconds(lambda: cross_entropy(stepper.step(read), read), _TIME_STEPS)
    few = min(length, _TIME_STEPS)
    if few:
        samples = _seconds(lambda: trainer.sample(few), _SAMPLES)

    # On a busy machine one pause can be longer than all else that was timed. The medians give the
    # ratio of the three times; what pauses add is estimated over all of them together.
    timed = (steps, time_steps, samples)
    step_s, time_step_s, sample_s = map(statistics.median, timed)
    busy = sum(map(sum, timed)) / sum(len(each) * statistics.median(each) for each in timed)
    validation_s = count * time_step_s + length / max(1, few) * sample_s
    return Pace(step_s * busy, validation_s * busy)


def _seconds(work: Callable[[], object], times: int) -> list[float]:
    """Return the seconds that each of some calls takes."""
    clock = [time.perf_counter()]
    for _ in range(times):
        work()
        clock.append(time.perf_counter())
    return [end - begin for begin, end in itertools.pairwise(clock)]


def set_steps(config: Config, pace: Pace, seconds: float) -> tuple[Config, str]:
    """Turn `train.minutes` into steps, at least 1, that the remaining seconds allow; with a note.

    Where `validate_every` is `auto` and the usual number of validations would take more than a
    quarter of the time, there are fewer of them.
    """
    train, chosen = config.train, ""
    left, every = max(0.0, seconds - _LEAVING_S), train.validate_every
    if every != "auto":
        steps = int(left / (pace.step_s + pace.validation_s / every))
    else:
        affordable = VALIDATIONS
        if VALIDATIONS * pace.validation_s > left / 4:
            affordable = max(1, int(left / 4 / pace.validation_s))
        steps = int((left - affordable * pace.validation_s) / pace.step_s)
        if affordable < VALIDATIONS:
            every = max(1, math.ceil(steps / affordable))
            chosen = f" --set train.validate_every={every}"
    steps = max(1, steps)
    config = config.replace(train__steps=steps, train__minutes=None, train__validate_every=every)
    return config, (
        f"{train.minutes:g} minutes are {steps:,} steps here; the same with --steps {steps}{chosen}"
    )
