"""A run's history, as its training wrote it: one JSON object a line.

    {"step": 0, "sample": "x;Kw...", "elapsed_s": 0.0}
    {"step": 40, "loss": 1.93, "learning_rate": 0.008, "norm": 0.31, "elapsed_s": 7.6}
    {"step": 50, "train_loss": 1.95, "validation": 1.98, "chars_per_s": 24500,
     "sample": "The ri...", "elapsed_s": 9.7}
    {"resume": 40}
    {"rollback": 40, "from": 57, "count": 1, "why": "the loss explodes, ..."}

A killed and resumed training repeats the steps since its last checkpoint. So of several lines of
one step the last one counts, and a resume or rollback discards the readings after its target.

Of a file larger than 32 MiB its end is read. That is 60,000 validations with samples in English.
"""

import json
import os
from bisect import bisect_right
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from charlm.errors import RunError
from charlm.storage.files import open_file

# JSON can hold larger numbers, and NaN. A run that explodes sums up losses; float32 ends at 3e38.
LARGEST_COUNT = 2**53
LARGEST_NUMBER = 1e60
_MOST_BYTES = 32 << 20
# What is read at once; a line of charlm's is shorter.
_MOST_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Reading:
    """What was measured at a step; None where it was not."""

    step: int  # optimizer steps so far
    loss: float | None = None  # of this step, before it, in nats per character
    learning_rate: float | None = None  # of this step
    norm: float | None = None  # of the gradient, before clipping
    train_loss: float | None = None  # mean loss of the steps since the validation before
    validation: float | None = None  # loss of the validation part, in nats per character
    chars_per_s: float | None = None  # read in training since the validation before
    sample: str | None = None  # what the model wrote
    elapsed_s: float | None = None  # seconds of training so far

    def as_dict(self) -> dict[str, Any]:
        """Return what a line of the history holds."""
        return {key: value for key, value in asdict(self).items() if value is not None}


_NUMBERS = {field.name for field in fields(Reading)} - {"step", "sample"}


@dataclass(frozen=True)
class Rollback:
    """A return to the last good state."""

    step: int  # steps that had been made
    to: int  # steps of the good state
    count: int  # number of this rollback, from 1
    why: str  # what was detected

    def as_dict(self) -> dict[str, Any]:
        """Return what a line of the history holds."""
        return {"rollback": self.to, "from": self.step, "count": self.count, "why": self.why}


class History(NamedTuple):
    """The content of a history file."""

    readings: list[Reading]  # by ascending step, each step once
    resumes: list[int]  # the steps at which training was resumed, in the order of the file
    rollbacks: list[Rollback]  # each once
    torn: int  # lines that could not be read; a crash tears one at most


def read_history(path: Path) -> History:
    """Read a `history.jsonl`, empty where there is none; raise RunError where that fails."""
    history, torn = History([], [], [], 0), 0
    try:
        with open_file(path) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _MOST_BYTES))
            for line in filter(bytes.strip, iter(partial(file.readline, _MOST_LINE), b"")):
                try:
                    _add(history, json.loads(line))
                except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
                    torn += 1
    except FileNotFoundError:
        return history
    except OSError as error:
        raise RunError(path, f"cannot be read ({error.strerror or error})") from None
    return history._replace(torn=torn)


def _add(history: History, entry: dict[str, Any]) -> None:
    """Add a line's content; what it raises where that is invalid is of many kinds."""
    if "resume" in entry:
        step = _count(entry["resume"])
        _discard(history.readings, step)
        history.resumes.append(step)
    elif "rollback" in entry:
        step, to = _count(entry["from"]), _count(entry["rollback"])
        rollback = Rollback(step, to, _count(entry.get("count", 1)), _text(entry["why"]))
        _discard(history.readings, to)
        # A crash after it was recorded and before it was saved repeats it.
        del history.rollbacks[max(0, rollback.count - 1) :]
        history.rollbacks.append(rollback)
    else:
        found = {key: value for key, value in entry.items() if value is not None}
        sample = _text(found["sample"]) if "sample" in found else None
        numbers = {key: _number(found[key]) for key in _NUMBERS & found.keys()}
        reading = Reading(_count(found["step"]), sample=sample, **numbers)
        _discard(history.readings, reading.step - 1)
        history.readings.append(reading)


def _discard(readings: list[Reading], step: int) -> None:
    """Remove the readings behind a step."""
    del readings[bisect_right(readings, step, key=lambda reading: reading.step) :]


def _count(value: Any) -> int:
    if type(value) is int and 0 <= value < LARGEST_COUNT:
        return value
    raise ValueError("not a count")


def _number(value: Any) -> float:
    # False for NaN.
    if type(value) in (int, float) and abs(value) < LARGEST_NUMBER:
        return value  # type: ignore[no-any-return]
    raise ValueError("not a finite number")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise ValueError("not a text")
