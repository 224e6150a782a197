"""Fine-tuning: a new run that starts from a checkpoint's weights, also with more characters.

    recurrent layers     copied
    embedding columns    copied for shared characters, initialized for the others;
    output rows          with one-hot input, the columns of the first layer's Wx likewise

The output bias of a new character is that of the rarest old one: until it is learned, it should
hardly be written.
"""

from pathlib import Path

import numpy as np

from charlm.errors import ConfigError
from charlm.nn.model import Model
from charlm.runs.loading import Trained
from charlm.settings.schema import Config, Overrides
from charlm.text.vocabulary import ByteVocabulary, Vocabulary
from charlm.types import Ids

# The model and the kind of its symbols; everything else is chosen as usual.
_SHARED = ("data.level", "model.cell", "model.layers", "model.hidden", "model.embedding")


def model_settings(path: Path, config: Config) -> Overrides:
    """Return the settings that a run has to share with the checkpoint it starts from."""
    values = config.flat()
    return Overrides(str(path), {"preset": config.preset, **{key: values[key] for key in _SHARED}})


def extend(
    vocabulary: Vocabulary, old: Vocabulary, *, items: bool = False
) -> tuple[Vocabulary, str]:
    """Return the vocabulary of a text and an old model together, and a note of what is new.

    A model that is trained on several texts, one after the other, forgets none of their characters.

    Raises:
        ConfigError: independent items end with a symbol that the old model does not begin with.
    """
    if items and vocabulary.start != old.start:
        problem = f"begins with {old.start!r}, and these items end with {vocabulary.start!r}"
        raise ConfigError("init_from", problem, "choose other data.items, or another checkpoint")
    if isinstance(vocabulary, ByteVocabulary):
        return vocabulary, "all bytes are known"
    known = len(set(vocabulary.symbols) & set(old.symbols))
    new, others = len(vocabulary.symbols) - known, len(old.symbols) - known
    note = f"of the text's characters {known:,} are known and {new:,} new"
    if others:
        note += f"; {others:,} that the text lacks are kept"
    return vocabulary.union(old), note


def load_pretrained(model: Model, vocabulary: Vocabulary, old: Trained) -> None:
    """Copy an old model's weights, all but those of symbols that the vocabulary lacks.

    The new model is initialized, and has the old one's cell, layers and sizes.
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


def _shared(new: Vocabulary, old: Vocabulary) -> tuple[Ids, Ids]:
    """Return the ids of shared symbols, in the new vocabulary and in the old."""
    places = {symbol: k for k, symbol in enumerate(old.symbols)}
    pairs = [(k, places[symbol]) for k, symbol in enumerate(new.symbols) if symbol in places]
    if new.unknown_id is not None and old.unknown_id is not None:
        pairs.append((new.unknown_id, old.unknown_id))
    ids = np.array(pairs, np.intp).reshape(-1, 2)
    return ids[:, 0], ids[:, 1]
