"""The part of its run's text that a model is looked into with."""

from pathlib import Path

import numpy as np

from charlm.errors import CheckpointError
from charlm.insight.units import CHARACTERS
from charlm.runs.folder import Run
from charlm.runs.loading import Trained, whole_text
from charlm.settings.schema import DataConfig
from charlm.storage.files import is_file
from charlm.text.corpus import TextInfo, split
from charlm.types import Ids

# Symbols within which a paragraph ends, or a line.
_SOON = 600


def excerpt(
    ids: Ids, data: DataConfig, most: int = CHARACTERS, text: TextInfo | None = None
) -> tuple[str, Ids]:
    """Return a name and the beginning of a text's validation part, or the end of the training part.

    That is where there is no validation part.
    """
    training, validation, _ = split(ids, data, text)
    if validation.size:
        return "Validation text", validation[:most]
    return "The end of the training text", training[-most:]


def whole_lines(ids: Ids, newline: int) -> Ids:
    """Return a part of a text from its first new paragraph, or new line, if one begins soon."""
    is_newline = ids[:_SOON] == newline
    paragraphs = np.flatnonzero(is_newline[1:] & is_newline[:-1])
    if paragraphs.size:
        return ids[paragraphs[0] + 2 :]
    return ids[is_newline.argmax() + 1 :] if is_newline.any() else ids


def own_text(trained: Trained, checkpoint: Path, *, needed: bool) -> Ids | None:
    """Return the ids of a run's text, None where its folder holds none.

    A damaged one is as none, or a CheckpointError where it is needed.
    """
    try:
        return whole_text(trained, checkpoint) if is_file(Run(checkpoint.parent).ids) else None
    except CheckpointError:
        if needed:
            raise
        return None


def validation_text(checkpoint: Path, trained: Trained, least: int) -> Ids:
    """Return a run's validation text, or all of its text where that is shorter than `least`."""
    ids = whole_text(trained, checkpoint)
    _, validation, _ = split(ids, trained.config.data, trained.description.text)
    return validation if validation.size >= least else ids
