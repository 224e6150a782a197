"""A checkpoint: one .npz file of named arrays and a description, without pickle.

    last.npz    all that a resume needs     parameters, optimizer, average, carried state
    best.npz    all that sampling needs     one set of weights

An .npz is a ZIP archive of .npy members, here stored uncompressed, each with its CRC-32; the
member `meta.json` describes the rest: format, step, resolved configuration, vocabulary, versions.
NumPy's own `np.load` opens it too.

Saving replaces the file as a whole: a crash at any instant leaves the checkpoint before.
Loading believes no size that it has not checked against the file's, and `opened` allocates nothing
until its caller knows the shapes: a model's weights go from the file to where they are used.
"""

import json
import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from charlm.errors import CheckpointError
from charlm.storage.archive import (
    FORMAT,
    META,
    Header,
    OpenArchive,
    parse_meta,
    read_header,
    too_large,
)
from charlm.storage.atomic import replacing
from charlm.types import Array

# The earliest date that a ZIP archive can name: equal checkpoints are equal files.
_EPOCH = (1980, 1, 1, 0, 0, 0)
# What the names of an earlier state begin with, where a checkpoint holds one beside its own.
GOOD = "good/"
# An array is read so many bytes at a time, where its rows are shorter.
_PIECE_BYTES = 1 << 20


class Checkpoint(NamedTuple):
    """What a checkpoint file holds."""

    path: Path
    arrays: Mapping[str, Array]
    meta: Mapping[str, Any]


def save(
    path: Path, arrays: Mapping[str, Array], meta: Mapping[str, Any], *, keep_good: bool = False
) -> None:
    """Write a checkpoint, and put it in the place of the one before.

    Args:
        path: the file.
        arrays: name -> array.
        meta: anything that JSON can hold; the format version and the arrays' names are added.
        keep_good: take the good state over from the file that is there, as `good/` and the arrays'
            names: what stands there under such names, or its arrays where nothing does.

    Raises:
        CheckpointError: the good state cannot be read, or the description is larger than one that
            can be loaded.
        OSError: it cannot be written; the file that was there is untouched.
    """
    names = [*arrays, *(GOOD + name for name in arrays if keep_good)]
    listed = {"format": FORMAT, **meta, "arrays": names}
    # A path's bytes that are no UTF-8 are lone surrogates, for which JSON has an escape.
    text = json.dumps(listed, ensure_ascii=False, indent=1).encode(errors="backslashreplace")
    if too_large(text):
        raise CheckpointError(
            path,
            f"cannot be saved, its description would have {len(text):,} bytes",
            "begin with fewer files, or with a shorter start text or fewer streams",
        )
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(META, _EPOCH), text)
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            with archive.open(info, "w", force_zip64=True) as member:
                _write_array(member, array)
        if keep_good:
            for name, content in _good_members(path, arrays):
                archive.writestr(zipfile.ZipInfo(f"{GOOD}{name}.npy", _EPOCH), content)


def _write_array(member: IO[bytes], array: Array) -> None:
    """Write an array as `np.save` does, with no more than one copy of it, where it is a view."""
    whole = np.ascontiguousarray(array)
    header = np.lib.format.header_data_from_array_1_0(whole)
    np.lib.format.write_array_header_1_0(member, header)
    member.write(whole.data)


def _good_members(path: Path, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Read the good state one array at a time, as bytes, so that it never is in memory whole."""
    with OpenArchive(path) as archive:
        prefix = GOOD if any(q.startswith(GOOD) for q in archive.namelist()) else ""
        for name in names:
            yield name, archive.read(f"{prefix}{name}.npy")


class OpenCheckpoint:
    """Read a checkpoint array by array.

    Attributes:
        path: the file.
        meta: its description.
        names: of all arrays.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path, self._archive = path, archive
        self.meta = parse_meta(path, archive)
        members = [info.filename for info in archive.infolist() if info.filename != META]
        self.names = [member.removesuffix(".npy") for member in members]
        # A damaged table of contents can hide a member without any CRC noticing.
        if self.names != self.meta.get("arrays") or members != [f"{q}.npy" for q in self.names]:
            raise ValueError("its members are not those it lists")

    def expect(self, name: str, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> None:
        """Hold an array's header against what is needed.

        Raises:
            CheckpointError: it is missing, or of another shape or type.
        """
        found = None
        if name in self.names:
            with self._archive.open(f"{name}.npy") as member:
                found = read_header(member)
        check(self.path, name, found, Header(dtype.str, shape))

    def read(self, name: str) -> Array:
        """Return an array; raises ValueError where it is damaged."""
        with self._archive.open(f"{name}.npy") as member:
            header = read_header(member)
            dtype, count = np.dtype(header.dtype), math.prod(header.shape)
            size = self._archive.getinfo(f"{name}.npy").file_size
            if count * dtype.itemsize != size - member.tell():
                raise ValueError(f"'{member.name}' does not have the size it names, {header.shape}")
            q = np.empty(header.shape, dtype)
            self._fill(member, q)
        return q

    def read_into(self, name: str, into: Array) -> None:
        """Fill an array whose shape and type `expect` found right."""
        with self._archive.open(f"{name}.npy") as member:
            read_header(member)
            self._fill(member, into)

    @staticmethod
    def _fill(member: Any, into: Array) -> None:
        row = math.prod(into.shape[1:]) * into.itemsize
        rows = len(into) if into.ndim and row else 0
        step = max(1, _PIECE_BYTES // max(1, row))
        for begin in range(0, rows, step):
            some = into[begin : begin + step]
            content = member.read(some.size * into.itemsize)
            some[...] = np.frombuffer(content, into.dtype).reshape(some.shape)
        if not into.ndim:
            into[...] = np.frombuffer(member.read(into.itemsize), into.dtype)[0]
        # The CRC is checked at the end.
        if member.read(1):
            raise ValueError(f"'{member.name}' is larger than it says")


@contextmanager
def opened(path: Path) -> Iterator[OpenCheckpoint]:
    """Open a checkpoint, to read some of its arrays.

    Raises:
        CheckpointError: it is missing, damaged, no checkpoint of charlm's, or of another format;
            also where what is read of it inside turns out to be.
    """
    with OpenArchive(path) as archive:
        yield OpenCheckpoint(path, archive)


def load(path: Path) -> Checkpoint:
    """Read a whole checkpoint; raises as `opened`."""
    with opened(path) as content:
        return Checkpoint(path, {name: content.read(name) for name in content.names}, content.meta)


def check(path: Path, name: str, found: Header | None, wanted: Header) -> None:
    """Hold what is found of an array against what is needed; raises as `OpenCheckpoint.expect`."""
    if found is None:
        raise CheckpointError(path, f"lacks '{name}'", "the file is damaged")
    if found != wanted:
        raise CheckpointError(
            path,
            f"'{name}' is {np.dtype(found.dtype)} {found.shape} on disk, {np.dtype(wanted.dtype)} "
            f"{wanted.shape} expected",
            "the file is damaged",
        )
