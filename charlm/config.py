"""Every setting of a training: its name, default, range and meaning, stated once.

The dataclasses below are the configuration, the keys of the YAML file, the keys of `--set`, and
the paths in error messages: `train.learning_rate` is all four. What is given is laid over the
defaults in this order, each layer over the one before:

    defaults  <  preset  <  ./config.yaml or --config FILE  <  --set KEY=VALUE  <  options

`train.steps`, `train.epochs` and `train.minutes` say the same thing in three ways; the one given
last counts.
"""

import codecs
import dataclasses
import stat
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

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


AUTO: Final = "auto"
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "short": {
        "model.layers": 1,
        "model.hidden": 384,
        "train.batch_size": 16,
        "train.steps": None,
        "train.epochs": 13,
        "train.dropout": 0.3,
        "train.learning_rate": 0.005,
        "train.weight_decay": 1.0,
    },
    "tiny": {
        "model.hidden": 128,
        "train.batch_size": 50,
        "train.steps": 1000,
        "train.dropout": 0.0,
        "train.learning_rate": 0.02,
    },
    "small": {},
    "medium": {
        "model.hidden": 512,
        "train.steps": 2500,
        "train.dropout": 0.3,
        "train.learning_rate": 0.006,
        "train.weight_decay": 0.3,
    },
    "large": {
        "model.hidden": 768,
        "train.steps": 3000,
        "train.dropout": 0.4,
        "train.learning_rate": 0.004,
        "train.weight_decay": 0.3,
    },
}

_SECTIONS = {"data": DataConfig, "model": ModelConfig, "train": TrainConfig}
FIELDS: Mapping[str, dataclasses.Field[Any]] = {
    f"{section}.{q.name}": q for section, cls in _SECTIONS.items() for q in dataclasses.fields(cls)
}
_TYPES = {
    f"{section}.{name}": hint
    for section, cls in _SECTIONS.items()
    for name, hint in typing.get_type_hints(cls).items()
}
_UNIONS = (typing.Union, types.UnionType)
LENGTHS = ("train.steps", "train.epochs", "train.minutes")
# An optimizer's rate in Adam's; measured, see docs/recipes.md.
_RATES = {"adam": 1.0, "rmsprop": 0.6, "adagrad": 20.0, "sgd": 1000.0}
# Reading YAML takes seconds for as much.
_MOST_BYTES = 1 << 19
_MOST_REASON = 200
# Many programs have a config.yaml, and one of another's may lie where training starts.
_FOREIGN = "; where the file is not charlm's, name another with --config"
# The options of `charlm train` that are not called as the setting is.
_OPTIONS = {"lr": "train.learning_rate"}


@dataclass(frozen=True)
class Layer:
    """Name where settings come from, for error messages, and hold them by their dotted keys."""

    source: str
    settings: Mapping[str, Any]


def resolve(layers: Sequence[Layer]) -> tuple[Config, frozenset[str]]:
    """Lay settings over the defaults.

    Args:
        layers: from the weakest to the strongest.

    Returns:
        The configuration, and the keys that some layer named.

    Raises:
        ConfigError: a key is unknown, or a value is out of its range.
    """
    preset = AUTO
    for layer in layers:
        if "preset" in layer.settings:
            preset = layer.settings["preset"]
            if not isinstance(preset, str) or preset not in (AUTO, *PRESETS):
                raise ConfigError(
                    f"{layer.source}: preset must be one of {', '.join((AUTO, *PRESETS))}, "
                    f"got {brief(preset)}"
                )
    values: dict[str, Any] = {}
    for layer in [Layer(f"preset {preset}", PRESETS.get(preset, {})), *layers]:
        named = {
            key: coerce(layer.source, key, value)
            for key, value in layer.settings.items()
            if key != "preset"
        }
        lengths = [key for key in LENGTHS if named.get(key) is not None]
        if len(lengths) > 1:
            raise ConfigError(
                f"{layer.source}: {' and '.join(lengths)} exclude each other; give one of them"
            )
        if lengths:
            named = dict.fromkeys(LENGTHS) | {q: v for q, v in named.items() if v is not None}
        values |= named
    given = frozenset(key for layer in layers for key in layer.settings)
    config = for_optimizer(Config(preset=preset, **_sections(values)), given)
    _check(config)
    return config, given


def for_optimizer(config: Config, given: frozenset[str]) -> Config:
    """Turn Adam's learning rate and weight decay into those that suit the optimizer.

    Args:
        config: with the defaults' and presets' values, which are Adam's.
        given: the keys that somebody chose; they stay.
    """
    train = config.train
    if "train.learning_rate" not in given:
        rate = train.learning_rate * _RATES[train.optimizer]
        if train.optimizer == "sgd":
            # A velocity adds up 1 / (1 - momentum) gradients.
            rate *= 1 - train.momentum
        config = config.replace(train__learning_rate=float(f"{rate:.3g}"))
    if "train.weight_decay" not in given and train.optimizer != "adam":
        # The others add it to the gradient, where as much of it would drown what the text says.
        config = config.replace(train__weight_decay=0.0)
    return config


def _check(config: Config) -> None:
    """Refuse settings that are at odds with one another."""
    if config.data.validation + config.data.test >= 1:
        raise ConfigError(
            "data.validation + data.test must stay below 1, got "
            f"{config.data.validation} + {config.data.test}; leave something to learn from"
        )
    if not _is_encoding(config.data.encoding):
        raise ConfigError(
            f"data.encoding: is no encoding that Python knows, got {brief(config.data.encoding)}; "
            "common ones are utf-8, utf-16, latin-1, cp1252 and cp949"
        )
    if config.train.nesterov and not config.train.momentum:
        raise ConfigError("train.nesterov: needs a momentum, got 0.0; set train.momentum=0.9")
    if config.train.schedule == "plateau" and not config.data.validation:
        raise ConfigError("train.schedule: plateau needs validations, got data.validation 0.0")
    if config.train.patience and not config.data.validation:
        raise ConfigError("train.patience: needs validations, got data.validation 0.0")
    if config.model.embedding == "one-hot" and config.train.embedding_dropout:
        raise ConfigError(
            "train.embedding_dropout: one-hot input has no channels to drop, got "
            f"{config.train.embedding_dropout}; leave it at 0, or choose a model.embedding"
        )
    if all(getattr(config.train, key.removeprefix("train.")) is None for key in LENGTHS):
        raise ConfigError("train.steps: none is set; give train.steps, train.epochs or minutes")


def _is_encoding(name: str) -> bool:
    try:
        "".encode(name)
        codecs.getincrementaldecoder(name)
    except (LookupError, ValueError):
        return False
    return True


def _sections(values: Mapping[str, Any]) -> dict[str, Any]:
    """Build the sections from dotted keys; what is missing takes its default."""
    named: dict[str, dict[str, Any]] = {section: {} for section in _SECTIONS}
    for key, value in values.items():
        section, _, name = key.partition(".")
        named[section][name] = value
    return {section: cls(**named[section]) for section, cls in _SECTIONS.items()}


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
        raise ConfigError(f"{source}: unknown key {brief(key)}{nearest(key, FIELDS)}")
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
        raise ConfigError(f"{source}: {key} must be {' or '.join(wanted)}, got {brief(value)}")
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
        raise ConfigError(f"{source}: {key} must be {asked}, got {brief(value)}")
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


@cache
def _loader() -> Any:
    """Make the reader of YAML: of plain values, each once."""
    import yaml

    class Loader(yaml.SafeLoader):
        """Read plain values; what stands for itself many times over can stand for any amount."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
                raise yaml.composer.ComposerError(
                    None, None, "an alias (*) is not read; write the value out", mark
                )
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and (name := key.value) in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"{brief(name)} is there twice", key.start_mark
                    )
                seen.add(key.value if isinstance(key, yaml.ScalarNode) else key)
            return super().construct_mapping(node, deep)

    return Loader


def _read(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            # Opening a pipe may wait for ever, and a device may never end.
            raise ConfigError(f"{path}: is no ordinary file; copy its text into one first")
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path}: cannot be read ({why})") from None
    if len(content) > _MOST_BYTES:
        raise ConfigError(f"{path}: is larger than settings are ({_MOST_BYTES:,} bytes){_FOREIGN}")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 (byte {error.start})") from None


def read_yaml(path: Path) -> Layer:
    """Read a configuration file.

    Args:
        path: a YAML file of `preset` and the sections `data`, `model`, `train`.

    Returns:
        Its settings by their dotted keys.

    Raises:
        ConfigError: the file cannot be read, or is no such YAML.
    """
    import yaml

    text = _read(path)
    try:
        content = yaml.load(text, _loader())  # noqa: S506 (it is a SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise ConfigError(f"{path}: {where}{problem[:_MOST_REASON]}") from None
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deep") from None
    except Exception as error:
        # What its constructors trip over, such as a date of month 99, can be of any kind.
        raise ConfigError(
            f"{path}: holds a value that is none ({str(error)[:_MOST_REASON]})"
        ) from None
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise ConfigError(
            f"{path}: must hold keys and values, got {type(content).__name__}{_FOREIGN}"
        )
    settings: dict[str, Any] = {}
    for section, values in content.items():
        # A number of thousands of digits has no decimal form; no key is a number at all.
        strange = [q for q in (section, *(values if isinstance(values, dict) else ()))
                   if not isinstance(q, str)]  # fmt: skip
        if strange:
            raise ConfigError(f"{path}: unknown key {brief(strange[0])}{_FOREIGN}")
        if section == "preset":
            settings["preset"] = values
        elif section not in _SECTIONS:
            known = ["preset", *_SECTIONS]
            raise ConfigError(
                f"{path}: unknown key {brief(section)}{nearest(section, known, _FOREIGN)}"
            )
        elif isinstance(values, dict):
            settings |= {f"{section}.{name}": value for name, value in values.items()}
        elif values is not None:
            raise ConfigError(
                f"{path}: '{section}' must hold keys and values, got {brief(values)}{_FOREIGN}"
            )
    for key in settings:
        if key != "preset" and key not in FIELDS:
            raise ConfigError(f"{path}: unknown key {brief(key)}{nearest(key, FIELDS, _FOREIGN)}")
    return Layer(str(path), settings)


def from_dict(source: str, content: Mapping[str, Any]) -> Config:
    """Rebuild a resolved configuration that a checkpoint holds.

    Raises:
        ConfigError: it has a key or a value that this version does not know.
    """
    settings: dict[str, Any] = {}
    for section in _SECTIONS:
        values = content.get(section, {})
        if not isinstance(values, dict):
            raise ConfigError(
                f"{source}: '{section}' must hold keys and values, got {brief(values)}"
            )
        settings |= {f"{section}.{name}": value for name, value in values.items()}
    given = {key: coerce(source, key, value) for key, value in settings.items()}
    preset = content.get("preset", "small")
    if not isinstance(preset, str):
        raise ConfigError(f"{source}: preset must be a text, got {brief(preset)}")
    config = Config(preset=preset, **_sections(given))
    _check(config)
    return config


def to_yaml(config: Config, *, commented: bool = False) -> str:
    """Write a configuration with each setting's meaning beside it.

    Args:
        config: what to write.
        commented: put every setting but the preset behind a `#`, as the shipped config.yaml does.
    """
    import yaml

    lines = [f"preset: {config.preset}"]
    mark = "# " if commented else ""
    for section, cls in _SECTIONS.items():
        lines += ["", f"{mark}{section}:"]
        for q in dataclasses.fields(cls):
            value = getattr(getattr(config, section), q.name)
            if isinstance(value, tuple):
                value = value[0] if len(value) == 1 else list(value)
            text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
            scalar = text.removesuffix("...\n").strip()
            lines.append(f"{mark}  {q.name + ': ' + scalar:<34}  # {q.metadata['meaning']}")
    return "\n".join(lines) + "\n"
