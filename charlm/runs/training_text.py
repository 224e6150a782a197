"""The text that a checkpoint was trained on, where it lies beside it: a run's ids.bin."""

import hashlib
from pathlib import Path

from charlm.errors import CheckpointError
from charlm.runs.folder import Run
from charlm.runs.loading import Trained
from charlm.storage.files import open_file
from charlm.text.corpus import TextInfo, open_ids, split
from charlm.types import Ids


def is_intact(path: Path, text: TextInfo) -> bool:
    """Return whether a file holds exactly the ids of a text."""
    try:
        with open_file(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == text.ids_sha256
    except OSError:
        return False


def whole_text(trained: Trained, checkpoint: Path) -> Ids:
    """Return the ids of the text beside a model's checkpoint, all its splits, memory-mapped.

    Raises:
        CheckpointError: the text is not there, or not the one that the checkpoint was trained on.
    """
    path, text = Run(checkpoint.parent).ids, trained.description.text
    if text is None or not is_intact(path, text):
        problem = f"needs the text that it learned beside it, as {path.name}"
        raise CheckpointError(checkpoint, problem, "name a run that was trained here")
    ids = open_ids(path, trained.vocabulary.dtype)
    # The digest is the checkpoint's own, and proves nothing where that is not to be trusted.
    if not ids.size or ids.max() >= trained.vocabulary.size:
        raise CheckpointError(path, f"is no text of {checkpoint.name}'s symbols", "it is damaged")
    return ids


def learned_text(trained: Trained, checkpoint: Path) -> Ids:
    """Return the ids of the training split of that text; raises as `whole_text`."""
    return split(whole_text(trained, checkpoint), trained.config.data)[0]
