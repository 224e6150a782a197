"""How long will it take? Time a few updates on a throwaway copy, and do the sum.

total = steps x update + validations x validation
"""

import math
import time
from dataclasses import dataclass

from charlm.config import Config
from charlm.evaluation.score import carried
from charlm.text.corpus import IdFile, TextInfo
from charlm.text.vocabulary import Vocabulary
from charlm.training.trainer import Trainer

_UPDATES = 6
_SECONDS = 3.0
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


def measure(config: Config, vocabulary: Vocabulary, text: TextInfo, ids: IdFile) -> Pace:
    """Time some updates, and a part of a validation, on a copy that is thrown away."""
    trainer = Trainer(config, vocabulary, text, ids, run=None)
    trainer.update()
    timed: list[float] = []
    began = time.perf_counter()
    while len(timed) < _UPDATES and time.perf_counter() - began < _SECONDS:
        update_began = time.perf_counter()
        trainer.update()
        timed.append(time.perf_counter() - update_began)
    validation, validation_s = trainer.validation, 0.0
    if validation.size:
        part = validation._replace(end=validation.begin + max(1, validation.size // 10))
        began = time.perf_counter()
        characters = carried(trainer.shown, ids, part, vocabulary.start_id).characters
        validation_s = (time.perf_counter() - began) * validation.size / characters
    return Pace(sum(timed) / len(timed), validation_s)


def steps_within(seconds: float, pace: Pace, validate_every: int | None) -> int:
    """Return how many updates fit.

    Args:
        seconds: for everything that is still to be done.
        pace: what was timed.
        validate_every: updates between validations; None for the usual number of them.
    """
    left = seconds - _LEAVING_S
    if validate_every is None:
        left -= 8 * pace.validation_s
        return max(1, int(left / pace.update_s))
    return max(1, int(left / (pace.update_s + pace.validation_s / validate_every)))
