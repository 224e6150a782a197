"""Processes that mpirun starts share the streams of a run, and end together."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import VERSE

from charlm import environment
from charlm.errors import RunError
from charlm.storage.checkpoint import load as load_checkpoint
from charlm.storage.history import read_history
from charlm.training import parallel
from charlm.training.parallel import Group

MPIRUN = shutil.which(
    "mpirun", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
)
SIZES = {"hidden": 12, "layers": 2, "batch_size": 5, "seq_len": 8, "steps": 20, "validate_every": 7,
         "sample_length": 20}  # fmt: skip
CASES = {
    "lstm": {"dropout": 0.3, "embedding_dropout": 0.1, "average": 0.9},
    "gru": {"cell": "gru", "optimizer": "rmsprop"},
    "items": {"items": "line", "dropout": 0.2},
}
OPTIONS = [
    f"--{key.replace('_', '-')}={SIZES[key]}"
    for key in ("hidden", "layers", "batch_size", "seq_len")
]
# Trains, in a number format, some runs with their settings; a process of some rank does something
# to the training at one event of a step, once.
PROGRAM = """
import json, sys
from functools import partial
import numpy as np
import charlm
from charlm.training import parallel, trainer

dtype, runs, rank, step, action = json.loads(sys.argv[1])
trainer.Model = partial(trainer.Model, dtype=np.dtype(dtype))
parallel._PATIENCE_S = 1.0
for arguments in runs:
    begin = charlm.resume if arguments.get("resume") else charlm.start
    training = begin(**{key: value for key, value in arguments.items() if key != "resume"})
    for event in training:
        here = isinstance(event, charlm.Updated) and (charlm.launched().rank, event.step) == (rank, step)
        if here and action:
            now, action = action, ""
            exec(now)
"""


def program(processes, runs, *, dtype="float32", rank=0, step=0, action=""):
    """Return the command that trains runs in several processes."""
    arguments = json.dumps([dtype, runs, rank, step, action])
    launcher = [MPIRUN, "-n", str(processes)] if processes > 1 else []
    return [*launcher, sys.executable, "-c", PROGRAM, arguments]


def run(command, folder, **options):
    """Run a command to its end: returns exit code and stderr."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=False, **options
    )
    return done.returncode, done.stderr


def command(processes, *arguments):
    return [MPIRUN, "-n", str(processes), sys.executable, "-m", "charlm", *map(str, arguments)]


@pytest.fixture
def folder(tmp_path):
    """A folder with a text, for processes that mpirun starts."""
    pytest.importorskip("mpi4py", reason="mpi4py is not installed: CONTRIBUTING.md tells how")
    (tmp_path / "verse.txt").write_text((VERSE * 30)[:6000], newline="")
    return tmp_path


def arrays(path):
    return load_checkpoint(path)[1]


def started(name, **settings):
    return {"text": "verse.txt", "name": name, "threads": 1, **SIZES, **settings}


def distance(ours, theirs):
    """Return the largest distance of two checkpoints' arrays, relative to their norms."""
    assert ours.keys() == theirs.keys()
    norms = [(np.linalg.norm(ours[key] - theirs[key]), np.linalg.norm(ours[key])) for key in ours]
    return max(error / max(norm, 1e-30) for error, norm in norms)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, (0, 1)),
        ({"PMI_RANK": "2", "PMI_SIZE": "4"}, (2, 4)),
        ({"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2"}, (0, 2)),
        ({"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "8", "SLURM_NTASKS": "8"}, (3, 8)),
        # A batch script, whose commands are no tasks of a step.
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8"}, (0, 1)),
        ({"PMI_RANK": "", "PMI_SIZE": "-1"}, (0, 1)),
    ],
)
def test_what_the_launcher_says(variables, expected, monkeypatch):
    for name in [name for pair in environment._LAUNCHERS for name in pair]:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert environment.launched() == expected


@pytest.mark.parametrize(("count", "size"), [(5, 2), (5, 3), (64, 64), (7, 7), (64, 5)])
def test_shares_differ_by_one_at_most(count, size):
    group, shares = Group(), []
    for group.rank in range(size):
        group.size = size
        shares += [range(count)[group.share(count)]]
    assert [stream for share in shares for stream in share] == list(range(count))
    assert {*map(len, shares)} <= {count // size, -(-count // size)}


def test_several_processes_need_mpi4py(charlm, text_file, tmp_path, monkeypatch):
    parallel.connect.cache_clear()
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.setenv("PMI_SIZE", "2")
    for rank in range(2):
        monkeypatch.setenv("PMI_RANK", str(rank))
        code, out, err = charlm("train", text_file, *OPTIONS)
        assert (code, out) == (1, "")
        if rank == 0:
            assert err.count("\n") == 1
            assert "charlm: 2 processes: needs mpi4py" in err
            assert "pip install mpi4py, or '.[mpi]' in a checkout" in err
        else:
            assert err == ""
    assert not list((tmp_path / "checkpoints").glob("*"))


def test_a_process_that_trains_alone_says_what_it_waits_for(monkeypatch, capfd):
    def start_mpi(*_):
        time.sleep(0.5)
        raise RunError("", "the others never came")

    parallel.connect.cache_clear()
    monkeypatch.setattr(environment, "launched", lambda: environment.Launched(0, 2))
    monkeypatch.setattr(environment, "require", start_mpi)
    for patience_s, said in ((0.1, "charlm: process 0 of 2 waits for the others"), (9.0, "")):
        monkeypatch.setattr(parallel, "_PATIENCE_S", patience_s)
        with pytest.raises(RunError):
            parallel.connect()
        assert capfd.readouterr().err.startswith(said)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "most"), [("float32", 1e-5), ("float64", 1e-12)])
def test_several_processes_make_the_run_that_one_makes(folder, dtype, most):
    for processes in (1, 2, 3):
        runs = [
            started(name, **settings, checkpoints=f"of {processes}")
            for name, settings in CASES.items()
        ]
        assert run(program(processes, runs, dtype=dtype), folder) == (0, "")
    for name in CASES:
        one = folder / "of 1" / name
        for processes in (2, 3):
            several = folder / f"of {processes}" / name
            assert 0 < distance(arrays(one / "last.npz"), arrays(several / "last.npz")) < most
            for ours, theirs in zip(
                read_history(one / "history.jsonl").readings,
                read_history(several / "history.jsonl").readings,
                strict=True,
            ):
                assert ours.sample == theirs.sample
                for key in ("loss", "validation", "norm"):
                    if (expected := getattr(ours, key)) is not None:
                        assert getattr(theirs, key) == pytest.approx(expected, rel=most)


@pytest.mark.slow
def test_a_run_continues_with_any_number_of_processes(folder):
    whole, part = started("whole", **CASES["lstm"]), started("part", **CASES["lstm"])
    assert run(program(1, [whole]), folder) == (0, "")
    # The last process asks to stop.
    for processes, step in ((1, 6), (3, 11), (2, 0)):
        stop = {"rank": processes - 1, "step": step, "action": "training.stop()"}
        assert run(program(processes, [part], **stop), folder) == (0, "")
        part = {"name": "part", "resume": True}
    last = [folder / "checkpoints" / name / "last.npz" for name in ("whole", "part")]
    assert 0 < distance(*map(arrays, last)) < 1e-5
    assert read_history(last[1].with_name("history.jsonl")).resumes == [6, 11]


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [CASES["items"], {"preset": "small", "threads": 2, "batch_size": 15, "steps": 33}],
    ids=["items", "soap, threads"],
)
def test_the_same_number_continues_exactly(folder, settings):
    assert run(program(2, [started("whole", **settings)]), folder) == (0, "")
    stop = {"rank": 1, "step": settings.get("steps", 20) - 11, "action": "training.stop()"}
    assert run(program(2, [started("part", **settings)], **stop), folder) == (0, "")
    assert run(program(2, [{"name": "part", "resume": True}]), folder) == (0, "")
    last = [arrays(folder / "checkpoints" / name / "last.npz") for name in ("whole", "part")]
    assert distance(*last) == 0


@pytest.mark.slow
def test_a_process_that_diverges_rolls_all_back(folder):
    action = "training._trainer.model.parameters.flat[0] = np.nan"
    diverging = program(2, [started("verse")], rank=1, step=11, action=action)
    assert run(diverging, folder) == (0, "")
    history = read_history(folder / "checkpoints" / "verse" / "history.jsonl")
    assert [(back.step, back.to) for back in history.rollbacks] == [(11, 7)]
    assert history.readings[-1].step == 20
    assert np.isfinite(arrays(folder / "checkpoints" / "verse" / "last.npz")["lstm.0.Wh"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_an_error_in_one_process_ends_all(folder, rank):
    failing = program(2, [started("verse")], rank=rank, step=11, action="raise KeyError('mine')")
    code, err = run(failing, folder)
    assert code != 0
    assert f"charlm: process {rank} of 2 has ended, which ends the run: KeyError: 'mine'" in err
    # What was saved before resumes.
    assert run(command(2, "train", "--resume", "--quiet"), folder) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_all(folder, rank):
    action = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    killed = program(2, [started("verse")], rank=rank, step=11, action=action)
    # This launcher leaves the others alone, as srun does.
    killed.insert(1, "-disable-auto-cleanup")
    code, err = run(killed, folder)
    assert code != 0
    assert err.count("charlm: ") == 1
    assert f"charlm: process {rank} of 2 was killed or cannot be reached, which ends the run" in err
    assert run(command(2, "train", "--resume", "--quiet"), folder) == (0, "")


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all(folder):
    launched = subprocess.Popen(
        command(2, "train", "verse.txt", *OPTIONS, "--steps", "100000"),
        cwd=folder, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    run_folder = folder / "checkpoints" / "verse"
    while not (run_folder / "last.npz").exists():
        assert launched.poll() is None
        time.sleep(0.2)
    first = int((run_folder / "lock").read_text())
    processes = {
        int(path.parent.name): path.read_text() for path in Path("/proc").glob("[0-9]*/stat")
    }
    parents = {process: stat.rpartition(")")[2].split()[1] for process, stat in processes.items()}
    (other,) = {process for process in parents if parents[process] == parents[first]} - {first}
    os.kill(other, signal.SIGTERM)
    _, err = launched.communicate(timeout=60)
    assert launched.returncode == 143
    step = load_checkpoint(run_folder / "last.npz").meta["progress"]["step"]
    assert err.count(f"stopped after step {step:,}, saved; resume with: charlm train --resume") == 1
    assert run(command(3, "train", "--resume", "--steps", step + 2, "--quiet"), folder) == (0, "")


@pytest.mark.slow
def test_a_full_disk_ends_all(folder):
    action = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))"
    code, err = run(program(2, [started("verse")], step=9, action=action), folder)
    assert code == 1
    assert err.count("cannot be saved (File too large); the checkpoint before is whole") == 2
    assert "has ended" not in err
    assert run(command(2, "train", "--resume", "--quiet"), folder) == (0, "")


@pytest.mark.slow
def test_what_cannot_be_one_run(folder):
    python, train = [sys.executable, "-m", "charlm"], ["train", "verse.txt", *OPTIONS, "--quiet"]
    (folder / "elsewhere").mkdir()
    shutil.copy(folder / "verse.txt", folder / "elsewhere")
    cases = {
        "train.batch_size: must be at least 6, one stream for each process, got 5": command(6, *train),
        "2 processes: train one run together, got": [
            MPIRUN, "-n", "1", *python, *train, ":", "-n", "1", *python, *train, "--seed", "2"],
        "put --checkpoints in a folder that all machines share": [
            MPIRUN, "-n", "1", *python, *train, ":",
            "-n", "1", "-wdir", str(folder / "elsewhere"), *python, *train],
        "No such option: --sed": command(3, *train, "--sed", "2"),
        "no such file": command(3, "train", "prose.txt"),
    }  # fmt: skip
    for message, started_so in cases.items():
        code, err = run(started_so, folder)
        assert code in (1, 2)
        assert err.count(message) == 1, err
        assert "Traceback" not in err
    assert not list((folder / "checkpoints").glob("*"))
    assert run([*python, *train, "--steps", "5"], folder) == (0, "")
    code, err = run(command(6, "train", "--resume", "--steps", "9"), folder)
    assert code == 1
    assert err.count("must be at least 6, one stream for each process, got 5") == 1
    # The launcher of another MPI: each process would be alone.
    others = {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "4"}
    code, err = run([*python, *train], folder, env=os.environ | others)
    assert code == 1
    assert err.startswith("charlm: 4 processes: were started, and their MPI sees 1")


@pytest.mark.slow
def test_cpus_are_shared(folder):
    show = (
        "from charlm.training.parallel import connect; import charlm; print(connect().local_size)"
    )
    done = subprocess.run(
        [MPIRUN, "-n", "3", sys.executable, "-c", show], capture_output=True, text=True, check=True
    )
    assert done.stdout.count("3") == 3
    assert environment.thread_counts(1000) == [1]
