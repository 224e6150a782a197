"""Overrides -> Config: the one place where settings are resolved.

    defaults  <  preset  <  model of train.init_from  <  ./config.yaml or --config FILE
              <  --set KEY=VALUE  <  options

    resolve(overrides)            before the text is read: `auto`, `full` and epochs may be left
    .finalize(characters)         once its size is known: numbers, but for train.minutes

`train.steps`, `train.epochs` and `train.minutes` are three ways to give one length; the one given
last counts. Only this module knows which settings the user gave: those are never adapted.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from charlm.errors import ConfigError, TextError
from charlm.settings.presets import AUTO, PRESETS, choose_preset, for_optimizer
from charlm.settings.schema import LENGTHS, Config, Overrides, check, coerce, sections, split_ends
from charlm.terminal import brief

# With fewer chunks per stream, little would be left of the carried state.
_CHUNKS_AT_LEAST = 4


@dataclass(frozen=True)
class Pending:
    """Settings of a run whose text has not been read yet."""

    config: Config  # the preset may be `auto`, seq_len `full`, and the length epochs or minutes
    _overrides: tuple[Overrides, ...]

    def finalize(self, characters: int, items: int | None = None) -> tuple[Config, list[str]]:
        """Return the settings for a text of so many characters, and notes of what was chosen.

        Independent items are no fewer than the streams that read them, unless B was given.

        `auto`, `full` and epochs are replaced, and B and T that were not given are halved until a
        short text fills some chunks. `train.minutes` stays: its steps depend on the machine.

        Raises:
            TextError: the text is too short.
        """
        config, notes, given = self.config, [], _keys(self._overrides)
        if config.preset == AUTO:
            preset, settings, note = choose_preset(characters, config.train.minutes, items)
            if not given.isdisjoint(LENGTHS):
                settings = {key: value for key, value in settings.items() if key not in LENGTHS}
            config = _build(preset, settings, self._overrides)
            notes.append(note)
        train, N = config.train, _training(config, characters)
        wanted = 1 if train.seq_len == "full" else train.seq_len
        B, T = shrink_to_text(N, train.batch_size, wanted, given, items)
        if train.seq_len == "full":
            T = max(1, N // B)
            notes.append(f"full backpropagation: {T:,} time steps, a whole stream")
        elif (train.batch_size, train.seq_len) != (B, T):
            notes.append(
                f"the text is short: {B} streams of {T} time steps instead of {train.batch_size} "
                f"of {train.seq_len}"
            )
        _check_size(config, characters, B, T)
        config = config.replace(train__batch_size=B, train__seq_len=T)
        if train.epochs is not None:
            steps = max(1, round(train.epochs * (N // B // T)))
            config = config.replace(train__steps=steps, train__epochs=None)
        return config, notes


def resolve(overrides: Sequence[Overrides], base: Overrides | None = None) -> Pending:
    """Lay overrides, from the weakest to the strongest, over the defaults.

    `base` holds the settings that the checkpoint of `train.init_from` fixes.

    Raises:
        ConfigError: a key is unknown, a value is out of its range, or settings are at odds.
    """
    base = base or Overrides("", {})
    layers, preset = (base, *overrides), AUTO
    for layer in layers:
        preset = layer.settings.get("preset", preset)
        if not isinstance(preset, str) or preset not in (AUTO, *PRESETS):
            names = ", ".join((AUTO, *PRESETS))
            raise ConfigError(layer.source, f"preset must be one of {names}, got {brief(preset)}")
    config = _build(preset, PRESETS.get(preset, {}), layers)
    values = config.flat()
    for key, value in base.settings.items():
        if values.get(key, value) != value:
            problem = f"{key} is {value!r} in {base.source}, got {values[key]!r}"
            raise ConfigError("init_from", problem, "leave it out, or begin without these weights")
    return Pending(config, layers)


def shrink_to_text(
    N: int, B: int, T: int, given: Set[str], items: int | None = None
) -> tuple[int, int]:
    """Halve B, then T, unless they were given, until N characters fill some chunks per stream.

    B is at most the number of independent items.
    """
    if "train.batch_size" not in given and items is not None:
        B = max(1, min(B, items))
    while "train.batch_size" not in given and B > 1 and N // B < _CHUNKS_AT_LEAST * T:
        B //= 2
    while "train.seq_len" not in given and T > 1 and N // B < _CHUNKS_AT_LEAST * T:
        T //= 2
    return B, T


def _build(preset: str, settings: Mapping[str, Any], overrides: Sequence[Overrides]) -> Config:
    """Return the configuration of a preset's settings below the overrides."""
    values: dict[str, Any] = {}
    for layer in [Overrides(f"preset {preset}", settings), *overrides]:
        given = {
            key: coerce(layer.source, key, value)
            for key, value in layer.settings.items()
            if key != "preset"
        }
        lengths = [key for key in LENGTHS if given.get(key) is not None]
        if len(lengths) > 1:
            problem = f"{' and '.join(lengths)} exclude each other"
            raise ConfigError(layer.source, problem, "give one of them")
        values |= dict.fromkeys(LENGTHS) | given if lengths else given
    config = for_optimizer(Config(preset, **sections(values)), _keys(overrides))
    check(config)
    return config


def _keys(overrides: Sequence[Overrides]) -> frozenset[str]:
    return frozenset(key for layer in overrides for key in layer.settings)


def _training(config: Config, characters: int) -> int:
    """Return the number of characters to learn from."""
    return split_ends(characters, config.data.validation, config.data.test)[0]


def _check_size(config: Config, characters: int, B: int, T: int) -> None:
    """Raise TextError where a text does not fill one chunk."""
    # A character to read, and the one after it.
    needed = max(2, B * T)
    if needed <= _training(config, characters):
        return
    least = int(needed / (1 - config.data.validation - config.data.test))
    while _training(config, least) < needed:
        least += 1
    needs = f"batch_size={B} x seq_len={T} needs at least {least:,}"
    problem = f"{characters:,} characters is too short, {needs}"
    advice = "lower either" if B * T > 1 else "name a longer text"
    raise TextError(config.data.path[0], problem, advice)
