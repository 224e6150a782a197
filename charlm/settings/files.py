"""Settings as YAML files, and as the dictionary that a checkpoint holds."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from charlm.errors import ConfigError
from charlm.settings import schema
from charlm.settings.schema import FIELDS, SECTIONS, Config, Overrides, unknown_key
from charlm.terminal import brief

# Many programs have a config.yaml, and another's may lie where a training is started.
_FOREIGN = "where the file is not charlm's, name another with --config"


def read_yaml(path: Path) -> Overrides:
    """Read a YAML file of `preset` and the sections `data`, `model` and `train`.

    Raises:
        ConfigError: the file cannot be read, is not YAML, or has an unknown key.
    """
    try:
        file = path.read_bytes()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(path, f"cannot be read ({why})") from None
    return parse_yaml(str(path), file)


def parse_yaml(source: str, file: bytes) -> Overrides:
    """Return the settings in the bytes of a configuration file; see `read_yaml`."""
    import yaml

    try:
        content = yaml.safe_load(file.decode())
    except UnicodeDecodeError as error:
        raise ConfigError(source, f"is not UTF-8 (byte {error.start})") from None
    except Exception as error:
        # Not only YAMLErrors: a date of month 99 is a ValueError, deep nesting a RecursionError.
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise ConfigError(source, f"is not valid YAML ({line}{problem})") from None
    if not isinstance(content, dict | None):
        kind = type(content).__name__
        raise ConfigError(source, f"must hold keys and values, got {kind}", _FOREIGN)
    content = content or {}
    settings = dict(_flattened(source, content, _FOREIGN))
    for keys, known in ((content, ["preset", *SECTIONS]), (settings, FIELDS)):
        for key in keys:
            if key not in known:
                raise unknown_key(source, key, known, _FOREIGN)
    if "preset" in content:
        settings["preset"] = content["preset"]
    return Overrides(source, settings)


def from_dict(source: str, content: Mapping[str, Any]) -> Config:
    """Return a checkpoint's configuration; raises ConfigError for what this version lacks."""
    values = _flattened(source, content)
    settings = {key: schema.coerce(source, key, value) for key, value in values}
    preset = content.get("preset", "small")
    if not isinstance(preset, str):
        raise ConfigError(source, f"preset must be a text, got {brief(preset)}")
    config = Config(preset, **schema.sections(settings))
    schema.check(config)
    return config


def _flattened(
    source: str, content: Mapping[str, Any], advice: str = ""
) -> Iterator[tuple[str, Any]]:
    """Yield the dotted keys and values of all sections."""
    for section in SECTIONS:
        values = content.get(section)
        if not isinstance(values, dict | None):
            problem = f"'{section}' must hold keys and values, got {brief(values)}"
            raise ConfigError(source, problem, advice)
        for name, value in (values or {}).items():
            if not isinstance(name, str):
                raise unknown_key(source, name, (), advice)
            yield f"{section}.{name}", value


def to_yaml(config: Config, *, commented: bool = False) -> str:
    """Return a configuration as YAML, each setting with its meaning beside it.

    With `commented`, all but the preset stand behind a `#`, as in the shipped config.yaml.
    """
    import yaml

    mark = "# " if commented else ""
    lines = [f"preset: {config.preset}"]
    for section in SECTIONS:
        lines += ["", f"{mark}{section}:"]
        for name, value in vars(getattr(config, section)).items():
            if isinstance(value, tuple):
                value = value[0] if len(value) == 1 else list(value)
            text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
            entry = f"{name}: " + text.removesuffix("...\n").strip()
            meaning = FIELDS[f"{section}.{name}"].metadata["meaning"]
            lines.append(f"{mark}  {entry:<34}  # {meaning}")
    return "\n".join(lines) + "\n"
