"""What a run's files say about it, without its weights: to list, describe and compare runs."""

import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charlm.errors import CheckpointError
from charlm.nn.model import shapes
from charlm.runs.description import Description, Progress
from charlm.runs.folder import Run, find_checkpoint, saved_runs
from charlm.runs.loading import read_description
from charlm.settings.schema import Config
from charlm.storage.files import followed, is_file, modified
from charlm.storage.history import History, read_history


@dataclass(frozen=True)
class RunSummary:
    """A run, or a checkpoint file alone."""

    name: str  # of the run, or the file as it was named
    folder: Path  # where it lies
    checkpoint: Path  # the file that is described: the one to resume from, where it can be read
    description: Description | None  # what it says; None where no checkpoint can be read
    best_loss: float | None  # lowest validation loss, in nats per character
    best_step: int | None  # its step
    files: Mapping[str, int]  # name -> bytes
    saved: float  # when it was saved last, in seconds since 1970
    problems: tuple[str, ...]  # what could not be read and why, one line each

    @property
    def progress(self) -> Progress | None:
        """Return the counters of its training; None where it was imported."""
        return self.description.progress if self.description else None

    @property
    def nbytes(self) -> int:
        """Return the bytes of all files."""
        return sum(self.files.values())

    @property
    def parameters(self) -> int | None:
        """Return the number of trained parameters."""
        if self.description is None:
            return None
        found = shapes(self.description.config.model, self.description.vocabulary.size)
        return sum(map(math.prod, found.values()))

    @property
    def settings(self) -> dict[str, Any]:
        """Return the settings by their dotted keys; `preset` has no section."""
        return {} if self.description is None else _flat(self.description.config)

    @property
    def changed(self) -> dict[str, Any]:
        """Return the keys of settings that differ from the defaults, each with its default."""
        defaults = _flat(Config())
        return {
            key: defaults[key] for key, value in self.settings.items() if value != defaults[key]
        }

    def history(self) -> History:
        """Read its history; a checkpoint of another name than a run's has none.

        Raises:
            RunError: it cannot be read.
        """
        run = Run.of(self.checkpoint)
        return read_history(run.history) if run else History([], [], [], 0)


def all_runs(checkpoints: Path) -> list[RunSummary]:
    """Summarize all runs of a folder, the one that was saved last first; raise RunError."""
    return [_of_run(run) for run in saved_runs(checkpoints)]


def summarize(where: str, checkpoints: Path) -> RunSummary:
    """Summarize a run, by its name or folder, or a checkpoint file; raise CheckpointError."""
    path = find_checkpoint(where, checkpoints)
    if path == followed(Path(where)):
        summary = _summary(where, path.parent, [path], [path])
    else:
        summary = _of_run(Run(path.parent))
    if summary.description is None:
        # Raises why.
        read_description(summary.checkpoint)
    return summary


def compare(summaries: Sequence[RunSummary]) -> dict[str, list[Any]]:
    """Return what is not the same for all runs: its name -> each run's value, None where absent."""
    facts = [_facts(summary) for summary in summaries]
    symbols = [one.pop("symbols", "") for one in facts]
    shared = set.intersection(*map(set, symbols))
    for one, known in zip(facts, symbols, strict=True):
        one["vocabulary.unshared"] = "".join(symbol for symbol in known if symbol not in shared)
    keys = dict.fromkeys(key for one in facts for key in one)
    rows = {key: [one.get(key) for one in facts] for key in keys}
    return {key: row for key, row in rows.items() if any(value != row[0] for value in row)}


def _facts(summary: RunSummary) -> dict[str, Any]:
    description, progress = summary.description, summary.progress
    if description is None:
        return {}
    text = description.text.as_dict() if description.text else {}
    is_byte = description.config.data.level == "byte"
    return {
        **{f"text.{key}": text.get(key) for key in ("path", "characters", "sha256")},
        **summary.settings,
        "symbols": "" if is_byte else description.vocabulary.symbols,
        "vocabulary.size": description.vocabulary.size,
        "parameters": summary.parameters,
        "progress.step": progress and progress.step,
        "progress.elapsed_s": progress and progress.elapsed_s,
        "progress.best_loss": summary.best_loss,
        "progress.best_step": summary.best_step,
        "threads": description.threads,
        **{f"versions.{key}": value for key, value in description.versions.items()},
    }


def _flat(config: Config) -> dict[str, Any]:
    return {"preset": config.preset, **config.flat()}


def _of_run(run: Run) -> RunSummary:
    files: list[Path] = []
    # It may not be readable, or gone.
    with suppress(OSError):
        files = sorted(run.folder.iterdir())
    name = os.path.basename(os.path.abspath(run.folder))
    return _summary(name, run.folder, run.checkpoints, files)


def _summary(
    name: str, folder: Path, checkpoints: Sequence[Path], files: Sequence[Path]
) -> RunSummary:
    """Describe checkpoints, the one to resume from first, and count the bytes of files."""
    found: dict[Path, Description] = {}
    problems, sizes = [], {}
    for path in checkpoints:
        try:
            found[path] = description = read_description(path)
            if description.damage:
                problems.append(str(description.damage))
        except CheckpointError as error:
            problems.append(str(error))
    for path in files:
        # It may have vanished meanwhile.
        with suppress(OSError):
            if is_file(path):
                sizes[path.name] = os.lstat(path).st_size
    # The best weights may be newer than the checkpoint to resume from, and know better.
    known = [one.progress for one in found.values() if one.progress]
    best = next((one for one in reversed(known) if one.best_loss is not None), Progress())
    checkpoint = next(iter(found), checkpoints[0])
    return RunSummary(
        name=name,
        folder=folder,
        checkpoint=checkpoint,
        description=found.get(checkpoint),
        best_loss=best.best_loss,
        best_step=None if best.best_loss is None else best.best_step,
        files=sizes,
        saved=max(map(modified, checkpoints), default=0.0),
        problems=tuple(problems),
    )
