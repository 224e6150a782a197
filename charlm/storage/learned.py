"""The text that a checkpoint has learned from, where it lies beside it: a run's ids.bin."""

from pathlib import Path

import numpy as np

from charlm.errors import CheckpointError
from charlm.storage.runs import Run
from charlm.storage.weights import Trained
from charlm.text.corpus import file_sha256, shares
from charlm.text.vocabulary import Ids


def learned_text(trained: Trained, checkpoint: Path) -> Ids:
    """Open the training share of the text that a checkpoint has learned.

    Args:
        trained: what the checkpoint gave.
        checkpoint: the file.

    Returns:
        Its ids, memory-mapped.

    Raises:
        CheckpointError: the text is not there, or not the one that the checkpoint learned.
    """
    path = Run(checkpoint.parent).ids
    text = trained.meta.get("text")
    known = text.get("ids_sha256") if isinstance(text, dict) else None
    if not path.exists() or known is None or file_sha256(path) != known:
        raise CheckpointError(
            f"{checkpoint}: needs the text that it learned beside it, as {path.name}; "
            "name a run that was trained here"
        )
    ids = np.memmap(path, trained.vocabulary.dtype, "r")
    data = trained.config.data
    return ids[: shares(ids.size, data.validation, data.test)[0].end]
