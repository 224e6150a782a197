"""Replace a file as a whole or not at all.

    make <name>.<8 hex digits>.tmp in the same folder -> write -> flush -> fsync
    -> rename over <name> -> fsync the folder

A reader, and a crash, see the old file or the new one. The temporary file is always a new one, so
nothing else is overwritten. Source: Pillai et al. 2014, All File Systems Are Not Created Equal, on
why each of the steps is there.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from charlm.storage.files import open_file

_TEMPORARY = re.compile(r"(.+)\.[0-9a-f]{8}\.tmp", re.DOTALL)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that replaces `path` when the block ends well; otherwise `path` is untouched."""
    temporary = temporary_of(path)
    file = open_file(temporary, "xb")
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def link(path: Path, to: Path) -> None:
    """Give a file a second name, or make a copy where links cannot be had."""
    temporary = temporary_of(to)
    try:
        os.link(path, temporary)
        os.replace(temporary, to)
        # Renaming does nothing where both are names of one file already.
        temporary.unlink(missing_ok=True)
        _sync_folder(to.parent)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        with open_file(path) as source, replacing(to) as copy:
            shutil.copyfileobj(source, copy)


def temporary_of(path: Path) -> Path:
    """Return a new name for the content of `path` while it is written; a crash may leave it."""
    return path.with_name(f"{path.name}.{os.urandom(4).hex()}.tmp")


def replaced_by(name: str) -> str | None:
    """Return the name of the file that a temporary file is to replace; None for any other file."""
    found = _TEMPORARY.fullmatch(name)
    return found and found[1]


def _sync_folder(folder: Path) -> None:
    """Make a rename durable, where a folder can be opened (not on Windows)."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
