"""Every setting of a training: its name, default, bounds and meaning, stated once.

The dataclasses below are the configuration, the keys of the YAML file, the keys of `--set`, and
the paths in error messages: `train.learning_rate` is all four.
"""

import codecs
import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from charlm.errors import ConfigError
from charlm.terminal import brief


def _setting(
    default: Any,
    meaning: str,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
) -> Any:
    bounds = {"at least": at_least, "above": above, "at most": at_most, "below": below}
    return field(default=default, metadata={"meaning": meaning, "bounds": bounds})


@dataclass(frozen=True)
class DataConfig:
    """Say which text is learned, and which part of it is kept for checking."""

    path: tuple[str, ...] = _setting(
        ("data/shakespeare.txt",), "the text to learn; several files or folders are one text"
    )
    glob: str = _setting("*.txt", "which files of a folder, at any depth, in sorted order")
    level: Literal["char", "byte"] = _setting("char", "what a symbol is: char or byte")
    encoding: str = _setting("utf-8", "of the files; byte level needs none")
    min_count: int = _setting(
        1, "characters that occur less often become one unknown symbol", at_least=1
    )
    validation: float = _setting(
        0.1, "share of the text, before the test share, that is validated on", at_least=0, below=1
    )
    test: float = _setting(
        0.0, "share at the text's end that training never reads", at_least=0, below=1
    )


@dataclass(frozen=True)
class ModelConfig:
    """Say what the network looks like."""

    cell: Literal["lstm", "gru", "rnn"] = _setting("lstm", "lstm, gru or rnn (tanh)")
    layers: int = _setting(2, "recurrent layers, one on the other", at_least=1, at_most=32)
    hidden: int = _setting(256, "units a layer", at_least=1, at_most=16384)
    embedding: int | Literal["auto", "one-hot"] = _setting(
        "auto", "width of the learned embedding; auto for hidden, one-hot for none",
        at_least=1, at_most=16384,
    )  # fmt: skip
    forget_bias: float = _setting(
        -1.0, "what the LSTM's forget bias starts at", at_least=-100, at_most=100
    )

    @property
    def summary(self) -> str:
        """Name cell and size in a few words."""
        layers = "1 layer" if self.layers == 1 else f"{self.layers} layers"
        return f"{self.cell}, {layers} of {self.hidden} units"


@dataclass(frozen=True)
class TrainConfig:
    """Say how the network learns, for how long, and what is kept on the way."""

    batch_size: int = _setting(64, "streams of text read side by side", at_least=1)
    seq_len: int | Literal["full"] = _setting(
        64, "steps the gradient goes back; full for the whole stream", at_least=1
    )
    steps: int | None = _setting(850, "updates", at_least=1)
    epochs: float | None = _setting(
        None, "instead of steps: passes over the text", above=0, at_most=100_000
    )
    minutes: float | None = _setting(
        None, "instead of steps: the time it may take", above=0, at_most=100_000
    )
    dropout: float = _setting(0.1, "rate between layers and before the output", at_least=0, below=1)
    embedding_dropout: float = _setting(
        0.0, "rate on the embedding; a rate above 0 makes updates a fifth slower",
        at_least=0, below=1,
    )  # fmt: skip
    optimizer: Literal["adam", "rmsprop", "adagrad", "sgd"] = _setting(
        "adam", "adam (AdamW with a weight decay), rmsprop, adagrad or sgd"
    )
    learning_rate: float = _setting(
        0.008, "the schedule's peak; an optimizer named without it has its own", above=0
    )
    schedule: Literal["cosine", "linear", "step", "plateau", "constant"] = _setting(
        "cosine", "after the warm-up: cosine, linear, step, plateau or constant"
    )
    warmup: int = _setting(100, "updates in which the rate rises to its peak", at_least=0)
    final_rate: float = _setting(
        0.02, "cosine, linear: where it ends, as a share of the peak", at_least=0, at_most=1
    )
    decay: float = _setting(
        0.5, "step, plateau: what the rate is multiplied by", above=0, at_most=1
    )
    decay_every: int | Literal["auto"] = _setting(
        "auto",
        "step: updates from one decay to the next; auto for an eighth of the run",
        at_least=1,
    )
    plateau: int = _setting(
        1, "plateau: validations in a row without a new best that are borne", at_least=0
    )
    beta1: float = _setting(0.6, "adam: decay of the mean gradient", at_least=0, below=1)
    beta2: float = _setting(0.99, "adam, rmsprop: decay of the mean square", at_least=0, below=1)
    epsilon: float = _setting(
        1e-8, "adam, rmsprop, adagrad: added to the root of the squares", above=0
    )
    momentum: float = _setting(0.9, "sgd: decay of the velocity", at_least=0, below=1)
    nesterov: bool = _setting(False, "sgd: look ahead along the velocity")
    weight_decay: float = _setting(
        0.1, "adam: decoupled; the others: 0 unless named, added to the gradient", at_least=0
    )
    clip_norm: float = _setting(1.0, "longest gradient, as a global norm; 0 for any", at_least=0)
    average: float = _setting(
        0.99, "decay of the averaged weights that best.npz holds; 0 for none", at_least=0, below=1
    )
    validate_every: int | Literal["auto"] = _setting(
        "auto", "updates between validations; auto for eight a run", at_least=1
    )
    save_every_s: float = _setting(60.0, "seconds between checkpoints, at the most", above=0)
    sample_length: int = _setting(
        200, "characters written at each validation; 0 for none", at_least=0, at_most=100_000
    )
    patience: int = _setting(
        0, "stop after so many validations in a row without a new best; 0 for never", at_least=0
    )
    init_from: str | None = _setting(None, "checkpoint whose weights a new run begins with")
    seed: int = _setting(0, "of weights, offsets, masks and samples", at_least=0)


@dataclass(frozen=True)
class Config:
    """Hold one whole configuration.

    Attributes:
        preset: what was laid under the settings; `auto` until the text's size has chosen one.
    """

    preset: str = "auto"
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()

    def as_dict(self) -> dict[str, Any]:
        """Return it as the nested dictionary that the YAML file holds."""
        return dataclasses.asdict(self)

    def replace(self, **changes: Any) -> "Config":
        """Return a copy with keys such as `train__steps` changed; values are taken as they are."""
        sections: dict[str, dict[str, Any]] = {}
        for key, value in changes.items():
            section, name = key.split("__")
            sections.setdefault(section, {})[name] = value
        return dataclasses.replace(
            self,
            **{
                section: dataclasses.replace(getattr(self, section), **values)
                for section, values in sections.items()
            },
        )


SECTIONS = {"data": DataConfig, "model": ModelConfig, "train": TrainConfig}
FIELDS: Mapping[str, dataclasses.Field[Any]] = {
    f"{section}.{q.name}": q for section, cls in SECTIONS.items() for q in dataclasses.fields(cls)
}
_TYPES = {
    f"{section}.{name}": hint
    for section, cls in SECTIONS.items()
    for name, hint in typing.get_type_hints(cls).items()
}
_UNIONS = (typing.Union, types.UnionType)
LENGTHS = ("train.steps", "train.epochs", "train.minutes")
# Options of `charlm train` whose names are not those of their settings.
_OPTIONS = {"lr": "train.learning_rate"}


@dataclass(frozen=True)
class Overrides:
    """Name where settings come from, for error messages, and hold them by their dotted keys."""

    source: str
    settings: Mapping[str, Any]


def check(config: Config) -> None:
    """Refuse settings that are at odds with one another."""
    if config.data.validation + config.data.test >= 1:
        raise ConfigError(
            "data.validation + data.test",
            f"must stay below 1, got {config.data.validation} + {config.data.test}",
            "leave something to learn from",
        )
    if not _is_encoding(config.data.encoding):
        raise ConfigError(
            "data.encoding",
            f"is no encoding that Python knows, got {brief(config.data.encoding)}",
            "common ones are utf-8, utf-16, latin-1, cp1252 and cp949",
        )
    if config.train.nesterov and not config.train.momentum:
        raise ConfigError("train.nesterov", "needs a momentum, got 0.0", "set train.momentum=0.9")
    if config.train.schedule == "plateau" and not config.data.validation:
        raise ConfigError("train.schedule", "plateau needs validations, got data.validation 0.0")
    if config.train.patience and not config.data.validation:
        raise ConfigError("train.patience", "needs validations, got data.validation 0.0")
    if config.model.embedding == "one-hot" and config.train.embedding_dropout:
        raise ConfigError(
            "train.embedding_dropout",
            f"one-hot input has no channels to drop, got {config.train.embedding_dropout}",
            "leave it at 0, or choose a model.embedding",
        )
    if all(getattr(config.train, key.removeprefix("train.")) is None for key in LENGTHS):
        raise ConfigError("train.steps", "none is set", "give train.steps, train.epochs or minutes")


def _is_encoding(name: str) -> bool:
    try:
        "".encode(name)
        codecs.getincrementaldecoder(name)
    except (LookupError, ValueError):
        return False
    return True


def from_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Build the sections from dotted keys; what is missing takes its default."""
    named: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for key, value in values.items():
        section, _, name = key.partition(".")
        named[section][name] = value
    return {section: cls(**named[section]) for section, cls in SECTIONS.items()}


def coerce(source: str, key: str, value: Any) -> Any:
    """Turn a value from YAML or the command line into the setting's type.

    Args:
        source: where it was given, for the message.
        key: the dotted key.
        value: a YAML scalar, or the text behind `--set KEY=`.

    Raises:
        ConfigError: the key is unknown, or the value is of another type or out of range.
    """
    if key not in FIELDS:
        raise ConfigError(source, f"unknown key {brief(key)}{nearest(key, FIELDS)}")
    hint, bounds = _TYPES[key], FIELDS[key].metadata["bounds"]
    kinds = typing.get_args(hint) if typing.get_origin(hint) in _UNIONS else (hint,)
    words = [
        w for kind in kinds if typing.get_origin(kind) is Literal for w in typing.get_args(kind)
    ]
    if value in words and isinstance(value, str):
        return value
    if types.NoneType in kinds and (value is None or value in ("null", "none", "")):
        return None
    if str in kinds and isinstance(value, str) and value:
        return value
    if bool in kinds and isinstance(value, bool):
        return value
    if bool in kinds and isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if typing.get_origin(hint) is tuple:
        texts = [value] if isinstance(value, str) else value
        if isinstance(texts, list | tuple) and texts and all(_is_text(q) for q in texts):
            return tuple(texts)
    number = _number(value, whole=int in kinds) if int in kinds or float in kinds else None
    if number is None:
        wanted = [f"one of {', '.join(words)}"] if words else []
        wanted += ["a whole number"] if int in kinds else []
        wanted += ["a number"] if float in kinds else []
        wanted += ["a text"] if str in kinds else []
        wanted += ["true or false"] if bool in kinds else []
        wanted += ["a path or several"] if typing.get_origin(hint) is tuple else []
        raise ConfigError(source, f"{key} must be {' or '.join(wanted)}, got {brief(value)}")
    within = {
        "at least": lambda bound: number >= bound,
        "above": lambda bound: number > bound,
        "at most": lambda bound: number <= bound,
        "below": lambda bound: number < bound,
    }
    if not all(within[word](bound) for word, bound in bounds.items() if bound is not None):
        asked = " and ".join(
            f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None
        )
        raise ConfigError(source, f"{key} must be {asked}, got {brief(value)}")
    return number


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _number(value: Any, *, whole: bool) -> int | float | None:
    """Read a finite number; YAML 1.1 takes 1e-3 for a text, so texts are tried as well."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
        if whole and isinstance(value, str) and number.is_integer():
            # 30.0 and 1e3 are whole numbers too; what is beyond a float's exactness is no count.
            return int(number) if abs(number) < 2**53 else int(value)
        if whole:
            return int(value) if float(int(number)) == number else None
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < float("inf") else None


def nearest(
    word: str, words: typing.Iterable[str], otherwise: str = "; config.yaml lists all keys"
) -> str:
    """Return `; did you mean '...'?` where a word's last part is close to this one's.

    Args:
        word: a dotted key or a section, as somebody wrote it.
        words: those that there are.
        otherwise: what to return where none is close.
    """
    from difflib import get_close_matches

    ends = {w.rpartition(".")[2]: w for w in words}
    ends |= {option: key for option, key in _OPTIONS.items() if key in ends.values()}
    if close := get_close_matches(word.rpartition(".")[2], ends, n=1, cutoff=0.6):
        return f"; did you mean '{ends[close[0]]}'?"
    return otherwise
