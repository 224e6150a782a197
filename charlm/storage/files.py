"""Open the files of a run's folder: regular files only.

Opening a named pipe may block for ever, and a device may never end, so whatever else stands at a
file's place is refused before a byte of it is read.
"""

import errno
import os
import stat
from io import BufferedRandom, BufferedReader
from pathlib import Path


def open_file(path: Path, mode: str = "rb") -> BufferedReader | BufferedRandom:
    """Open a regular file in a binary mode of `open`; raises as `open_handle`."""
    return open(path, mode, opener=open_handle)  # type: ignore[return-value]


def open_handle(path: str | Path, flags: int) -> int:
    """Open a regular file with the flags of `os.open`; raises OSError where it is not one."""
    # Without O_NONBLOCK a pipe would block here; a regular file ignores it.
    handle = os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)
    if stat.S_ISREG(mode := os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "not a regular file", str(path))
