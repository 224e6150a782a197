"""Open files that may come from anywhere, such as those of a run's folder.

Refused before a byte is read or written:

    a link                      it may lead out of the folder
    a pipe, a device, a folder  it may block for ever, or never end
    a second name, to write     a hard link's other name may be a file elsewhere
    more than there can be      a sparse file claims any size
"""

import errno
import os
import stat
from contextlib import suppress
from io import BufferedRandom, BufferedReader
from pathlib import Path

# Windows has no O_NOFOLLOW; there, links are recognised before the file is opened.
_FLAGS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)


def open_file(
    path: Path, mode: str = "rb", most: int | None = None
) -> BufferedReader | BufferedRandom:
    """Open a regular file of `most` bytes at most in a binary mode; raises as `open_handle`."""
    file = open(path, mode, opener=open_handle)  # noqa: SIM115
    if most is not None and (size := os.fstat(file.fileno()).st_size) > most:
        file.close()
        problem = f"it has {size:,} bytes, more than the {most:,} that there can be"
        raise OSError(errno.EFBIG, problem, str(path))
    return file  # type: ignore[return-value]


def open_handle(path: str | Path, flags: int) -> int:
    """Open a regular file with the flags of `os.open`; raises OSError where it is not one."""
    with suppress(FileNotFoundError):
        _check(os.lstat(path), path, flags)
    # Somebody may have replaced it since. Without O_NONBLOCK a pipe would block here.
    handle = os.open(path, flags | _FLAGS, 0o666)
    try:
        _check(os.fstat(handle), path, flags)
    except OSError:
        os.close(handle)
        raise
    return handle


def _check(found: os.stat_result, path: str | Path, flags: int) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise OSError(errno.ELOOP, "it is a link, which is not followed", str(path))
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    if flags & (os.O_WRONLY | os.O_RDWR) and found.st_nlink > 1:
        raise OSError(errno.EMLINK, "it is a hard link to another file as well", str(path))


def is_file(path: Path) -> bool:
    """Return whether a regular file, and no link to one, has this name."""
    with suppress(OSError, ValueError):
        return stat.S_ISREG(os.lstat(path).st_mode)
    return False


def modified(path: Path) -> float:
    """Return when a file was written, in seconds since 1970; 0 where that is unknown."""
    with suppress(OSError):
        return os.lstat(path).st_mtime
    return 0.0


def followed(path: Path) -> Path:
    """Return the file to which a path leads that the user named: their own links are followed."""
    return Path(os.path.realpath(path)) if os.path.islink(path) else path
