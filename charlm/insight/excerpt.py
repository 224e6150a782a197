"""The text that a model is looked into with: a file, or its run's own."""

from pathlib import Path

from charlm.errors import TextError
from charlm.insight.units import CHARACTERS
from charlm.runs.folder import Run
from charlm.runs.loading import Trained
from charlm.runs.training_text import whole_text
from charlm.text.corpus import encode_source, split
from charlm.text.source import Source
from charlm.types import Ids


def of_file(path: Path, trained: Trained, most: int | None = CHARACTERS) -> tuple[str, Ids]:
    """Return the name and at most `most` symbols of a text, read as its run's was.

    Raises:
        TextError: it cannot be read, or is empty.
        UnknownCharacter: it holds a character that the model does not know.
    """
    vocabulary, data = trained.vocabulary, trained.config.data
    source = Source.find([path], data.glob, data.encoding, data.level)
    ids = encode_source(source, vocabulary, most)
    if not ids.size:
        raise TextError(path, "is empty", "name a text to read")
    return source.name, ids


def of_run(checkpoint: Path, trained: Trained, most: int = CHARACTERS) -> tuple[str, Ids] | None:
    """Return a name and the beginning of a run's validation text, or the end of its training text.

    None where its folder holds no text.

    Raises:
        CheckpointError: it holds another text than the run's.
    """
    if not Run(checkpoint.parent).ids.is_file():
        return None
    ids, data = whole_text(trained, checkpoint), trained.config.data
    training, validation, _ = split(ids.size, data.validation, data.test)
    if validation.size:
        return "Validation text", validation.of(ids)[:most]
    return "The end of the training text", training.of(ids)[-most:]


def validation_text(checkpoint: Path, trained: Trained, least: int) -> Ids:
    """Return a run's validation text, or all of its text where that has fewer symbols than `least`.

    Raises:
        CheckpointError: its folder does not hold the text that it learned.
    """
    ids, data = whole_text(trained, checkpoint), trained.config.data
    _, validation, _ = split(ids.size, data.validation, data.test)
    return validation.of(ids) if validation.size >= least else ids
