"""One process trains a run at a time; the kernel releases the lock of one that ends."""

import os
import signal
import subprocess
import sys

import pytest
from helpers import environment, refused

from charlm.errors import RunError
from charlm.runs.folder import create
from charlm.storage import lock
from charlm.storage.lock import Lock, holder

HOLDS = """
import sys
from pathlib import Path
from charlm.storage.lock import Lock
lock = Lock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lock"


@pytest.fixture
def other(path):
    """Another process that holds the lock until its stdin ends."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", HOLDS, path], env=environment(), **pipes)
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_one_is_refused_until_it_is_released(path):
    held = Lock(path)
    with refused(RunError, path.parent, f"is being trained by process {os.getpid()}"):
        Lock(path)
    assert holder(path) == f"process {os.getpid()}"
    held.release()
    held.release()
    assert not path.exists()
    Lock(path)
    assert not path.exists(), "it ends with the object"


def test_another_process_is_named_and_a_killed_one_holds_nothing(path, other):
    with pytest.raises(RunError, match=f"is being trained by process {other.pid}; wait for its"):
        Lock(path)
    assert holder(path) == f"process {other.pid}"
    other.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
    other.wait()
    assert path.read_bytes() == str(other.pid).encode()
    assert holder(path) is None
    held = Lock(path)
    assert path.read_bytes() == str(os.getpid()).encode()
    held.release()


@pytest.mark.parametrize("content", [b"", b"torn {", b'{"pid": 4711, "host": "here"}', b"1" * 99])
def test_what_a_file_holds_locks_nothing(path, content):
    path.write_bytes(content)
    assert holder(path) is None
    held = Lock(path)
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"is being trained by (another process|process 1)"):
        Lock(path)
    held.release()
    assert list(path.parent.iterdir()) == []


def test_a_file_that_is_removed_between_opening_and_locking_is_made_again(path, monkeypatch):
    """Its holder released it just then: a lock on a file that nobody finds would exclude nobody."""
    path.write_bytes(b"")
    real, removals = lock._lock, iter([True])

    def late(handle):
        if next(removals, False):
            path.unlink()
        return real(handle)

    monkeypatch.setattr(lock, "_lock", late)
    held = Lock(path)
    with pytest.raises(RunError):
        Lock(path)
    held.release()


def test_only_the_own_file_is_removed(path):
    held = Lock(path)
    path.unlink()
    assert not held.lost, "nobody else has it"
    other = Lock(path)
    assert held.lost
    held.release()
    assert path.exists(), "somebody removed ours, and another took the run"
    other.release()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_leaves_the_lock_alone(path):
    held = Lock(path)
    child = os.fork()
    if not child:
        held.release()
        os._exit(0)
    os.waitpid(child, 0)
    assert path.exists()
    with pytest.raises(RunError):
        Lock(path)
    held.release()


def test_where_nothing_can_be_locked_a_start_is_refused(tmp_path, monkeypatch):
    """As on some network file systems."""

    def none(_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(lock, "_lock", none)
    with refused(RunError, tmp_path / "a" / "lock", "cannot be locked (No locks available)"):
        create(tmp_path, "a")


def test_what_cannot_be_made(tmp_path, path, monkeypatch):
    with pytest.raises(RunError, match=r"lock: cannot be locked \(No such file or directory\)"):
        Lock(tmp_path / "nowhere" / "lock")
    path.mkdir()
    with pytest.raises(RunError, match=r"lock: cannot be locked \(Is a directory\)"):
        Lock(path)
    path.rmdir()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lock.os, "write", full)
    held = Lock(path)
    with pytest.raises(RunError, match="is being trained by another process"):
        Lock(path)
    held.release()
    assert not path.exists()
