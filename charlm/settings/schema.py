"""Every setting of a training: its name, default, bounds and meaning, stated once.

The dataclasses below are the configuration, the keys of the YAML file, the keys of `--set`, and
the paths in error messages: `train.learning_rate` is all four.
"""

import codecs
import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

from charlm.errors import ConfigError
from charlm.terminal import brief


def _setting(default: Any, meaning: str, interval: str = "(-inf, inf)") -> Any:
    """Declare a setting; a number has to lie in the interval (a parenthesis excludes its end)."""
    return field(default=default, metadata={"meaning": meaning, "interval": interval})


@dataclass(frozen=True)
class DataConfig:
    """The text and its parts for training, validation and test."""

    path: tuple[str, ...] = _setting(
        ("data/shakespeare.txt",), "the text to learn; several files or folders are one text"
    )
    glob: str = _setting(
        "*.txt", "pattern of a folder's files, at any depth; hidden ones are left out"
    )
    level: Literal["char", "byte"] = _setting("char", "what a symbol is: char or byte")
    encoding: str = _setting("utf-8", "encoding of the files; not used at byte level")
    items: str | None = _setting(
        None, "independent items: line, blank-line, file, or a text that ends each"
    )
    min_count: int = _setting(1, "rarer characters are mapped to one unknown symbol", "[1, inf)")
    validation: float = _setting(0.1, "fraction for validation, before the test part", "[0, 1)")
    test: float = _setting(0.0, "fraction at the end that training never reads", "[0, 1)")


@dataclass(frozen=True)
class ModelConfig:
    """The network's cell and sizes."""

    cell: Literal["lstm", "gru", "rnn"] = _setting("lstm", "lstm, gru or rnn (tanh)")
    layers: int = _setting(2, "stacked recurrent layers", "[1, 32]")
    hidden: int = _setting(256, "hidden units per layer", "[1, 16384]")
    embedding: int | Literal["auto", "one-hot"] = _setting(
        "auto", "width of the learned embedding; auto for hidden, one-hot for none", "[1, 16384]"
    )
    forget_bias: float = _setting(-1.0, "initial bias of the LSTM's forget gate", "[-100, 100]")

    @property
    def summary(self) -> str:
        """Cell and size in a few words."""
        layers = "1 layer" if self.layers == 1 else f"{self.layers} layers"
        return f"{self.cell}, {layers} of {self.hidden} units"


@dataclass(frozen=True)
class TrainConfig:
    """Optimization, length of the training, validation and checkpoints."""

    batch_size: int = _setting(64, "parallel streams of text", "[1, inf)")
    seq_len: int | Literal["full"] = _setting(
        32, "time steps of truncated backpropagation; full for the whole stream", "[1, inf)"
    )
    steps: int | None = _setting(1800, "optimizer steps", "[1, inf)")
    epochs: float | None = _setting(None, "instead of steps: passes over the text", "(0, 100000]")
    minutes: float | None = _setting(None, "instead of steps: training time", "(0, 100000]")
    dropout: float = _setting(0.1, "rate between layers and before the output", "[0, 1)")
    embedding_dropout: float = _setting(
        0.0, "rate on the embedding; above 0, a step takes a fifth longer", "[0, 1)"
    )
    optimizer: Literal["soap", "adam", "rmsprop", "adagrad", "sgd"] = _setting(
        "soap", "soap, adam (AdamW with a weight decay), rmsprop, adagrad or sgd"
    )
    learning_rate: float = _setting(
        0.01, "peak of the schedule; unless given, each optimizer has its own", "(0, inf)"
    )
    schedule: Literal["cosine", "linear", "step", "plateau", "constant"] = _setting(
        "linear", "after the warm-up: linear, cosine, step, plateau or constant"
    )
    warmup: int = _setting(100, "steps of linear warm-up to the peak", "[0, inf)")
    final_rate: float = _setting(0.0, "linear, cosine: last rate, relative to the peak", "[0, 1]")
    decay: float = _setting(0.5, "step, plateau: factor of each decay", "(0, 1]")
    decay_every: int | Literal["auto"] = _setting(
        "auto", "step: steps between decays; auto for an eighth of the run", "[1, inf)"
    )
    plateau: int = _setting(1, "patience of the plateau schedule, in validations", "[0, inf)")
    beta1: float = _setting(0.6, "soap, adam: decay of the mean gradient", "[0, 1)")
    beta2: float = _setting(0.99, "soap, adam, rmsprop: decay of the mean square", "[0, 1)")
    epsilon: float = _setting(1e-8, "all but sgd: added to the root", "(0, inf)")
    momentum: float = _setting(0.9, "sgd: decay of the velocity", "[0, 1)")
    nesterov: bool = _setting(False, "sgd: Nesterov momentum")
    weight_decay: float = _setting(
        0.2, "soap, adam: decoupled; others: added to the gradient, 0 unless given", "[0, inf)"
    )
    clip_norm: float = _setting(1.0, "largest global norm of the gradient; 0 for any", "[0, inf)")
    average: float = _setting(
        0.99, "decay of the weights' moving average, which best.npz holds; 0 for none", "[0, 1)"
    )
    validate_every: int | Literal["auto"] = _setting(
        "auto", "steps between validations; auto for at most eight per run", "[1, inf)"
    )
    save_every_s: float = _setting(60.0, "most seconds between checkpoints", "(0, inf)")
    sample_length: int = _setting(
        200, "characters sampled at each validation; 0 for none", "[0, 100000]"
    )
    patience: int = _setting(
        0, "early stopping: validations without a new best before the end; 0 for never", "[0, inf)"
    )
    init_from: str | None = _setting(None, "checkpoint or run whose weights a new run starts from")
    seed: int = _setting(0, "seed of weights, offsets, dropout masks and samples", "[0, inf)")


class Settings(TypedDict, total=False):
    """Every setting by the last part of its key, as keyword arguments of the library."""

    path: tuple[str, ...]
    glob: str
    level: Literal["char", "byte"]
    encoding: str
    items: str | None
    min_count: int
    validation: float
    test: float
    cell: Literal["lstm", "gru", "rnn"]
    layers: int
    hidden: int
    embedding: int | Literal["auto", "one-hot"]
    forget_bias: float
    batch_size: int
    seq_len: int | Literal["full"]
    steps: int | None
    epochs: float | None
    minutes: float | None
    dropout: float
    embedding_dropout: float
    optimizer: Literal["soap", "adam", "rmsprop", "adagrad", "sgd"]
    learning_rate: float
    schedule: Literal["cosine", "linear", "step", "plateau", "constant"]
    warmup: int
    final_rate: float
    decay: float
    decay_every: int | Literal["auto"]
    plateau: int
    beta1: float
    beta2: float
    epsilon: float
    momentum: float
    nesterov: bool
    weight_decay: float
    clip_norm: float
    average: float
    validate_every: int | Literal["auto"]
    save_every_s: float
    sample_length: int
    patience: int
    init_from: str | None
    seed: int


@dataclass(frozen=True)
class Config:
    """A whole configuration."""

    preset: str = "auto"  # until the text's size has chosen one
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()

    def as_dict(self) -> dict[str, Any]:
        """Return it as the nested dictionary that the YAML file holds."""
        return dataclasses.asdict(self)

    def flat(self) -> dict[str, Any]:
        """Return its settings by their dotted keys, without the preset."""
        return {
            f"{section}.{name}": value
            for section in SECTIONS
            for name, value in vars(getattr(self, section)).items()
        }

    def replace(self, **changes: Any) -> "Config":
        """Return a copy with keys such as `train__steps` changed; values are not checked."""
        values = {key.replace("__", "."): value for key, value in changes.items()}
        return Config(self.preset, **sections(self.flat() | values))


@dataclass(frozen=True)
class Overrides:
    """Settings by their dotted keys, with the name of their source for error messages."""

    source: str
    settings: Mapping[str, Any]


SECTIONS = {"data": DataConfig, "model": ModelConfig, "train": TrainConfig}
FIELDS: Mapping[str, dataclasses.Field[Any]] = {
    f"{section}.{setting.name}": setting
    for section, cls in SECTIONS.items()
    for setting in dataclasses.fields(cls)
}
# The dotted key of each setting's short name, which is unique.
KEYS: Mapping[str, str] = {setting.name: key for key, setting in FIELDS.items()}
LENGTHS = ("train.steps", "train.epochs", "train.minutes")
_TYPES = typing.get_type_hints(Settings)
_UNIONS = (typing.Union, types.UnionType)
# Options of the shell that are not called as settings and arguments are.
_OPTIONS = {"lr": "learning_rate", "temp": "temperature", "n": "length"}


def check(config: Config) -> None:
    """Raise ConfigError where settings contradict one another."""
    data, train = config.data, config.train
    if data.validation + data.test >= 1:
        problem = f"must stay below 1, got {data.validation} + {data.test}"
        raise ConfigError("data.validation + data.test", problem, "leave something to learn from")
    if not _is_encoding(data.encoding):
        problem = f"is no encoding that Python knows, got {brief(data.encoding)}"
        advice = "common ones are utf-8, utf-16, latin-1, cp1252 and cp949"
        raise ConfigError("data.encoding", problem, advice)
    if train.nesterov and not train.momentum:
        raise ConfigError("train.nesterov", "needs a momentum, got 0.0", "set train.momentum=0.9")
    if train.schedule == "plateau" and not data.validation:
        raise ConfigError("train.schedule", "plateau needs validations, got data.validation 0.0")
    if train.patience and not data.validation:
        raise ConfigError("train.patience", "needs validations, got data.validation 0.0")
    if config.model.embedding == "one-hot" and train.embedding_dropout:
        problem = f"one-hot input has no features to drop, got {train.embedding_dropout}"
        advice = "leave it at 0, or choose a model.embedding"
        raise ConfigError("train.embedding_dropout", problem, advice)
    if train.steps is train.epochs is train.minutes is None:
        raise ConfigError("train.steps", "none is set", "give train.steps, train.epochs or minutes")


def _is_encoding(name: str) -> bool:
    try:
        "".encode(name)
        codecs.getincrementaldecoder(name)
    except (LookupError, ValueError):
        return False
    return True


def sections(values: Mapping[str, Any]) -> dict[str, Any]:
    """Build the sections from dotted keys; a missing setting takes its default."""
    named: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for key, value in values.items():
        section, _, name = key.partition(".")
        named[section][name] = value
    return {section: cls(**named[section]) for section, cls in SECTIONS.items()}


def split_ends(characters: int, validation: float, test: float) -> tuple[int, int]:
    """Return where the training part and the validation part of a text end."""
    return int(characters * (1 - validation - test)), int(characters * (1 - test))


def coerce(source: str, key: str, value: Any) -> Any:
    """Return a value from YAML, or the text after `--set KEY=`, as the setting's type.

    Raises:
        ConfigError: the key is unknown, or the value is of another type or out of range.
    """
    if key not in FIELDS:
        raise unknown_key(source, key, FIELDS)
    hint = _TYPES[FIELDS[key].name]
    kinds = typing.get_args(hint) if typing.get_origin(hint) in _UNIONS else (hint,)
    literals = [kind for kind in kinds if typing.get_origin(kind) is Literal]
    words = [word for kind in literals for word in typing.get_args(kind)]
    if value in words and isinstance(value, str):
        return value
    if types.NoneType in kinds and (value is None or value in ("null", "none")):
        return None
    if value == "" and types.NoneType in kinds and str not in kinds:
        return None
    if str in kinds and isinstance(value, str) and value:
        return value
    if bool in kinds and isinstance(value, bool | str) and str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    several = typing.get_origin(hint) is tuple
    texts = [value] if isinstance(value, str) else value
    is_list = isinstance(texts, list | tuple) and len(texts) > 0
    if several and is_list and all(isinstance(text, str) and text for text in texts):
        return tuple(texts)
    number = _number(value, whole=int in kinds) if int in kinds or float in kinds else None
    if number is None:
        named = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
        expected = [f"one of {', '.join(words)}"] if words else []
        expected += [text for kind, text in named.items() if kind in kinds]
        expected += ["a path or several"] if several else []
        raise ConfigError(source, f"{key} must be {' or '.join(expected)}, got {brief(value)}")
    if bounds := _violated(number, FIELDS[key].metadata["interval"]):
        raise ConfigError(source, f"{key} must be {bounds}, got {brief(value)}")
    return number


def _violated(number: float, interval: str) -> str:
    """Return the bounds of an interval in words where a number lies outside, else nothing."""
    low, high = map(float, interval[1:-1].split(", "))
    above, below = interval[0] == "(", interval[-1] == ")"
    if (number > low if above else number >= low) and (number < high if below else number <= high):
        return ""
    words = [f"{'above' if above else 'at least'} {low:g}"] if low > float("-inf") else []
    words += [f"{'below' if below else 'at most'} {high:g}"] if high < float("inf") else []
    return " and ".join(words)


def _number(value: Any, *, whole: bool) -> int | float | None:
    """Return a finite number, or None; YAML 1.1 reads 1e-3 as a text, so texts are parsed too."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
        if whole and isinstance(value, str) and number.is_integer():
            # 30.0 and 1e3 are whole numbers too, as far as a float is exact.
            return int(number) if abs(number) < 2**53 else int(value)
        if whole:
            return int(value) if float(int(number)) == number else None
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < float("inf") else None


def unknown_key(
    source: str, key: object, known: Iterable[str], otherwise: str = "config.yaml lists all keys"
) -> ConfigError:
    """Return the error of an unknown key, which names one whose last part is similar."""
    from difflib import get_close_matches

    ends = {name.rpartition(".")[2]: name for name in known}
    ends |= {option: ends[name] for option, name in _OPTIONS.items() if name in ends}
    word = key.rpartition(".")[2] if isinstance(key, str) else ""
    close = get_close_matches(word, ends, n=1, cutoff=0.6)
    advice = f"did you mean '{ends[close[0]]}'?" if close else otherwise
    return ConfigError(source, f"unknown key {brief(key)}", advice)
