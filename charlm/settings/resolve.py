"""Overrides laid over the defaults.

    defaults  <  preset  <  ./config.yaml or --config FILE  <  --set KEY=VALUE  <  options

`train.steps`, `train.epochs` and `train.minutes` are three ways to state one length; the one given
last counts.
"""

from collections.abc import Sequence
from typing import Any

from charlm.errors import ConfigError
from charlm.settings.presets import AUTO, PRESETS, for_optimizer
from charlm.settings.schema import LENGTHS, Config, Overrides, check, coerce, from_values
from charlm.terminal import brief


def resolve(layers: Sequence[Overrides]) -> tuple[Config, frozenset[str]]:
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
                    layer.source,
                    f"preset must be one of {', '.join((AUTO, *PRESETS))}, got {brief(preset)}",
                )
    values: dict[str, Any] = {}
    for layer in [Overrides(f"preset {preset}", PRESETS.get(preset, {})), *layers]:
        named = {
            key: coerce(layer.source, key, value)
            for key, value in layer.settings.items()
            if key != "preset"
        }
        lengths = [key for key in LENGTHS if named.get(key) is not None]
        if len(lengths) > 1:
            raise ConfigError(
                layer.source, f"{' and '.join(lengths)} exclude each other", "give one of them"
            )
        if lengths:
            named = dict.fromkeys(LENGTHS) | {q: v for q, v in named.items() if v is not None}
        values |= named
    given = frozenset(key for layer in layers for key in layer.settings)
    config = for_optimizer(Config(preset=preset, **from_values(values)), given)
    check(config)
    return config, given
