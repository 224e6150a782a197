"""charlm's named arrays <-> a PyTorch state dict.

    embedding.W     (D, V)     embedding.weight          (V, D), transposed; none for one-hot
    lstm.0.Wx       (4H, D)    recurrent.weight_ih_l0    gates i, f, o, g <-> i, f, g, o
    lstm.0.Wh       (4H, H)    recurrent.weight_hh_l0    likewise
    lstm.0.b        (4H,)      recurrent.bias_ih_l0      likewise
                               recurrent.bias_hh_l0      zero in an export, added in an import
    output.W        (V, H)     output.weight
    output.b        (V,)       output.bias

An RNN's arrays are as the LSTM's, with one block in place of four. The GRU's gates are r, z, n in
both, with a bias for each product: `gru.0.bx` is bias_ih, `gru.0.bh` is bias_hh.

The names are those of a module that has an Embedding, an LSTM, GRU or RNN, and a Linear as its
`embedding`, `recurrent` and `output`. Source: the "Variables" of torch.nn.LSTM, GRU and RNN.
"""

from collections.abc import Mapping
from functools import reduce

import numpy as np

from charlm.nn import model
from charlm.settings.schema import ModelConfig
from charlm.types import Array

# Where each of PyTorch's gate blocks lies among ours; each order is its own inverse.
_ORDER = {"lstm": [0, 1, 3, 2], "gru": [0, 1, 2], "rnn": [0]}
_ONE_BIAS = {"Wx": ["weight_ih"], "Wh": ["weight_hh"], "b": ["bias_ih", "bias_hh"]}
_TWO_BIASES = {"Wx": ["weight_ih"], "Wh": ["weight_hh"], "bx": ["bias_ih"], "bh": ["bias_hh"]}


def shapes(config: ModelConfig, V: int) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of a model's state dict; allocates nothing."""
    ours = model.shapes(config, V)
    return {
        theirs: ours[name][::-1] if name == "embedding.W" else ours[name]
        for name, both in _names(config).items()
        for theirs in both
    }


def to_state_dict(config: ModelConfig, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Convert a model's arrays, as `Parameters.copies` returns them, to PyTorch's."""
    tensors = {}
    for name, (theirs, *second_bias) in _names(config).items():
        tensors[theirs] = _convert(name, arrays[name])
        tensors |= {zero: np.zeros_like(arrays[name]) for zero in second_bias}
    return tensors


def from_state_dict(config: ModelConfig, tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Convert PyTorch's arrays, of the names and shapes that `shapes` returns, to a model's."""
    return {
        name: _convert(name, reduce(np.add, [tensors[theirs] for theirs in both]))
        for name, both in _names(config).items()
    }


def _names(config: ModelConfig) -> dict[str, list[str]]:
    """Return charlm's names -> PyTorch's: one each, but two for an LSTM's or RNN's bias."""
    names = {} if config.embedding == "one-hot" else {"embedding.W": ["embedding.weight"]}
    parts = _TWO_BIASES if config.cell == "gru" else _ONE_BIAS
    for k in range(config.layers):
        for ours, theirs in parts.items():
            names[f"{config.cell}.{k}.{ours}"] = [f"recurrent.{part}_l{k}" for part in theirs]
    return names | {"output.W": ["output.weight"], "output.b": ["output.bias"]}


def _convert(name: str, array: Array) -> Array:
    """Convert an array between the layouts, in either direction; returns it C-contiguous."""
    layer = name.partition(".")[0]
    if layer == "embedding":
        array = array.T
    elif layer in _ORDER:
        array = reorder(array, _ORDER[layer])
    # safetensors scrambles an array that is not C-contiguous (its issue 825).
    return np.ascontiguousarray(array)


def reorder(array: Array, order: list[int]) -> Array:
    """Return a copy of (gates H, ...) rows with its gate blocks in another order."""
    blocks = array.reshape(len(order), -1, *array.shape[1:])
    return blocks[order].reshape(array.shape)
