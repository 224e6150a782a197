"""What the files of a run tell about it, learned at once: without NumPy, without the weights.

Descriptions are read as the dictionaries they are. A run of an older or a later charlm has other
keys, an imported one has fewer, and what is missing here is None there.
"""

import math
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from charlm.errors import CheckpointError, RunError
from charlm.runs.folder import Run, is_run
from charlm.storage.archive import read_meta, read_shapes

# No count and no size reaches it; a damaged description may hold any number.
_LARGEST = 1e18


@dataclass(frozen=True)
class RunSummary:
    """Hold what is known about a run, or about a checkpoint file alone.

    Attributes:
        name: the run's, or the file as it was named.
        folder: where it lies.
        checkpoint: the file that `meta` describes: the one to resume from, where it can be read.
        meta: its description; empty where nothing could be read.
        best_meta: the description that names the best loss, that of the best weights where it does.
        files: name -> bytes.
        saved: when it was saved last, in seconds since 1970.
        problems: what could not be read and why, one line each.
        parameters: how many numbers were learned; only `find` counts them.
    """

    name: str
    folder: Path
    checkpoint: Path
    meta: Mapping[str, Any]
    best_meta: Mapping[str, Any]
    files: Mapping[str, int]
    saved: float
    problems: tuple[str, ...] = ()
    parameters: int | None = None

    def number(self, *keys: str) -> int | float | None:
        """Return a finite number of the description, such as `number("progress", "step")`."""
        return _number(at(self.meta, *keys))

    def word(self, *keys: str) -> str | None:
        """Return a text of the description, such as `word("text", "path")`."""
        value = at(self.meta, *keys)
        return value if isinstance(value, str) else None

    def section(self, key: str) -> dict[str, Any]:
        """Return a part of the description that holds keys and values; empty where it has none."""
        value = at(self.meta, key)
        return value if isinstance(value, dict) else {}

    @property
    def best_loss(self) -> int | float | None:
        """Return the lowest validation loss, in nats per character."""
        return _number(at(self.best_meta, "progress", "best_loss"))

    @property
    def best_step(self) -> int | float | None:
        """Return the update of the lowest validation loss."""
        step = _number(at(self.best_meta, "progress", "best_step"))
        return None if self.best_loss is None else step

    @property
    def symbols(self) -> str | None:
        """Return the characters of the vocabulary."""
        return self.word("vocabulary", "symbols")

    @property
    def nbytes(self) -> int:
        """Return the bytes of all files."""
        return sum(self.files.values())

    @property
    def history(self) -> Path | None:
        """Return where the history is; a checkpoint of another name than a run's has none."""
        run = Run(self.folder)
        return run.history if self.checkpoint in (run.last, run.best) else None

    @property
    def settings(self) -> dict[str, Any]:
        """Return the settings by their dotted keys; `preset` has no section."""
        return flat(self.section("config"))


def every(checkpoints: Path) -> list[RunSummary]:
    """Look at all runs of a folder, the one that was saved last first.

    Raises:
        RunError: there is none.
    """
    folders = {q.parent for name in ("last", "best") for q in checkpoints.glob(f"*/{name}.npz")}
    if not folders:
        raise RunError(checkpoints, "holds no run yet", "start one with: charlm train TEXT")
    facts = [_of_run(folder) for folder in sorted(folders, key=_in_order)]
    return sorted(facts, key=lambda q: -q.saved)


def find(where: str, checkpoints: Path) -> RunSummary:
    """Look at one run.

    Args:
        where: a run's name, a run's folder or a checkpoint file.
        checkpoints: the folder of all runs.

    Raises:
        CheckpointError: there is no such run, or none of its checkpoints can be read.
    """
    named = is_run(checkpoints, where)
    if Path(where).is_file() and not named:
        return _counted(_of_file(Path(where)))
    candidates = [checkpoints / where] if named else [Path(where), checkpoints / where]
    folders = [q for q in candidates if q.is_dir()]
    if not folders:
        raise CheckpointError(
            where, "no such checkpoint", "name an .npz file, a run's folder or a run"
        )
    for folder in folders:
        if _checkpoints(Run(folder)):
            facts = _of_run(folder)
            if not facts.meta:
                raise CheckpointError("", facts.problems[0])
            return _counted(facts)
    raise CheckpointError(folders[-1], "holds neither best.npz nor last.npz", "name another")


def at(content: Any, *keys: str) -> Any:
    """Go down nested dictionaries; None where the way ends early."""
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content


def flat(content: Mapping[str, Any]) -> dict[str, Any]:
    """Turn sections of settings into dotted keys, as `--set` has them."""
    settings: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            settings |= {f"{key}.{name}": inner for name, inner in value.items()}
        else:
            settings[key] = value
    return settings


def _of_run(folder: Path) -> RunSummary:
    metas: dict[Path, Mapping[str, Any]] = {}
    problems = []
    paths = _checkpoints(Run(folder))
    for path in paths:
        try:
            metas[path] = read_meta(path)
        except CheckpointError as error:
            problems.append(str(error))
    read = next(iter(metas), None)
    # The best weights may be newer than the checkpoint to resume from, and know better.
    best_meta: Mapping[str, Any] = next(filter(_tells_best, reversed(metas.values())), {})
    checkpoint = read or (paths[0] if paths else folder)
    return RunSummary(
        name=Path(os.path.abspath(folder)).name,
        folder=folder,
        checkpoint=checkpoint,
        meta=metas[read] if read else {},
        best_meta=best_meta,
        files=_files(folder),
        saved=max((_saved(path) for path in paths), default=0.0),
        problems=tuple(problems),
    )


def _of_file(path: Path) -> RunSummary:
    meta = read_meta(path)
    files = {path.name: path.stat().st_size}
    return RunSummary(str(path), path.parent, path, meta, meta, files, _saved(path))


def _counted(facts: RunSummary) -> RunSummary:
    """Count the parameters: the arrays that belong to no optimizer, average or carried state."""
    try:
        shapes = read_shapes(facts.checkpoint)
    except CheckpointError as error:
        return replace(facts, problems=(*facts.problems, str(error)))
    sizes = [math.prod(shape) for name, shape in shapes.items() if "/" not in name]
    return replace(facts, parameters=sum(sizes) if sizes else None)


def _checkpoints(run: Run) -> list[Path]:
    """Return those of a run's checkpoints that are there, the one to resume from first."""
    return [path for path in (run.last, run.best) if path.exists()]


def _files(folder: Path) -> dict[str, int]:
    """Return the sizes of a folder's files; those that vanish meanwhile are left out."""
    sizes = {}
    with suppress(OSError):
        for entry in os.scandir(folder):
            with suppress(OSError):
                if entry.is_file():
                    sizes[entry.name] = entry.stat().st_size
    return dict(sorted(sizes.items()))


def _tells_best(meta: Mapping[str, Any]) -> bool:
    return _number(at(meta, "progress", "best_loss")) is not None


def _saved(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _number(value: Any) -> int | float | None:
    """Return a number that can be shown and counted with; not a number is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < _LARGEST else None


def _in_order(folder: Path) -> list[Any]:
    """Order runs that were saved at the same time: verse-2 before verse-10."""
    parts = re.split(r"(\d+)", folder.name)
    return [int(q) if k % 2 else q for k, q in enumerate(parts)]
