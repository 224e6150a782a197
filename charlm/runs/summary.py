"""What a run's files say about it, without its weights: to list, describe and compare runs."""

import math
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charlm.errors import CheckpointError, RunError
from charlm.nn.model import shapes
from charlm.runs.description import Description, Progress
from charlm.runs.folder import Run, find_folder, is_run
from charlm.runs.loading import read_description
from charlm.settings.schema import Config
from charlm.storage.history import History, read_history


@dataclass(frozen=True)
class RunSummary:
    """A run, or a checkpoint file alone.

    Attributes:
        name: of the run, or the file as it was named.
        folder: where it lies.
        checkpoint: the file that is described: the one to resume from, where it can be read.
        description: what it says; None where no checkpoint can be read.
        best_loss: lowest validation loss, in nats per character.
        best_step: its step.
        files: name -> bytes.
        saved: when it was saved last, in seconds since 1970.
        problems: what could not be read and why, one line each.
    """

    name: str
    folder: Path
    checkpoint: Path
    description: Description | None
    best_loss: float | None
    best_step: int | None
    files: Mapping[str, int]
    saved: float
    problems: tuple[str, ...] = ()

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
        run = Run(self.folder)
        if self.checkpoint not in (run.last, run.best):
            return History([], [], [], 0)
        return read_history(run.history)


def all_runs(checkpoints: Path) -> list[RunSummary]:
    """Summarize all runs of a folder, the one that was saved last first.

    Raises:
        RunError: there is none.
    """
    folders = {
        path.parent for name in ("last", "best") for path in checkpoints.glob(f"*/{name}.npz")
    }
    if not folders:
        raise RunError(checkpoints, "holds no run yet", "start one with: charlm train TEXT")
    summaries = [_of_run(folder) for folder in sorted(folders, key=_in_order)]
    return sorted(summaries, key=lambda summary: -summary.saved)


def summarize(where: str, checkpoints: Path) -> RunSummary:
    """Summarize one run.

    Args:
        where: a run's name, a run's folder or a checkpoint file.
        checkpoints: the folder of all runs.

    Raises:
        CheckpointError: there is no such run, or none of its checkpoints can be read.
    """
    if Path(where).is_file() and not is_run(checkpoints, where):
        description = read_description(Path(where))
        return _summary(where, Path(where).parent, {Path(where): description}, [Path(where)])
    run = find_folder(where, checkpoints)
    if not run.checkpoints:
        raise CheckpointError(run.folder, "holds neither best.npz nor last.npz", "name another")
    summary = _of_run(run.folder)
    if summary.description is None:
        # Raises why.
        read_description(run.checkpoints[0])
    return summary


def compare(summaries: Sequence[RunSummary]) -> dict[str, list[Any]]:
    """Return what is not the same for all runs: its name -> each run's value, None where absent."""
    facts = [_facts(summary) for summary in summaries]
    shared = set.intersection(*(set(_symbols(summary)) for summary in summaries))
    for summary, one in zip(summaries, facts, strict=True):
        unshared = (symbol for symbol in _symbols(summary) if symbol not in shared)
        one["vocabulary.unshared"] = "".join(unshared)
    keys = dict.fromkeys(key for one in facts for key in one)
    rows = {key: [one.get(key) for one in facts] for key in keys}
    return {key: row for key, row in rows.items() if any(value != row[0] for value in row)}


def _facts(summary: RunSummary) -> dict[str, Any]:
    description = summary.description
    if description is None:
        return {}
    text = description.text.as_dict() if description.text else {}
    progress = description.progress
    return {
        **{f"text.{key}": text.get(key) for key in ("path", "characters", "sha256")},
        **summary.settings,
        "vocabulary.size": description.vocabulary.size,
        "parameters": summary.parameters,
        "progress.step": progress and progress.step,
        "progress.elapsed_s": progress and progress.elapsed_s,
        "progress.best_loss": summary.best_loss,
        "progress.best_step": summary.best_step,
        "threads": description.threads,
        **{f"versions.{key}": value for key, value in description.versions.items()},
    }


def _symbols(summary: RunSummary) -> str:
    description = summary.description
    if description is None or description.config.data.level == "byte":
        return ""
    return description.vocabulary.symbols


def _flat(config: Config) -> dict[str, Any]:
    return {"preset": config.preset, **config.flat()}


def _of_run(folder: Path) -> RunSummary:
    descriptions: dict[Path, Description] = {}
    problems, paths = [], Run(folder).checkpoints
    for path in paths:
        try:
            descriptions[path] = description = read_description(path)
            if description.damage:
                problems.append(str(description.damage))
        except CheckpointError as error:
            problems.append(str(error))
    name = Path(os.path.abspath(folder)).name
    return _summary(name, folder, descriptions, paths, _sizes(folder), tuple(problems))


def _summary(
    name: str,
    folder: Path,
    descriptions: Mapping[Path, Description],
    paths: Sequence[Path],
    files: Mapping[str, int] | None = None,
    problems: tuple[str, ...] = (),
) -> RunSummary:
    checkpoint = next(iter(descriptions), paths[0])
    # The best weights may be newer than the checkpoint to resume from, and know better.
    known = [found.progress for found in descriptions.values() if found.progress]
    best = next((found for found in reversed(known) if found.best_loss is not None), None)
    return RunSummary(
        name=name,
        folder=folder,
        checkpoint=checkpoint,
        description=descriptions.get(checkpoint),
        best_loss=best.best_loss if best else None,
        best_step=best.best_step if best else None,
        files={path.name: path.stat().st_size for path in paths} if files is None else files,
        saved=max(path.stat().st_mtime for path in paths),
        problems=problems,
    )


def _sizes(folder: Path) -> dict[str, int]:
    """Return the sizes of a folder's files; those that vanish meanwhile are left out."""
    sizes = {}
    with suppress(OSError):
        for entry in os.scandir(folder):
            with suppress(OSError):
                if entry.is_file():
                    sizes[entry.name] = entry.stat().st_size
    return dict(sorted(sizes.items()))


def _in_order(folder: Path) -> list[Any]:
    """Order runs that were saved at the same time: verse-2 before verse-10."""
    parts = re.split(r"(\d+)", folder.name)
    return [int(part) if k % 2 else part for k, part in enumerate(parts)]
