"""A checkpoint's outside: the ZIP archive, the description in it, and the shapes of its arrays.

Nothing here needs NumPy: a resume learns from it how many threads the BLAS shall have, and that
must be settled before NumPy is imported.
"""

import ast
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from charlm.errors import CheckpointError

FORMAT = 1
META = "meta.json"
_MOST_META_BYTES = 64 << 20


def read_meta(path: Path) -> Mapping[str, Any]:
    """Read a checkpoint's description alone.

    Raises:
        CheckpointError: it is missing, damaged, no checkpoint of charlm's, or of a later format.
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
                    shapes[info.filename.removesuffix(".npy")] = _shape(member)
    return shapes


def _shape(member: IO[bytes]) -> tuple[int, ...]:
    """Read an .npy header of version 1.0, the one that checkpoints are written in."""
    begin = member.read(10)
    try:
        if begin[:8] != b"\x93NUMPY\x01\x00":
            raise ValueError
        header = ast.literal_eval(member.read(int.from_bytes(begin[8:], "little")).decode("latin1"))
        return tuple(int(length) for length in header["shape"])
    except (ValueError, SyntaxError, TypeError, KeyError):
        raise ValueError(f"'{member.name}' has no header of an array") from None


class OpenArchive:
    """Open a checkpoint's ZIP archive, and turn what goes wrong inside into CheckpointError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> zipfile.ZipFile:
        try:
            self.archive = zipfile.ZipFile(self.path)
            size = os.path.getsize(self.path)
            for info in self.archive.infolist():
                if info.compress_type != zipfile.ZIP_STORED or info.file_size > size:
                    raise ValueError(f"'{info.filename}' is larger than the file")
        except Exception as error:
            self.__exit__(type(error), error, None)
            raise
        return self.archive

    def __exit__(self, kind: type[BaseException] | None, error: Any, _: Any) -> None:
        if hasattr(self, "archive"):
            self.archive.close()
        match error:
            case FileNotFoundError():
                raise CheckpointError(
                    f"{self.path}: no such checkpoint; train one first, or name another"
                ) from None
            case IsADirectoryError():
                raise CheckpointError(f"{self.path}: is a folder; name a file in it") from None
            case OSError():
                raise CheckpointError(
                    f"{self.path}: cannot be read ({error.strerror or error})"
                ) from None
            case zipfile.BadZipFile() | ValueError() | KeyError() | EOFError() | RuntimeError():
                raise CheckpointError(
                    f"{self.path}: cannot be read ({error}); the file is damaged or no checkpoint"
                ) from None


def parse_meta(path: Path, archive: zipfile.ZipFile) -> Mapping[str, Any]:
    """Read the description in an open archive; raises as `read_meta`."""
    if META not in archive.namelist():
        raise CheckpointError(f"{path}: is no checkpoint of charlm's (it has no {META})")
    if archive.getinfo(META).file_size > _MOST_META_BYTES:
        raise ValueError(f"'{META}' is too large")
    meta = json.loads(archive.read(META))
    if not isinstance(meta, dict) or not isinstance(meta.get("format"), int):
        raise CheckpointError(f"{path}: is no checkpoint of charlm's (it names no format)")
    if meta["format"] > FORMAT:
        raise CheckpointError(
            f"{path}: has format {meta['format']}, this charlm reads up to {FORMAT}; update charlm"
        )
    return meta
