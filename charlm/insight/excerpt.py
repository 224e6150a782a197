"""A part of a text that is short enough to be looked at closely."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from charlm.errors import CheckpointError, TextError
from charlm.insight.cells import CHARACTERS
from charlm.runs.folder import Run
from charlm.runs.loading import Trained
from charlm.runs.summary import at
from charlm.text.corpus import IdFile, split
from charlm.text.source import Source, find
from charlm.text.vocabulary import OnUnknown
from charlm.types import Ids


class Excerpt(NamedTuple):
    """Hold a part of a text.

    Attributes:
        name: what it is, for a reader.
        ids: (N,) its symbols.
    """

    name: str
    ids: Ids


def of_file(path: Path, trained: Trained, most: int = CHARACTERS) -> Excerpt:
    """Read the beginning of a text as the model's own text was read.

    Args:
        path: a file, or a folder of them.
        trained: the model.
        most: symbols, at the most.

    Raises:
        TextError: it cannot be read, or is empty.
        UnknownCharacter: it holds a character that the model does not know.
    """
    vocabulary, data = trained.vocabulary, trained.config.data
    source = Source(find([path], "*.txt"), data.encoding, data.level)
    policy: OnUnknown = "error" if vocabulary.unknown_id is None else "replace"
    ids = np.empty(0, vocabulary.dtype)
    for piece in source.pieces(hashlib.sha256()):
        some = piece[: most - ids.size]
        ids = np.concatenate([ids, vocabulary.encode(some, source.name, ids.size, policy)])
        if ids.size == most:
            break
    if not ids.size:
        raise TextError(path, "is empty", "name a text to read")
    return Excerpt(source.name, ids)


def of_run(folder: Path, trained: Trained, most: int = CHARACTERS) -> Excerpt | None:
    """Read the beginning of a run's validation share; without one, the end of what it learned.

    Args:
        folder: the run's.
        trained: its model.
        most: symbols, at the most.

    Returns:
        None where the run's folder holds no text.

    Raises:
        CheckpointError: it holds another text than the run's.
    """
    run, data = Run(folder), trained.config.data
    if not run.ids.is_file():
        return None
    file = IdFile(run.ids, trained.vocabulary.dtype)
    try:
        training, validation, _ = split(file.size, data.validation, data.test)
        begin, end = validation if validation.size else (max(0, training.end - most), training.end)
        ids = np.empty(min(end - begin, most), trained.vocabulary.dtype)
        file.read_into(begin, ids)
    finally:
        file.close()
    size = at(trained.meta, "text", "characters")
    if file.size != size or (ids.size and ids.max() >= trained.vocabulary.size):
        raise CheckpointError(run.ids, "is not the text that the run learned", "name one instead")
    name = "Validation text" if validation.size else "The end of what it learned"
    return Excerpt(name, ids) if ids.size else None
