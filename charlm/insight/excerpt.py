"""The part of its run's text that a model is looked into with."""

from pathlib import Path

from charlm.insight.units import CHARACTERS
from charlm.runs.loading import Trained, whole_text
from charlm.settings.schema import DataConfig
from charlm.text.corpus import TextInfo, split
from charlm.types import Ids


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


def validation_text(checkpoint: Path, trained: Trained, least: int) -> Ids:
    """Return a run's validation text, or all of its text where that is shorter than `least`."""
    ids = whole_text(trained, checkpoint)
    _, validation, _ = split(ids, trained.config.data, trained.description.text)
    return validation if validation.size >= least else ids
