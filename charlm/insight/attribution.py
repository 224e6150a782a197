"""How much each earlier symbol of a text mattered to one of them.

    norms_j = || d ln p(id_k | start, id_0, ..., id_{k-1}) / d x_j ||        j < k

x_j is the network's input where symbol j is read: a column of the embedding, or a one-hot column.
The norm says how far the log-probability moves, to first order, when that column moves by a unit.

Source: Li, Chen, Hovy & Jurafsky 2016, Visualizing and understanding neural models in NLP, whose
first-derivative saliency has absolute values in place of the norm.
"""

from dataclasses import replace

import numpy as np

from charlm.nn.functions import softmax
from charlm.nn.model import Model
from charlm.nn.stepper import Stepper
from charlm.types import Array, Ids


def attribution(
    model: Model, ids: Ids, k: int, start_id: int, most: int, *, items: bool = False
) -> Array:
    """Return the norms for symbol k of (N,) ids and j = max(0, k - most) .. k-1.

    `start_id` precedes the text, and where it holds independent `items`, ends each.
    """
    network, first = _with_input_gradient(model), max(0, k - most)
    if first == k:
        return np.zeros(0)
    stepper = Stepper(network, 1)
    for symbol in (start_id, *ids[:first].tolist()):
        if items and symbol == start_id:
            stepper.reset()
        stepper.step(np.array([symbol]))
    window = ids[first:k].astype(np.intp)[:, None]  # (T, 1)
    keep = (window != start_id).astype(np.float64) if items else None
    cache = network.cache(k - first, 1)
    network.forward(window, stepper.state, cache, keep)
    # d ln p_k / dz = [k] - p;  dy = W^T @ dz, at the last time step alone
    p = network.output.forward(cache.output, k - first - 1)
    softmax(p)
    dz = -p
    dz[ids[k]] += 1
    dh = np.zeros_like(cache.output.y)
    network.output.linear.backward(dz, dh[-1])
    for layer, layer_cache in zip(network.layers[::-1], cache.layers[::-1], strict=True):
        dh, _ = layer.backward(dh, layer.zero_state(1), layer_cache, keep)
    norms: Array = np.linalg.norm(dh[:, :, 0], axis=1)
    return norms


def _with_input_gradient(model: Model) -> Model:
    """Return a copy in float64 whose input has a gradient: one-hot is an embedding by identity."""
    config = replace(model.config, embedding=model.V) if model.one_hot else model.config
    copy = Model(config, model.V, np.float64, masked_input=True)
    for name, view in copy.parameters.views.items():
        view[...] = model.parameters.views.get(name, np.eye(model.V))
    copy.refresh()
    return copy
