"""safetensors: arrays as they lie in memory, behind a JSON header.

The format has no checksum: a flipped byte goes unnoticed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from charlm.environment import require
from charlm.errors import ExchangeError
from charlm.exchange.description import KEY
from charlm.exchange.formats import Format
from charlm.exchange.tensors import Stored, Tensor
from charlm.types import Array

_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def encode(tensors: Mapping[str, Array], about: str) -> bytes:
    """Return a file's content.

    Args:
        tensors: C-contiguous arrays by their names.
        about: the description.

    Raises:
        ExchangeError: safetensors is not installed.
    """
    saver = require("safetensors.numpy", Format.SAFETENSORS, "--to safetensors", ExchangeError)
    content: bytes = saver.save(dict(tensors), metadata={KEY: about})
    return content


def read(path: Path) -> Stored:
    """Read a file.

    Raises:
        ExchangeError: safetensors is not installed, or the file is damaged.
        OSError: it cannot be read.
    """
    safetensors = require("safetensors", Format.SAFETENSORS, path, ExchangeError)
    content = path.read_bytes()
    try:
        # Its NumPy side does not know bfloat16, so the bytes are converted here.
        stored = safetensors.deserialize(content)
        with safetensors.safe_open(path, framework="numpy") as file:
            about = (file.metadata() or {}).get(KEY)
    except safetensors.SafetensorError as error:
        raise ExchangeError(
            path, f"cannot be read ({error})", "the file is damaged or no safetensors file"
        ) from None
    return Stored({name: _tensor(entry) for name, entry in stored}, about)


def _tensor(entry: Mapping[str, Any]) -> Tensor:
    dtype, shape, data = entry["dtype"], tuple(entry["shape"]), entry["data"]
    if dtype not in _DTYPES:
        return Tensor(dtype, shape, None)
    if dtype == "BF16":
        # A bfloat16 is the upper half of a float32.
        values = (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    else:
        values = np.frombuffer(data, np.dtype(_DTYPES[dtype]).newbyteorder("<"))
    # Numbers beyond float32 become infinite, and are refused as such.
    with np.errstate(over="ignore"):
        return Tensor(_DTYPES[dtype], shape, values.astype(np.float32).reshape(shape))
