"""ONNX: the network as a graph that any ONNX runtime can run, T and B left open.

    ids (T, B) -> Gather or OneHot -> x (T, B, D)
    h_0, c_0 (L, B, H) -> Split -> one state a layer
    x -> LSTM, GRU or RNN -> Squeeze -> ...                    once a layer
    y (T, B, H) -> MatMul -> Add -> LogSoftmax -> log_probs (T, B, V)
    the layers' last states -> Concat -> h_n, c_n (L, B, H)

States have PyTorch's names and shapes; only the LSTM has c. Gate blocks lie in ONNX's own orders:
i, o, f, c for the LSTM and z, r, h for the GRU, whose r multiplies the finished product
(`linear_before_reset`), as it does here.

Source: https://onnx.ai/onnx/operators, LSTM, GRU and RNN.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from charlm._version import __version__
from charlm.environment import require
from charlm.errors import ExchangeError
from charlm.exchange.description import KEY
from charlm.exchange.formats import Format
from charlm.exchange.layout import reorder
from charlm.settings.schema import ModelConfig
from charlm.types import Array

# Old enough for any runtime of the last years: the graph needs nothing newer.
_OPSET, _IR = 17, 8
# Where each of ONNX's gate blocks lies among PyTorch's.
_ORDER = {"lstm": [0, 3, 1, 2], "gru": [1, 0, 2], "rnn": [0]}
# protobuf, in which ONNX files are written, ends at 2 GiB; the graph itself takes a few kB.
_MOST_BYTES = (2 << 30) - (1 << 20)


def encode(config: ModelConfig, tensors: Mapping[str, Array], about: str) -> bytes:
    """Return the content of a file of a PyTorch state dict and the description.

    Raises:
        ExchangeError: onnx is not installed, or the model is too large for the format.
    """
    onnx = require("onnx", Format.ONNX, "--to onnx", ExchangeError)
    count = sum(tensor.size for tensor in tensors.values())
    if count * 4 > _MOST_BYTES:
        problem = f"the format ends at 2 GiB, got {count:,} numbers of 4 bytes"
        raise ExchangeError("--to onnx", problem, "export to safetensors")
    file = onnx.helper.make_model(
        _build(_Graph(onnx.helper, onnx.numpy_helper), config, tensors),
        opset_imports=[onnx.helper.make_opsetid("", _OPSET)],
        ir_version=_IR,
        producer_name="charlm",
        producer_version=__version__,
    )
    onnx.helper.set_model_props(file, {KEY: about})
    content: bytes = file.SerializeToString()
    return content


def _build(graph: "_Graph", config: ModelConfig, tensors: Mapping[str, Array]) -> Any:
    L, H, V = config.layers, config.hidden, tensors["output.bias"].size
    states = ("h", "c") if config.cell == "lstm" else ("h",)

    entering = [graph.value("ids", "T", "B", dtype=np.int64)]
    leaving = [graph.value("log_probs", "T", "B", V)]
    for name in states:
        entering.append(graph.value(f"{name}_0", L, "B", H))
        leaving.append(graph.value(f"{name}_n", L, "B", H))
        graph.node("Split", [f"{name}_0"], [f"{name}_0.{k}" for k in range(L)], axis=0)

    if "embedding.weight" in tensors:
        table = graph.weight("embedding", tensors["embedding.weight"])
        graph.node("Gather", [table, "ids"], ["x.0"])
    else:
        depth = graph.weight("V", np.array([V], np.int64))
        off_on = graph.weight("off_on", np.array([0, 1], np.float32))
        graph.node("OneHot", ["ids", depth, off_on], ["x.0"])

    directions = graph.weight("directions", np.array([1], np.int64))
    attributes = {"hidden_size": H} | ({"linear_before_reset": 1} if config.cell == "gru" else {})
    for k in range(L):
        W, R, b_W, b_R = (
            reorder(tensors[f"recurrent.{part}_l{k}"], _ORDER[config.cell])
            for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        weights = {"W": W, "R": R, "B": np.concatenate([b_W, b_R])}
        names = [graph.weight(f"{name}.{k}", array[None]) for name, array in weights.items()]
        # The empty name leaves out the sequences' lengths: all are T long.
        inputs = [f"x.{k}", *names, "", *(f"{name}_0.{k}" for name in states)]
        outputs = [f"y.{k}", *(f"{name}_n.{k}" for name in states)]
        graph.node(config.cell.upper(), inputs, outputs, **attributes)
        graph.node("Squeeze", [f"y.{k}", directions], [f"x.{k + 1}"])

    W_out = graph.weight("output.W", tensors["output.weight"].T)
    graph.node("MatMul", [f"x.{L}", W_out], ["products"])
    graph.node("Add", ["products", graph.weight("output.b", tensors["output.bias"])], ["logits"])
    graph.node("LogSoftmax", ["logits"], ["log_probs"], axis=-1)
    for name in states:
        graph.node("Concat", [f"{name}_n.{k}" for k in range(L)], [f"{name}_n"], axis=0)
    return graph.helper.make_graph(graph.nodes, "charlm", entering, leaving, graph.weights)


class _Graph:
    """An ONNX graph under construction."""

    def __init__(self, helper: Any, numpy_helper: Any) -> None:
        self.helper, self.numpy_helper = helper, numpy_helper
        self.nodes, self.weights = list[Any](), list[Any]()

    def node(self, kind: str, inputs: list[str], outputs: list[str], **attributes: int) -> None:
        self.nodes.append(self.helper.make_node(kind, inputs, outputs, **attributes))

    def weight(self, name: str, array: Array) -> str:
        self.weights.append(self.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def value(self, name: str, *shape: str | int, dtype: type = np.float32) -> Any:
        kind = self.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.helper.make_tensor_value_info(name, kind, shape)
