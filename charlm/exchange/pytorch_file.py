"""PyTorch's `.pt`: a ZIP archive of `torch.save`, here {"state_dict": ..., "charlm": text}.

It is read as tensors and plain values alone (`weights_only`): a pickle could run any code.
"""

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from charlm.errors import ExchangeError
from charlm.exchange.description import KEY
from charlm.exchange.formats import Format, library
from charlm.exchange.tensors import Stored, Tensor
from charlm.nn.parameters import Array
from charlm.storage.archive import OpenArchive

_ADVICE = f"save {{'state_dict': module.state_dict(), '{KEY}': ...}}, as docs/exchange.md shows"


def encode(tensors: Mapping[str, Array], about: str) -> bytes:
    """Return a file's content.

    Raises:
        ExchangeError: PyTorch is not installed.
    """
    torch = library(Format.PYTORCH, "--to pytorch")
    state_dict = {name: torch.from_numpy(q) for name, q in tensors.items()}
    buffer = io.BytesIO()
    torch.save({"state_dict": state_dict, KEY: about}, buffer)
    return buffer.getvalue()


def read(path: Path) -> Stored:
    """Read a file.

    Raises:
        ExchangeError: PyTorch is not installed, or the file holds something else.
        CheckpointError: it is damaged, or was not written by torch.save.
    """
    torch = library(Format.PYTORCH, str(path))
    with OpenArchive(path) as archive:
        # torch.load itself reads over a flipped byte.
        damaged = archive.testzip()
        if damaged:
            raise ValueError(f"Bad CRC-32 for file {damaged!r}")
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:
            raise ExchangeError(
                f"{path}: holds Python objects besides tensors, and loading those could run any "
                f"code; {_ADVICE}"
            ) from None
        except Exception as error:
            # What its unpickler trips over can be of any kind.
            raise ValueError(str(error).partition("\n")[0]) from None
    if not isinstance(content, dict):
        raise ExchangeError(f"{path}: must hold a state dict, got {type(content).__name__}")
    state_dict = content.get("state_dict")
    if not isinstance(state_dict, dict):
        # A bare state dict has no description either, which is what the user will be told.
        return Stored({}, content.get(KEY))
    tensors = {str(name): _tensor(torch, q) for name, q in state_dict.items()}
    return Stored(tensors, content.get(KEY))


def _tensor(torch: Any, q: Any) -> Tensor:
    if not isinstance(q, torch.Tensor):
        return Tensor(type(q).__name__, (), None)
    dtype, shape = str(q.dtype).removeprefix("torch."), tuple(q.shape)
    if q.layout is not torch.strided or q.is_meta:
        return Tensor("a tensor without dense values", shape, None)
    if q.dtype not in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        return Tensor(dtype, shape, None)
    return Tensor(dtype, shape, np.array(q.detach().to(torch.float32).numpy()))
