"""Prepare a training: from settings and a text to a trainer.

start     text -> vocabulary -> settings -> memory -> folder -> ids.bin -> pace -> Trainer
resume    what runs/resumable.py finds -> threads -> memory -> Trainer, restored

Of several processes the first one does all that comes before the ids are mapped.
"""

import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from charlm import environment
from charlm.errors import ConfigError, RunError, TextError
from charlm.nn.model import Memory, blocks, memory
from charlm.optim.optimizers import BLOCK, OPTIMIZERS
from charlm.runs.description import Description
from charlm.runs.folder import Run, create, find_checkpoint
from charlm.runs.loading import Trained, has_ids, load_model
from charlm.runs.resumable import Resumable, find_resumable
from charlm.settings.files import to_yaml
from charlm.settings.resolve import resolve
from charlm.settings.schema import LENGTHS, Config, Overrides
from charlm.terminal import brief
from charlm.text.corpus import TextInfo, encode_to_file, open_ids, scan, text_notes
from charlm.text.items import WORDS, boundary, draw_parts, looks_like_list
from charlm.text.items import notes as item_notes
from charlm.text.source import STRING, Source, Watch
from charlm.text.vocabulary import Vocabulary
from charlm.training import snapshot
from charlm.training.data_parallel import replicas
from charlm.training.finetuning import extend, model_settings
from charlm.training.parallel import Group, connect
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


@dataclass
class _Begun:
    """A new run in a folder of its own, with its ids."""

    run: Run
    config: Config
    vocabulary: Vocabulary
    text: TextInfo
    notes: list[str]
    pretrained: Trained | None

    def __getstate__(self) -> dict[str, Any]:
        """Return what other processes get: the weights come with the trainer's."""
        return {**self.__dict__, "pretrained": None}


def start_run(
    overrides: Sequence[Overrides],
    checkpoints: Path,
    name: str | None = None,
    *,
    string: str | None = None,
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
    began, group = time.perf_counter() if began is None else began, connect()
    with group.together():
        _check_alike(group, overrides, checkpoints, name, string, resume, threads)
        pending = resolve(overrides)
        paths = [Path(path) for path in pending.config.data.path]
        stem = "string" if string is not None else Path(os.path.abspath(paths[0])).stem or "run"
        run = Run(checkpoints / (name or stem)) if resume else None
        if run and group.once(lambda: os.path.exists(run.last)):
            return _continue(run, overrides, pending.config, string, threads, group)
        tried = environment.thread_counts(group.local_size) if threads is None else [threads]
        begun, tried = group.once(
            lambda: _begin(overrides, checkpoints, name, stem, paths, string, tried, reading, group)
        )
        return _prepare(begun, tried, began, group)


def _begin(
    overrides: Sequence[Overrides],
    checkpoints: Path,
    name: str | None,
    stem: str,
    paths: Sequence[Path],
    string: str | None,
    tried: list[int],
    reading: Callable[[int, int], object] | None,
    group: Group,
) -> tuple[_Begun, list[int]]:
    """Read the text and make the run's folder; raises as `start_run`.

    Of the numbers of threads that are to be tried, return those for which there is memory.
    """
    pending, pretrained = resolve(overrides), None
    if (where := pending.config.train.init_from) is not None:
        path = find_checkpoint(where, checkpoints).absolute()
        pretrained = load_model(path)
        overrides = [*overrides, Overrides("init_from", {"train.init_from": str(path)})]
        pending = resolve(overrides, model_settings(path, pretrained.config))

    data = pending.config.data
    source = Source.find(paths, data) if string is None else Source.of_string(string, data)
    watches = [] if reading is None else [_counting(reading, source.nbytes)]
    vocabulary, counts, sha256 = scan(source, data.min_count, *watches)
    count = None if source.items is None else int(counts[ord(boundary(source.items))])
    if count == 1 and source.items not in WORDS:
        problem = f"separates nothing in {source.name}, got {brief(source.items)}"
        raise ConfigError("data.items", problem, "say what ends an item: line, blank-line, a text")
    config, notes = pending.finalize(int(counts.sum()), count)
    _check_streams(config, group)
    notes = text_notes(source, counts) + notes
    parts, beginning = None, next(source.pieces())
    if count is not None:
        parts = draw_parts(count, config)
        notes += item_notes(source.item_blocks, parts)
    elif isinstance(beginning, str) and looks_like_list(beginning):
        notes.append("the text looks like a list; --items line would learn each line on its own")
    if pretrained is not None:
        vocabulary, note = extend(vocabulary, pretrained.vocabulary, items=source.items is not None)
        notes.append(f"starts from the weights of {config.train.init_from}: {note}")
    _check_memory(config, vocabulary.size, group, tried[0])
    tried[1:] = [count for count in tried[1:] if _fits(config, vocabulary.size, group, count)]
    if rare := len({*map(chr, np.flatnonzero(counts))} - {*vocabulary.symbols}):
        notes.append(
            f"{rare:,} characters that occur less than {data.min_count} times are one unknown "
            "symbol, which is never drawn"
        )

    run = create(checkpoints, stem if name is None else name, exact=name is not None)
    with _discarding(run):
        named = _absolute(paths) if string is None else ()
        text = encode_to_file(source, vocabulary, run.ids, named, *watches, parts=parts)
        if text.sha256 != sha256:
            raise TextError(source.name, "changed while it was being read", "start again")
    return _Begun(run, config, vocabulary, text, notes, pretrained), tried


def _prepare(begun: _Begun, tried: list[int], began: float, group: Group) -> PreparedRun:
    """Time a few steps, and make the trainer of a new run; raises as `start_run`."""
    run, config, vocabulary, text = begun.run, begun.config, begun.vocabulary, begun.text
    pace, minutes, steps = None, config.train.minutes, config.train.steps
    notes, pretrained = begun.notes, begun.pretrained
    with _discarding(run):
        ids = group.each(lambda: _open_ids(run, vocabulary, text, group))
        if steps is None or steps >= WORTH_TIMING:
            pace = measure(config, vocabulary, text, ids, tried, group)
            if pace.note:
                notes.append(pace.note)
            if minutes is not None:
                left = minutes * 60 - (time.perf_counter() - began)
                config, note = group.broadcast(set_steps(config, pace, left))
                notes.append(note)
        group.once(lambda: run.save_config(to_yaml(config)))
        chosen = pace.threads if pace and pace.threads else tried[0]
        trainer = Trainer(config, vocabulary, text, ids, run, group, chosen)
        if pretrained is not None:
            trainer.begin_with(pretrained)
        snapshot.share(trainer)
    needed = training_memory(config, vocabulary.size, group.size, chosen)
    return PreparedRun(trainer, needed, pace, notes)


@contextmanager
def _discarding(run: Run) -> Iterator[None]:
    """Discard a run that an error keeps from being prepared."""
    try:
        yield
    except BaseException as error:
        run.discard()
        if isinstance(error, OSError):
            raise RunError(run.folder, f"cannot be written ({error.strerror or error})") from None
        raise


def _check_alike(group: Group, *arguments: object) -> None:
    """Raise ConfigError where processes were started with other arguments than process 0."""
    given = group.gather(repr(arguments))
    for rank, theirs in enumerate(given):
        if theirs != given[0]:
            pairs = enumerate(zip(theirs, given[0], strict=False))
            at = next((k for k, (a, b) in pairs if a != b), 0)
            differing = [brief(text[max(0, at - 20) : at + 10]) for text in (given[0], theirs)]
            problem = (
                f"train one run together, got {differing[0]}, and process {rank} {differing[1]}"
            )
            advice = "start trainings that differ one by one, as jobs of their own"
            raise ConfigError(f"{group.size} processes", problem, advice)


def _check_streams(config: Config, group: Group) -> None:
    """Raise ConfigError where there are fewer streams than processes."""
    if group.size > config.train.batch_size:
        problem = f"must be at least {group.size}, one stream for each process"
        raise ConfigError("train.batch_size", f"{problem}, got {config.train.batch_size}")


def _open_ids(run: Run, vocabulary: Vocabulary, text: TextInfo, group: Group) -> Ids:
    """Map a run's ids, which process 0 has checked or written; raise RunError where they differ."""
    if group.rank and not has_ids(run.ids, text, vocabulary):
        problem = f"process {group.rank} on {platform.node()} does not find what process 0 wrote"
        raise RunError(run.ids, problem, "put --checkpoints in a folder that all machines share")
    return open_ids(run.ids, vocabulary.dtype)


def _continue(
    run: Run,
    overrides: Sequence[Overrides],
    asked: Config,
    string: str | None,
    threads: int | None,
    group: Group,
) -> PreparedRun:
    """Resume a run in place of a start, and note where its settings are not those asked for."""
    given = {key for layer in overrides for key in layer.settings}
    paths = [Path(path) for path in asked.data.path] if "data.path" in given else []
    steps = asked.train.steps if "train.steps" in given else None
    prepared = _resume(run, paths if string is None else [], steps, threads, group)
    text = prepared.trainer.text
    if string is not None and Source.of_string(string, asked.data).sha256() != text.sha256:
        run.release()
        raise TextError(STRING, f"is not the text that {run.folder} learns")
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
    group = connect()
    with group.together():
        _check_alike(group, run.folder, moved_to, steps, threads)
        return _resume(run, moved_to, steps, threads, group)


def _resume(
    run: Run, moved_to: Sequence[Path], steps: int | None, threads: int | None, group: Group
) -> PreparedRun:
    group.once(run.take)
    try:
        found = group.once(lambda: find_resumable(run, moved_to))
        if threads is None:
            # Another number may change the last bits of the result.
            then = found.description.threads or 0
            threads = then if 0 < then <= _MOST_THREADS else environment.threads()
        return _resume_found(run, found, steps, threads, group)
    except BaseException:
        run.release()
        raise


def _resume_found(
    run: Run, found: Resumable, steps: int | None, threads: int, group: Group
) -> PreparedRun:
    description, text = found.description, found.text
    config, vocabulary = description.config, description.vocabulary
    assert description.progress is not None
    made = description.progress.step
    notes = group.broadcast(_version_notes(description, threads, group))
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
    _check_streams(config, group)
    needed = group.once(lambda: _check_memory(config, vocabulary.size, group, threads))
    if (source := found.source) and not found.intact:
        group.once(lambda: _encode_again(run, source, vocabulary, text, config))
        notes.append(f"{run.ids} was missing or damaged, and is encoded again from the text")
    elif not found.source and text.path != STRING:
        notes.append(f"{text.locations[0]} is gone; the run's own copy is used, {run.ids}")
    ids = group.each(lambda: _open_ids(run, vocabulary, text, group))
    trainer = Trainer(config, vocabulary, text, ids, run, group, threads)
    snapshot.resume(trainer)
    if moved:
        trainer.plateau.bad_validations = 0
        # However this process ends, the next one has the new goal.
        snapshot.save_last(trainer)
        group.once(lambda: run.save_config(to_yaml(config)))
    return PreparedRun(trainer, needed, None, notes)


def _encode_again(
    run: Run, source: Source, vocabulary: Vocabulary, text: TextInfo, config: Config
) -> None:
    with run.saving(run.ids):
        parts = draw_parts(sum(text.items), config) if text.items else None
        encode_to_file(source, vocabulary, run.ids, parts=parts)


def training_memory(config: Config, V: int, processes: int = 1, threads: int = 1) -> Memory:
    """Return the memory that each process of a training takes; the configuration is final."""
    train, T, B = config.train, config.train.seq_len, -(-config.train.batch_size // processes)
    assert isinstance(T, int)
    optimizer = OPTIMIZERS[train.optimizer]
    return memory(
        config.model,
        V,
        T,
        B,
        rates=[train.embedding_dropout] + [train.dropout] * config.model.layers,
        optimizer_states=len(optimizer.STATE),
        optimizer_others=optimizer.other_numbers(blocks(config.model, V)),
        ema=train.average > 0,
        items=config.data.items is not None,
        replicas=replicas(threads, B),
        block=BLOCK,
    )


def _check_memory(config: Config, V: int, group: Group, threads: int) -> Memory:
    """Return the memory that each process takes; raises ConfigError where so much is not free."""
    needed, values = training_memory(config, V, group.size, threads), config.flat()
    if _fits(config, V, group, threads):
        return needed
    keys = ["model.hidden", "model.layers"]
    if needed.caches > needed.weights:
        keys = ["train.batch_size", "train.seq_len"]
    free = environment.free_memory() or 0
    problem = f"needs {_size(needed.total * group.local_size)}, got {_size(free)} of free memory"
    advice = "lower " + " or ".join(f"{key} ({values[key]})" for key in keys)
    if threads > 1 and _fits(config, V, group, 1):
        advice = f"lower --threads ({threads})"
    raise ConfigError("train", problem, advice)


def _fits(config: Config, V: int, group: Group, threads: int) -> bool:
    needed, free = training_memory(config, V, group.size, threads), environment.free_memory()
    return free is None or needed.total * group.local_size <= free


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


def _version_notes(description: Description, threads: int, group: Group) -> list[str]:
    """Return a note of what differs from the machine that wrote the checkpoint, if anything."""
    now: dict[str, Any] = {**environment.versions(), "threads": threads}
    then: dict[str, Any] = {**description.versions, "threads": description.threads}
    now["processes"], then["processes"] = group.size, description.processes
    changed = [f"{key} {then.get(key)} -> {now[key]}" for key in now if then.get(key) != now[key]]
    if not changed:
        return []
    return [f"not the same as before: {', '.join(changed)}; the result may differ in its last bits"]
