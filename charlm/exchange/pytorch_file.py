"""PyTorch's `.pt`: a ZIP archive of `torch.save`, here {"state_dict": ..., "charlm": text}.

It is read as tensors and plain values alone (`weights_only`), since a pickle could run any code,
and memory-mapped, so that no tensor reaches beyond the file.
"""

import io
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from charlm.environment import require
from charlm.errors import CheckpointError, ExchangeError
from charlm.exchange.description import KEY
from charlm.exchange.formats import Format
from charlm.exchange.tensors import Tensors
from charlm.storage.checkpoint import opened_archive
from charlm.types import Array

# Tensors may share their numbers, as tied weights do; one of stride 0 may claim any size.
_MOST_SHARED = 2


def encode(tensors: Mapping[str, Array], about: str) -> bytes:
    """Return the content of a file of these tensors and the description."""
    torch = require("torch", Format.PYTORCH, "--to pytorch", ExchangeError)
    state_dict = {name: torch.from_numpy(array) for name, array in tensors.items()}
    buffer = io.BytesIO()
    torch.save({"state_dict": state_dict, KEY: about}, buffer)
    return buffer.getvalue()


def read(path: Path) -> tuple[Tensors, object]:
    """Return a file's tensors, and its description, if any."""
    torch = require("torch", Format.PYTORCH, path, ExchangeError)
    with opened_archive(path) as archive, warnings.catch_warnings():
        # What a damaged pickle causes warnings about is an error in a moment.
        warnings.simplefilter("ignore")
        # torch.load itself reads over a flipped byte.
        if damaged := archive.testzip():
            raise ValueError(f"Bad CRC-32 for file {damaged!r}")
        try:
            content = torch.load(str(path), map_location="cpu", weights_only=True, mmap=True)
        except pickle.UnpicklingError:
            problem = "holds Python objects besides tensors, and loading those could run any code"
            advice = f"save {{'state_dict': module.state_dict(), '{KEY}': ...}}"
            raise ExchangeError(path, problem, f"{advice}, as docs/exchange.md shows") from None
        except Exception as error:
            # Its unpickler raises errors of any kind.
            raise ValueError(str(error).partition("\n")[0]) from None
    if not isinstance(content, dict):
        raise ExchangeError(path, f"must hold a state dict, got {type(content).__name__}")
    state_dict = content.get("state_dict")
    if not isinstance(state_dict, dict):
        # A bare state dict has no description either, which is what the error will be about.
        return {}, content.get(KEY)
    found = {str(name): _dense(torch, value) for name, value in state_dict.items()}
    nbytes = sum(value.nbytes for value in found.values() if not isinstance(value, str))
    if nbytes > _MOST_SHARED * path.stat().st_size:
        raise CheckpointError(path, "its tensors are larger than the file", "it is damaged")
    tensors = {
        name: value if isinstance(value, str) else np.array(value.to(torch.float32).numpy())
        for name, value in found.items()
    }
    return tensors, content.get(KEY)


def _dense(torch: Any, value: Any) -> Any:
    """Return a tensor of floats, or what it is instead."""
    if not isinstance(value, torch.Tensor):
        return type(value).__name__
    if value.layout is not torch.strided or value.is_meta:
        return "a tensor without dense values"
    if value.dtype not in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        return str(value.dtype).removeprefix("torch.")
    return value.detach()
