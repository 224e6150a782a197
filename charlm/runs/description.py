"""What a checkpoint says of itself, its `meta.json`, parsed once into typed records.

    kind, config, vocabulary    in every checkpoint
    text, progress, plateau     in those of a training; an imported one has none
    recovery, threads           likewise
    good                        in a last.npz whose last good state is another file's

Whoever reads a checkpoint reads these, and none of them checks a value again.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

from charlm.errors import CheckpointError, ConfigError
from charlm.optim.schedules import Plateau
from charlm.runs.folder import GOOD_NAME
from charlm.settings.files import from_dict
from charlm.settings.schema import Config
from charlm.storage.checkpoint import damaged
from charlm.storage.history import LARGEST_COUNT, LARGEST_NUMBER
from charlm.terminal import brief
from charlm.text.corpus import TextInfo
from charlm.text.vocabulary import Vocabulary

_LONGEST_VERSION = 40


@dataclass
class Progress:
    """Counters of a training."""

    step: int = 0  # optimizer steps made
    best_loss: float | None = None  # lowest validation loss; None before the first validation
    best_step: int = 0  # the step of it
    loss_sum: float = 0.0  # sum of the losses since the last validation
    loss_count: int = 0  # their number
    elapsed_s: float = 0.0  # seconds spent


@dataclass
class Recovery:
    """Counters of the divergence recovery."""

    first_loss: float | None = None  # loss of the first step; None before it
    steps_above: int = 0  # steps in a row, up to now, whose loss was above the threshold
    rollbacks: int = 0  # returns to the last good state

    @property
    def factor(self) -> float:
        """Return what the schedule's learning rate is multiplied by."""
        return float(0.5**self.rollbacks)


_COUNTERS = {"progress": Progress, "plateau": Plateau, "recovery": Recovery}
# Names in the file, where they are not those of the fields.
_KEYS = {
    "bad_validations": "stale",
    "bad_since_decay": "borne",
    "first_loss": "first",
    "steps_above": "above",
}


@dataclass(frozen=True)
class Description:
    """The description of a checkpoint."""

    kind: str  # `last` or `best`
    config: Config
    vocabulary: Vocabulary
    text: TextInfo | None = None  # which text it was trained on
    progress: Progress | None = None
    plateau: Plateau | None = None
    recovery: Recovery | None = None
    damage: CheckpointError | None = None  # why text and counters are not usable; the weights are
    is_good: bool = True  # a rollback returns to this state, not to good.npz
    threads: int | None = None  # that share the streams
    processes: int = 1  # that shared the streams
    versions: Mapping[str, str] = field(default_factory=dict)  # of charlm, Python, NumPy, the BLAS
    imported: str | None = None  # the name of the file it was imported from

    def as_dict(self) -> dict[str, Any]:
        """Return what the file holds."""
        counters = {
            name: {_KEYS.get(key, key): value for key, value in asdict(found).items()}
            for name in _COUNTERS
            if (found := getattr(self, name)) is not None
        }
        if self.plateau and self.progress:
            # One number, which format 1 has twice.
            counters["plateau"] = {"best": self.progress.best_loss, **counters["plateau"]}
        content = {
            "kind": self.kind,
            "config": self.config.as_dict(),
            "vocabulary": self.vocabulary.as_dict(),
            "text": self.text and self.text.as_dict(),
            **counters,
            "good": None if self.is_good else GOOD_NAME,
            "imported": self.imported,
            "threads": self.threads,
            "processes": self.processes if self.processes > 1 else None,
            "versions": dict(self.versions),
        }
        return {key: value for key, value in content.items() if value is not None}


def parse_description(path: Path, meta: Mapping[str, Any]) -> Description:
    """Parse a checkpoint's `meta.json`; raise CheckpointError where a part is invalid."""
    for key in ("config", "vocabulary"):
        if not isinstance(meta.get(key), dict):
            raise damaged(path, f"lacks its {key}")
    try:
        config = from_dict(str(path), meta["config"])
    except ConfigError as error:
        advice = "the file is damaged, or of another charlm"
        raise CheckpointError(error.where, error.problem, advice) from None
    training: dict[str, Any] = {}
    try:
        training["text"] = TextInfo.from_dict(meta["text"]) if "text" in meta else None
        training |= {name: _parse_counters(path, name, meta.get(name)) for name in _COUNTERS}
    except (TypeError, ValueError):
        training = {"damage": damaged(path, "names no text")}
    except CheckpointError as error:
        training = {"damage": error}
    threads, versions, imported = (meta.get(key) for key in ("threads", "versions", "imported"))
    processes: Any = meta.get("processes")
    named = versions.items() if isinstance(versions, dict) else ()
    return Description(
        str(meta.get("kind")),
        config,
        Vocabulary.from_dict(meta["vocabulary"], str(path)),
        **training,
        is_good="good" not in meta,
        threads=threads if _is_valid(threads, int) else None,
        processes=processes if _is_valid(processes, int) else 1,
        versions={key: name[:_LONGEST_VERSION] for key, name in named if isinstance(name, str)},
        imported=imported if isinstance(imported, str) else None,
    )


def _parse_counters(path: Path, name: str, content: object) -> Any:
    """Parse counters; those that an older charlm did not count begin at their default."""
    if content is None:
        return None
    if not isinstance(content, dict):
        raise damaged(path, f"its {name} is {brief(content)}")
    kind, found = _COUNTERS[name], {}
    fields = {_KEYS.get(key, key): (key, hint) for key, hint in get_type_hints(kind).items()}
    for key, value in content.items():
        if (name, key) == ("plateau", "best"):
            continue  # the same as that of the progress
        if key not in fields or not _is_valid(value, fields[key][1]):
            raise damaged(path, f"its {name}.{key} is {brief(value)}")
        found[fields[key][0]] = value
    return kind(**found)


def _is_valid(value: object, hint: Any) -> bool:
    if value is None:
        return NoneType in get_args(hint)
    if hint is int:
        return type(value) is int and 0 <= value < LARGEST_COUNT
    return type(value) in (int, float) and abs(value) < LARGEST_NUMBER  # type: ignore[arg-type]
