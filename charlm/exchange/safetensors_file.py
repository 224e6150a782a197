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
from charlm.exchange.tensors import Tensors
from charlm.storage.files import open_file
from charlm.types import Array

_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def encode(tensors: Mapping[str, Array], about: str) -> bytes:
    """Return the content of a file of C-contiguous tensors and the description."""
    saver = require("safetensors.numpy", Format.SAFETENSORS, "--to safetensors", ExchangeError)
    content: bytes = saver.save(dict(tensors), metadata={KEY: about})
    return content


def read(path: Path) -> tuple[Tensors, object]:
    """Return a file's tensors, and its description, if any."""
    safetensors = require("safetensors", Format.SAFETENSORS, path, ExchangeError)
    try:
        with open_file(path) as file:
            content = file.read()
    except OSError as error:
        raise ExchangeError(path, f"cannot be read ({error.strerror or error})") from None
    try:
        # Its NumPy side does not know bfloat16, so the bytes are converted here.
        stored = safetensors.deserialize(content)
        with safetensors.safe_open(path, framework="numpy") as tensors:
            about = (tensors.metadata() or {}).get(KEY)
    except safetensors.SafetensorError as error:
        advice = "the file is damaged or no safetensors file"
        raise ExchangeError(path, f"cannot be read ({error})", advice) from None
    return {name: _tensor(entry) for name, entry in stored}, about


def _tensor(entry: Mapping[str, Any]) -> Array | str:
    dtype: str = entry["dtype"]
    if dtype not in _DTYPES:
        return dtype
    values = np.frombuffer(entry["data"], _DTYPES[dtype])
    if dtype == "BF16":
        # A bfloat16 is the upper half of a float32.
        values = (values.astype("<u4") << 16).view("<f4")
    # Numbers beyond float32 become infinite, and are refused as such.
    with np.errstate(over="ignore"):
        return values.astype(np.float32).reshape(entry["shape"])
