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
that is taken gets -2, -3, and so on. The folder itself, and that of all runs, may be a link; what
stands in a run's folder may not.
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
from charlm.storage.atomic import replaced_by, replacing
from charlm.storage.files import followed, is_file, modified, open_file
from charlm.storage.lock import Held, Lock
from charlm.terminal import brief, option

GOOD_NAME = "good.npz"
_MOST_NAMES = 8  # of runs, in an error


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
        self.page = folder / "report.html"
        self.lock = folder / "lock"
        # These are written to a temporary file first.
        self.replaced = (self.last, self.good, self.best, self.ids, self.config)
        self._held: Lock | None = None

    def __reduce__(self) -> tuple[type["Run"], tuple[Path]]:
        """Return what another process gets: the same folder, without the lock."""
        return Run, (self.folder,)

    @classmethod
    def of(cls, checkpoint: Path) -> "Run | None":
        """Return the run whose last or best checkpoint a file is; None for one of another name."""
        run = cls(checkpoint.parent)
        return run if checkpoint in (run.last, run.best) else None

    @property
    def temporary(self) -> list[Path]:
        """Return the files that are being written, or were left by a crash."""
        names = {path.name for path in (*self.replaced, self.page)}
        with suppress(OSError):
            return sorted(path for path in self.folder.iterdir() if replaced_by(path.name) in names)
        return []

    def take(self) -> None:
        """Lock the run to this object; raises RunError where another process trains it."""
        if self._held is None:
            self._held = Lock(self.lock)
            for path in self.temporary:
                with suppress(OSError):
                    path.unlink()

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
            if is_file(self.last):
                advice = f"the checkpoint before is whole, resume from it with: {self.resuming()}"
            elif os.path.lexists(self.last):
                advice = f"{self.last.name} is no file any more, start again"
            elif not os.path.exists(self.folder):
                path, problem, advice = self.folder, "is gone, somebody removed it", "start again"
            raise RunError(path, problem, advice) from None

    @property
    def checkpoints(self) -> list[Path]:
        """Return those of its checkpoints that are there, the one to resume from first."""
        return list(filter(os.path.lexists, (self.last, self.best)))

    @property
    def saved(self) -> float:
        """Return when it was saved last, in seconds since 1970."""
        return max(map(modified, self.checkpoints), default=0.0)

    def resuming(self, text: str = "") -> str:
        """Return the command that resumes this run, with its text where that is to be named."""
        command = " ".join(filter(None, ("charlm train", text, "--resume")))
        checkpoints = self.folder.parent
        if sum(os.path.lexists(run.last) for run in _runs(checkpoints)) > 1:
            command += f" {option('--name', self.folder.name)}"
        if checkpoints != Path("checkpoints"):
            command += f" {option('--checkpoints', checkpoints)}"
        return command


def create(checkpoints: Path, name: str, *, exact: bool = False) -> Run:
    """Make and take a new run's folder, under the first free name of `name`, `name-2`, ...

    A name is free as well where a process was killed before it saved anything. Raises RunError
    where it is no file name, the folder cannot be made, or `exact` is set and the name is taken.
    """
    _check_name(name)
    for number in count(1):
        run = Run(checkpoints / (name if number == 1 else f"{name}-{number}"))
        try:
            checkpoints.mkdir(parents=True, exist_ok=True)
            run.folder.mkdir()
            is_new = True
        except FileExistsError:
            is_new = False
            if not os.path.isdir(checkpoints):
                raise RunError(checkpoints, "is no folder", "name another") from None
            if not _is_left_behind(run):
                if exact:
                    advice = "choose another --name"
                    if is_file(run.last):
                        advice += f", or continue it with: {run.resuming()}"
                    raise RunError(run.folder, "is there already", advice) from None
                continue
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise RunError(run.folder, f"cannot be made ({why})") from None
        try:
            run.take()
        except Held:
            if exact:
                raise
            # Another process was faster.
        except RunError:
            if exact or is_new or not os.path.lexists(run.lock):
                run.discard()
                raise
            # What stands there is no lock.
        else:
            return run
    raise AssertionError


def _check_name(name: str) -> None:
    if not isinstance(name, str) or name in ("", ".", "..") or set(name) & set("/\\\0"):
        problem = f"must be a folder's name, got {brief(name)}"
        raise RunError("--name", problem, "leave out / and \\" if name else "name one")


def _is_left_behind(run: Run) -> bool:
    """Return whether a run holds no more than what is made before its first checkpoint."""
    files = {run.lock, run.ids, run.config, *run.temporary}
    with suppress(OSError):
        found = set(run.folder.iterdir())
        is_ours = found <= files and not any(map(os.path.isdir, found))
        return is_ours and (not found or run.lock in found)
    return False


def _runs(checkpoints: Path) -> list[Run]:
    """Return all runs of a folder by name, verse-2 before verse-10; none where it is no folder."""
    with suppress(OSError, ValueError):
        folders = sorted(checkpoints.iterdir(), key=_in_order)
        return [run for run in map(Run, folders) if run.checkpoints]
    return []


def _in_order(folder: Path) -> list[Any]:
    parts = re.split(r"(\d+)", folder.name)
    return [int(part) if k % 2 else part for k, part in enumerate(parts)]


def name_one(where: str, checkpoints: Path, otherwise: str) -> str:
    """Return advice for what names no run: the nearest name, and those that there are, if any."""
    from difflib import get_close_matches

    if not (known := [run.folder.name for run in _runs(checkpoints)]):
        return otherwise
    more = len(known) - _MOST_NAMES
    names = ", ".join(known[:_MOST_NAMES]) + f" and {more:,} more" * (more > 0)
    nearest = "".join(f"did you mean '{name}'? " for name in get_close_matches(where, known, n=1))
    return f"{nearest}there are {names}"


def saved_runs(checkpoints: Path) -> list[Run]:
    """Return all runs of a folder, the one saved last first; raise RunError without one."""
    if runs := _runs(checkpoints):
        return sorted(runs, key=lambda run: -run.saved)
    raise RunError(checkpoints, "holds no run yet", "start one with: charlm train TEXT")


def find_run(checkpoints: Path, name: str | None = None) -> Run:
    """Find a run to resume, the one that was saved last where None; raise RunError without one."""
    if name is None:
        runs = saved_runs(checkpoints)
        run = next((run for run in runs if os.path.lexists(run.last)), runs[0])
    else:
        _check_name(name)
        run = Run(checkpoints / name)
    if os.path.lexists(run.last):
        return run
    if os.path.lexists(run.best):
        problem = "holds best.npz alone, there is nothing to resume"
        raise RunError(run.folder, problem, "sample, eval and export take it")
    advice = name_one(run.folder.name, checkpoints, "there is none yet")
    raise RunError(run.folder, "holds no run", advice)


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
    if not where:
        raise CheckpointError("", "a run's name is empty", name_one(where, checkpoints, "name one"))
    if os.path.isfile(where) and not _is_run(where, checkpoints):
        return followed(Path(where))
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
    advice = name_one(where, checkpoints, "name an .npz file, a run's folder or a run")
    raise CheckpointError(where, "no such checkpoint", advice)


def _is_run(where: str, checkpoints: Path) -> bool:
    """Return whether a run has this name; it precedes a file or folder of the same name."""
    return not any(c in where for c in "/\\") and bool(Run(checkpoints / where).checkpoints)
