"""The text that a checkpoint has learned from, where it lies beside it: a run's ids.bin."""

from pathlib import Path

from charlm.errors import CheckpointError
from charlm.runs.folder import Run
from charlm.runs.loading import Trained
from charlm.runs.summary import at
from charlm.text.corpus import file_sha256, open_ids, split
from charlm.types import Ids


def whole_text(trained: Trained, checkpoint: Path) -> Ids:
    """Open the text beside a checkpoint, all its splits.

    Args:
        trained: what the checkpoint gave.
        checkpoint: the file.

    Returns:
        Its ids, memory-mapped.

    Raises:
        CheckpointError: the text is not there, or not the one that the checkpoint knows.
    """
    path = Run(checkpoint.parent).ids
    known = at(trained.meta, "text", "ids_sha256")
    if not path.is_file() or known is None or file_sha256(path) != known:
        raise CheckpointError(
            checkpoint,
            f"needs the text that it learned beside it, as {path.name}",
            "name a run that was trained here",
        )
    ids = open_ids(path, trained.vocabulary.dtype)
    # The digest is the checkpoint's own, and proves nothing where that is not to be trusted.
    if not ids.size or ids.max() >= trained.vocabulary.size:
        raise CheckpointError(path, f"is no text of {checkpoint.name}'s symbols", "it is damaged")
    return ids


def learned_text(trained: Trained, checkpoint: Path) -> Ids:
    """Open the training part of the text that a checkpoint has learned; as `whole_text`."""
    ids, data = whole_text(trained, checkpoint), trained.config.data
    return split(ids.size, data.validation, data.test)[0].of(ids)
