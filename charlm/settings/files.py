"""Settings files: YAML in and out, and the settings that a checkpoint holds."""

import dataclasses
import stat
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from charlm.errors import ConfigError
from charlm.settings.schema import (
    FIELDS,
    SECTIONS,
    Config,
    Overrides,
    check,
    coerce,
    from_values,
    nearest,
)
from charlm.terminal import brief

# Reading YAML takes seconds for as much.
_MOST_BYTES = 1 << 19
_MOST_REASON = 200
# Many programs have a config.yaml, and one of another's may lie where training starts.
_FOREIGN = "; where the file is not charlm's, name another with --config"


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
            raise ConfigError(path, "is no ordinary file", "copy its text into one first")
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(path, f"cannot be read ({why})") from None
    if len(content) > _MOST_BYTES:
        raise ConfigError(path, f"is larger than settings are ({_MOST_BYTES:,} bytes){_FOREIGN}")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(path, f"is not UTF-8 (byte {error.start})") from None


def read_yaml(path: Path) -> Overrides:
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
        raise ConfigError(path, f"{where}{problem[:_MOST_REASON]}") from None
    except RecursionError:
        raise ConfigError(path, "is nested too deep") from None
    except Exception as error:
        # What its constructors trip over, such as a date of month 99, can be of any kind.
        raise ConfigError(
            path, f"holds a value that is none ({str(error)[:_MOST_REASON]})"
        ) from None
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise ConfigError(
            path, f"must hold keys and values, got {type(content).__name__}{_FOREIGN}"
        )
    settings: dict[str, Any] = {}
    for section, values in content.items():
        # A number of thousands of digits has no decimal form; no key is a number at all.
        strange = [q for q in (section, *(values if isinstance(values, dict) else ()))
                   if not isinstance(q, str)]  # fmt: skip
        if strange:
            raise ConfigError(path, f"unknown key {brief(strange[0])}{_FOREIGN}")
        if section == "preset":
            settings["preset"] = values
        elif section not in SECTIONS:
            known = ["preset", *SECTIONS]
            raise ConfigError(
                path, f"unknown key {brief(section)}{nearest(section, known, _FOREIGN)}"
            )
        elif isinstance(values, dict):
            settings |= {f"{section}.{name}": value for name, value in values.items()}
        elif values is not None:
            raise ConfigError(
                path, f"'{section}' must hold keys and values, got {brief(values)}{_FOREIGN}"
            )
    for key in settings:
        if key != "preset" and key not in FIELDS:
            raise ConfigError(path, f"unknown key {brief(key)}{nearest(key, FIELDS, _FOREIGN)}")
    return Overrides(str(path), settings)


def from_dict(source: str, content: Mapping[str, Any]) -> Config:
    """Rebuild a resolved configuration that a checkpoint holds.

    Raises:
        ConfigError: it has a key or a value that this version does not know.
    """
    settings: dict[str, Any] = {}
    for section in SECTIONS:
        values = content.get(section, {})
        if not isinstance(values, dict):
            raise ConfigError(source, f"'{section}' must hold keys and values, got {brief(values)}")
        settings |= {f"{section}.{name}": value for name, value in values.items()}
    given = {key: coerce(source, key, value) for key, value in settings.items()}
    preset = content.get("preset", "small")
    if not isinstance(preset, str):
        raise ConfigError(source, f"preset must be a text, got {brief(preset)}")
    config = Config(preset=preset, **from_values(given))
    check(config)
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
    for section, cls in SECTIONS.items():
        lines += ["", f"{mark}{section}:"]
        for q in dataclasses.fields(cls):
            value = getattr(getattr(config, section), q.name)
            if isinstance(value, tuple):
                value = value[0] if len(value) == 1 else list(value)
            text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
            scalar = text.removesuffix("...\n").strip()
            lines.append(f"{mark}  {q.name + ': ' + scalar:<34}  # {q.metadata['meaning']}")
    return "\n".join(lines) + "\n"
