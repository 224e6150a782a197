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
from charlm.exchange.tensors import Stored, Tensor
from charlm.storage.checkpoint import opened_archive
from charlm.types import Array

# Tensors may share their numbers, as tied weights do; one of stride 0 may claim any size.
_MOST_SHARED = 2


def encode(tensors: Mapping[str, Array], about: str) -> bytes:
    """Return a file's content.

    Raises:
        ExchangeError: PyTorch is not installed.
    """
    torch = require("torch", Format.PYTORCH, "--to pytorch", ExchangeError)
    state_dict = {name: torch.from_numpy(array) for name, array in tensors.items()}
    buffer = io.BytesIO()
    torch.save({"state_dict": state_dict, KEY: about}, buffer)
    return buffer.getvalue()


def read(path: Path) -> Stored:
    """Read a file.

    Raises:
        ExchangeError: PyTorch is not installed, or the file holds something else.
        CheckpointError: it is damaged, or was not written by torch.save.
    """
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
            raise ExchangeError(
                path,
                "holds Python objects besides tensors, and loading those could run any code",
                f"save {{'state_dict': module.state_dict(), '{KEY}': ...}}, as docs/exchange.md "
                "shows",
            ) from None
        except Exception as error:
            # Its unpickler raises errors of any kind.
            raise ValueError(str(error).partition("\n")[0]) from None
    if not isinstance(content, dict):
        raise ExchangeError(path, f"must hold a state dict, got {type(content).__name__}")
    state_dict = content.get("state_dict")
    if not isinstance(state_dict, dict):
        # A bare state dict has no description either, which is what the error will be about.
        return Stored({}, content.get(KEY))
    dense = [value for value in state_dict.values() if _is_dense(torch, value)]
    nbytes = sum(tensor.numel() * tensor.element_size() for tensor in dense)
    if nbytes > _MOST_SHARED * path.stat().st_size:
        raise CheckpointError(path, "its tensors are larger than the file", "it is damaged")
    tensors = {str(name): _tensor(torch, value) for name, value in state_dict.items()}
    return Stored(tensors, content.get(KEY))


def _is_dense(torch: Any, value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.layout is torch.strided and not value.is_meta


def _tensor(torch: Any, value: Any) -> Tensor:
    if not isinstance(value, torch.Tensor):
        return Tensor(type(value).__name__, (), None)
    dtype, shape = str(value.dtype).removeprefix("torch."), tuple(value.shape)
    if not _is_dense(torch, value):
        return Tensor("a tensor without dense values", shape, None)
    if value.dtype not in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        return Tensor(dtype, shape, None)
    return Tensor(dtype, shape, np.array(value.detach().to(torch.float32).numpy()))
