"""Open the files of a run's folder: regular files only.

Opening a named pipe may block for ever, and a device may never end, so whatever else stands at a
file's place is refused before a byte of it is read.
"""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_file(path: Path, mode: str = "rb") -> BinaryIO:
    """Open a regular file in binary mode.

    Args:
        path: the file.
        mode: as of `open`, binary.

    Raises:
        OSError: it cannot be opened, or is not a regular file.
    """
    return open(path, mode, opener=_open_regular)  # type: ignore[return-value]


def _open_regular(path: str, flags: int) -> int:
    # Without O_NONBLOCK a pipe would block here; a regular file ignores it.
    handle = os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)
    if not stat.S_ISREG(mode := os.fstat(handle).st_mode):
        os.close(handle)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return handle
