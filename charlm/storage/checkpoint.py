"""A checkpoint: one .npz file of named arrays and a description, without pickle.

    last.npz    all that a resume needs     parameters, optimizer, average, carried state
    best.npz    all that sampling needs     one set of weights

An .npz is a ZIP archive of .npy members, here stored uncompressed, each with its CRC-32; the
member `meta.json` describes the rest: format, step, resolved configuration, vocabulary, versions.
NumPy's own `np.load` opens it too.

Saving replaces the file as a whole: a crash at any instant leaves the checkpoint before.
Loading believes no size that it has not checked against the file's.
"""

import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from charlm.nn.parameters import Array
from charlm.storage.archive import FORMAT, META, OpenArchive, parse_meta
from charlm.storage.atomic import replacing

# The earliest date that a ZIP archive can name: equal checkpoints are equal files.
_EPOCH = (1980, 1, 1, 0, 0, 0)
# What the names of an earlier state begin with, where a checkpoint holds one beside its own.
GOOD = "good/"


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
        CheckpointError: the good state cannot be read.
        OSError: it cannot be written; the file that was there is untouched.
    """
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        names = [*arrays, *(GOOD + name for name in arrays if keep_good)]
        listed = {"format": FORMAT, **meta, "arrays": names}
        text = json.dumps(listed, ensure_ascii=False, indent=1)
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


def load(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointError: it is missing, damaged, no checkpoint of charlm's, or of a later format.
    """
    with OpenArchive(path) as archive:
        meta = parse_meta(path, archive)
        arrays = {}
        for info in archive.infolist():
            if info.filename != META:
                name = info.filename.removesuffix(".npy")
                with archive.open(info) as member:
                    arrays[name] = _read_array(member, info.file_size)
        # A damaged table of contents can hide a member without any CRC noticing.
        if list(arrays) != meta.get("arrays"):
            raise ValueError("its members are not those it lists")
        return Checkpoint(path, arrays, meta)


def _read_array(member: IO[bytes], size: int) -> Array:
    version = np.lib.format.read_magic(member)
    if version != (1, 0):
        raise ValueError(f"'{member.name}' has .npy version {version}")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(member)
    if dtype.hasobject or fortran:
        raise ValueError(f"'{member.name}' is no plain array")
    count = 1
    for length in shape:
        count *= length
    if count * dtype.itemsize != size - member.tell():
        raise ValueError(f"'{member.name}' does not have the size it names, {shape}")
    return np.frombuffer(bytearray(member.read()), dtype).reshape(shape)
