"""Replace a file as a whole or not at all.

    write <name>.tmp in the same folder -> flush -> fsync -> rename over <name> -> fsync the folder

A reader, and a crash, see the old file or the new one. Source: Pillai et al. 2014, All File
Systems Are Not Created Equal, on why each of the five is there.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file whose content takes the place of `path` when the block ends well.

    Raises:
        OSError: it could not be written; `path` is untouched and the temporary file is gone.
    """
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


def temporary_of(path: Path) -> Path:
    """Return where the content of `path` is while it is being written; a crash may leave it."""
    return path.with_name(path.name + ".tmp")


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where a folder can be opened (not on Windows)."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
