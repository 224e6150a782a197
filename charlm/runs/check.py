"""Whether a run's files are whole: what the loaders raise, file by file; nothing is changed.

Whether it can be resumed is what a resume itself looks up first, in resumable.py.

last.npz good.npz best.npz   checksums, settings, vocabulary, names, shapes, finite numbers
ids.bin, the text            digests, against those in the checkpoint
config.yaml                  settings, against those in the checkpoint
history.jsonl                whether it can be read
lock, temporary files        whether a process holds it, or left them
"""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from charlm.errors import CharlmError, CheckpointError, RunError, TextError
from charlm.nn.model import shapes
from charlm.runs.description import Description, parse_description
from charlm.runs.folder import Run, find_folder, name_one
from charlm.runs.loading import has_ids
from charlm.runs.resumable import Resumable, find_resumable, training_arrays
from charlm.settings.files import to_yaml
from charlm.storage.checkpoint import MOST_META_BYTES, damaged, opened
from charlm.storage.files import open_file
from charlm.storage.history import read_history
from charlm.storage.lock import holder
from charlm.terminal import argument

State: TypeAlias = Literal["ok", "note", "wrong"]


class Finding(NamedTuple):
    """The state of a file."""

    file: str  # its name; empty for the run as a whole
    state: State  # `note`: worth knowing; `wrong`: damaged or lost
    text: str  # one line


def check_run(where: str, checkpoints: Path) -> list[Finding]:
    """Check the files of a run, and last what can be done with it; raise RunError without one."""
    try:
        run = find_folder(where, checkpoints)
    except CheckpointError:
        advice = name_one(where, checkpoints, "name one, or its folder")
        raise RunError(where, "no such run", advice) from None
    return list(_findings(run))


def _findings(run: Run) -> Iterator[Finding]:
    found: dict[Path, Description] = {}
    failed: dict[Path, CharlmError] = {}

    def fail(path: Path, error: CharlmError | OSError) -> Finding:
        if isinstance(error, OSError):
            error = RunError(path, f"cannot be read ({error.strerror or error})")
        failed[path] = error
        advice = f"; {error.advice}" * bool(error.advice)
        return Finding(path.name, "wrong", error.problem + advice)

    for path in filter(os.path.lexists, (run.last, run.good, run.best)):
        try:
            found[path] = description = _load(path)
        except CheckpointError as error:
            yield fail(path, error)
        else:
            step = description.progress.step if description.progress else 0
            yield Finding(path.name, "ok", f"step {step:,}, every array as its checksum says")
    last, best = found.get(run.last), found.get(run.best)
    if last and best and last.text != best.text:
        yield Finding(run.best.name, "wrong", "was trained on another text than last.npz")

    resumable, obstacle = None, None
    if last:
        try:
            resumable = find_resumable(run)
        except CharlmError as error:
            obstacle = error
        if last.text:
            yield from _text(run, last, resumable, obstacle)
    config = partial(_config, known=last or best)
    for path, check in ((run.config, config), (run.history, _history), (run.lock, _lock)):
        if os.path.lexists(path):
            try:
                yield Finding(path.name, *check(path))
            except (CharlmError, OSError) as error:
                yield fail(path, error)
        elif path == run.history and last:
            yield Finding(path.name, "note", "missing; its losses are lost, the weights are not")
    for path in run.temporary:
        line = "being written, or left by a crash; the next start removes it"
        yield Finding(path.name, "note", line)

    if last and not last.is_good:
        obstacle = obstacle or failed.get(run.good)
    obstacle = obstacle or failed.get(run.lock)
    if last and obstacle:
        yield Finding("", "wrong", f"cannot be resumed: {obstacle}")
    elif last and os.path.lexists(run.lock) and (who := holder(run.lock)):
        yield Finding("", "note", f"is being trained by {who}")
    elif last and last.progress:
        goal = last.config.train.steps or 0
        if last.progress.step >= goal:
            yield Finding("", "ok", f"finished; more steps: {run.resuming()} --steps {goal * 2}")
        else:
            yield Finding("", "ok", f"can be resumed: {run.resuming()}")
    elif best:
        text = "cannot be resumed; its weights can begin a new run: charlm train TEXT --init-from "
        state: State = "wrong" if run.last in failed else "ok"
        yield Finding("", state, text + argument(run.best))
    else:
        yield Finding("", "wrong", "holds no usable checkpoint; train again")


def _load(path: Path) -> Description:
    """Load a checkpoint, and check every array of it; raises CheckpointError."""
    with opened(path) as checkpoint:
        description = parse_description(path, checkpoint.meta)
        if description.damage:
            raise description.damage
        config, V = description.config, description.vocabulary.size
        expected = shapes(config.model, V)
        if description.kind == "last":
            if not (description.progress and description.text):
                raise damaged(path, "lacks its progress or its text")
            expected = training_arrays(config, V)
        for name in dict.fromkeys([*expected, *checkpoint.names]):
            shape = expected.get(name) or checkpoint.read(name).shape
            checkpoint.expect(name, shape)
            checkpoint.read_into(name, np.empty(shape, np.float32))
    return description


def _text(
    run: Run, last: Description, found: Resumable | None, obstacle: CharlmError | None
) -> Iterator[Finding]:
    """Report the run's ids, and the text that they were made from, as a resume finds them."""
    text, ids = last.text, run.ids.name
    assert text is not None
    path = text.locations[0]
    if found.intact if found else has_ids(run.ids, text, last.vocabulary):
        yield Finding(ids, "ok", f"{text.characters:,} ids, as their digest says")
    elif found:
        yield Finding(ids, "note", "missing or damaged; a resume makes it again")
    else:
        yield Finding(ids, "wrong", "missing or damaged")
    if isinstance(obstacle, TextError):
        yield Finding(path.name, "wrong", obstacle.problem)
    elif found and found.source:
        yield Finding(path.name, "ok", "the text is as it was")
    elif found:
        yield Finding(path.name, "note", f"the text is not at {path} any more")


def _config(path: Path, known: Description | None) -> tuple[State, str]:
    """Compare the settings that people read with those of the checkpoint, but for comments."""
    with open_file(path, most=MOST_META_BYTES) as file:
        found = _settings(file.read().decode(errors="replace"))
    # An older charlm has fewer settings.
    if known and not found <= _settings(to_yaml(known.config)):
        return "note", "not the checkpoint's settings; a resume uses the checkpoint's"
    return "ok", "settings, for people to read"


def _settings(text: str) -> set[str]:
    return {line.partition(" # ")[0].rstrip() for line in text.splitlines()}


def _history(path: Path) -> tuple[State, str]:
    history = read_history(path)
    if history.torn:
        return "note", f"{history.torn:,} lines cannot be read and are ignored"
    return "ok", f"{len(history.readings):,} readings"


def _lock(path: Path) -> tuple[State, str]:
    who = holder(path)
    return "note", f"{who} trains this run now" if who else "left by a process that has ended"
