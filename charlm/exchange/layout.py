"""charlm's named arrays <-> a PyTorch state dict.

    embedding.W     (D, V)     embedding.weight          (V, D), transposed; none for one-hot
    lstm.0.Wx       (4H, D)    recurrent.weight_ih_l0    gates i, f, o, g <-> i, f, g, o
    lstm.0.Wh       (4H, H)    recurrent.weight_hh_l0    likewise
    lstm.0.b        (4H,)      recurrent.bias_ih_l0      likewise
                               recurrent.bias_hh_l0      zero on the way out, added on the way in
    output.W        (V, H)     output.weight
    output.b        (V,)       output.bias

An RNN's arrays go the LSTM's way, with one block in place of four. The GRU has r, z, n in both
worlds, and a bias for each product: `gru.0.bx` is bias_ih, `gru.0.bh` is bias_hh.

The names are those of a module that has an Embedding, an LSTM, GRU or RNN, and a Linear as its
`embedding`, `recurrent` and `output`. Source: the "Variables" of torch.nn.LSTM, GRU and RNN.
"""

from collections.abc import Mapping

import numpy as np

from charlm.settings.schema import ModelConfig
from charlm.types import Array

# Where each of their gate blocks lies among ours; every one of these is its own inverse.
_ORDER = {"lstm": [0, 1, 3, 2], "gru": [0, 1, 2], "rnn": [0]}
_ONE_BIAS = {"Wx": "weight_ih", "Wh": "weight_hh", "b": "bias_ih"}
_TWO_BIASES = {"Wx": "weight_ih", "bx": "bias_ih", "Wh": "weight_hh", "bh": "bias_hh"}
_PARTS = {"lstm": _ONE_BIAS, "gru": _TWO_BIASES, "rnn": _ONE_BIAS}


def shapes(config: ModelConfig, V: int) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of a model's state dict; allocates nothing.

    Args:
        config: the model's settings.
        V: size of the vocabulary.
    """
    H, rows = config.hidden, len(_ORDER[config.cell]) * config.hidden
    expected: dict[str, tuple[int, ...]] = {}
    if config.embedding == "one-hot":
        D = V
    else:
        D = H if config.embedding == "auto" else config.embedding
        expected["embedding.weight"] = (V, D)
    for k in range(config.layers):
        expected[f"recurrent.weight_ih_l{k}"] = (rows, H if k else D)
        expected[f"recurrent.weight_hh_l{k}"] = (rows, H)
        expected[f"recurrent.bias_ih_l{k}"] = (rows,)
        expected[f"recurrent.bias_hh_l{k}"] = (rows,)
    return expected | {"output.weight": (V, H), "output.bias": (V,)}


def to_state_dict(config: ModelConfig, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Turn a model's arrays into PyTorch's.

    Args:
        config: the model's settings.
        arrays: charlm's names -> arrays, as `Parameters.copies` returns them.

    Returns:
        PyTorch's names -> C-contiguous arrays.
    """
    cell, tensors = config.cell, {}
    if "embedding.W" in arrays:
        tensors["embedding.weight"] = arrays["embedding.W"].T
    for k in range(config.layers):
        for ours, theirs in _PARTS[cell].items():
            q = arrays[f"{cell}.{k}.{ours}"]
            tensors[f"recurrent.{theirs}_l{k}"] = reorder(q, _ORDER[cell])
        if cell != "gru":
            tensors[f"recurrent.bias_hh_l{k}"] = np.zeros_like(arrays[f"{cell}.{k}.b"])
    tensors["output.weight"], tensors["output.bias"] = arrays["output.W"], arrays["output.b"]
    # safetensors scrambles an array that is not C-contiguous (its issue 825).
    return {name: np.ascontiguousarray(q) for name, q in tensors.items()}


def from_state_dict(config: ModelConfig, tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Turn PyTorch's arrays into a model's; the inverse of `to_state_dict`.

    Args:
        config: the model's settings.
        tensors: arrays of the names and shapes that `shapes` returns.
    """
    cell, arrays = config.cell, {}
    if "embedding.weight" in tensors:
        arrays["embedding.W"] = tensors["embedding.weight"].T
    for k in range(config.layers):
        for ours, theirs in _PARTS[cell].items():
            q = tensors[f"recurrent.{theirs}_l{k}"]
            if ours == "b":
                q = q + tensors[f"recurrent.bias_hh_l{k}"]
            arrays[f"{cell}.{k}.{ours}"] = reorder(q, _ORDER[cell])
    arrays["output.W"], arrays["output.b"] = tensors["output.weight"], tensors["output.bias"]
    return {name: np.ascontiguousarray(q) for name, q in arrays.items()}


def reorder(q: Array, order: list[int]) -> Array:
    """Return a copy of (gates H, ...) rows with its gate blocks in another order."""
    blocks = q.reshape(len(order), -1, *q.shape[1:])
    return blocks[order].reshape(q.shape)
