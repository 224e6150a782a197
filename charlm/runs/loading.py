"""What a checkpoint gives: its model, its description, and the text that it learned.

lstm.0.Wx               a weight
average/lstm.0.Wx       the same place in another flat buffer of the same layout
ids.bin                 a run's text as ids, beside its checkpoints
"""

import hashlib
import math
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from charlm.errors import CheckpointError
from charlm.nn.model import Model, shapes
from charlm.nn.parameters import Parameters
from charlm.runs.description import Description, parse_description
from charlm.runs.folder import Run
from charlm.settings.schema import Config
from charlm.storage.checkpoint import opened, read_meta
from charlm.storage.files import open_file
from charlm.text.corpus import TextInfo, open_ids, split
from charlm.text.vocabulary import Vocabulary
from charlm.types import Array, Ids


class Trained(NamedTuple):
    """A trained model and the description of its checkpoint."""

    model: Model
    vocabulary: Vocabulary
    config: Config
    description: Description


def load_model(path: Path) -> Trained:
    """Load the weights to sample from or to score: the averaged ones where there are any.

    Raises:
        CheckpointError: it is missing, damaged or no checkpoint, or its weights are not finite.
    """
    with opened(path) as content:
        description = parse_description(path, content.meta)
        config, V = description.config, description.vocabulary.size
        averaged = any(name.startswith("average/") for name in content.names)
        prefix = "average/" if averaged else ""
        # Before there is a model: settings alone can ask for any size.
        for name, shape in shapes(config.model, V).items():
            content.expect(prefix + name, shape)
        model = Model(config.model, V, training=False)
        for name, view in pack(model.parameters, prefix).items():
            content.read_into(name, view)
    if not usable(model.parameters.flat):
        advice = "it is damaged, use another checkpoint"
        raise CheckpointError(path, "its weights are not finite numbers", advice)
    model.refresh()
    return Trained(model, description.vocabulary, config, description)


def read_description(path: Path) -> Description:
    """Read a checkpoint's description alone; raises as `load_model`."""
    return parse_description(path, read_meta(path))


def usable(weights: Array) -> bool:
    """Return whether weights are finite, and so is their norm: then no product overflows."""
    return math.isfinite(np.vdot(weights, weights))


def pack(parameters: Parameters, prefix: str = "") -> dict[str, Array]:
    """Return all named views, their names behind `prefix`."""
    return {prefix + name: view for name, view in parameters.views.items()}


def has_ids(path: Path, text: TextInfo | None, vocabulary: Vocabulary) -> bool:
    """Return whether a file holds exactly the ids of a text; False without one."""
    if text is None:
        return False
    nbytes = text.characters * vocabulary.dtype.itemsize
    with suppress(OSError), open_file(path, most=nbytes) as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == text.ids_sha256
    return False


def whole_text(trained: Trained, checkpoint: Path) -> Ids:
    """Return the ids of the text beside a model's checkpoint, all its splits, memory-mapped.

    Raises:
        CheckpointError: the text is not there, or not the one that the checkpoint was trained on.
    """
    path = Run(checkpoint.parent).ids
    if not has_ids(path, trained.description.text, trained.vocabulary):
        problem = f"needs the text that it learned beside it, as {path.name}"
        raise CheckpointError(checkpoint, problem, "name a run that was trained here")
    ids = open_ids(path, trained.vocabulary.dtype)
    # The digest is the checkpoint's own, and proves nothing where that is not to be trusted.
    if not ids.size or ids.max() >= trained.vocabulary.size:
        raise CheckpointError(path, f"is no text of {checkpoint.name}'s symbols", "it is damaged")
    return ids


def learned_text(trained: Trained, checkpoint: Path) -> Ids:
    """Return the ids of the training split of that text; raises as `whole_text`."""
    ids, text = whole_text(trained, checkpoint), trained.description.text
    return split(ids, trained.config.data, text)[0]
