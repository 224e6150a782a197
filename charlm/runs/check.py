"""Whether a run's files are whole: what the loaders raise, file by file; nothing is changed.

last.npz good.npz best.npz   checksums, settings, vocabulary, names, shapes, finite numbers
ids.bin, the text            digests, against those in the checkpoint
config.yaml, history.jsonl   settings, best loss and steps, against the checkpoint
lock, temporary files        whether a process holds it, or left them
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias, cast

import numpy as np

from charlm.errors import CharlmError, CheckpointError, RunError, TextError
from charlm.nn.model import shapes
from charlm.runs.description import Description, Progress, parse_description
from charlm.runs.folder import Run, find_folder
from charlm.runs.training_text import is_intact
from charlm.settings.files import parse_yaml
from charlm.settings.resolve import resolve
from charlm.storage.atomic import temporary_of
from charlm.storage.checkpoint import opened
from charlm.storage.files import open_file
from charlm.storage.history import read_history
from charlm.storage.lock import holder
from charlm.terminal import argument
from charlm.text.source import Source

State: TypeAlias = Literal["ok", "note", "wrong"]


class Finding(NamedTuple):
    """The state of a file.

    Attributes:
        file: its name; empty for the run as a whole.
        state: `ok`, `note` for what is worth knowing, `wrong` for what is damaged or lost.
        text: one line.
    """

    file: str
    state: State
    text: str


def check_run(where: str, checkpoints: Path) -> list[Finding]:
    """Check the files of a run.

    Args:
        where: a run's name or folder.
        checkpoints: the folder of all runs.

    Returns:
        A finding a file; the last one is on the run as a whole: what can be done with it.

    Raises:
        RunError: there is no such folder.
    """
    try:
        return list(_findings(find_folder(where, checkpoints)))
    except CheckpointError:
        raise RunError(where, "no such run", "name one, or its folder") from None


def _findings(run: Run) -> Iterator[Finding]:
    found: dict[Path, Description] = {}
    for path in filter(Path.exists, (run.last, run.good, run.best)):
        try:
            found[path] = description = _load(path)
        except CheckpointError as error:
            yield Finding(path.name, "wrong", _told(error))
        else:
            step = description.progress.step if description.progress else 0
            yield Finding(path.name, "ok", f"step {step:,}, every array as its checksum says")
    last, best = found.get(run.last), found.get(run.best)
    if last and best and last.text != best.text:
        yield Finding(run.best.name, "wrong", "was trained on another text than last.npz")
    texts = list(_text(run, last)) if last else []
    yield from texts
    if (known := last or best) and run.config.exists():
        yield _config(run, known)
    yield from _history(run, last.progress if last else None)
    yield from _left(run)
    if last and last.progress and any(finding.state != "wrong" for finding in texts):
        goal = last.config.train.steps or 0
        if last.progress.step >= goal:
            yield Finding("", "ok", f"finished; more steps: {run.resuming} --steps {goal * 2}")
        else:
            yield Finding("", "ok", f"can be resumed: {run.resuming}")
    elif last:
        yield Finding("", "wrong", f"needs its text to resume: {run.resuming} and the text's path")
    elif best:
        command = f"charlm train TEXT --init-from {argument(run.best)}"
        state: State = "wrong" if run.last.exists() else "ok"
        yield Finding("", state, f"cannot be resumed; its weights can begin a new run: {command}")
    else:
        yield Finding("", "wrong", "holds no usable checkpoint; train again")


def _load(path: Path) -> Description:
    """Load a checkpoint, and check every array of it; raises CheckpointError."""
    with opened(path) as checkpoint:
        description = parse_description(path, checkpoint.meta)
        if description.damage:
            raise description.damage
        if description.kind == "last" and not (description.progress and description.text):
            raise CheckpointError(path, "lacks its progress or its text", "the file is damaged")
        expected = shapes(description.config.model, description.vocabulary.size)
        for name in dict.fromkeys([*expected, *checkpoint.names]):
            # `optimizer.m/lstm.0.Wx` has the shape of `lstm.0.Wx`, a carried state its own.
            shape = expected.get(name.rpartition("/")[2]) or checkpoint.read(name).shape
            checkpoint.expect(name, shape)
            checkpoint.read_into(name, np.empty(shape, np.float32))
    return description


def _text(run: Run, last: Description) -> Iterator[Finding]:
    """Check the run's ids, and the text that they were made from; either is enough to resume."""
    text, data = last.text, last.config.data
    assert text is not None
    paths = [Path(path) for path in text.paths or (text.path,)]
    try:
        source = Source.find(paths, data.glob, data.encoding, data.level)
        same = source.sha256() == text.sha256
        found = ("ok", "is as it was") if same else ("wrong", "has changed; a resume needs the old")
    except TextError:
        same, found = False, ("note", f"is not at {paths[0]} any more")
    if is_intact(run.ids, text):
        yield Finding(run.ids.name, "ok", f"{text.characters:,} ids, as their digest says")
    elif same:
        yield Finding(run.ids.name, "note", "missing or damaged; a resume makes it again")
    else:
        yield Finding(run.ids.name, "wrong", "missing or damaged, and so is the text")
        found = ("wrong", found[1])
    yield Finding(paths[0].name, cast(State, found[0]), f"the text {found[1]}")


def _config(run: Run, known: Description) -> Finding:
    try:
        with open_file(run.config) as file:
            config = resolve([parse_yaml(str(run.config), file.read())]).config
        if config == known.config:
            return Finding(run.config.name, "ok", "the checkpoint's settings")
        problem = "has other settings than the checkpoint"
    except OSError as error:
        problem = f"cannot be read ({error.strerror or error})"
    except CharlmError as error:
        problem = _told(error)
    return Finding(run.config.name, "note", f"{problem}; a resume uses the checkpoint's settings")


def _history(run: Run, progress: Progress | None) -> Iterator[Finding]:
    name = run.history.name
    if not run.history.exists():
        if progress and progress.step:
            yield Finding(name, "note", "missing; its losses are lost, the weights are not")
        return
    try:
        history = read_history(run.history)
    except RunError as error:
        yield Finding(name, "wrong", _told(error))
        return
    if history.torn:
        yield Finding(name, "note", f"{history.torn:,} lines cannot be read and are ignored")
    if progress is None:
        return
    losses = {reading.step: reading.validation for reading in history.readings}
    ahead = sum(step > progress.step for step in losses)
    if progress.best_loss is not None and losses.get(progress.best_step) != progress.best_loss:
        best = f"{progress.best_loss:.4f} at step {progress.best_step:,}"
        yield Finding(name, "note", f"lacks the best loss, {best}")
    elif ahead:
        yield Finding(name, "note", f"{ahead:,} readings newer than last.npz; a resume drops them")
    else:
        yield Finding(name, "ok", f"{len(losses):,} readings, none newer than last.npz")


def _left(run: Run) -> Iterator[Finding]:
    """Check the lock and the temporary files."""
    if run.lock.exists():
        try:
            who = holder(run.lock)
            line = f"{who} trains this run now" if who else "left by a process that has ended"
            yield Finding(run.lock.name, "note", line)
        except OSError as error:
            yield Finding(run.lock.name, "wrong", f"cannot be read ({error.strerror or error})")
    for path in filter(Path.exists, map(temporary_of, run.replaced)):
        line = "being written, or left by a crash; the next start removes it"
        yield Finding(path.name, "note", line)


def _told(error: CharlmError) -> str:
    """Return an error without the file's name, which stands beside it."""
    return f"{error.problem}; {error.advice}" if error.advice else error.problem
