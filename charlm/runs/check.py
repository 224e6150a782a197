"""Whether a run's files are whole: what the loaders raise, file by file; nothing is changed.

last.npz good.npz best.npz   checksums, settings, vocabulary, names, shapes, finite numbers
ids.bin, the text            digests, against those in the checkpoint
config.yaml, history.jsonl   whether they can be read
lock, temporary files        whether a process holds it, or left them
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from charlm.errors import CharlmError, CheckpointError, ConfigError, RunError, TextError
from charlm.nn.model import shapes
from charlm.runs.description import Description, parse_description
from charlm.runs.folder import Run, find_folder
from charlm.runs.loading import is_intact
from charlm.settings.files import parse_yaml
from charlm.settings.resolve import resolve
from charlm.storage.atomic import temporary_of
from charlm.storage.checkpoint import damaged, opened
from charlm.storage.files import open_file
from charlm.storage.history import read_history
from charlm.storage.lock import holder
from charlm.terminal import argument
from charlm.text.source import Source

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
        raise RunError(where, "no such run", "name one, or its folder") from None
    return list(_findings(run))


def _findings(run: Run) -> Iterator[Finding]:
    found: dict[Path, Description] = {}
    for path in filter(Path.exists, (run.last, run.good, run.best)):
        try:
            found[path] = description = _load(path)
        except CheckpointError as error:
            yield _failed(path, error)
        else:
            step = description.progress.step if description.progress else 0
            yield Finding(path.name, "ok", f"step {step:,}, every array as its checksum says")
    last, best = found.get(run.last), found.get(run.best)
    if last and best and last.text != best.text:
        yield Finding(run.best.name, "wrong", "was trained on another text than last.npz")
    texts = list(_text(run, last)) if last else []
    yield from texts
    yield from _others(run)
    if last and last.progress and any(finding.state != "wrong" for finding in texts):
        goal = last.config.train.steps or 0
        if last.progress.step >= goal:
            yield Finding("", "ok", f"finished; more steps: {run.resuming} --steps {goal * 2}")
        else:
            yield Finding("", "ok", f"can be resumed: {run.resuming}")
    elif last:
        yield Finding("", "wrong", f"needs its text to resume: {run.resuming} and the text's path")
    elif best:
        text = "cannot be resumed; its weights can begin a new run: charlm train TEXT --init-from "
        state: State = "wrong" if run.last.exists() else "ok"
        yield Finding("", state, text + argument(run.best))
    else:
        yield Finding("", "wrong", "holds no usable checkpoint; train again")


def _load(path: Path) -> Description:
    """Load a checkpoint, and check every array of it; raises CheckpointError."""
    with opened(path) as checkpoint:
        description = parse_description(path, checkpoint.meta)
        if description.damage:
            raise description.damage
        if description.kind == "last" and not (description.progress and description.text):
            raise damaged(path, "lacks its progress or its text")
        expected = shapes(description.config.model, description.vocabulary.size)
        for name in dict.fromkeys([*expected, *checkpoint.names]):
            # `optimizer.m/lstm.0.Wx` has the shape of `lstm.0.Wx`, a carried state its own.
            shape = expected.get(name.rpartition("/")[2]) or checkpoint.read(name).shape
            checkpoint.expect(name, shape)
            checkpoint.read_into(name, np.empty(shape, np.float32))
    return description


def _text(run: Run, last: Description) -> Iterator[Finding]:
    """Check the run's ids, and the text that they were made from; either is enough to resume."""
    text = last.text
    assert text is not None
    paths, same = [Path(path) for path in text.paths or (text.path,)], None
    with suppress(TextError):
        same = Source.find(paths, last.config.data).sha256() == text.sha256
    if intact := is_intact(run.ids, text):
        yield Finding(run.ids.name, "ok", f"{text.characters:,} ids, as their digest says")
    elif same:
        yield Finding(run.ids.name, "note", "missing or damaged; a resume makes it again")
    else:
        yield Finding(run.ids.name, "wrong", "missing or damaged, and so is the text")
    if same:
        yield Finding(paths[0].name, "ok", "the text is as it was")
    elif same is None:
        lost: State = "note" if intact else "wrong"
        yield Finding(paths[0].name, lost, f"the text is not at {paths[0]} any more")
    else:
        yield Finding(paths[0].name, "wrong", "the text has changed; a resume needs the old")


def _others(run: Run) -> Iterator[Finding]:
    """Check the files that hold neither the weights nor the text."""
    for path, check in ((run.config, _config), (run.history, _history), (run.lock, _lock)):
        if path.exists():
            try:
                yield Finding(path.name, *check(path))
            except (CharlmError, OSError) as error:
                yield _failed(path, error)
        elif path == run.history and run.last.exists():
            yield Finding(path.name, "note", "missing; its losses are lost, the weights are not")
    for path in filter(Path.exists, map(temporary_of, run.replaced)):
        line = "being written, or left by a crash; the next start removes it"
        yield Finding(path.name, "note", line)


def _config(path: Path) -> tuple[State, str]:
    try:
        with open_file(path) as file:
            resolve([parse_yaml(str(path), file.read())])
    except ConfigError as error:
        return "note", f"{error.problem}; a resume uses the checkpoint's settings"
    return "ok", "settings, for people to read"


def _history(path: Path) -> tuple[State, str]:
    history = read_history(path)
    if history.torn:
        return "note", f"{history.torn:,} lines cannot be read and are ignored"
    return "ok", f"{len(history.readings):,} readings"


def _lock(path: Path) -> tuple[State, str]:
    who = holder(path)
    return "note", f"{who} trains this run now" if who else "left by a process that has ended"


def _failed(path: Path, error: CharlmError | OSError) -> Finding:
    """Return what a loader raised, without the file's name, which stands beside it."""
    if isinstance(error, OSError):
        return Finding(path.name, "wrong", f"cannot be read ({error.strerror or error})")
    text = f"{error.problem}; {error.advice}" if error.advice else error.problem
    return Finding(path.name, "wrong", text)
