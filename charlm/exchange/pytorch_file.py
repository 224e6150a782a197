"""PyTorch's `.pt`: a ZIP archive of `torch.save`, here {"state_dict": ..., "charlm": text}.

It is read as tensors and plain values alone (`weights_only`): a pickle could run any code. What is
left could still ask for any time or memory, so the pickle is looked through before it is read: what
it calls, how long it is, and how often it comes back to a tuple, which can make its hash take for
ever. A tensor may say that it is larger than the file; none of its numbers is touched then.
"""

import io
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from charlm.errors import CheckpointError, ExchangeError
from charlm.exchange.description import KEY
from charlm.exchange.formats import Format, library
from charlm.exchange.tensors import Stored, Tensor
from charlm.storage.archive import OpenArchive
from charlm.types import Array

# What torch.save calls for tensors in plain containers.
_CALLED = re.compile(
    r"collections OrderedDict|torch (Size|device|\w+Storage|b?float\d+|u?int\d+|bool)"
    r"|torch\._utils _rebuild_(tensor_v2|parameter|sparse_tensor|meta_tensor_no_storage)"
    r"|torch\.serialization _get_layout|_codecs encode"
)
_MOST_PICKLE_BYTES = 1 << 24
_MOST_OPERATIONS = 200_000
# Two parameter groups of an optimizer may share one.
_MOST_TUPLES_AGAIN = 16
_TUPLES = ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "REDUCE")
# Tensors may share their numbers, as tied weights do.
_MOST_SHARED = 2
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
    with OpenArchive(path) as archive, warnings.catch_warnings():
        # What a damaged pickle makes its readers warn of is an error in a moment.
        warnings.simplefilter("ignore")
        # torch.load itself reads over a flipped byte.
        damaged = archive.testzip()
        if damaged:
            raise ValueError(f"Bad CRC-32 for file {damaged!r}")
        for info in archive.infolist():
            if info.filename.endswith(".pkl"):
                _look_through(path, archive, info)
        sizes = {info.file_size for info in archive.infolist()}
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:
            raise _objects(path) from None
        except Exception as error:
            # What its unpickler trips over can be of any kind.
            raise ValueError(str(error).partition("\n")[0]) from None
    if not isinstance(content, dict):
        raise ExchangeError(path, f"must hold a state dict, got {type(content).__name__}")
    state_dict = content.get("state_dict")
    if not isinstance(state_dict, dict):
        # A bare state dict has no description either, which is what the user will be told.
        return Stored({}, content.get(KEY))
    _weigh(torch, path, state_dict.values(), sizes)
    tensors = {str(name): _tensor(torch, q) for name, q in state_dict.items()}
    return Stored(tensors, content.get(KEY))


def _objects(path: Path) -> ExchangeError:
    return ExchangeError(
        path, "holds Python objects besides tensors, and loading those could run any code", _ADVICE
    )


def _look_through(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    """Refuse a pickle that is more than tensors in plain containers, before it is read.

    Raises:
        ExchangeError: it calls something else.
        ValueError: it is no pickle, or could take any time or memory.
    """
    if info.file_size > _MOST_PICKLE_BYTES:
        raise ValueError(f"'{info.filename}' is too large")
    tuples: set[Any] = set()
    before, puts, again = "", 0, 0
    for count, (operation, argument, _) in enumerate(pickletools.genops(archive.read(info))):
        name = operation.name
        if count > _MOST_OPERATIONS:
            raise ValueError(f"'{info.filename}' is too large")
        if name in ("GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4"):
            if name != "GLOBAL" or not _CALLED.fullmatch(str(argument)):
                raise _objects(path)
        elif "PUT" in name or name == "MEMOIZE":
            if before in _TUPLES:
                tuples.add(puts if name == "MEMOIZE" else argument)
            puts += 1
        elif "GET" in name or name == "DUP":
            again += argument in tuples or name == "DUP"
            if again > _MOST_TUPLES_AGAIN:
                raise ValueError(f"'{info.filename}' refers to itself too often")
        before = name


def _weigh(torch: Any, path: Path, tensors: Iterable[Any], sizes: set[int]) -> None:
    """Refuse tensors that are larger than what the file holds of them.

    Raises:
        CheckpointError: one is.
    """
    total = 0
    for q in tensors:
        if isinstance(q, torch.Tensor) and q.layout is torch.strided and not q.is_meta:
            total += q.numel() * q.element_size()
            if q.untyped_storage().nbytes() not in sizes:
                total = _MOST_SHARED * path.stat().st_size + 1
    if total > _MOST_SHARED * path.stat().st_size:
        raise CheckpointError(path, "its tensors are larger than the file", "it is damaged")


def _tensor(torch: Any, q: Any) -> Tensor:
    if not isinstance(q, torch.Tensor):
        return Tensor(type(q).__name__, (), None)
    dtype, shape = str(q.dtype).removeprefix("torch."), tuple(q.shape)
    if q.layout is not torch.strided or q.is_meta:
        return Tensor("a tensor without dense values", shape, None)
    if q.dtype not in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        return Tensor(dtype, shape, None)
    return Tensor(dtype, shape, np.array(q.detach().to(torch.float32).numpy()))
