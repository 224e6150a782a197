"""One process trains a run at a time; what a killed one left behind stops nobody."""

import json
import os
import platform
import subprocess
import sys

import pytest

from charlm.errors import RunError
from charlm.runs.folder import Run
from charlm.storage import lock
from charlm.storage.lock import Lock

HERE = platform.node()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lock"


def left_by(pid, host=HERE, started=None):
    return json.dumps({"pid": pid, "host": host, "started": started}).encode()


def gone():
    """Return the number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_second_one_is_refused_until_it_is_released(path):
    held = Lock(path)
    message = (
        rf"{path.parent}: is being trained by process {os.getpid()}; wait for its end, or stop"
    )
    with pytest.raises(RunError, match=message):
        Lock(path)
    held.release()
    held.release()
    assert not path.exists()
    again = Lock(path)
    del again
    assert not path.exists(), "it ends with the object"


@pytest.mark.parametrize(
    "content",
    [b"", b"torn {", b"[1]", left_by(-1), left_by(10**30), left_by("1")],
    ids=["empty", "torn", "list", "negative", "huge", "text"],
)
def test_what_names_no_process_is_taken_over(path, monkeypatch, content):
    monkeypatch.setattr(lock, "_WAIT_S", 0)
    path.write_bytes(content)
    held = Lock(path)
    assert json.loads(path.read_bytes())["pid"] == os.getpid()
    held.release()
    assert list(path.parent.iterdir()) == []


def test_what_a_process_left_that_is_gone_is_taken_over(path):
    path.write_bytes(left_by(gone()))
    Lock(path).release()


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")
def test_a_number_that_was_given_again_is_no_holder(path):
    path.write_bytes(left_by(os.getpid(), started="1"))
    Lock(path).release()
    # A process that its parent has not asked for yet is dead all the same.
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    path.write_bytes(left_by(process.pid, started=lock._started(process.pid)))
    process.stdout.read()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    Lock(path).release()
    process.communicate()


def test_another_host_is_believed(path):
    path.write_bytes(left_by(gone(), host="elsewhere"))
    with pytest.raises(RunError, match=rf"on elsewhere; wait for its end, or remove {path} where"):
        Lock(path)
    assert path.exists()


def test_of_two_that_take_over_one_succeeds(path, monkeypatch):
    """The other saw the one before, and finds the new one in its place."""
    held = Lock(path)
    whole = path.read_bytes()
    monkeypatch.setattr(lock, "_content", lambda _: left_by(gone()))
    lock._take_over(path)
    assert path.read_bytes() == whole
    held.release()
    lock._take_over(path)
    assert list(path.parent.iterdir()) == []


def test_only_what_is_ours_is_removed(path, monkeypatch):
    held = Lock(path)
    path.unlink()
    other = Lock(path)
    held.release()
    assert path.exists(), "somebody removed ours, and another took the run"
    monkeypatch.setattr(lock.os, "getpid", lambda: -1)
    other.release()
    assert path.exists(), "a child of ours has ended"


def test_a_folder_that_is_gone(tmp_path):
    with pytest.raises(RunError, match=r"lock: cannot be made \(No such file or directory\)"):
        Lock(tmp_path / "nowhere" / "lock")


def test_a_full_disk_leaves_nothing(path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lock.os, "write", full)
    with pytest.raises(RunError, match=r"lock: cannot be made \(No space left on device\)"):
        Lock(path)
    assert not path.exists()


def test_taking_a_run_clears_what_a_crash_left(tmp_path):
    run = Run(tmp_path)
    (tmp_path / "last.npz.tmp").write_bytes(b"half")
    run.take()
    run.take()
    assert [q.name for q in tmp_path.iterdir()] == ["lock"]
    with pytest.raises(RunError, match="is being trained by"):
        Run(tmp_path).take()
    run.release()
    assert list(tmp_path.iterdir()) == []
