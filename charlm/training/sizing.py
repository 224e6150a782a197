"""Which preset suits a text, where nobody named one: by how much text there is, and time.

under 300,000 characters    short: few streams, more dropout, no more passes than it bears
up to ten million           small: its 850 updates read 3.5 million characters
beyond                      medium, without dropout: it will not see anything twice
with train.minutes          tiny below 2, small below 12, medium below 50, then large; but a short
                            text keeps to short

What a short text needs is measured in docs/recipes.md. What somebody chose stays as it is.
"""

import dataclasses
from typing import Any

from charlm.config import AUTO, FIELDS, LENGTHS, PRESETS, Config, for_optimizer

SHORT = 300_000
LONG = 10_000_000
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
