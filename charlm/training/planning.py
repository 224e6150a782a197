"""Duration and threads of a training, from timing a few steps on a copy that is thrown away.

total = steps x step + validations x validation
"""

import itertools
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from charlm import environment
from charlm.evaluation.score import layout
from charlm.nn.functions import cross_entropy
from charlm.nn.stepper import Stepper
from charlm.settings.schema import Config
from charlm.text.corpus import TextInfo
from charlm.text.vocabulary import Vocabulary
from charlm.training.parallel import Group
from charlm.training.trainer import VALIDATIONS, Trainer
from charlm.types import Ids

# A shorter run is over before its duration could be estimated. It uses one thread: two would save
# seconds, and on a busy machine cost minutes.
WORTH_TIMING = 50
# The share of a training in minutes that timing may take; the longer it takes, the better it
# averages over a shared machine's busy and quiet times.
_TIMING_SHARE = 1 / 25
_LONGEST_S = 12.0
# The same where only the expected duration is shown.
_LONGEST_GLANCE_S = 3.0
_STEPS = 6
# Seconds of steps with one number of threads before those with another.
_TURN_S = 0.15
_TIME_STEPS = 200
_SAMPLES = 3
# For the last checkpoint and the end of the program.
_LEAVING_S = 1.0
# So small that the loss cannot diverge while steps are timed.
_RATE = 1e-6
_ENDLESS = 10**6
# More threads are worth it where a step takes less than this share of the time with fewer: steps of
# equal work differ by up to a tenth, and fewer threads wait less when programs come and go.
_WORTH = 0.9


@dataclass(frozen=True)
class Pace:
    """Measured times: seconds per step, and seconds per validation with its sample."""

    step_s: float
    validation_s: float
    threads: int | None = None  # that these were measured with
    note: str = ""  # how long a step takes with other numbers of threads, where these were tried

    def total_s(self, steps: int, validate_every: int) -> float:
        """Return the seconds that a training of so many steps takes."""
        return steps * self.step_s + math.ceil(steps / validate_every) * self.validation_s


def measure(
    config: Config,
    vocabulary: Vocabulary,
    text: TextInfo,
    ids: Ids,
    counts: Sequence[int],
    group: Group | None = None,
) -> Pace:
    """Time steps, time steps of a validation, and samples, on a copy that is thrown away.

    The processes of a `group` do so together, and go by the clock of process 0.

    Steps are timed with each of some numbers of threads in turns, so that what else the machine
    does slows them alike; the rest with the number that is chosen.
    """
    minutes, goal = config.train.minutes, config.train.steps or _ENDLESS
    seconds = min(minutes * 60 * _TIMING_SHARE, _LONGEST_S) if minutes else _LONGEST_GLANCE_S
    calm, group = config.replace(train__steps=goal, train__learning_rate=_RATE), group or Group()
    trainer = Trainer(calm, vocabulary, text, ids, None, group, min(counts))
    times: dict[int, list[float]] = {threads: [] for threads in counts}
    enough, made, spent, first, is_warm = goal * _TIMING_SHARE, 0, 0.0, 0.0, False
    while spent < seconds and (made < _STEPS or (spent < seconds * 3 / 4 and made < enough)):
        for threads in counts:
            if threads != trainer.parallel.threads:
                trainer.use_threads(threads)
                is_warm = False
            with environment.limited(trainer.parallel.blas_threads):
                # The first step meets cold caches and fresh memory.
                if not is_warm:
                    (first,) = group.broadcast(_seconds(trainer.update, 1))
                    spent, is_warm = spent + first, True
                count = min(_STEPS, max(1, int(_TURN_S / max(first, 1e-3))))
                turn = group.broadcast(_seconds(trainer.update, count))
            times[threads] += turn
            made, spent = made + len(turn), spent + sum(turn)
    threads = choose_threads(times)
    steps = times[threads]
    if threads != trainer.parallel.threads:
        trainer.use_threads(threads)
    pieces, count = layout(trainer.validation.size, items=trainer.has_items)
    own = -(-pieces // (group.size * trainer.validation_threads))
    length = config.train.sample_length if count else 0
    few, time_steps, samples = min(length, _TIME_STEPS), [0.0], [0.0]
    with environment.limited(trainer.parallel.blas_threads):
        if count:
            stepper, read = Stepper(trainer.ema_model, own), np.zeros(own, np.intp)
            time_steps = _seconds(lambda: cross_entropy(stepper.step(read), read), _TIME_STEPS)
        if few:
            samples = _seconds(lambda: group.once(lambda: trainer.sample(few)), _SAMPLES)

    # On a busy machine one pause can be longer than all else that was timed. The medians give the
    # ratio of the three times; what pauses add is estimated over all of them together.
    timed = group.broadcast((steps, time_steps, samples))
    step_s, time_step_s, sample_s = map(statistics.median, timed)
    busy = sum(map(sum, timed)) / sum(len(each) * statistics.median(each) for each in timed)
    validation_s = count * time_step_s + length / max(1, few) * sample_s
    return Pace(step_s * busy, validation_s * busy, threads, _compared(times, threads))


def choose_threads(times: Mapping[int, Sequence[float]]) -> int:
    """Return the number of threads to train with, given the seconds of some steps with each.

    It is the least of which the fastest saves less than a tenth.
    """
    mean_s = {threads: _mean(seconds) for threads, seconds in times.items()}
    fastest_s = min(mean_s.values())
    return min(threads for threads, s in mean_s.items() if fastest_s >= _WORTH * s)


def _mean(seconds: Sequence[float]) -> float:
    """Return the mean, of five or more without the longest, which may be one pause."""
    return statistics.fmean(sorted(seconds)[: len(seconds) - (len(seconds) > 4)])


def _compared(times: Mapping[int, Sequence[float]], chosen: int) -> str:
    """Return how the numbers of threads compare, the chosen one first; nothing of one alone."""
    ms = {threads: f"{1000 * _mean(seconds):,.1f} ms" for threads, seconds in times.items()}
    others = [f"{count} thread{'s' * (count > 1)}: {ms[count]}" for count in ms if count != chosen]
    head = f"{chosen} thread{'s' * (chosen > 1)}: {ms[chosen]} a step"
    return ", ".join([head, *others]) if others else ""


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
