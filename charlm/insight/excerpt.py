"""A part of a text that is short enough to be looked at closely."""

from pathlib import Path
from typing import NamedTuple

from charlm.errors import CheckpointError, TextError
from charlm.insight.cells import CHARACTERS
from charlm.runs.folder import Run
from charlm.runs.loading import Trained
from charlm.runs.summary import at
from charlm.text.corpus import encode_source, open_ids, split
from charlm.text.source import Source
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
    source = Source.find([path], data.glob, data.encoding, data.level)
    ids = encode_source(source, vocabulary, most)
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
    whole = open_ids(run.ids, trained.vocabulary.dtype)
    training, validation, _ = split(whole.size, data.validation, data.test)
    ids = validation.of(whole)[:most] if validation.size else training.of(whole)[-most:]
    size = at(trained.meta, "text", "characters")
    if whole.size != size or (ids.size and ids.max() >= trained.vocabulary.size):
        raise CheckpointError(run.ids, "is not the text that the run learned", "name one instead")
    name = "Validation text" if validation.size else "The end of what it learned"
    return Excerpt(name, ids) if ids.size else None
