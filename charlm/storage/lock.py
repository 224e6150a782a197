"""One process trains a run at a time: a file in the run's folder that the kernel locks.

`flock` on POSIX, `msvcrt.locking` on Windows. The kernel releases the lock when the process ends,
however it ends, so a file that a killed process left behind locks nothing. The file holds the
process's number, for the message to others alone.
"""

import os
import sys
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from charlm.errors import RunError
from charlm.storage.files import open_handle

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

# `holder` holds a lock for an instant to see whether it can.
_ATTEMPTS, _PAUSE_S = 5, 0.01
# On Windows no other process can read a locked byte, so it lies far behind the number.
_FAR = 1 << 30


class Held(RunError):
    """Another process has the lock."""


class Lock:
    """Exclusive use of a run, until `release` or the end of this object or process.

    Raises:
        Held: another process has it.
        RunError: the file cannot be made, opened or locked.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with _raising(path):
            self._handle = _open_locked(path)
        self.release = weakref.finalize(self, _release, path, self._handle, os.getpid())
        # Without its number it locks all the same.
        with suppress(OSError):
            os.ftruncate(self._handle, 0)
            os.lseek(self._handle, 0, os.SEEK_SET)
            os.write(self._handle, b"%d" % os.getpid())

    @property
    def lost(self) -> bool:
        """Whether the file was removed, and another stands in its place."""
        return os.path.lexists(self._path) and not _is_at(self._handle, self._path)


def holder(path: Path) -> str | None:
    """Name the process that holds a lock, or None; raises RunError where it is no lock."""
    with _raising(path):
        handle = open_handle(path, os.O_RDWR)
        try:
            return None if _lock(handle) else _process(handle)
        finally:
            os.close(handle)


def _open_locked(path: Path) -> int:
    """Open the file, made where there is none, and lock it."""
    for _ in range(_ATTEMPTS):
        handle = open_handle(path, os.O_RDWR | os.O_CREAT)
        # Its holder may have removed the file between the two calls.
        if _lock(handle) and _is_at(handle, path):
            return handle
        who = _process(handle)
        os.close(handle)
        time.sleep(_PAUSE_S)
    advice = "wait for its end, or stop it first"
    raise Held(path.parent, f"is being trained by {who}", advice)


@contextmanager
def _raising(path: Path) -> Iterator[None]:
    """Raise RunError for an OSError."""
    try:
        yield
    except OSError as error:
        raise RunError(path, f"cannot be locked ({error.strerror or error})") from None


def _lock(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            os.lseek(handle, _FAR, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _release(path: Path, handle: int, pid: int) -> None:
    # A forked child shares its parent's lock, which ends when both have closed it: it only closes.
    if os.getpid() == pid and _is_at(handle, path):
        # Before the lock ends: afterwards it could be another's. Windows keeps a file that is open.
        with suppress(OSError):
            path.unlink()
    with suppress(OSError):
        os.close(handle)


def _is_at(handle: int, path: Path) -> bool:
    with suppress(OSError):
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    return False


def _process(handle: int) -> str:
    with suppress(OSError):
        os.lseek(handle, 0, os.SEEK_SET)
        if (pid := os.read(handle, 20)).isdigit():
            return f"process {pid.decode()}"
    return "another process"
