"""Which preset suits a text, where nobody named one: by how much text there is, and time.

under 300,000 characters    tiny, with dropout, few streams, and no more passes than it can bear
up to ten million           small: its 850 updates read 3.5 million characters
beyond                      medium, without dropout: it will not see anything twice
with train.minutes          tiny below 2, small below 12, medium below 50, then large; but a short
                            text keeps to tiny

What a short text needs is measured in docs/recipes.md. What somebody chose stays as it is.
"""

import dataclasses
from typing import Any

from charlm.config import AUTO, LENGTHS, PRESETS, Config, TrainConfig, rate_for
from charlm.text.corpus import shares

SHORT = 300_000
LONG = 10_000_000
# A short text is read by few streams, so that a pass has many updates.
_STREAMS, _STEPS = 16, 64
_PASSES = 20
_AT_LEAST = 300
_DROPOUT = 0.3
# Below so many minutes; what is longer is for `large`.
_MINUTES = {2: "tiny", 12: "small", 50: "medium"}


def suit(config: Config, given: frozenset[str], characters: int) -> tuple[Config, str | None]:
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
        preset, why = "tiny", "are few; with dropout and few streams"
        learned = shares(characters, config.data.validation, config.data.test)[0].size
        special = _for_a_short_text(learned)
    elif minutes is not None:
        preset = next((q for below, q in _MINUTES.items() if minutes < below), "large")
        why = f"and {minutes:g} minutes"
    elif characters < LONG:
        preset, why = "small", "are what it is made for"
    else:
        preset, why = "medium", "are more than `small` would read; without dropout"
        special = {"train.dropout": 0.0}
    note = f"preset {preset}: {characters:,} characters {why}; --preset chooses another"

    settings = {**PRESETS[preset], **special}
    if any(key in given for key in LENGTHS):
        settings.pop("train.steps", None)
    if "train.learning_rate" not in given:
        adams = settings.get("train.learning_rate", TrainConfig().learning_rate)
        named = dataclasses.replace(config.train, learning_rate=adams)
        settings["train.learning_rate"] = rate_for(named)
    free = {key.replace(".", "__"): q for key, q in settings.items() if key not in given}
    return dataclasses.replace(config.replace(**free), preset=preset), note


def _for_a_short_text(learned: int) -> dict[str, Any]:
    """Return what differs from the preset."""
    a_pass = learned / _STREAMS / _STEPS
    return {
        "train.batch_size": _STREAMS,
        "train.dropout": _DROPOUT,
        "train.steps": max(_AT_LEAST, round(_PASSES * a_pass)),
    }
