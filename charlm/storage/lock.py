"""One process trains a run at a time: a file in the run's folder says which.

    checkpoints/<run>/lock      {"pid": 4711, "host": "here", "started": "8812345"}

O_EXCL makes the file, so of two that come at once one succeeds. What a killed process left is taken
over where that process ran on this host; another host's cannot be asked for, and is believed. A
process differs from a later one of the same number by when it was started, where the system tells.
On Windows the open file itself is the lock: it cannot be moved away while its process lives.
"""

import json
import os
import platform
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from charlm.errors import RunError

# Between making the file and writing into it a process needs microseconds; what is empty for
# longer was emptied by a crash of the machine.
_WAITS = 20
_WAIT_S = 0.02


class _Holder(NamedTuple):
    """Name a process.

    Attributes:
        pid: its number.
        host: where it runs.
        started: when, in the system's own unit; None where that is not told.
    """

    pid: int
    host: str
    started: str | None


class Lock:
    """Keep a run to this process until `release`, or until the process or this object ends.

    Args:
        path: the lock's file.

    Raises:
        RunError: another process holds it, or the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        pid = os.getpid()
        content = json.dumps(_Holder(pid, platform.node(), _started(pid))._asdict()).encode()
        try:
            while (handle := _make(path)) is None:
                _take_over(path)
            self._path, self._handle = path, handle
            self._release = weakref.finalize(self, _remove, path, handle, pid)
            os.write(handle, content)
        except OSError as error:
            if hasattr(self, "_release"):
                self._release()
            raise RunError(path, f"cannot be made ({error.strerror or error})") from None
        _sweep(path)

    def release(self) -> None:
        """Let others train the run; a second time does nothing."""
        self._release()

    @property
    def lost(self) -> bool:
        """Say whether another has it, since somebody removed ours."""
        try:
            return not os.path.samestat(os.fstat(self._handle), self._path.stat())
        except OSError:
            return False


def holder(path: Path) -> tuple[str, bool] | None:
    """Look at a lock.

    Returns:
        Who holds it, in words, and whether that process lives; None where nobody does.

    Raises:
        OSError: it cannot be read.
    """
    try:
        found = _holder(path.read_bytes())
    except FileNotFoundError:
        return None
    if found is None:
        return "a process that it does not name", False
    return f"process {found.pid}" + _elsewhere(found), _lives(found)


def _make(path: Path) -> int | None:
    try:
        return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return None


def _remove(path: Path, handle: int, pid: int) -> None:
    if os.getpid() != pid:
        # A child of the process that holds the lock.
        return
    ours = False
    with suppress(OSError):
        ours = os.path.samestat(os.fstat(handle), path.stat())
    with suppress(OSError):
        os.close(handle)
    if ours:
        with suppress(OSError):
            path.unlink()


def _take_over(path: Path) -> None:
    """Clear away what a process left that is gone; raises RunError where it is not."""
    # Released, or taken over by another, at this moment: then there is nothing to do.
    with suppress(FileNotFoundError):
        content = _content(path)
        holder = _holder(content)
        if holder and _lives(holder):
            raise _held(path, holder)
        aside = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            os.replace(path, aside)
        except PermissionError:
            if os.name == "nt":
                raise _held(path, holder) from None
            raise
        # Of two that see it left behind, one gets it. The other gets the first one's own, which it
        # never looked at, and gives it back.
        if aside.read_bytes() == content:
            aside.unlink()
        else:
            os.replace(aside, path)


def _sweep(path: Path) -> None:
    """Remove what was moved aside by processes that were killed just then."""
    for aside in path.parent.glob(f"{path.name}.*"):
        number = aside.suffix[1:]
        if number.isdecimal() and not _lives(_Holder(int(number), platform.node(), None)):
            with suppress(OSError):
                aside.unlink()


def _elsewhere(holder: _Holder) -> str:
    return "" if holder.host == platform.node() else f" on {holder.host}"


def _held(path: Path, holder: _Holder | None) -> RunError:
    who = f"process {holder.pid}" if holder else "another process"
    if holder and (there := _elsewhere(holder)):
        return RunError(
            path.parent,
            f"is being trained by {who}{there}",
            f"wait for its end, or remove {path} where it has ended",
        )
    return RunError(path.parent, f"is being trained by {who}", "wait for its end, or stop it first")


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    for _ in range(_WAITS):
        if content:
            break
        time.sleep(_WAIT_S)
        content = path.read_bytes()
    return content


def _holder(content: bytes) -> _Holder | None:
    """Read who holds a lock; None where that cannot be read."""
    try:
        holder = _Holder(**json.loads(content))
    except (ValueError, TypeError, RecursionError):
        return None
    return holder if isinstance(holder.pid, int) and holder.pid > 0 else None


def _lives(holder: _Holder) -> bool:
    if os.name == "nt":
        # Moving the file away will tell; there os.kill would end the process.
        return False
    if holder.host != platform.node():
        return True
    try:
        os.kill(holder.pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        # It is another user's.
        pass
    started = _started(holder.pid)
    return started is None or holder.started is None or started == holder.started


def _started(pid: int) -> str | None:
    """Return when a process was started, in ticks since the machine was; Linux tells.

    One that is dead and not yet taken leave of by its parent was never started.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name in brackets may hold anything, blanks and brackets too.
    fields = stat.rpartition(b")")[2].split()
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode()
