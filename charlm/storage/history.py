"""A run's history, as its training wrote it: one line a reading.

    {"step": 0, "sample": "q;Xw...", "elapsed_s": 0.0}
    {"step": 40, "loss": 1.93, "learning_rate": 0.008, "norm": 0.31, "elapsed_s": 7.6}
    {"step": 50, "train_loss": 1.95, "validation": 1.98, "chars_per_s": 24500,
     "sample": "The ri...", "elapsed_s": 9.7}
    {"resume": 40}                      went on from update 40
    {"rollback": 40, "from": 57, "count": 1, "why": "the loss explodes, ..."}

A training that is killed and resumed makes the updates since its last checkpoint once more. So the
last line of a step counts, and what stood behind a step that was gone back to counts no longer.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from charlm.errors import RunError


class History(NamedTuple):
    """What a history tells.

    Attributes:
        readings: by ascending step, each step once.
        resumes: the steps at which the training was gone on with, in the order of the file.
        rollbacks: how it went back to a good state by itself, each time once.
        torn: how many lines could not be read; a crash tears one at the most.
    """

    readings: list[dict[str, Any]]
    resumes: list[int]
    rollbacks: list[dict[str, Any]]
    torn: int


def read_history(path: Path) -> History:
    """Read a run's `history.jsonl`; one that is not there tells nothing.

    Raises:
        RunError: it is there and cannot be read.
    """
    history = History([], [], [], 0)
    if path.exists() and not (path.is_file() or path.is_dir()):
        # Reading a pipe may wait for ever, and a device may never end.
        raise RunError(path, "is no ordinary file", "move it away")
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return history
    except OSError as error:
        raise RunError(path, f"cannot be read ({error.strerror or error})") from None
    torn = 0
    for line in lines:
        if not line.strip():
            continue
        entry = _parsed(line)
        if (step := _step(entry, "resume")) is not None:
            _go_back(history.readings, step + 1)
            history.resumes.append(step)
        elif (step := _step(entry, "rollback")) is not None:
            _go_back(history.readings, step + 1)
            # What a crash undid was written down before it, and is made again.
            count = _step(entry, "count") or 1
            del history.rollbacks[max(0, count - 1) :]
            history.rollbacks.append(entry)
        elif (step := _step(entry, "step")) is not None:
            _go_back(history.readings, step)
            history.readings.append(entry)
        else:
            torn += 1
    return history._replace(torn=torn)


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return entry if isinstance(entry, dict) else {}


def _step(entry: dict[str, Any], key: str) -> int | None:
    step = entry.get(key)
    return step if isinstance(step, int) and not isinstance(step, bool) else None


def _go_back(readings: list[dict[str, Any]], step: int) -> None:
    """Drop what was read from `step` on."""
    while readings and readings[-1]["step"] >= step:
        readings.pop()
