"""A checkpoint's outside: the ZIP archive, the description in it, and the shapes of its arrays.

Nothing here needs NumPy: a resume learns from it how many threads the BLAS shall have, and that
must be settled before NumPy is imported.

Nothing here believes the file either. Members lie in it uncompressed, one beside the other, so all
of them together are no larger than it is; the table of contents and the description, which become
Python's objects when they are read, have a size that no honest one comes near.
"""

import io
import json
import os
import re
import stat
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

from charlm.errors import CheckpointError

FORMAT = 1
META = "meta.json"
# An object takes up to a hundred bytes, a character up to four, and the text is there twice.
MOST_BYTES = 4 << 20
_MOST_VALUES = 200_000
_MOST_DIRECTORY_BYTES = 1 << 18
_MOST_REASON = 200
# What NumPy writes for a plain array of numbers, as an .npy file of version 1.0.
_HEADER = re.compile(
    rb"\{'descr': '([<>][fi][48])', 'fortran_order': False, "
    rb"'shape': \((|\d{1,18},|\d{1,18}(?:, \d{1,18}){1,31})\), \} *\n"
)


class Header(NamedTuple):
    """What an array says of itself: NumPy's name of its type, and its shape."""

    dtype: str
    shape: tuple[int, ...]


def read_meta(path: Path) -> Mapping[str, Any]:
    """Read a checkpoint's description alone.

    Raises:
        CheckpointError: it is missing, damaged, no checkpoint of charlm's, or of another format.
    """
    with OpenArchive(path) as archive:
        return parse_meta(path, archive)


def read_shapes(path: Path) -> Mapping[str, tuple[int, ...]]:
    """Read the shapes of a checkpoint's arrays by their names, and none of their numbers.

    Raises:
        CheckpointError: as `read_meta`.
    """
    shapes = {}
    with OpenArchive(path) as archive:
        for info in archive.infolist():
            if info.filename != META:
                with archive.open(info) as member:
                    name = info.filename.removesuffix(".npy")
                    shapes[name] = read_header(member).shape
    return shapes


def read_header(member: IO[bytes]) -> Header:
    """Read the header of an array, up to its first number.

    Raises:
        ValueError: it is none of an array of numbers that a checkpoint holds.
    """
    begin = member.read(10)
    if begin[:8] != b"\x93NUMPY\x01\x00":
        raise ValueError(f"'{member.name}' is no array")
    found = _HEADER.fullmatch(member.read(int.from_bytes(begin[8:], "little")))
    if found is None:
        raise ValueError(f"'{member.name}' is no plain array")
    return Header(found[1].decode(), tuple(map(int, re.findall(rb"\d+", found[2]))))


class _File(io.BufferedReader):
    """Read no more at once than there can be; zipfile believes the sizes that a file names."""

    def __init__(self, path: Path) -> None:
        mode = os.stat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            # Opening a pipe may wait for ever, and a device may never end.
            raise ValueError("it is no ordinary file")
        super().__init__(io.FileIO(path))
        self.nbytes = os.fstat(self.fileno()).st_size
        self.most = _MOST_DIRECTORY_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self.most:
            raise ValueError("it names a part that is larger than it can be")
        return super().read(size)


class OpenArchive:
    """Open a checkpoint's ZIP archive, and turn what goes wrong inside into CheckpointError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> zipfile.ZipFile:
        try:
            self._file = _File(self.path)
            self._archive = zipfile.ZipFile(self._file)
            _check(self._archive.infolist(), self._file.nbytes)
            self._file.most = self._file.nbytes
        except Exception as error:
            self.__exit__(type(error), error, None)
            raise
        return self._archive

    def __exit__(self, kind: type[BaseException] | None, error: Any, _: Any) -> None:
        if hasattr(self, "_archive"):
            self._archive.close()
        if hasattr(self, "_file"):
            self._file.close()
        match error:
            case FileNotFoundError():
                raise CheckpointError(
                    self.path, "no such checkpoint", "train one first, or name another"
                ) from None
            case IsADirectoryError():
                raise CheckpointError(self.path, "is a folder", "name a file in it") from None
            case OSError():
                raise CheckpointError(
                    self.path, f"cannot be read ({error.strerror or error})"
                ) from None
            case (
                zipfile.BadZipFile()
                | ValueError()
                | LookupError()
                | ArithmeticError()
                | EOFError()
                | RuntimeError()
                | struct.error()
            ):
                raise CheckpointError(
                    self.path,
                    f"cannot be read ({str(error)[:_MOST_REASON]})",
                    "the file is damaged or no checkpoint",
                ) from None


def _check(members: list[zipfile.ZipInfo], nbytes: int) -> None:
    """Refuse members that are compressed, share a name, or lie one over the other."""
    if len({info.filename for info in members}) < len(members):
        raise ValueError("it holds two members of one name")
    for info in members:
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise ValueError(f"'{info.filename}' is compressed")
    if sum(info.file_size for info in members) > nbytes:
        raise ValueError("its members are larger than the file")


def parse_meta(path: Path, archive: zipfile.ZipFile) -> Mapping[str, Any]:
    """Read the description in an open archive; raises as `read_meta`."""
    if META not in archive.namelist():
        raise CheckpointError(path, f"is no checkpoint of charlm's (it has no {META})")
    content = parse_json(archive.read(META), META)
    meta: dict[str, Any] = content if isinstance(content, dict) else {}
    version = meta.get("format")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise CheckpointError(path, "is no checkpoint of charlm's (it names no format)")
    if version > FORMAT:
        raise CheckpointError(
            path, f"has format {version}, this charlm reads up to {FORMAT}", "update charlm"
        )
    return meta


def parse_json(content: bytes, name: str) -> Any:
    """Read a description, which nobody vouches for.

    Raises:
        ValueError: it is no JSON, or larger than any that charlm writes.
    """
    if too_large(content):
        raise ValueError(f"'{name}' is too large")
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError(f"'{name}' is nested too deep") from None


def too_large(content: bytes) -> bool:
    """Say whether reading a description could take more memory than it may."""
    if len(content) > MOST_BYTES:
        return True
    # Each value has a mark of its own before or behind it.
    return sum(content.count(mark) for mark in b",:[{") > _MOST_VALUES
