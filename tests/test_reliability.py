"""What docs/reliability.md promises: nothing is lost. The long forms are counted by scripts/faults."""

import errno
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from helpers import VERSE, change, environment, faults, of_kind, refused, started, stop_at, train

from charlm.errors import CharlmError, CheckpointError, Diverged, RunError, TextError
from charlm.runs.check import check_run
from charlm.runs.description import Recovery
from charlm.runs.folder import Run, find_checkpoint, find_run
from charlm.runs.resumable import training_arrays
from charlm.storage import files
from charlm.storage.checkpoint import load, save
from charlm.storage.history import read_history
from charlm.training import recovery, snapshot
from charlm.training.events import RolledBack, Saved, Updated
from charlm.training.loop import events
from charlm.training.prepare import resume_run
from charlm.training.recovery import FAR, LONG, MOST, threshold, watch

LEFT = "last.npz.0123abcd.tmp"
FILES = ["best.npz", "config.yaml", "history.jsonl", "ids.bin", "last.npz"]

# Of every kind of save at least one: first, between validations, at a validation, with a new best.
EVERY_SAVE = {
    "model__hidden": 4, "train__steps": 3, "train__validate_every": 2, "train__dropout": 0.2,
    "train__save_every_s": 1e-9, "train__sample_length": 0,
}  # fmt: skip
# The same with few arrays, for what is tried at every one of them.
FEW_ARRAYS = EVERY_SAVE | {
    "train__steps": 2, "model__cell": "rnn", "model__layers": 1, "model__embedding": "one-hot",
    "train__optimizer": "sgd", "train__average": 0.0,
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("no_fsync")


def names_in(folder):
    return sorted(file.name for file in folder.iterdir())


def saved(trainer):
    """Train to the first save, and return the rest of the training."""
    running = events(trainer)
    assert isinstance(next(itertools.islice(running, 1, None)), Saved)
    return running


# Kills


@pytest.mark.slow
def test_killed_at_random_instants(tmp_path):
    """The short form of `scripts/faults kills`."""
    counted = faults.kills(tmp_path, 6, seed=3, tell=lambda _: None, names=("explodes",))
    assert counted["killed"] == 6
    assert counted["runs that ended bit for bit like the uninterrupted one"] >= 1
    assert counted["lost"] == 0


@pytest.mark.parametrize(
    ("names", "is_free"),
    [([], True), (["lock"], True), (["ids.bin", "lock"], True), (["ids.bin", "last.npz.0123abcd.tmp", "lock"], True),
     (["last.npz.tmp", "lock"], False), (["notes.txt"], False), (["lock", "notes.txt"], False), (["ids.bin"], False), (["last.npz", "lock"], False)],
)  # fmt: skip
def test_a_start_that_was_killed_leaves_its_name_free(text_file, tmp_path, names, is_free):
    """What was made before the first checkpoint is taken over; what else lies there is not."""
    folder = tmp_path / "a"
    folder.mkdir()
    for name in names:
        (folder / name).write_text("half")
    if is_free:
        trainer, _ = train(text_file, tmp_path, "a")
        assert names_in(trainer.run.folder) == FILES
    else:
        with pytest.raises(RunError, match=r"a: is there already; choose another --name"):
            train(text_file, tmp_path, "a")
    trainer, _ = train(text_file.rename(text_file.with_name("a.txt")), tmp_path, None)
    assert trainer.run.folder.name == "a-2"
    assert names_in(folder) == (FILES if is_free else names)


# The disk


class Calls:
    """Count the system calls on the files of a folder, and let one of them fail."""

    def __init__(self, folder: Path, failing: int, error: int) -> None:
        self.folder, self.failing, self.error = str(folder), failing, error
        self.names: list[str] = []
        self.handles: set[int] = set()

    def __call__(self, name: str, where: object) -> None:
        if str(where).startswith(self.folder):
            self.names.append(f"{name} {Path(str(where)).name}")
            if len(self.names) == self.failing:
                raise OSError(self.error, os.strerror(self.error), str(where))

    def counted(self, name, call):
        """Count a call on a path or a file."""

        def counting(first, *more, **options):
            self(name, first.name if isinstance(first, io.FileIO) else first)
            return call(first, *more, **options)

        return counting

    def watch(self, monkeypatch) -> None:
        calls, plain_open, os_open, os_close, os_write = self, io.open, os.open, os.close, os.write

        class File(io.FileIO):
            def __init__(self, path, mode):
                calls(f"open {mode}", path)
                super().__init__(path, mode)

            write = calls.counted("write", io.FileIO.write)
            readinto = calls.counted("read", io.FileIO.readinto)
            readall = calls.counted("read", io.FileIO.readall)

            def close(self):
                was_open = not self.closed
                super().close()
                # Not while the collector takes it away: nobody would hear of it.
                if was_open and self.writable():
                    calls("close", self.name)

            def writable(self):
                return "r" not in self.mode

        def opened(file, mode="r", buffering=-1, *more, **options):
            if "b" not in mode or not str(file).startswith(self.folder):
                return plain_open(file, mode, buffering, *more, **options)
            raw = File(os.fspath(file), mode.replace("b", ""))
            kind = io.BufferedRandom if "+" in mode else (
                io.BufferedReader if "r" in mode else io.BufferedWriter)  # fmt: skip
            return kind(raw)

        def open_handle(path, *more, **options):
            calls("os.open", path)
            handle = os_open(path, *more, **options)
            if str(path).startswith(self.folder):
                self.handles.add(handle)
            return handle

        def write(handle, content):
            calls("write", self.folder if handle in self.handles else "")
            return os_write(handle, content)

        def close(handle):
            os_close(handle)
            if handle in self.handles:
                self.handles.discard(handle)
                calls("close", self.folder)

        monkeypatch.setattr(io, "open", opened)
        monkeypatch.setattr(files, "open", opened, raising=False)
        for name, call in (("open", open_handle), ("write", write), ("close", close),
                           ("fsync", lambda _: calls("fsync", self.folder))):  # fmt: skip
            monkeypatch.setattr(os, name, call)
        for name in ("replace", "mkdir", "unlink", "link"):
            monkeypatch.setattr(os, name, self.counted(name, getattr(os, name)))


@pytest.mark.slow
def test_an_error_at_every_system_call(text_file, tmp_path, monkeypatch):
    """Of a whole training, one after the other: it goes on, or stops with one line; what is there
    is whole, and the next start ends as if nothing had happened.
    """
    runs = tmp_path / "runs"
    whole, seen = train(text_file, runs, "whole", **FEW_ARRAYS)
    assert len(of_kind(seen, Saved)) == 3
    expected, run = load(whole.run.last), Run(runs / "faulty")
    errors = itertools.cycle([errno.ENOSPC, errno.EIO, errno.EACCES, errno.EDQUOT, errno.EROFS])
    stopped, went_on = 0, 0
    for failing in itertools.count(1):
        calls = Calls(run.folder, failing, next(errors))
        with monkeypatch.context() as patch:
            calls.watch(patch)
            try:
                train(text_file, runs, "faulty", **FEW_ARRAYS)
                if len(calls.names) < failing:
                    break
                went_on += 1
            except CharlmError as error:
                line = str(error)
                assert os.strerror(calls.error) in line or "cannot be" in line, line
                assert "\n" not in line
                stopped += 1
        what = f"{calls.names[failing - 1]}: {os.strerror(calls.error)}"
        left = names_in(run.folder) if run.folder.exists() else []
        assert sum(name.endswith(".tmp") for name in left) <= 1, (what, left)
        run.release()
        if run.last.exists():
            assert load(run.last).meta["progress"]["step"] <= 2, what
            list(events(resume_run(run).trainer))
        else:
            train(text_file, runs, "faulty", **FEW_ARRAYS)
        assert not (runs / "faulty-2").exists(), what
        assert names_in(run.folder) == FILES, what
        found = load(run.last)
        for name, array in expected.arrays.items():
            assert np.array_equal(array, found.arrays[name]), (what, name)
        shutil.rmtree(run.folder)
    assert stopped + went_on > 80
    assert stopped > went_on > 0, "most calls matter; one that clears up does not"


def mounted(folder: Path, options: str) -> bool:
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def disk(tmp_path):
    """A file system of 200 kB in memory."""
    folder = tmp_path / "disk"
    if sys.platform != "linux" or os.geteuid() or not mounted(folder, "size=200k"):
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(text_file, tmp_path, disk):
    changes = EVERY_SAVE | {"model__hidden": 12, "train__steps": 20}
    train(text_file, tmp_path, "whole", **changes)
    trainer = started(text_file, disk, "full", **changes)
    with pytest.raises(RunError, match=r"cannot be saved \(No space left on device\); .* resume"):
        list(events(trainer))
    run = Run(disk / "full")
    assert load(run.last).meta["progress"]["step"] < 20
    assert not list(run.folder.glob("*.tmp"))
    run.release()
    with pytest.raises(CharlmError, match="No space left"):
        list(events(resume_run(run).trainer))
    assert mounted(disk, "remount,size=4m")
    run.release()
    list(events(resume_run(run).trainer))
    faults.equal(tmp_path / "whole", run.folder)
    # So full that not even a run's folder can be filled.
    (disk / "filler").write_bytes(b"x" * 100)
    assert mounted(disk, "remount,size=400k")
    with (disk / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    with pytest.raises(RunError, match="No space left on device"):
        started(text_file, disk, "more", **changes)
    assert not (disk / "more").exists()


def test_a_disk_that_turns_read_only(text_file, tmp_path, disk):
    trainer = started(text_file, disk, "a", **EVERY_SAVE)
    running = saved(trainer)
    # As after an error of the disk; no file may be open for writing, and the lock is.
    trainer.run.release()
    before = trainer.run.last.read_bytes()
    assert mounted(disk, "remount,ro")
    with pytest.raises(RunError, match=r"cannot be saved \(Read-only file system\); .* is whole"):
        list(running)
    assert trainer.run.last.read_bytes() == before
    with pytest.raises(RunError, match=r"lock: cannot be locked \(Read-only file system\)"):
        resume_run(Run(disk / "a"))
    with pytest.raises(RunError, match=r"b: cannot be made \(Read-only file system\)"):
        started(text_file, disk, "b", **EVERY_SAVE)
    assert mounted(disk, "remount,rw")
    list(events(resume_run(Run(disk / "a")).trainer))


def without_privilege() -> list[str]:
    """Return what to begin a command with so that a folder's mode counts, for root too."""
    if os.name != "posix":
        pytest.skip("folders have no modes here")
    if os.geteuid():
        return []
    rights = "-dac_override,-dac_read_search"
    command = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}"]
    if not shutil.which("setpriv") or subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("root may write anywhere, and cannot lay that down here")
    return command


@pytest.mark.slow
def test_permission_denied(text_file, tmp_path):
    command = [*without_privilege(), sys.executable, "-m", "charlm", "train"]

    def told(*arguments):
        return subprocess.run(
            [*command, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False,
            env=environment(),
        ).stderr  # fmt: skip

    trainer = started(text_file, tmp_path / "checkpoints")
    stop_at(trainer, 3)
    run = trainer.run
    run.lock.touch()
    folders = run.folder, run.folder.parent
    for folder in folders:
        folder.chmod(0o555)
    try:
        line = "cannot be saved (Permission denied); the checkpoint before is whole, resume"
        assert line in told("--resume")
        line = "charlm: checkpoints/verse: cannot be made (Permission denied)\n"
        assert told(text_file) == line
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert "done: 12 steps" in told("--resume")


@pytest.mark.parametrize("taken", [False, True])
def test_a_folder_deleted_while_training(text_file, tmp_path, taken):
    trainer = started(text_file, tmp_path, **EVERY_SAVE)
    running, folder = saved(trainer), trainer.run.folder
    shutil.rmtree(folder)
    if taken:
        # Somebody else has the name now.
        folder.mkdir()
        (folder / "notes.txt").write_text("mine")
        list(running)
        assert (folder / "notes.txt").read_text() == "mine"
    else:
        with pytest.raises(RunError, match=r"a: is gone, somebody removed it; start again$"):
            list(running)
        assert not folder.exists()


# Signals


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_signals_at_random_moments(tmp_path):
    """The short form of `scripts/faults signals`."""
    assert faults.signals(tmp_path, 4, seed=1, tell=lambda _: None)["signals"] == 4


# Explosions


def planted(trainer, at, what, times=1, seen=None):
    """Train, and spoil the model after update `at`, the first `times` that it is made."""
    seen = [] if seen is None else seen
    for event in events(trainer):
        seen.append(event)
        if isinstance(event, Updated) and event.step == at and times:
            times -= 1
            what(trainer)
    return seen


def a_weight_is_nan(trainer):
    trainer.model.parameters.views["lstm.1.b"][0] = np.nan
    trainer.model.refresh()


def all_weights_are_large(trainer):
    trainer.model.parameters.flat[:] *= 40
    trainer.model.refresh()


CHANGES = {
    "train__steps": 60, "train__validate_every": 12, "train__dropout": 0.2, "train__average": 0.9,
}  # fmt: skip
# Goes back at least twice, and not more often than is borne.
EXPLODES = {
    "train__learning_rate": 6.0, "train__warmup": 3, "train__beta1": 0.9,
    "train__weight_decay": 0.0,  # it would hold the weights down
}  # fmt: skip


@pytest.mark.parametrize("what", [a_weight_is_nan, all_weights_are_large])
@pytest.mark.parametrize("every_s", [1e-9, 60.0])
def test_an_explosion_is_rolled_back(text_file, tmp_path, what, every_s, monkeypatch):
    """To the last validation, whatever was saved since; at half the rate; in the history too."""
    monkeypatch.setattr(recovery, "LONG", 5)
    changes = CHANGES | {"train__save_every_s": every_s}
    trainer = started(text_file, tmp_path, **changes)
    seen = planted(trainer, 29, what)
    (back,) = of_kind(seen, RolledBack)
    assert (back.to, back.factor, back.count) == (24, 0.5, 1)
    assert back.step == (29 if what is a_weight_is_nan else 33)
    updates = of_kind(seen, Updated)
    first, again = [event for event in updates if event.step == 25]
    # It is the same update, but for its rate.
    assert (again.loss, again.norm) == (first.loss, first.norm)
    assert again.learning_rate == first.learning_rate / 2
    history = read_history(trainer.run.history)
    (told,) = history.rollbacks
    assert (told.to, told.step, told.why) == (24, back.step, back.why)
    readings = [r for r in history.readings if r.loss is not None]
    assert [r.step for r in readings] == list(range(1, 61))
    rates = {r.step: r.learning_rate for r in readings}
    assert rates[25] == again.learning_rate
    assert trainer.progress.step == 60


@pytest.mark.parametrize(
    "stops",
    [[20, 21, 22], *(pytest.param(stops, marks=pytest.mark.slow)
                     for stops in ([1], [20], [40, 41], [70], range(1, 90, 7)))],
    ids=str,
)  # fmt: skip
def test_what_rolled_back_resumes_exactly(text_file, tmp_path, stops):
    """Interrupted before, at and after a rollback, once and again: equal to the bit."""
    changes = CHANGES | EXPLODES
    whole = started(text_file, tmp_path, "whole", **changes)
    seen = list(events(whole))
    backs = [(back.step, back.to) for back in of_kind(seen, RolledBack)]
    assert len(backs) >= 2
    assert 15 < backs[0][0] < 25, "the stops are before, at and after it"
    made = len(of_kind(seen, Updated))
    trainer = started(text_file, tmp_path, "stopped", **changes)
    count = 0
    while trainer.progress.step < 60:
        for event in events(trainer):
            count += isinstance(event, Updated)
            if isinstance(event, Updated) and count in stops:
                trainer.stop_asked = True
        if trainer.progress.step < 60:
            trainer = resume_run(Run(tmp_path / "stopped")).trainer
    assert count == made
    faults.equal(whole.run.folder, trainer.run.folder)


def test_after_three_times_it_stops_with_advice(text_file, tmp_path):
    trainer, seen = started(text_file, tmp_path, **CHANGES), []
    with pytest.raises(Diverged) as error:
        planted(trainer, 13, a_weight_is_nan, times=4, seen=seen)
    assert error.value.problem == (
        "the loss is no longer finite, got nan, and 3 rollbacks at half the learning rate did not help"
    )
    assert error.value.advice == "start again with a tenth of it, --lr 0.001"
    backs = [(back.step, back.to, back.factor) for back in of_kind(seen, RolledBack)]
    assert backs == [(13, 12, 0.5**k) for k in range(1, MOST + 1)]
    found = load(trainer.run.last)
    assert (found.meta["progress"]["step"], found.meta["recovery"]["rollbacks"]) == (12, 3)
    # It may be looked at, and its count goes on.
    again = resume_run(Run(tmp_path / "a")).trainer
    with pytest.raises(Diverged, match="3 rollbacks"):
        planted(again, 13, a_weight_is_nan)


def test_a_rate_a_hundred_times_too_high(charlm, text_file):
    """Goes back by itself, says so in one line, and reaches its end; a thousand times stops."""
    options = ["train", text_file, "--preset", "small", "--hidden", 12, "--batch-size", 4, "--seq-len", 8, "--steps", 60,
               "--set", "train.warmup=0", "--set", "train.weight_decay=0"]  # fmt: skip
    code, _, err = charlm(*options, "--lr", 3, "--name", "high")
    (line,) = [line for line in err.splitlines() if "half" in line]
    assert code == 0, err
    assert line.startswith("step 21: the loss explodes, 20 steps in a row were above 4.5")
    assert line.endswith("; back to step 0 at half the learning rate (rollback 1)")
    line = "rolled back from step 20 to 0, half the learning rate: the loss exp"
    assert line in charlm.output("info", "high")
    code, _, err = charlm(*options, "--lr", 800, "--name", "higher")
    assert code == 1
    assert err.count("half the learning rate (") == 3
    assert err.endswith("start again with a tenth of it, --lr 80\n")


def test_a_good_state_is_one_that_does_not_explode(text_file, tmp_path, monkeypatch):
    """A validation in the middle of an explosion is no state to go back to."""
    monkeypatch.setattr(recovery, "LONG", 10)
    trainer = started(text_file, tmp_path, **CHANGES)
    seen = planted(trainer, 20, all_weights_are_large)
    (back,) = of_kind(seen, RolledBack)
    assert (back.step, back.to) == (29, 12)


class Killed(BaseException):
    """The process ends here."""


def kill_at(patch, moment):
    """End the process before or after one of the calls that decide which state is the good one."""
    moments = itertools.count(1)

    def pass_moment(given):
        decides = re.search(r"good\.npz|last\.npz\.\w+\.tmp|'rollback'", str(given))
        if decides and next(moments) == moment:
            raise Killed

    def watched(call):
        def made(*given, **options):
            pass_moment(given)
            call(*given, **options)
            pass_moment(given)

        return made

    for place, names in ((os, ("link", "replace", "unlink")), (Run, ("record",))):
        for name in names:
            patch.setattr(place, name, watched(getattr(place, name)))


@pytest.mark.parametrize(
    "points", [(3, 40, 12), pytest.param((1, 400, 3), marks=pytest.mark.slow)], ids=["some", "all"]
)
def test_a_kill_leaves_no_mixture(text_file, tmp_path, monkeypatch, points):
    """Whatever is linked, replaced, removed or recorded at that moment: equal to the bit."""
    changes = CHANGES | EXPLODES | {"train__validate_every": 6, "train__save_every_s": 1e-9}
    whole, seen = train(text_file, tmp_path, "whole", **changes)
    assert len(of_kind(seen, RolledBack)) >= 2
    for at in range(*points):
        trainer = started(text_file, tmp_path, "killed", **changes)
        with monkeypatch.context() as patch, suppress(Killed):
            kill_at(patch, at)
            list(events(trainer))
            break
        run = trainer.run
        if run.last.exists():
            list(events(resume_run(run).trainer))
            faults.equal(whole.run.folder, run.folder)
            assert not run.good.exists()
            shutil.rmtree(run.folder)
    assert at > 30


def stopped_at_30(text_file, tmp_path):
    """Return a run whose good state is that of step 24."""
    trainer = started(text_file, tmp_path, **CHANGES)
    stop_at(trainer, 30)
    return trainer.run


def no_links(*_):
    raise PermissionError(errno.EPERM, "Operation not permitted")


@pytest.mark.parametrize("links", [True, False])
def test_the_good_state_is_a_file_of_its_own(text_file, tmp_path, monkeypatch, links):
    """A second name of the checkpoint before, or a copy where there are no links."""
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    run = stopped_at_30(text_file, tmp_path)
    assert load(run.last).meta["good"] == "good.npz"
    assert load(run.good).meta["progress"]["step"] == 24
    assert not list(run.folder.glob("*.tmp"))
    trainer = resume_run(run).trainer
    (back,) = of_kind(planted(trainer, 34, a_weight_is_nan), RolledBack)
    assert (back.to, trainer.progress.step) == (24, 60)
    assert not run.good.exists()


def test_a_good_state_is_checked_before_it_is_needed(text_file, tmp_path):
    run = stopped_at_30(text_file, tmp_path)
    change(run.good, {"state/0.h": np.full((12, 4), np.nan, np.float32)})
    with pytest.raises(CheckpointError, match=r"good.npz: 'state/0.h' holds numbers that are not"):
        resume_run(run)
    # Without one, the checkpoint is its own good state.
    run.good.unlink()
    seen = planted(resume_run(run).trainer, 34, a_weight_is_nan)
    assert [back.to for back in of_kind(seen, RolledBack)] == [30]


def test_a_damaged_file_does_not_keep_a_save_from_being_made(text_file, tmp_path):
    trainer = started(text_file, tmp_path, **CHANGES)
    for event in events(trainer):
        if isinstance(event, Updated) and event.step == 30:
            trainer.run.last.write_bytes(b"damaged")
            trainer.stop_asked = True
    assert load(trainer.run.last).meta["progress"]["step"] == 30


def test_what_explodes_and_what_does_not():
    def healthy(counters, losses, V=65, steps=100):
        return not any(watch(counters, loss, 1.0, V, steps) for loss in losses)

    counters, large = Recovery(), [99.0] * (LONG - 1)
    assert healthy(counters, [4.2])
    assert threshold(counters, 65) == FAR * 4.2
    assert healthy(counters, [*large, 4.0, *large])
    assert "20 steps in a row were above 5.25, got 99" in watch(counters, 99.0, 1.0, 65, 100)
    # The longer a run, the longer it may take to recover.
    counters = Recovery(first_loss=4.2)
    assert healthy(counters, [99.0] * 49, steps=1000)
    assert "50 steps in a row" in watch(counters, 99.0, 1.0, 65, 1000)
    # A run that begins with another's weights may be worse than one that knows nothing.
    assert healthy(Recovery(), [12.0 - k / 100 for k in range(300)])
    assert healthy(Recovery(), [0.0] * 100, V=1), "V = 1 has loss 0"
    assert "the loss is no longer finite, got inf" in watch(Recovery(), np.inf, 1.0, 65, 100)
    assert "the gradient is no longer finite, got nan" in watch(Recovery(), 1.0, np.nan, 65, 100)


# Two at once


@pytest.mark.slow
def test_of_two_that_start_at_once_one_trains(text_file, tmp_path):
    """The other is told by whom the run is being trained."""
    trainer = started(
        text_file, tmp_path / "checkpoints", train__steps=10**6, train__save_every_s=60
    )
    saved(trainer)
    trainer.run.release()
    both = [faults.spawn(tmp_path, "train", "--resume") for _ in range(2)]
    while all(process.poll() is None for process in both):
        time.sleep(0.05)
    first, second = both if both[1].poll() is not None else both[::-1]
    err = second.communicate()[1]
    assert (second.returncode, err) == (
        1,
        f"charlm: checkpoints/a: is being trained by process {first.pid}; wait for its end, or stop "
        "it first\n",
    )
    first.terminate()
    first.communicate()
    assert first.returncode == 143


def test_who_was_robbed_of_its_run_stops(text_file, tmp_path):
    first = started(text_file, tmp_path, **EVERY_SAVE)
    running = saved(first)
    first.run.lock.unlink()
    second = resume_run(Run(tmp_path / "a")).trainer
    before = first.run.last.read_bytes()
    with pytest.raises(RunError, match="another process has taken it over; leave its lock alone"):
        list(running)
    assert first.run.last.read_bytes() == before
    list(events(second))
    assert second.progress.step == 3


# What is on the disk


def findings(charlm, *arguments):
    code, out, err = charlm("info", "--check", *arguments, "--json")
    assert err == ""
    ((_, found),) = json.loads(out).items()
    return code, {entry["file"]: (entry["state"], entry["text"]) for entry in found}


@pytest.fixture
def checked(charlm, text_file, tmp_path):
    trainer = started(text_file, tmp_path / "checkpoints", **EVERY_SAVE | {"train__steps": 4})
    stop_at(trainer, 3)
    return trainer.run


def test_check_of_what_is_whole(charlm, checked):
    code, found = findings(charlm, "a")
    assert code == 0
    assert {state for state, _ in found.values()} == {"ok"}
    assert set(found) == {*FILES, "good.npz", "verse.txt", ""}
    assert found["last.npz"] == ("ok", "step 3, every array as its checksum says")
    checked.take()
    _, trained = findings(charlm, "a")
    assert trained["lock"] == ("note", f"process {os.getpid()} trains this run now")
    checked.release()
    assert found[""] == ("ok", "can be resumed: charlm train --resume")
    assert charlm("info", "--check")[1].startswith("checkpoints/a\n  ok ")
    assert charlm("train", "--resume", "-q")[0] == 0
    _, found = findings(charlm, "a")
    assert found[""] == ("ok", "finished; more steps: charlm train --resume --steps 8")
    code, _, err = charlm("info", "--check", "nowhere")
    assert (code, err) == (1, "charlm: nowhere: no such run; there are a\n")


def flip(path):
    """Change a bit of the last array's numbers, or of the ids."""
    content = bytearray(path.read_bytes())
    content[max(0, content.rfind(b"\x93NUMPY")) + 130] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "file", "state", "text", "verdict"),
    [
        (lambda run: flip(run.best), "best.npz", "wrong", "cannot be read", "ok"),
        (lambda run: flip(run.last), "last.npz", "wrong", "cannot be read", "wrong"),
        (lambda run: run.last.unlink(), "", "ok", "its weights can begin a new run", "ok"),
        (lambda run: (run.last.unlink(), run.best.unlink()), "", "wrong", "train again", "wrong"),
        (lambda run: flip(run.ids), "ids.bin", "note", "a resume makes it again", "ok"),
        (lambda run: run.history.unlink(), "history.jsonl", "note", "the weights are not", "ok"),
        (lambda run: run.history.write_text("{}\n"), "history.jsonl", "note", "1 lines cannot be read", "ok"),
        (lambda run: run.config.write_text("a: ["), "config.yaml", "note", "a resume uses", "ok"),
        (lambda run: run.lock.write_text("{}"), "lock", "note", "left by a process that has ended", "ok"),
        (lambda run: (run.folder / LEFT).touch(), LEFT, "note", "left by a", "ok"),
    ],
    ids=range(10),
)  # fmt: skip
def test_check_of_what_is_not(charlm, checked, spoil, file, state, text, verdict):
    spoil(checked)
    before = {file.name: file.read_bytes() for file in checked.folder.iterdir()}
    code, found = findings(charlm, checked.folder)
    after = {file.name: file.read_bytes() for file in checked.folder.iterdir()}
    assert before == after, "it only looks"
    assert found[file][0] == state
    assert text in found[file][1], found
    assert found[""][0] == verdict
    assert code == any(state == "wrong" for state, _ in found.values())
    if verdict == "ok" and checked.last.exists():
        assert charlm("train", "--resume", "-q") == (0, "", ""), "what it says is so"


def test_check_of_a_text_that_changed(charlm, checked, text_file):
    text_file.write_text(VERSE)
    code, found = findings(charlm, "a")
    assert (code, found["verse.txt"][0], found[""][0]) == (1, "wrong", "wrong")
    text_file.unlink()
    code, found = findings(charlm, "a")
    assert (code, found["verse.txt"][0], found[""][0]) == (0, "note", "ok")
    assert charlm("train", "--resume", "-q")[0] == 0
    checked.ids.unlink()
    code, found = findings(charlm, "a")
    assert (code, found["ids.bin"][0], found[""][0]) == (1, "wrong", "wrong")


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("lstm.0.b", np.full(16, np.nan, np.float32), "not finite"),
        ("optimizer.m/lstm.0.b", np.zeros(3, np.float32), "(3,) on disk, float32 (16,) expected"),
        ("progress", None, "lacks its progress or its text"),
        ("optimizer.v/lstm.0.b", None, "lacks 'optimizer.v/lstm.0.b'"),
    ],
)
def test_check_finds_what_no_checksum_does(charlm, checked, name, value, text):
    """Written well, and wrong all the same."""
    if value is None and "/" in name:
        whole = load(checked.last)
        save(
            checked.last,
            {key: whole.arrays[key] for key in whole.arrays if key != name},
            whole.meta,
        )
    elif value is None:
        change(checked.last, **{name: None})
    else:
        change(checked.last, {name: value})
    code, found = findings(charlm, "a")
    assert (code, found["last.npz"][0]) == (1, "wrong")
    assert text in found["last.npz"][1]


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("optimizer", ["soap", "adam", "sgd"])
@pytest.mark.parametrize("average", [0.0, 0.9])
def test_the_arrays_of_a_checkpoint_are_known_beforehand(
    text_file, tmp_path, cell, optimizer, average
):
    trainer = started(text_file, tmp_path, model__cell=cell, train__optimizer=optimizer,
                      train__average=average)  # fmt: skip
    arrays = snapshot._arrays(trainer, trainer.state)
    expected = training_arrays(trainer.config, trainer.vocabulary.size)
    assert {name: array.shape for name, array in arrays.items()} == expected


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_no_checkpoint_is_called_whole_that_is_none(text_file, tmp_path, make):
    trainer = started(text_file, tmp_path, **EVERY_SAVE)
    running, last = saved(trainer), trainer.run.last
    last.unlink()
    make(last)
    trainer.run.history.unlink(missing_ok=True)
    trainer.run.history.mkdir()
    with refused(RunError, trainer.run.history, "cannot be saved", "last.npz is no file any more"):
        list(running)


def test_commands_name_the_run(text_file, tmp_path):
    """Also one whose name begins as an option does; a name of none is told the nearest."""
    runs = tmp_path / "checkpoints"
    for name in ("-y", "verse"):
        trainer, _ = train(text_file, runs, name, **FEW_ARRAYS)
        trainer.run.ids.unlink()
    text_file.unlink()
    command = (
        f"name where the text is now: charlm train TEXT --resume --name=-y --checkpoints {runs}"
    )
    with refused(TextError, text_file, "no such file", command):
        resume_run(Run(runs / "-y"))
    for where, nearest in (("vers", "did you mean 'verse'? "), ("nosuch", "")):
        advice = f"{nearest}there are -y, verse"
        with refused(CheckpointError, where, "no such checkpoint", advice):
            find_checkpoint(where, runs)
        with refused(RunError, where, "no such run", advice):
            check_run(where, runs)
        with refused(RunError, runs / where, "holds no run", advice):
            find_run(runs, where)


# Long runs


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_short_soak(tmp_path):
    """The short form of `scripts/faults soak`: at most three checkpoints and one history."""
    found = faults.soak(tmp_path, 0.5, tell=lambda _: None)
    names = [entry.split()[0] for entry in found["files"].split(", ")]
    assert {"last.npz"} <= set(names) <= {*FILES, "good.npz", "lock"}
