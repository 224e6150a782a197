"""Begin a training, or go on with one: from settings and a text to a trainer.

begin     text -> vocabulary -> preset -> ids.bin -> B and T that fit -> steps -> Trainer
resume    last.npz -> the same text? -> Trainer, put back where it was
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from charlm import environment
from charlm.errors import CheckpointError, RunError, TextError
from charlm.nn.model import shapes
from charlm.runs.folder import Run, create
from charlm.runs.loading import expect, load_model, read_config, read_counts
from charlm.settings.files import to_yaml
from charlm.settings.presets import choose_preset
from charlm.settings.schema import Config
from charlm.storage.checkpoint import Checkpoint, load
from charlm.text.batches import fit
from charlm.text.corpus import TextInfo, encode_to_file, file_sha256, open_ids, scan, split
from charlm.text.source import Source, Watch
from charlm.text.vocabulary import Vocabulary
from charlm.training import memory
from charlm.training.planning import TIMING_SHARE, Pace, measure, plan
from charlm.training.trainer import Progress, Trainer
from charlm.types import Ids

# A shorter run is over before its length could be estimated.
_WORTH_TIMING = 50
_LONGEST_TIMING_S = 12.0
_LONGEST_GLANCE_S = 3.0
_LONGEST_VERSION = 40


@dataclass
class PreparedRun:
    """Hold a trainer that is ready to go, and what there is to say about it.

    Attributes:
        trainer: ready for `events`.
        pace: what was timed; None where the run is too short to time.
        notes: one line each.
    """

    trainer: Trainer
    pace: Pace | None = None
    notes: list[str] = field(default_factory=list)


def prepare_run(
    config: Config,
    given: frozenset[str],
    checkpoints: Path,
    name: str | None = None,
    spent_s: float = 0.0,
    reading: Callable[[int, int], object] | None = None,
) -> PreparedRun:
    """Set a new run up in a folder of its own.

    Args:
        config: the settings.
        given: the keys somebody chose; the others may shrink to fit a short text.
        checkpoints: the folder of all runs.
        name: the run's; the text's stem where None.
        spent_s: seconds already spent out of `train.minutes`.
        reading: is told how many of the text's bytes are read, and how many there are. A text is
            read twice, and counts half each time.

    Raises:
        TextError: the text cannot be read, or is too short.
        ConfigError: there is too little memory.
        RunError: the run's folder cannot be made.
        CheckpointError: the one that `train.init_from` names is damaged.
    """
    began = time.perf_counter() - spent_s
    # Before there is a model of its settings, which may be of any size.
    old = None if config.train.init_from is None else load_model(Path(config.train.init_from))
    paths = [Path(q) for q in config.data.path]
    source = _source(paths, config)
    watches = [] if reading is None else [_counting(reading, source.nbytes)]
    vocabulary, counts, sha256 = scan(source, config.data.min_count, *watches)
    config, chosen = choose_preset(config, given, int(counts.sum()))
    config, notes = _fit(config, given, int(counts.sum()))
    if chosen:
        notes.insert(0, chosen)
    memory.check(memory.need(config, vocabulary.size), environment.free_memory(), config)
    if vocabulary.unknown_id is not None:
        rare = np.count_nonzero(counts) - len(vocabulary.symbols)
        notes.append(
            f"{rare:,} characters that occur less than {config.data.min_count} times are one "
            "unknown symbol, which is never drawn"
        )
    run = create(checkpoints, paths[0].absolute().stem if name is None else name)
    try:
        named = tuple(str(q.absolute()) for q in paths)
        text = encode_to_file(source, vocabulary, run.ids, named, *watches)
        if text.sha256 != sha256:
            raise TextError(source.name, "changed while it was being read", "start again")
        ids = open_ids(run.ids, vocabulary.dtype)
        config, pace = _set_steps(config, vocabulary, text, ids, began, notes)
        run.save_config(to_yaml(config))
        trainer = Trainer(config, vocabulary, text, ids, run)
        if old is not None:
            kept, fresh, _ = trainer.begin_with(old)
            notes.append(
                f"begins with the weights of {config.train.init_from}: {kept:,} characters known, "
                f"{fresh:,} new"
            )
        return PreparedRun(trainer, pace, notes)
    except OSError as error:
        run.discard()
        raise RunError(run.folder, f"cannot be written ({error.strerror or error})") from None
    except BaseException:
        run.discard()
        raise


def resume_run(run: Run, moved_to: Sequence[Path] = (), steps: int | None = None) -> PreparedRun:
    """Go on with a run from its last checkpoint.

    Args:
        run: the run.
        moved_to: where its text is now, if it moved.
        steps: a new goal; the schedule stretches with it.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        TextError: the text is not the one the run began with.
        ConfigError: there is too little memory.
        RunError: the new goal lies behind the run, or another process trains it.
    """
    run.take()
    try:
        return _resume(run, moved_to, steps)
    except BaseException:
        run.release()
        raise


def _resume(run: Run, moved_to: Sequence[Path], steps: int | None) -> PreparedRun:
    checkpoint = load(run.last)
    config, vocabulary = read_config(run.last, checkpoint.meta)
    made = read_counts(checkpoint, "progress", Progress).step
    notes = _version_notes(checkpoint.meta)
    text, text_notes = _same_text(run, checkpoint, config, vocabulary, moved_to)
    notes += text_notes
    if steps is not None and steps < made:
        raise RunError(
            "--steps",
            f"must be at least the {made:,} updates that are made, got {steps:,}",
            "a run cannot go back",
        )
    goal = config.train.steps if steps is None else steps
    moved = goal != config.train.steps
    if moved:
        notes.append(
            f"the goal moved from {config.train.steps:,} to {goal:,} updates, and the "
            "learning rate's schedule with it"
        )
        config = config.replace(train__steps=goal)
    ids = open_ids(run.ids, vocabulary.dtype)
    _check(checkpoint, config, vocabulary, ids)
    memory.check(memory.need(config, vocabulary.size), environment.free_memory(), config)
    trainer = Trainer(config, vocabulary, text, ids, run)
    trainer.restore(checkpoint)
    if moved:
        trainer.plateau.stale = 0
        # Whatever ends this process, the next one has the new goal.
        trainer.save()
        run.save_config(to_yaml(config))
    return PreparedRun(trainer, None, notes)


def _check(checkpoint: Checkpoint, config: Config, vocabulary: Vocabulary, ids: Ids) -> None:
    """Hold settings that ask for memory against the text and the arrays, before there is a trainer.

    Raises:
        CheckpointError: they do not fit.
    """
    train, path = config.train, checkpoint.path
    N = split(ids.size, config.data.validation, config.data.test)[0].size
    T, B = train.seq_len, train.batch_size
    if train.steps is None or not isinstance(T, int) or N // B < T:
        raise CheckpointError(path, "its settings do not fit its text", "the file is damaged")
    for name, shape in shapes(config.model, vocabulary.size).items():
        expect(checkpoint, name, shape, np.dtype(np.float32))
    expect(checkpoint, "state/0.h", (config.model.hidden, B), np.dtype(np.float32))
    if ids.max(initial=0) >= vocabulary.size:
        raise CheckpointError(path, "its text has symbols that it does not know", "it is damaged")


def _source(paths: Sequence[Path], config: Config) -> Source:
    data = config.data
    return Source.find(paths, data.glob, data.encoding, data.level)


def _counting(reading: Callable[[int, int], object], total: int) -> Watch:
    """Add up two readings of `total` bytes, and tell half of the sum."""
    done = 0

    def watch(piece: bytes) -> None:
        nonlocal done
        done += len(piece)
        reading(done // 2, total)

    return watch


def _fit(config: Config, given: frozenset[str], characters: int) -> tuple[Config, list[str]]:
    """Shrink B and T to a short text, and turn `full` and epochs into numbers."""
    train = config.train
    N = split(characters, config.data.validation, config.data.test)[0].size
    B, T, notes = train.batch_size, train.seq_len, []
    full = T == "full"
    fitted_B, fitted_T = fit(
        N,
        B,
        1 if full else int(T),
        B_may_shrink="train.batch_size" not in given,
        T_may_shrink="train.seq_len" not in given,
    )
    if full:
        fitted_T = max(1, N // fitted_B)
        notes.append(f"full backpropagation: {fitted_T:,} steps, a whole stream")
    elif (fitted_B, fitted_T) != (B, T):
        notes.append(
            f"the text is short: {fitted_B} streams of {fitted_T} steps instead of {B} of {T}"
        )
    # A character to read, and the one after it.
    wanted = max(2, fitted_B * fitted_T)
    if wanted > N:
        least = int(wanted / (1 - config.data.validation - config.data.test))
        while split(least, config.data.validation, config.data.test)[0].size < wanted:
            least += 1
        raise TextError(
            config.data.path[0],
            f"{characters:,} characters is too short, batch_size={fitted_B} x seq_len={fitted_T} "
            f"needs at least {least:,}",
            "lower either" if fitted_B * fitted_T > 1 else "name a longer text",
        )
    config = config.replace(train__batch_size=fitted_B, train__seq_len=fitted_T)
    if train.epochs is not None:
        chunks = N // fitted_B // fitted_T
        steps = max(1, round(train.epochs * chunks))
        config = config.replace(train__steps=steps, train__epochs=None)
    return config, notes


def _set_steps(
    config: Config,
    vocabulary: Vocabulary,
    text: TextInfo,
    ids: Ids,
    began: float,
    notes: list[str],
) -> tuple[Config, Pace | None]:
    """Turn minutes into steps, and time what is long enough to be asked about."""
    minutes, steps = config.train.minutes, config.train.steps
    if minutes is None and steps is not None and steps < _WORTH_TIMING:
        return config, None
    timed = config.replace(train__steps=steps or 10**6, train__minutes=None)
    if minutes is None:
        return config, measure(timed, vocabulary, text, ids, _LONGEST_GLANCE_S)
    seconds = min(minutes * 60 * TIMING_SHARE, _LONGEST_TIMING_S)
    pace = measure(timed, vocabulary, text, ids, seconds)
    chosen = config.train.validate_every
    left = minutes * 60 - (time.perf_counter() - began)
    steps, every = plan(left, pace, None if chosen == "auto" else chosen)
    note = f"{minutes:g} minutes are {steps:,} updates here; the same with --steps {steps}"
    if chosen == "auto" and every is not None:
        timed = timed.replace(train__validate_every=every)
        note += f" --set train.validate_every={every}"
    notes.append(note)
    return timed.replace(train__steps=steps), pace


def _same_text(
    run: Run,
    checkpoint: Checkpoint,
    config: Config,
    vocabulary: Vocabulary,
    moved_to: Sequence[Path],
) -> tuple[TextInfo, list[str]]:
    """Make sure that the run's ids are those it began with, from the text if need be."""
    try:
        text = TextInfo.from_dict(checkpoint.meta["text"])
    except (KeyError, TypeError, ValueError):
        raise CheckpointError(run.last, "names no text", "the file is damaged") from None
    paths = list(moved_to) or [Path(q) for q in text.paths or (text.path,)]
    path, there, notes = paths[0], all(q.exists() for q in paths), []
    if there or moved_to:
        source = _source(paths, config)
        if source.sha256() != text.sha256:
            raise TextError(
                path,
                f"is not the text that {run.folder} learns (its SHA-256 differs)",
                "name the right one, or another run with --name, or start a new one without "
                "--resume",
            )
        named = tuple(str(q.absolute()) for q in paths)
        text = replace(text, path=source.name, paths=named)
    intact = run.ids.is_file() and file_sha256(run.ids) == text.ids_sha256
    if not intact:
        if not there:
            raise TextError(
                path,
                f"no such file, and {run.ids} is damaged or missing",
                "name where the text is now: charlm train TEXT --resume",
            )
        encode_to_file(source, vocabulary, run.ids)
        notes.append(f"{run.ids} was missing or damaged, and was made again from the text")
    elif not there:
        notes.append(f"{path} is gone; going on with the run's own copy, {run.ids}")
    return text, notes


def _version_notes(meta: Mapping[str, Any]) -> list[str]:
    """Say what differs from the machine that wrote the checkpoint; the result may then too."""
    now: dict[str, Any] = {**environment.versions(), "threads": environment.threads()}
    versions = meta.get("versions")
    then: dict[str, Any] = versions if isinstance(versions, dict) else {}
    then = {**then, "threads": meta.get("threads")}
    changed = [
        f"{key} {str(then.get(key))[:_LONGEST_VERSION]} -> {now[key]}"
        for key in now
        if then.get(key) != now[key]
    ]
    if not changed:
        return []
    return [f"not the same as before: {', '.join(changed)}; the result may differ in its last bits"]
