"""A checkpoint: one .npz file of named arrays and a description, without pickle.

    last.npz    all that a resume needs     parameters, optimizer, average, carried state
    best.npz    all that sampling needs     one set of weights

An .npz is a ZIP archive of .npy members, here stored uncompressed, each with its CRC-32; the
member `meta.json` describes the rest: format, step, resolved configuration, vocabulary, versions.
NumPy's own `np.load` opens it too.

Saving replaces the file as a whole: a crash at any instant leaves the checkpoint before.

Loading trusts no size in the file. Members are uncompressed and do not overlap, so together they
are no larger than the file; the table of contents and the description, which become Python objects,
are bounded. Arrays are read one at a time, each after its shape was compared with what is needed.
"""

import json
import math
import struct
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from charlm.errors import CharlmError, CheckpointError
from charlm.storage.atomic import replacing
from charlm.storage.files import open_file
from charlm.types import Array

FORMAT = 1
META = "meta.json"
# Python's objects take up to 30 times the bytes of their JSON, a table of contents ten times.
MOST_META_BYTES = 2 << 20
_MOST_DIRECTORY_BYTES = 1 << 18
_MOST_REASON = 200
# The earliest date that a ZIP archive can name: equal checkpoints are equal files.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_DTYPES = ("<f4", "<f8", "<i4", "<i8")
# What zipfile, json and NumPy raise on arbitrary bytes.
_DAMAGE = (
    zipfile.BadZipFile, struct.error,
    ValueError, LookupError, ArithmeticError, EOFError, RuntimeError,
)  # fmt: skip


class Checkpoint(NamedTuple):
    """The content of a checkpoint file."""

    path: Path
    arrays: Mapping[str, Array]
    meta: Mapping[str, Any]


def save(path: Path, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
    """Write named arrays and a description, anything that JSON can hold, in place of the file.

    Raises OSError where that fails, and CheckpointError where the description could not be loaded.
    """
    listed = {"format": FORMAT, **meta, "arrays": list(arrays)}
    # A path's bytes that are not UTF-8 are lone surrogates, for which JSON has an escape.
    text = json.dumps(listed, ensure_ascii=False, indent=1).encode(errors="backslashreplace")
    if len(text) > MOST_META_BYTES:
        problem = f"cannot be saved, its description would have {len(text):,} bytes"
        raise CheckpointError(path, problem, "begin with fewer files")
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(META, _EPOCH), text)
        for name, array in arrays.items():
            info, whole = zipfile.ZipInfo(f"{name}.npy", _EPOCH), np.ascontiguousarray(array)
            with archive.open(info, "w", force_zip64=True) as member:
                header = np.lib.format.header_data_from_array_1_0(whole)
                np.lib.format.write_array_header_1_0(member, header)
                # `write_array` would copy the array, 16 MB at a time.
                member.write(whole.data)


def load(path: Path) -> Checkpoint:
    """Read a whole checkpoint; raises as `opened`."""
    with opened(path) as content:
        return Checkpoint(path, {name: content.read(name) for name in content.names}, content.meta)


def read_meta(path: Path) -> Mapping[str, Any]:
    """Read a checkpoint's description alone; raises as `opened`."""
    with opened(path) as content:
        return content.meta


@contextmanager
def opened(path: Path) -> Iterator["OpenCheckpoint"]:
    """Open a checkpoint, to read its arrays one at a time; what is damaged is a CheckpointError."""
    with opened_archive(path) as archive:
        yield OpenCheckpoint(path, archive)


@contextmanager
def opened_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a ZIP archive whose members are uncompressed and do not overlap; raises as `opened`."""
    try:
        with open_file(path) as file, zipfile.ZipFile(reader := _Reader(file)) as archive:
            reader.most = file.seek(0, 2)
            infos = archive.infolist()
            if len({info.filename for info in infos}) < len(infos):
                raise ValueError("it holds two members of one name")
            for info in infos:
                if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
                    raise ValueError(f"'{info.filename}' is compressed")
            if sum(info.file_size for info in infos) > reader.most:
                raise ValueError("its members are larger than the file")
            yield archive
    except CharlmError:
        raise
    except FileNotFoundError:
        advice = "train one first, or name another"
        raise CheckpointError(path, "no such checkpoint", advice) from None
    except IsADirectoryError:
        raise CheckpointError(path, "is a folder", "name a file in it") from None
    except OSError as error:
        raise CheckpointError(path, f"cannot be read ({error.strerror or error})") from None
    except _DAMAGE as error:
        problem = f"cannot be read ({str(error)[:_MOST_REASON]})"
        raise CheckpointError(path, problem, "the file is damaged or no checkpoint") from None


class _Reader:
    """A file that refuses to read more at once than there can be; zipfile trusts sizes in it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable
        self._file, self.most = file, _MOST_DIRECTORY_BYTES

    def read(self, size: int = -1) -> bytes:
        if size > self.most:
            raise ValueError("it names a part that is larger than it can be")
        return self._file.read(size)


class OpenCheckpoint:
    """A checkpoint that is read array by array: its file, description and arrays' names."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path, self._archive = path, archive
        if META not in (members := archive.namelist()):
            raise CheckpointError(path, f"is no checkpoint of charlm's (it has no {META})")
        if archive.getinfo(META).file_size > MOST_META_BYTES:
            raise ValueError(f"'{META}' is too large")
        meta = json.loads(archive.read(META))
        version = meta.get("format") if isinstance(meta, dict) else None
        if type(version) is not int or version < 1:
            raise CheckpointError(path, "is no checkpoint of charlm's (it names no format)")
        if version > FORMAT:
            problem = f"has format {version}, this charlm reads up to {FORMAT}"
            raise CheckpointError(path, problem, "update charlm")
        self.meta: Mapping[str, Any] = meta
        self.names: list[str] = names if isinstance(names := meta.get("arrays"), list) else []
        # A damaged table of contents can hide a member without any CRC noticing.
        if members != [META, *(f"{name}.npy" for name in self.names)]:
            raise ValueError("its members are not those it lists")

    def read(self, name: str) -> Array:
        """Return an array of any shape and type; raises ValueError where it is damaged."""
        with self._archive.open(f"{name}.npy") as member:
            shape, dtype = _read_header(member)
            size = self._archive.getinfo(member.name).file_size - member.tell()
            if math.prod(shape) * dtype.itemsize != size:
                raise ValueError(f"'{member.name}' does not have the size it names, {shape}")
            return np.frombuffer(member.read(), dtype).reshape(shape)

    def expect(self, name: str, shape: tuple[int, ...]) -> None:
        """Raise CheckpointError where an array is missing, or not float32 of this shape."""
        if name not in self.names:
            raise damaged(self.path, f"lacks '{name}'")
        with self._archive.open(f"{name}.npy") as member:
            found = _read_header(member)
        if found != (shape, np.dtype(np.float32)):
            problem = f"'{name}' is {found[1]} {found[0]} on disk, float32 {shape} expected"
            raise damaged(self.path, problem)

    def read_into(self, name: str, into: Array) -> None:
        """Fill an array; raises as `expect`, and where a number is not finite."""
        self.expect(name, into.shape)
        into[...] = self.read(name)
        if not np.isfinite(into).all():
            raise damaged(self.path, f"'{name}' holds numbers that are not finite")


def damaged(path: Path, problem: str) -> CheckpointError:
    """Return the error to raise where the content of a checkpoint is invalid."""
    return CheckpointError(path, problem, "the file is damaged")


def _read_header(member: IO[bytes]) -> tuple[tuple[int, ...], "np.dtype[Any]"]:
    """Read an array's shape and type; raises ValueError where it is not a plain array."""
    try:
        with warnings.catch_warnings(action="ignore"):
            if np.lib.format.read_magic(member) != (1, 0):
                raise ValueError
            shape, columns_first, dtype = np.lib.format.read_array_header_1_0(member)
            if columns_first or dtype.str not in _DTYPES:
                raise ValueError
            return shape, dtype
    except (OSError, zipfile.BadZipFile):
        raise
    except Exception:
        # NumPy's parser lets through what Python's own raises, of many kinds.
        raise ValueError(f"'{member.name}' is not a plain array") from None
