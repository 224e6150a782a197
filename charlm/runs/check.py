"""Is a run's folder whole? Each of its files is read, checked, and held against the others.

    last.npz best.npz   checksums, settings, vocabulary, names, shapes, finite numbers
    ids.bin, the text   digests, against those in the checkpoint
    history.jsonl       lines, updates and best loss, against the checkpoint
    config.yaml         settings, against the checkpoint's
    lock                the process that it names

Nothing is changed. What is found is one of three: right, worth knowing, or wrong.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from charlm.errors import CharlmError, CheckpointError, RunError, TextError
from charlm.nn.model import shapes
from charlm.runs.folder import Run, is_run
from charlm.runs.loading import read_config
from charlm.runs.summary import at
from charlm.settings.files import read_yaml
from charlm.settings.resolve import resolve
from charlm.settings.schema import Config, Overrides
from charlm.storage.atomic import temporary_of
from charlm.storage.checkpoint import GOOD, Checkpoint, load
from charlm.storage.history import read_history
from charlm.storage.lock import holder
from charlm.terminal import argument
from charlm.text.corpus import TextInfo, file_sha256
from charlm.text.source import Source
from charlm.text.vocabulary import Vocabulary

# No count of a run reaches it; a damaged description may hold any number.
_LARGEST = 1e18


class Finding(NamedTuple):
    """Say what was found about a file, and what to do.

    Attributes:
        file: its name; empty for the run as a whole.
        state: `ok`, `note` for what is worth knowing, `wrong` for what is damaged or lost.
        text: one line.
    """

    file: str
    state: Literal["ok", "note", "wrong"]
    text: str


class _Whole(NamedTuple):
    """Hold a checkpoint that is whole."""

    checkpoint: Checkpoint
    config: Config
    vocabulary: Vocabulary
    step: int


def check(where: str, checkpoints: Path) -> list[Finding]:
    """Check a run's folder.

    Args:
        where: a run's name or folder.
        checkpoints: the folder of all runs.

    Returns:
        What was found, file by file; last, what can be done with the run.

    Raises:
        RunError: there is no such folder.
    """
    folder = checkpoints / where if is_run(checkpoints, where) else Path(where)
    if not folder.is_dir():
        folder = checkpoints / where
    if not folder.is_dir():
        raise RunError(where, "no such run", "name one, or its folder")
    return list(_findings(Run(folder)))


def _findings(run: Run) -> Iterator[Finding]:
    whole: dict[Path, _Whole] = {}
    for path in (run.last, run.best):
        if path.exists():
            try:
                whole[path] = _read(path)
            except CharlmError as error:
                other = "; remove it, and sample and eval take last.npz" if whole else ""
                yield Finding(path.name, "wrong", _without(path, error) + other)
            else:
                step = f"update {whole[path].step:,}"
                yield Finding(path.name, "ok", f"{step}, every array as its checksum says")
    last, best = whole.get(run.last), whole.get(run.best)
    known = last or best
    if last and best and last.checkpoint.meta["text"] != best.checkpoint.meta.get("text"):
        yield Finding(run.best.name, "wrong", "was learned from another text than last.npz")
    elif last and best and best.step > last.step:
        yield Finding(run.best.name, "note", "is newer than last.npz; a resume comes there again")
    ids_whole = text_there = True
    # An imported run has neither text nor ids.
    if last:
        for finding in _text(run, last):
            ids_whole &= (finding.file, finding.state) != (run.ids.name, "wrong")
            text_there &= finding.file == run.ids.name or finding.state == "ok"
            yield finding
    if run.config.exists() and known:
        yield _config(run, known)
    yield from _history(run, last)
    yield from _left(run)
    yield _verdict(run, last, best, ids_whole or text_there)


def _read(path: Path) -> _Whole:
    checkpoint = load(path)
    config, vocabulary = read_config(path, checkpoint.meta)
    expected = shapes(config.model, vocabulary.size)
    if missing := [name for name in expected if name not in checkpoint.arrays]:
        raise CheckpointError(path, f"lacks '{missing[0]}'")
    for name, q in checkpoint.arrays.items():
        # `optimizer.m/lstm.0.Wx`, `good/average/lstm.0.Wx`: as large as what they belong to.
        shape = expected.get(name.rpartition("/")[2], q.shape)
        if q.shape != shape:
            raise CheckpointError(path, f"'{name}' is {q.shape}, {shape} expected")
        if not np.isfinite(q).all():
            raise CheckpointError(path, f"'{name}' holds what is no finite number")
    step = _number(checkpoint.meta, "progress", "step")
    if path.name == "last.npz":
        if any(GOOD in name for name in checkpoint.arrays) != ("good" in checkpoint.meta):
            raise CheckpointError(path, "its good state is not whole")
        if step is None or not isinstance(checkpoint.meta.get("text"), dict):
            raise CheckpointError(path, "lacks its progress or its text")
    return _Whole(checkpoint, config, vocabulary, int(step or 0))


def _text(run: Run, last: _Whole) -> Iterator[Finding]:
    try:
        text = TextInfo.from_dict(last.checkpoint.meta["text"])
        paths = [Path(q) for q in text.paths or (text.path,)]
    except (TypeError, ValueError):
        yield Finding(run.last.name, "wrong", "names no text")
        return
    name, data = paths[0].name, last.config.data
    try:
        source = Source.find(paths, data.glob, data.encoding, data.level)
        same = source.sha256() == text.sha256
    except TextError:
        same = False
        told = Finding(name, "note", f"the text is not at {paths[0]} any more")
    else:
        told = Finding(name, "ok", "the text is as it was")
        if not same:
            told = Finding(
                name, "wrong", "the text has changed; a resume needs it as it was, or none there"
            )
    try:
        intact = run.ids.is_file() and file_sha256(run.ids) == text.ids_sha256
    except OSError:
        intact = False
    if intact:
        yield Finding(run.ids.name, "ok", f"{text.characters:,} ids, as their digest says")
    elif same:
        yield Finding(run.ids.name, "note", "missing or damaged; a resume makes it again")
    else:
        yield Finding(run.ids.name, "wrong", "missing or damaged, and so is the text")
    yield told


def _config(run: Run, known: _Whole) -> Finding:
    name, unread = run.config.name, "a resume goes by the checkpoint"
    try:
        layer = read_yaml(run.config)
        # What the checkpoint settled, such as steps from minutes, the file settles as well.
        config = resolve([Overrides(layer.source, layer.settings)]).config
    except CharlmError as error:
        return Finding(name, "note", f"{_without(run.config, error)}; {unread}")
    if config != known.config:
        return Finding(name, "note", f"has other settings than the checkpoint; {unread}")
    return Finding(name, "ok", "the checkpoint's settings")


def _history(run: Run, last: _Whole | None) -> Iterator[Finding]:
    name = run.history.name
    if not run.history.exists():
        if last and last.step:
            yield Finding(name, "note", "missing; losses so far are lost, the weights are not")
        return
    try:
        history = read_history(run.history)
    except RunError as error:
        yield Finding(name, "wrong", _without(run.history, error))
        return
    if history.torn:
        lines = f"{history.torn:,} {'line' if history.torn == 1 else 'lines'}"
        yield Finding(name, "note", f"{lines} torn by a crash and passed over")
    if last is None:
        return
    steps = [reading.step for reading in history.readings]
    ahead = sum(step > last.step for step in steps)
    losses = {reading.step: reading.validation for reading in history.readings}
    step, loss = (_number(last.checkpoint.meta, "progress", f"best_{q}") for q in ("step", "loss"))
    if loss is not None and losses.get(int(step or 0)) != loss:
        yield Finding(
            name, "note", f"does not tell the best loss, {loss:.4f} at update {step or 0:,}"
        )
    elif ahead:
        yield Finding(name, "note", f"{ahead:,} readings newer than last.npz; a resume drops them")
    else:
        yield Finding(name, "ok", f"{len(steps):,} readings, none newer than last.npz")


def _left(run: Run) -> Iterator[Finding]:
    """Look at what a process holds, or left."""
    try:
        held = holder(run.lock)
    except OSError as error:
        yield Finding(run.lock.name, "wrong", f"cannot be read ({error.strerror or error})")
        held = None
    if held:
        who, lives = held
        told = "trains this run now" if lives else "left it and is gone; the next start removes it"
        yield Finding(run.lock.name, "note", f"{who} {told}")
    for path in (run.last, run.best, run.config):
        if temporary_of(path).exists():
            yield Finding(
                temporary_of(path).name, "note", "being written, or left by a crash; the next "
                "start removes it",
            )  # fmt: skip


def _verdict(run: Run, last: _Whole | None, best: _Whole | None, has_text: bool) -> Finding:
    if last and has_text:
        goal = last.config.train.steps or 0
        if last.step >= goal:
            return Finding("", "ok", f"finished; more updates: {run.resuming} --steps {goal * 2}")
        return Finding("", "ok", f"can go on: {run.resuming}")
    if last:
        return Finding(
            "", "wrong", f"goes on where its text is named: {run.resuming} and the text's path"
        )
    if best:
        named = f"charlm train TEXT --init-from {argument(run.best)}"
        state: Literal["ok", "wrong"] = "wrong" if run.last.exists() else "ok"
        return Finding("", state, f"cannot go on; a new run can begin with its weights: {named}")
    return Finding("", "wrong", "holds no checkpoint that can be used; begin again")


def _number(meta: Mapping[str, Any], *keys: str) -> float | int | None:
    content = at(meta, *keys)
    right = isinstance(content, int | float) and abs(content) < _LARGEST
    return content if right else None


def _without(path: Path, error: Exception) -> str:
    """Return an error's text without the file's name, which stands beside it."""
    return str(error).removeprefix(f"{path}: ")
