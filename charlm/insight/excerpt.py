"""The part of its run's text that a model is looked into with."""

from pathlib import Path

from charlm.insight.units import CHARACTERS
from charlm.runs.folder import Run
from charlm.runs.loading import Trained, whole_text
from charlm.text.corpus import split
from charlm.types import Ids


def excerpt(checkpoint: Path, trained: Trained, most: int = CHARACTERS) -> tuple[str, Ids] | None:
    """Return a name and the beginning of a run's validation text, or the end of its training text.

    None where its folder holds no text.
    """
    if not Run(checkpoint.parent).ids.is_file():
        return None
    ids, data = whole_text(trained, checkpoint), trained.config.data
    training, validation, _ = split(ids, data)
    if validation.size:
        return "Validation text", validation[:most]
    return "The end of the training text", training[-most:]


def validation_text(checkpoint: Path, trained: Trained, least: int) -> Ids:
    """Return a run's validation text, or all of its text where that is shorter than `least`."""
    ids, data = whole_text(trained, checkpoint), trained.config.data
    _, validation, _ = split(ids, data)
    return validation if validation.size >= least else ids
