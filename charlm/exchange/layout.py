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

import numpy as np

from charlm.nn import model
from charlm.settings.schema import ModelConfig
from charlm.types import Array

# Where each of PyTorch's gate blocks lies among ours; each order is its own inverse.
_ORDER = {"lstm": [0, 1, 3, 2], "gru": [0, 1, 2], "rnn": [0]}
_ONE_BIAS = {"Wx": "weight_ih", "Wh": "weight_hh", "b": "bias_ih"}
_TWO_BIASES = {"Wx": "weight_ih", "Wh": "weight_hh", "bx": "bias_ih", "bh": "bias_hh"}


def shapes(config: ModelConfig, V: int) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of a model's state dict; allocates nothing.

    Args:
        config: the model's settings.
        V: size of the vocabulary.
    """
    ours = model.shapes(config, V)
    expected: dict[str, tuple[int, ...]] = {}
    if "embedding.W" in ours:
        expected["embedding.weight"] = ours["embedding.W"][::-1]
    for name, theirs in _recurrent(config).items():
        expected[theirs] = ours[name]
        if name.endswith(".b"):
            expected[_second_bias(theirs)] = ours[name]
    return expected | {"output.weight": ours["output.W"], "output.bias": ours["output.b"]}


def to_state_dict(config: ModelConfig, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Convert a model's arrays to PyTorch's.

    Args:
        config: the model's settings.
        arrays: charlm's names -> arrays, as `Parameters.copies` returns them.

    Returns:
        PyTorch's names -> C-contiguous arrays.
    """
    tensors = {}
    if "embedding.W" in arrays:
        tensors["embedding.weight"] = arrays["embedding.W"].T
    for name, theirs in _recurrent(config).items():
        tensors[theirs] = reorder(arrays[name], _ORDER[config.cell])
        if name.endswith(".b"):
            tensors[_second_bias(theirs)] = np.zeros_like(arrays[name])
    tensors |= {"output.weight": arrays["output.W"], "output.bias": arrays["output.b"]}
    # safetensors scrambles an array that is not C-contiguous (its issue 825).
    return {name: np.ascontiguousarray(array) for name, array in tensors.items()}


def from_state_dict(config: ModelConfig, tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Convert PyTorch's arrays to a model's; the inverse of `to_state_dict`.

    Args:
        config: the model's settings.
        tensors: arrays of the names and shapes that `shapes` returns.
    """
    arrays = {}
    if "embedding.weight" in tensors:
        arrays["embedding.W"] = tensors["embedding.weight"].T
    for name, theirs in _recurrent(config).items():
        array = tensors[theirs]
        if name.endswith(".b"):
            array = array + tensors[_second_bias(theirs)]
        arrays[name] = reorder(array, _ORDER[config.cell])
    arrays |= {"output.W": tensors["output.weight"], "output.b": tensors["output.bias"]}
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _recurrent(config: ModelConfig) -> dict[str, str]:
    """Return the names of the recurrent layers' arrays, ours -> PyTorch's."""
    parts = _TWO_BIASES if config.cell == "gru" else _ONE_BIAS
    return {
        f"{config.cell}.{k}.{ours}": f"recurrent.{theirs}_l{k}"
        for k in range(config.layers)
        for ours, theirs in parts.items()
    }


def _second_bias(name: str) -> str:
    return name.replace("bias_ih", "bias_hh")


def reorder(array: Array, order: list[int]) -> Array:
    """Return a copy of (gates H, ...) rows with its gate blocks in another order."""
    blocks = array.reshape(len(order), -1, *array.shape[1:])
    return blocks[order].reshape(array.shape)
