"""Presets: named settings, the choice by text size, and each optimizer's learning rate.

under 300,000 characters    short: few streams, more dropout, few epochs
the same in short items     list: one layer, many small steps
up to ten million           small: its 1,800 steps read 3.7 million characters
beyond                      medium, without dropout: hardly a character is read twice
with train.minutes          tiny below 2, small below 12, medium below 50, then large; a short
                            text keeps short or list

docs/recipes.md has the measurements. What the user gave stays as it is.
"""

from collections.abc import Mapping
from typing import Any, Final

from charlm.settings.schema import Config

AUTO: Final = "auto"
# For long runs and short texts, where SOAP gained nothing or was not tried (docs/results.md).
_WITH_ADAM: Final = {
    "train.optimizer": "adam",
    "train.schedule": "cosine",
    "train.final_rate": 0.02,
}
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "short": {
        **_WITH_ADAM,
        "model.layers": 1,
        "model.hidden": 384,
        "train.batch_size": 16,
        "train.seq_len": 64,
        "train.steps": None,
        "train.epochs": 13,
        "train.dropout": 0.3,
        "train.learning_rate": 0.01,
        "train.weight_decay": 1.0,
    },
    "list": {
        **_WITH_ADAM,
        "model.layers": 1,
        "train.batch_size": 32,
        "train.steps": None,
        "train.epochs": 9,
        "train.dropout": 0.0,
        "train.learning_rate": 0.012,
        "train.weight_decay": 0.1,
    },
    "tiny": {
        "model.hidden": 128,
        "train.batch_size": 50,
        "train.seq_len": 50,
        "train.steps": 1000,
        "train.dropout": 0.0,
        "train.learning_rate": 0.02,
        "train.weight_decay": 0.1,
    },
    "small": {},
    "medium": {
        "train.optimizer": "adam",
        "model.hidden": 512,
        "train.batch_size": 32,
        "train.seq_len": 64,
        "train.steps": 5500,
        "train.dropout": 0.35,
        "train.learning_rate": 0.006,
        "train.weight_decay": 0.3,
    },
    "large": {
        **_WITH_ADAM,
        "model.hidden": 768,
        "train.seq_len": 64,
        "train.steps": 3000,
        "train.dropout": 0.4,
        "train.learning_rate": 0.004,
        "train.weight_decay": 0.3,
    },
}

# An optimizer's learning rate as a multiple of SOAP's or Adam's; measured, see docs/results.md.
_RATES = {"soap": 1.0, "adam": 1.0, "rmsprop": 0.6, "adagrad": 10.0, "sgd": 1000.0}
SHORT = 300_000
LONG = 10_000_000
# Characters of a short item, on average, and minutes in which a short list is read so often that it
# would be memorized.
_ITEM, _MANY_PASSES = 64, 2
# Upper bounds in minutes; a longer training takes `large`.
_MINUTES = {2: "tiny", 12: "small", 50: "medium"}


def choose_preset(
    characters: int, minutes: float | None, items: int | None = None
) -> tuple[str, dict[str, Any], str]:
    """Choose a preset by the text's size, and the number of independent items that it has, if any.

    Return its name, its settings, and a note why.
    """
    changes: dict[str, Any] = {}
    if characters < SHORT and items is not None and characters <= _ITEM * items:
        preset, why = "list", "in short items are read several times"
        if minutes is not None and minutes >= _MANY_PASSES:
            changes = {"train.dropout": 0.3, "train.weight_decay": 0.3}
    elif characters < SHORT:
        preset, why = "short", "are few, and are read over and over"
    elif minutes is not None:
        preset = next((name for below, name in _MINUTES.items() if minutes < below), "large")
        why = f"and {minutes:g} minutes"
    elif characters < LONG:
        preset, why = "small", "are what it is made for"
    else:
        preset, why = "medium", "are more than small would read; without dropout"
        changes = {"train.dropout": 0.0}
    note = f"preset {preset}: {characters:,} characters {why}; --preset chooses another"
    return preset, {**PRESETS[preset], **changes}, note


def for_optimizer(config: Config, given: frozenset[str]) -> Config:
    """Convert a preset's learning rate and weight decay, which are for SOAP or Adam.

    Those whose keys are `given` stay.
    """
    train = config.train
    if "train.learning_rate" not in given:
        rate = train.learning_rate * _RATES[train.optimizer]
        if train.optimizer == "sgd":
            # The velocity sums 1 / (1 - momentum) gradients.
            rate *= 1 - train.momentum
        config = config.replace(train__learning_rate=float(f"{rate:.3g}"))
    if "train.weight_decay" not in given and train.optimizer not in ("soap", "adam"):
        # Theirs is not decoupled: added to the gradient, SOAP's value would dominate it.
        config = config.replace(train__weight_decay=0.0)
    return config
