"""Replace a file as a whole or not at all.

    write <name>.tmp in the same folder -> flush -> fsync -> rename over <name> -> fsync the folder

A reader, and a crash, see the old file or the new one. Source: Pillai et al. 2014, All File
Systems Are Not Created Equal, on why each of the five is there.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from charlm.storage.files import open_file


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that replaces `path` when the block ends well; otherwise `path` is untouched."""
    temporary = temporary_of(path)
    try:
        with temporary.open("wb") as file:
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
        temporary.unlink(missing_ok=True)
        os.link(path, temporary)
        os.replace(temporary, to)
        # Renaming does nothing where both are names of one file already.
        temporary.unlink(missing_ok=True)
        _sync_folder(to.parent)
    except OSError:
        with open_file(path) as source, replacing(to) as copy:
            shutil.copyfileobj(source, copy)


def temporary_of(path: Path) -> Path:
    """Return where the content of `path` is while it is being written; a crash may leave it."""
    return path.with_name(path.name + ".tmp")


def _sync_folder(folder: Path) -> None:
    """Make a rename durable, where a folder can be opened (not on Windows)."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
