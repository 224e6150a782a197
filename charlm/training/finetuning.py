"""Begin a new run with an old one's weights, also on a text with other characters.

    recurrent layers     taken over as they are
    embedding columns    those of shared characters move to their new places, the others are drawn;
    output rows          one-hot input likewise, in the columns of the first layer's Wx

What stands for a new character is drawn as for any new model, but its output bias is that of the
rarest old one: until it is learned, it should hardly be written.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from charlm.errors import ConfigError
from charlm.nn.model import Model
from charlm.runs.folder import find_checkpoint
from charlm.runs.loading import Trained
from charlm.settings.resolve import resolve
from charlm.settings.schema import Config, Overrides
from charlm.storage.archive import read_meta
from charlm.text.vocabulary import Vocabulary
from charlm.types import Ids

# A new run's model is the old one's, and so is what its symbols are; the rest is chosen as usual.
_KEPT = ("data.level", "model.cell", "model.layers", "model.hidden", "model.embedding")


class Adopted(NamedTuple):
    """Count symbols: kept from the old model, new to it, and left behind there."""

    kept: int
    fresh: int
    dropped: int


def resolve_with_checkpoint(
    layers: Sequence[Overrides], checkpoints: Path
) -> tuple[Config, frozenset[str]]:
    """Resolve settings, below them those of the checkpoint that `train.init_from` names, if any.

    Args:
        layers: from the weakest to the strongest.
        checkpoints: the folder of all runs, one of which may be named.

    Returns:
        As `config.resolve`; `train.init_from` is the checkpoint's whole path.

    Raises:
        ConfigError: as `resolve`; or somebody chose another model than the checkpoint's.
        CheckpointError: it is missing, damaged or no checkpoint.
        RunError: there is no such run.
    """
    config, given = resolve(layers)
    if config.train.init_from is None:
        return config, given
    path = find_checkpoint(config.train.init_from, checkpoints).absolute()
    old = _settings_of(path)
    config, _ = resolve([old, *layers, Overrides("init_from", {"train.init_from": str(path)})])
    sections = config.as_dict()
    for key, value in old.settings.items():
        section, _, name = key.partition(".")
        if name and sections[section][name] != value:
            raise ConfigError(
                "init_from",
                f"{key} is {value!r} in {path}, got {sections[section][name]!r}",
                "leave it out, or begin without these weights",
            )
    return config, given


def _settings_of(path: Path) -> Overrides:
    """Return the settings that a run which begins with a checkpoint's weights has to keep."""
    config = read_meta(path).get("config")
    sections: Mapping[str, Any] = config if isinstance(config, dict) else {}
    kept = {"preset": sections["preset"]} if "preset" in sections else {}
    for key in _KEPT:
        section, _, name = key.partition(".")
        values = sections.get(section)
        if isinstance(values, dict) and name in values:
            kept[key] = values[name]
    return Overrides(str(path), kept)


def load_pretrained(model: Model, vocabulary: Vocabulary, old: Trained) -> Adopted:
    """Fill a new model with an old one's weights, as far as their symbols are the same.

    Args:
        model: initialized; of the old one's cell, layers and sizes.
        vocabulary: the new text's.
        old: what the weights come from.
    """
    new_ids, old_ids = _shared(vocabulary, old.vocabulary)
    views, source = model.parameters.views, old.model.parameters.views
    one_hot = f"{model.config.cell}.0.Wx" if model.one_hot else "embedding.W"
    for name, view in views.items():
        if name == "output.b":
            view[...] = source[name].min()
            view[new_ids] = source[name][old_ids]
        elif name == "output.W":
            view[new_ids] = source[name][old_ids]
        elif name == one_hot:
            view[:, new_ids] = source[name][:, old_ids]
        else:
            view[...] = source[name]
    model.refresh()
    kept = int(new_ids.size)
    return Adopted(kept, vocabulary.size - kept, old.vocabulary.size - kept)


def _shared(new: Vocabulary, old: Vocabulary) -> tuple[Ids, Ids]:
    """Return the ids of shared symbols, in the new vocabulary and in the old."""
    places = {symbol: k for k, symbol in enumerate(old.symbols)}
    pairs = [(k, places[symbol]) for k, symbol in enumerate(new.symbols) if symbol in places]
    if new.unknown_id is not None and old.unknown_id is not None:
        pairs.append((new.unknown_id, old.unknown_id))
    ids = np.array(pairs, np.intp).reshape(-1, 2)
    return ids[:, 0], ids[:, 1]
