"""Parameters <-> the named arrays of a checkpoint.

lstm.0.Wx               a weight
average/lstm.0.Wx       the same place in another flat buffer of the same layout
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from charlm.errors import CheckpointError
from charlm.nn.model import Model, shapes
from charlm.nn.parameters import Parameters
from charlm.runs.description import Description, parse_description
from charlm.settings.schema import Config
from charlm.storage.checkpoint import opened, read_meta
from charlm.text.vocabulary import Vocabulary
from charlm.types import Array


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
