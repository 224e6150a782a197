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
from typing import Any, TypeVar, get_args, get_type_hints

from charlm.errors import CheckpointError, ConfigError
from charlm.optim.schedules import Plateau
from charlm.runs.folder import GOOD_NAME
from charlm.settings.files import from_dict
from charlm.settings.schema import Config
from charlm.terminal import brief
from charlm.text.corpus import TextInfo
from charlm.text.vocabulary import Vocabulary

_LARGEST_COUNT = 2**53
# A run that explodes sums up losses, and float32 ends at 3e38.
_LARGEST_NUMBER = 1e60
_LONGEST_VERSION = 40
# Names in the file, where they are not those of the fields.
_KEYS = {
    "bad_validations": "stale",
    "bad_since_decay": "borne",
    "first_loss": "first",
    "steps_above": "above",
}

Counters = TypeVar("Counters")


@dataclass
class Progress:
    """Counters of a training.

    Attributes:
        step: optimizer steps made.
        best_loss: lowest validation loss; None before the first validation.
        best_step: the step of it.
        loss_sum: sum of the losses since the last validation.
        loss_count: their number.
        elapsed_s: seconds spent.
    """

    step: int = 0
    best_loss: float | None = None
    best_step: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    elapsed_s: float = 0.0


@dataclass
class Recovery:
    """Counters of the divergence recovery.

    Attributes:
        first_loss: loss of the first step; None before it.
        steps_above: steps in a row, up to now, whose loss was above the threshold.
        rollbacks: returns to the last good state.
    """

    first_loss: float | None = None
    steps_above: int = 0
    rollbacks: int = 0

    @property
    def factor(self) -> float:
        """Return what the schedule's learning rate is multiplied by."""
        return float(0.5**self.rollbacks)


@dataclass(frozen=True)
class Description:
    """The description of a checkpoint.

    Attributes:
        kind: `last` or `best`.
        config: the settings.
        vocabulary: the symbols.
        text: which text it was trained on.
        progress: counters of the training.
        plateau: counters of its validations.
        recovery: counters of its divergence recovery.
        damage: why text and counters cannot be used; the weights can.
        is_good: a rollback returns to this state, not to good.npz.
        threads: BLAS threads of the training.
        versions: of charlm, Python, NumPy and the BLAS.
        imported: the name of the file it was imported from.
    """

    kind: str
    config: Config
    vocabulary: Vocabulary
    text: TextInfo | None = None
    progress: Progress | None = None
    plateau: Plateau | None = None
    recovery: Recovery | None = None
    damage: CheckpointError | None = None
    is_good: bool = True
    threads: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    imported: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return what the file holds."""
        content: dict[str, Any] = {
            "kind": self.kind,
            "config": self.config.as_dict(),
            "vocabulary": self.vocabulary.as_dict(),
            "text": self.text and self.text.as_dict(),
            "progress": self.progress and asdict(self.progress),
            "plateau": self.plateau and _renamed(self.plateau),
            "recovery": self.recovery and _renamed(self.recovery),
            "good": None if self.is_good else GOOD_NAME,
            "imported": self.imported,
            "threads": self.threads,
            "versions": dict(self.versions),
        }
        if self.plateau and self.progress:
            # One number, which format 1 has twice.
            content["plateau"] = {"best": self.progress.best_loss, **content["plateau"]}
        return {key: value for key, value in content.items() if value is not None}


def parse_description(path: Path, meta: Mapping[str, Any]) -> Description:
    """Parse a checkpoint's description.

    Args:
        path: the file, for messages.
        meta: its `meta.json`.

    Raises:
        CheckpointError: a part is missing or invalid, or this version does not know a setting.
    """
    for key in ("config", "vocabulary"):
        if not isinstance(meta.get(key), dict):
            raise CheckpointError(path, f"lacks its {key}", "the file is damaged")
    try:
        config = from_dict(str(path), meta["config"])
    except ConfigError as error:
        advice = "the file is damaged, or of another charlm"
        raise CheckpointError(error.where, error.problem, advice) from None
    try:
        damage, training = None, _parse_training(path, meta)
    except CheckpointError as error:
        damage, training = error, {}
    threads, versions, imported = (meta.get(key) for key in ("threads", "versions", "imported"))
    return Description(
        kind=str(meta.get("kind")),
        config=config,
        vocabulary=Vocabulary.from_dict(meta["vocabulary"], str(path)),
        **training,
        damage=damage,
        is_good="good" not in meta,
        threads=threads if _is_valid(threads, int) else None,
        versions={
            key: value[:_LONGEST_VERSION]
            for key, value in (versions if isinstance(versions, dict) else {}).items()
            if isinstance(value, str)
        },
        imported=imported if isinstance(imported, str) else None,
    )


def _parse_training(path: Path, meta: Mapping[str, Any]) -> dict[str, Any]:
    """Parse what only a resume needs; raises CheckpointError."""
    try:
        text = TextInfo.from_dict(meta["text"]) if "text" in meta else None
    except (TypeError, ValueError):
        raise CheckpointError(path, "names no text", "the file is damaged") from None
    plateau = meta.get("plateau")
    if isinstance(plateau, dict):
        plateau = {key: value for key, value in plateau.items() if key != "best"}
    return {
        "text": text,
        "progress": _parse_counters(path, "progress", meta.get("progress"), Progress),
        "plateau": _parse_counters(path, "plateau", plateau, Plateau),
        "recovery": _parse_counters(path, "recovery", meta.get("recovery"), Recovery),
    }


def _renamed(counters: Plateau | Recovery) -> dict[str, Any]:
    return {_KEYS.get(name, name): value for name, value in asdict(counters).items()}


def _parse_counters(
    path: Path, name: str, content: object, kind: type[Counters]
) -> Counters | None:
    """Parse counters; those that an older charlm did not count begin at their default."""
    if content is None:
        return None
    if not isinstance(content, dict):
        raise CheckpointError(path, f"its {name} is {brief(content)}", "the file is damaged")
    fields = {_KEYS.get(key, key): (key, hint) for key, hint in get_type_hints(kind).items()}
    for key, value in content.items():
        if key not in fields or not _is_valid(value, fields[key][1]):
            problem = f"its {name}.{key} is {brief(value)}"
            raise CheckpointError(path, problem, "the file is damaged")
    return kind(**{fields[key][0]: value for key, value in content.items()})


def _is_valid(value: object, hint: Any) -> bool:
    if value is None:
        return NoneType in get_args(hint)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if hint is int:
        return isinstance(value, int) and 0 <= value < _LARGEST_COUNT
    return abs(value) < _LARGEST_NUMBER
