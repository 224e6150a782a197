"""A run's folder, and how to find one.

    checkpoints/<run>/
        config.yaml     the resolved settings, for people
        ids.bin         the text as ids
        last.npz        the newest checkpoint, to resume from
        good.npz        the state that a rollback returns to, where last.npz is not it
        best.npz        the weights with the lowest validation loss, to sample from
        history.jsonl   one line a reading; a resume adds {"resume": step}
        report.html     the page that `charlm report` makes
        lock            held by the process that trains it

A run that was imported has its best.npz alone. Nothing is ever written over another run: a name
that is taken gets -2, -3, and so on.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from charlm.errors import CheckpointError, RunError
from charlm.storage.atomic import replacing, temporary_of
from charlm.storage.files import open_file
from charlm.storage.lock import Lock
from charlm.terminal import argument, brief

GOOD_NAME = "good.npz"


class Run:
    """A run's folder and its files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "config.yaml"
        self.ids = folder / "ids.bin"
        self.last = folder / "last.npz"
        self.good = folder / GOOD_NAME
        self.best = folder / "best.npz"
        self.history = folder / "history.jsonl"
        self.lock = folder / "lock"
        # These are written to a temporary file first.
        self.replaced = (self.last, self.good, self.best, self.config)
        self._held: Lock | None = None

    def take(self) -> None:
        """Lock the run to this object; raises RunError where another process trains it."""
        if self._held is None:
            self._held = Lock(self.lock)
            for path in self.replaced:
                with suppress(OSError):
                    temporary_of(path).unlink()

    def release(self) -> None:
        """Let others train the run."""
        if self._held is not None:
            self._held.release()
            self._held = None

    def discard(self) -> None:
        """Remove a run that has nothing worth keeping, unless it is another process's by now."""
        if self._held is not None and not self._held.lost:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.release()
        with suppress(OSError):
            self.folder.rmdir()

    def check_held(self) -> None:
        """Raise RunError where somebody removed this process's lock, and another has the run."""
        if self._held is not None and self._held.lost:
            advice = "leave its lock alone while it is being trained"
            raise RunError(self.folder, "another process has taken it over", advice)

    def save_config(self, text: str) -> None:
        """Replace `config.yaml`; raises as `saving`."""
        with self.saving(self.config), replacing(self.config) as file:
            file.write(text.encode())

    def record(self, entry: Mapping[str, Any]) -> None:
        """Append a line to the history; raises as `saving`."""
        with self.saving(self.history), open_file(self.history, "a+b") as file:
            # A line torn by a crash is ended before the next one.
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            file.write(json.dumps(entry).encode() + b"\n")

    @contextmanager
    def saving(self, path: Path) -> Iterator[None]:
        """Raise RunError where an OSError keeps a file of the run from being saved."""
        try:
            yield
        except OSError as error:
            problem = f"cannot be saved ({error.strerror or error})"
            advice = "no checkpoint was saved yet, make room and start again"
            if self.last.exists():
                advice = f"the checkpoint before is whole, resume from it with: {self.resuming}"
            elif not self.folder.exists():
                path, problem, advice = self.folder, "is gone, somebody removed it", "start again"
            raise RunError(path, problem, advice) from None

    @property
    def checkpoints(self) -> list[Path]:
        """Return those of its checkpoints that are there, the one to resume from first."""
        return [path for path in (self.last, self.best) if os.path.exists(path)]

    @property
    def saved(self) -> float:
        """Return when it was saved last, in seconds since 1970."""
        return max(path.stat().st_mtime for path in self.checkpoints)

    @property
    def resuming(self) -> str:
        """Return the command that resumes this run."""
        command, checkpoints = "charlm train --resume", self.folder.parent
        if len(list(checkpoints.glob("*/last.npz"))) > 1:
            command += f" --name {argument(self.folder.name)}"
        if checkpoints != Path("checkpoints"):
            command += f" --checkpoints {argument(checkpoints)}"
        return command


def create(checkpoints: Path, name: str, *, exact: bool = False) -> Run:
    """Make and take a new run's folder, under the first free name of `name`, `name-2`, ...

    A name is free as well where a process was killed before it saved anything. Raises RunError
    where it is no file name, the folder cannot be made, or `exact` is set and the name is taken.
    """
    if not isinstance(name, str) or name in ("", ".", "..") or set(name) & set("/\\\0"):
        problem = f"must be a folder's name, got {brief(name)}"
        raise RunError("--name", problem, "leave out / and \\")
    for number in count(1):
        run = Run(checkpoints / (name if number == 1 else f"{name}-{number}"))
        try:
            checkpoints.mkdir(parents=True, exist_ok=True)
            run.folder.mkdir()
        except FileExistsError:
            if not checkpoints.is_dir():
                raise RunError(checkpoints, "is no folder", "name another") from None
            if not _is_left_behind(run):
                if exact:
                    advice = "choose another --name"
                    if os.path.exists(run.last):
                        advice += f", or continue it with: {run.resuming}"
                    raise RunError(run.folder, "is there already", advice) from None
                continue
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise RunError(run.folder, f"cannot be made ({why})") from None
        try:
            run.take()
        except RunError:
            if exact or not run.lock.exists():
                run.discard()
                raise
            # Another process was faster.
        else:
            return run
    raise AssertionError


def _is_left_behind(run: Run) -> bool:
    """Return whether a run holds no more than what is made before its first checkpoint."""
    files = {run.lock, run.ids, run.config, *map(temporary_of, run.replaced)}
    with suppress(OSError):
        found = set(run.folder.iterdir())
        return found <= files and (not found or run.lock in found)
    return False


def saved_runs(checkpoints: Path) -> list[Run]:
    """Return all runs of a folder, the one saved last first; raise RunError without one."""
    folders = sorted(checkpoints.glob("*"), key=_in_order)
    if runs := [run for run in map(Run, folders) if run.checkpoints]:
        return sorted(runs, key=lambda run: -run.saved)
    raise RunError(checkpoints, "holds no run yet", "start one with: charlm train TEXT")


def _in_order(folder: Path) -> list[Any]:
    """Order runs that were saved at the same time: verse-2 before verse-10."""
    parts = re.split(r"(\d+)", folder.name)
    return [int(part) if k % 2 else part for k, part in enumerate(parts)]


def find_run(checkpoints: Path, name: str | None = None) -> Run:
    """Find a run to resume, the one that was saved last where None; raise RunError without one."""
    if name is None:
        runs = saved_runs(checkpoints)
        run = next((run for run in runs if os.path.exists(run.last)), runs[0])
    else:
        run = Run(checkpoints / name)
    if os.path.exists(run.last):
        return run
    if os.path.exists(run.best):
        problem = "holds best.npz alone, there is nothing to resume"
        raise RunError(run.folder, problem, "sample, eval and export take it")
    names = sorted(last.parent.name for last in checkpoints.glob("*/last.npz"))
    have = f"there are {', '.join(names)}" if names else "there is none yet"
    raise RunError(run.folder, "holds no run", have)


def find_checkpoint(where: str | None, checkpoints: Path) -> Path:
    """Find the checkpoint to sample from or to score.

    Args:
        where: a checkpoint file, a run's folder or a run's name; the newest run where None.
        checkpoints: the folder of all runs.

    Returns:
        The file itself, or the run's `best.npz`, or its `last.npz` where there is no best yet.

    Raises:
        RunError: there is no run.
        CheckpointError: there is no such file.
    """
    if where is None:
        return saved_runs(checkpoints)[0].checkpoints[-1]
    if os.path.isfile(where) and not _is_run(where, checkpoints):
        return Path(where)
    run = find_folder(where, checkpoints)
    if found := run.checkpoints:
        return found[-1]
    raise CheckpointError(run.folder, "holds neither best.npz nor last.npz", "name another")


def find_folder(where: str, checkpoints: Path) -> Run:
    """Find a run by its name or folder, perhaps without a checkpoint; raise CheckpointError."""
    paths = [checkpoints / where, Path(where)]
    for path in paths if _is_run(where, checkpoints) else reversed(paths):
        if os.path.isdir(path):
            return Run(path)
    advice = "name an .npz file, a run's folder or a run"
    raise CheckpointError(where, "no such checkpoint", advice)


def _is_run(where: str, checkpoints: Path) -> bool:
    """Return whether a run has this name; it precedes a file or folder of the same name."""
    return not any(c in where for c in "/\\") and bool(Run(checkpoints / where).checkpoints)
