"""Prepare a training: from settings and a text to a trainer.

start     text -> vocabulary -> settings -> memory -> folder -> ids.bin -> pace -> Trainer
resume    last.npz -> threads -> the same text -> memory -> Trainer, restored
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from charlm import environment
from charlm.errors import CheckpointError, ConfigError, RunError, TextError
from charlm.nn.model import Memory, memory, shapes
from charlm.optim.optimizers import OPTIMIZERS
from charlm.runs.description import Description
from charlm.runs.folder import Run, create, find_checkpoint
from charlm.runs.loading import is_intact, load_model, read_description
from charlm.settings.files import to_yaml
from charlm.settings.resolve import resolve
from charlm.settings.schema import LENGTHS, Config, Overrides
from charlm.storage.checkpoint import OpenCheckpoint, opened
from charlm.text.corpus import TextInfo, encode_to_file, open_ids, scan, split, text_notes
from charlm.text.source import Source, Watch
from charlm.training import snapshot
from charlm.training.finetuning import extend, model_settings
from charlm.training.planning import WORTH_TIMING, Pace, measure, set_steps
from charlm.training.trainer import Trainer
from charlm.types import Ids

_MOST_THREADS = 1024


@dataclass
class PreparedRun:
    """A trainer that is ready to run."""

    trainer: Trainer
    memory: Memory  # what it takes
    pace: Pace | None  # measured; None where the run is too short to be timed, or resumed
    notes: list[str]  # what was chosen or found, one line each


def start_run(
    overrides: Sequence[Overrides],
    checkpoints: Path,
    name: str | None = None,
    *,
    resume: bool = False,
    threads: int | None = None,
    reading: Callable[[int, int], object] | None = None,
    began: float | None = None,
) -> PreparedRun:
    """Prepare a new run in a folder of its own; `charlm.start` has the arguments.

    With `resume`, the run of this name is prepared to continue where it can be.

    Raises:
        ConfigError: a setting is invalid, or there is too little memory.
        TextError: the text cannot be read, or is too short.
        RunError: the name is taken, or the run's folder cannot be made.
        CheckpointError: the one that `train.init_from` names is missing or damaged.
    """
    began = time.perf_counter() if began is None else began
    pending, pretrained = resolve(overrides), None
    paths = [Path(path) for path in pending.config.data.path]
    stem = Path(os.path.abspath(paths[0])).stem or "run"
    if resume and os.path.exists((run := Run(checkpoints / (name or stem))).last):
        return _continue(run, overrides, pending.config, threads)
    if (where := pending.config.train.init_from) is not None:
        path = find_checkpoint(where, checkpoints).absolute()
        pretrained = load_model(path)
        overrides = [*overrides, Overrides("init_from", {"train.init_from": str(path)})]
        pending = resolve(overrides, model_settings(path, pretrained.config))

    data = pending.config.data
    source = Source.find(paths, data)
    watches = [] if reading is None else [_counting(reading, source.nbytes)]
    vocabulary, counts, sha256 = scan(source, data.min_count, *watches)
    config, notes = pending.finalize(int(counts.sum()))
    notes = text_notes(source, counts) + notes
    if pretrained is not None:
        vocabulary, note = extend(vocabulary, pretrained.vocabulary)
        notes.append(f"starts from the weights of {config.train.init_from}: {note}")
    needed = _check_memory(config, vocabulary.size)
    if rare := len({*map(chr, np.flatnonzero(counts))} - {*vocabulary.symbols}):
        notes.append(
            f"{rare:,} characters that occur less than {data.min_count} times are one unknown "
            "symbol, which is never drawn"
        )

    run = create(checkpoints, stem if name is None else name, exact=name is not None)
    try:
        text = encode_to_file(source, vocabulary, run.ids, _absolute(paths), *watches)
        if text.sha256 != sha256:
            raise TextError(source.name, "changed while it was being read", "start again")
        ids = open_ids(run.ids, vocabulary.dtype)
        pace, minutes, steps = None, config.train.minutes, config.train.steps
        tried = environment.thread_counts() if threads is None else [threads]
        if steps is None or steps >= WORTH_TIMING:
            pace = measure(config, vocabulary, text, ids, tried)
            if pace.note:
                notes.append(pace.note)
            if minutes is not None:
                left = minutes * 60 - (time.perf_counter() - began)
                config, note = set_steps(config, pace, left)
                notes.append(note)
        run.save_config(to_yaml(config))
        with environment.limited(pace.threads if pace else min(tried)):
            trainer = Trainer(config, vocabulary, text, ids, run)
            if pretrained is not None:
                trainer.begin_with(pretrained)
        return PreparedRun(trainer, needed, pace, notes)
    except BaseException as error:
        run.discard()
        if isinstance(error, OSError):
            raise RunError(run.folder, f"cannot be written ({error.strerror or error})") from None
        raise


def _continue(
    run: Run, overrides: Sequence[Overrides], asked: Config, threads: int | None
) -> PreparedRun:
    """Resume a run in place of a start, and note where its settings are not those asked for."""
    given = {key for layer in overrides for key in layer.settings}
    moved_to = [Path(path) for path in asked.data.path] if "data.path" in given else []
    steps = asked.train.steps if "train.steps" in given else None
    prepared = resume_run(run, moved_to, steps, threads)
    now, then = asked.flat(), prepared.trainer.config.flat()
    kept = [
        f"{key} {then[key]}, not {now[key]}"
        for key in sorted(given & now.keys() - {*LENGTHS, "data.path", "train.init_from"})
        if now[key] not in (then[key], "auto", "full")
    ]
    if kept:
        prepared.notes.append(f"the run keeps what it began with: {'; '.join(kept)}")
    return prepared


def resume_run(
    run: Run, moved_to: Sequence[Path] = (), steps: int | None = None, threads: int | None = None
) -> PreparedRun:
    """Prepare a run to continue from its last checkpoint; `charlm.resume` has the arguments.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        TextError: the text is not the run's.
        ConfigError: there is too little memory.
        RunError: fewer steps than are made, or another process trains the run.
    """
    run.take()
    try:
        description = read_description(run.last)
        # Another number may change the last bits of the result.
        threads = description.threads if threads is None else threads
        is_known = threads is not None and 0 < threads <= _MOST_THREADS
        with environment.limited(threads if is_known else None):
            return _resume(run, description, moved_to, steps)
    except BaseException:
        run.release()
        raise


def _resume(
    run: Run, description: Description, moved_to: Sequence[Path], steps: int | None
) -> PreparedRun:
    config, vocabulary = description.config, description.vocabulary
    if description.damage:
        raise description.damage
    if description.progress is None:
        raise CheckpointError(run.last, "lacks its progress", "it is no last.npz")
    made = description.progress.step
    notes = _version_notes(description)
    text, text_notes = _same_text(run, description, moved_to)
    notes += text_notes
    if steps is not None and steps < made:
        problem = f"must be at least the {made:,} steps that are made, got {steps:,}"
        raise RunError("--steps", problem, "a run cannot go back")
    moved = steps is not None and steps != config.train.steps
    if moved:
        notes.append(
            f"the goal moved from {config.train.steps:,} to {steps:,} steps, and the learning "
            "rate's schedule with it"
        )
        config = config.replace(train__steps=steps)
    ids = open_ids(run.ids, vocabulary.dtype)
    with opened(run.last) as checkpoint:
        _check_fit(checkpoint, config, vocabulary.size, ids)
        needed = _check_memory(config, vocabulary.size)
        trainer = Trainer(config, vocabulary, text, ids, run)
        snapshot.resume(trainer, checkpoint)
    if moved:
        trainer.plateau.bad_validations = 0
        # However this process ends, the next one has the new goal.
        snapshot.save_last(trainer)
        run.save_config(to_yaml(config))
    return PreparedRun(trainer, needed, None, notes)


def _check_fit(checkpoint: OpenCheckpoint, config: Config, V: int, ids: Ids) -> None:
    """Raise CheckpointError where settings, text and arrays do not fit; allocates nothing."""
    train, path = config.train, checkpoint.path
    N = split(ids, config.data)[0].size
    T, B = train.seq_len, train.batch_size
    if train.steps is None or not isinstance(T, int) or N // B < T:
        raise CheckpointError(path, "its settings do not fit its text", "the file is damaged")
    for name, shape in shapes(config.model, V).items():
        checkpoint.expect(name, shape)
    checkpoint.expect("state/0.h", (config.model.hidden, B))
    if ids.max(initial=0) >= V:
        raise CheckpointError(path, "its text has symbols that it does not know", "it is damaged")


def training_memory(config: Config, V: int) -> Memory:
    """Return the memory that a training takes; the configuration is final."""
    train, T, B = config.train, config.train.seq_len, config.train.batch_size
    assert isinstance(T, int)
    rates = [train.embedding_dropout] + [train.dropout] * config.model.layers
    states, ema = len(OPTIMIZERS[train.optimizer].STATE), train.average > 0
    return memory(config.model, V, T, B, rates=rates, optimizer_states=states, ema=ema)


def _check_memory(config: Config, V: int) -> Memory:
    """Return the memory that a training takes; raises ConfigError where so much is not free."""
    needed, free, values = training_memory(config, V), environment.free_memory(), config.flat()
    if free is None or needed.total <= free:
        return needed
    keys = ["model.hidden", "model.layers"]
    if needed.caches > needed.weights:
        keys = ["train.batch_size", "train.seq_len"]
    problem = f"needs {_size(needed.total)}, got {_size(free)} of free memory"
    advice = "lower " + " or ".join(f"{key} ({values[key]})" for key in keys)
    raise ConfigError("train", problem, advice)


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def _absolute(paths: Sequence[Path]) -> tuple[str, ...]:
    return tuple(str(path.absolute()) for path in paths)


def _counting(reading: Callable[[int, int], object], total: int) -> Watch:
    """Return a watch that reports half of the bytes of two readings of `total` bytes."""
    done = 0

    def watch(piece: bytes) -> None:
        nonlocal done
        done += len(piece)
        reading(done // 2, total)

    return watch


def _same_text(
    run: Run, description: Description, moved_to: Sequence[Path]
) -> tuple[TextInfo, list[str]]:
    """Return the run's text, after a check of its ids; encode it again if they are damaged."""
    if (text := description.text) is None:
        raise CheckpointError(run.last, "names no text", "the file is damaged")
    paths = list(moved_to) or [Path(path) for path in text.paths or (text.path,)]
    path, there, notes = paths[0], all(map(os.path.exists, paths)), []
    if there or moved_to:
        source = Source.find(paths, description.config.data)
        if source.sha256() != text.sha256:
            problem = f"is not the text that {run.folder} learns (its SHA-256 differs)"
            advice = "name the right one, or another run with --name, or start one without --resume"
            raise TextError(path, problem, advice)
        text = replace(text, path=source.name, paths=_absolute(paths))
    if not is_intact(run.ids, text):
        if not there:
            problem = f"no such file, and {run.ids} is damaged or missing"
            advice = "name where the text is now: charlm train TEXT --resume"
            raise TextError(path, problem, advice)
        with run.saving(run.ids):
            # A process that has the old file mapped keeps it; what is no file goes as well.
            run.ids.unlink(missing_ok=True)
            encode_to_file(source, description.vocabulary, run.ids)
        notes.append(f"{run.ids} was missing or damaged, and is encoded again from the text")
    elif not there:
        notes.append(f"{path} is gone; the run's own copy is used, {run.ids}")
    return text, notes


def _version_notes(description: Description) -> list[str]:
    """Return a note of what differs from the machine that wrote the checkpoint, if anything."""
    now: dict[str, Any] = {**environment.versions(), "threads": environment.threads()}
    then: dict[str, Any] = {**description.versions, "threads": description.threads}
    changed = [f"{key} {then.get(key)} -> {now[key]}" for key in now if then.get(key) != now[key]]
    if not changed:
        return []
    return [f"not the same as before: {', '.join(changed)}; the result may differ in its last bits"]
