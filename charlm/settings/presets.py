"""Presets: named settings, the learning rate of each optimizer, and the choice by text size.

under 300,000 characters    short: few streams, more dropout, no more passes than it bears
up to ten million           small: its 850 updates read 3.5 million characters
beyond                      medium, without dropout: it will not see anything twice
with train.minutes          tiny below 2, small below 12, medium below 50, then large; but a short
                            text keeps to short

What a short text needs is measured in docs/recipes.md. What somebody chose stays as it is.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from charlm.settings.schema import FIELDS, LENGTHS, Config

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

# An optimizer's rate in Adam's; measured, see docs/recipes.md.
_RATES = {"adam": 1.0, "rmsprop": 0.6, "adagrad": 20.0, "sgd": 1000.0}
SHORT = 300_000
LONG = 10_000_000
# Below so many minutes; what is longer is for `large`.
_MINUTES = {2: "tiny", 12: "small", 50: "medium"}


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


def choose_preset(
    config: Config, given: frozenset[str], characters: int
) -> tuple[Config, str | None]:
    """Choose a preset for a text, unless there is one.

    Args:
        config: the settings.
        given: the keys that somebody chose.
        characters: of the whole text.

    Returns:
        The settings, and what to say about the choice; None where there was none.
    """
    if config.preset != AUTO:
        return config, None
    minutes = config.train.minutes
    special: dict[str, Any] = {}
    if characters < SHORT:
        preset, why = "short", "are few, and are read over and over"
    elif minutes is not None:
        preset = next((q for below, q in _MINUTES.items() if minutes < below), "large")
        why = f"and {minutes:g} minutes"
    elif characters < LONG:
        preset, why = "small", "are what it is made for"
    else:
        preset, why = "medium", "are more than small would read; without dropout"
        special = {"train.dropout": 0.0}
    note = f"preset {preset}: {characters:,} characters {why}; --preset chooses another"

    defaults = {key: FIELDS[key].default for key in ("train.learning_rate", "train.weight_decay")}
    settings = {**defaults, **PRESETS[preset], **special}
    lengths = LENGTHS if any(key in given for key in LENGTHS) else ()
    free = {
        key.replace(".", "__"): value
        for key, value in settings.items()
        if key not in given and key not in lengths
    }
    chosen = dataclasses.replace(config.replace(**free), preset=preset)
    return for_optimizer(chosen, given), note
