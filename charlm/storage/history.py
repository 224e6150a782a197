"""A run's history, as its training wrote it: one JSON object a line.

    {"step": 0, "sample": "x;Kw...", "elapsed_s": 0.0}
    {"step": 40, "loss": 1.93, "learning_rate": 0.008, "norm": 0.31, "elapsed_s": 7.6}
    {"step": 50, "train_loss": 1.95, "validation": 1.98, "chars_per_s": 24500,
     "sample": "The ri...", "elapsed_s": 9.7}
    {"resume": 40}
    {"rollback": 40, "from": 57, "count": 1, "why": "the loss explodes, ..."}

A killed and resumed training repeats the steps since its last checkpoint. So of several lines of
one step the last one counts, and a resume or rollback discards the readings after its target.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from charlm.errors import RunError
from charlm.storage.files import open_file

# JSON can hold larger numbers, and NaN; float32 ends at 3e38.
_LARGEST_COUNT = 2**53
_LARGEST_NUMBER = 1e60
_NUMBERS = (
    "loss", "learning_rate", "norm", "train_loss", "validation", "chars_per_s", "elapsed_s",
)  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """What was measured at a step; None where it was not.

    Attributes:
        step: optimizer steps so far.
        loss: of this step, before it, in nats per character.
        learning_rate: of this step.
        norm: of the gradient, before clipping.
        train_loss: mean loss of the steps since the validation before.
        validation: loss of the validation part, in nats per character.
        chars_per_s: characters read in training since the validation before, per second.
        sample: what the model wrote.
        elapsed_s: seconds of training so far.
    """

    step: int
    loss: float | None = None
    learning_rate: float | None = None
    norm: float | None = None
    train_loss: float | None = None
    validation: float | None = None
    chars_per_s: float | None = None
    sample: str | None = None
    elapsed_s: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return what a line of the history holds."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Rollback:
    """A return to the last good state.

    Attributes:
        step: steps that had been made.
        to: steps of the good state.
        count: number of this rollback, from 1.
        why: what was detected.
    """

    step: int
    to: int
    count: int
    why: str

    def as_dict(self) -> dict[str, Any]:
        """Return what a line of the history holds."""
        return {"rollback": self.to, "from": self.step, "count": self.count, "why": self.why}


class History(NamedTuple):
    """The content of a history file.

    Attributes:
        readings: by ascending step, each step once.
        resumes: the steps at which training was resumed, in the order of the file.
        rollbacks: each once.
        torn: lines that could not be read; a crash tears one at most.
    """

    readings: list[Reading]
    resumes: list[int]
    rollbacks: list[Rollback]
    torn: int


def read_history(path: Path) -> History:
    """Read a run's `history.jsonl`; return an empty history where there is none.

    Raises:
        RunError: it cannot be read.
    """
    history = History([], [], [], 0)
    try:
        with open_file(path) as file:
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return history
    except OSError as error:
        raise RunError(path, f"cannot be read ({error.strerror or error})") from None
    torn = 0
    for line in filter(bytes.strip, lines):
        try:
            _add(history, json.loads(line))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            torn += 1
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
        reading = Reading(
            _count(found["step"]),
            sample=_text(found["sample"]) if "sample" in found else None,
            **{key: _number(found[key]) for key in _NUMBERS if key in found},
        )
        _discard(history.readings, reading.step - 1)
        history.readings.append(reading)


def _discard(readings: list[Reading], step: int) -> None:
    """Remove the readings behind a step."""
    while readings and readings[-1].step > step:
        readings.pop()


def _count(value: Any) -> int:
    if type(value) is int and 0 <= value < _LARGEST_COUNT:
        return value
    raise ValueError("not a count")


def _number(value: int | float) -> float:
    # False for NaN.
    if type(value) in (int, float) and abs(value) < _LARGEST_NUMBER:
        return value
    raise ValueError("not a finite number")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise ValueError("not a text")
