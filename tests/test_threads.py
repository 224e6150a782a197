"""Threads of the BLAS: CPUs that may be used, how many threads are chosen, and how long they hold."""

import itertools
import os
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import SETTINGS, open_ids, overrides, settings, stop_at

import charlm as library
from charlm import environment
from charlm.commands import training_view
from charlm.storage.checkpoint import load
from charlm.text.corpus import TextInfo
from charlm.training import planning, prepare
from charlm.training.events import Updated, Validated
from charlm.training.loop import events
from charlm.training.planning import Pace, choose_threads, measure
from charlm.training.prepare import resume_run, start_run
from charlm.training.trainer import Trainer


@pytest.fixture
def unset(monkeypatch):
    """No variable says how many threads to use."""
    for variable in environment.THREAD_VARIABLES:
        monkeypatch.setenv(variable, "")


@pytest.fixture
def blas(unset):
    """Put the number of threads back after a test."""
    with environment.limited(None):
        yield


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Eight CPUs, and files of control groups as a test has them."""

    def make(membership, files):
        for name, content in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        (tmp_path / "membership").write_text(membership)

    monkeypatch.setattr(environment, "_GROUP", tmp_path / "cgroup")
    monkeypatch.setattr(environment, "_MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(environment, "affinity", lambda: range(8))
    return make


@pytest.mark.usefixtures("blas")
def test_threads_are_set_after_numpy_is_loaded():
    from threadpoolctl import threadpool_info

    for count in (2, 1):
        environment.set_threads(count)
        np.dot(np.ones((64, 64)), np.ones((64, 64)))
        info = [library for library in threadpool_info() if library["user_api"] == "blas"]
        if not info:
            pytest.skip("threadpoolctl does not know this BLAS")
        assert {library["num_threads"] for library in info} == {count} == {environment.threads()}
        assert environment.chosen_threads() == count


@pytest.mark.parametrize(
    ("libraries", "expected"),
    [
        ([("SkylakeX", 1)], True),
        ([("Cooperlake", 1), ("SapphireRapids", 1)], True),
        ([("SkylakeX", 2)], False),
        ([("Zen", 1)], False),
        ([("SkylakeX", 1), ("Haswell", 1)], False),
        ([(None, 1)], False),
        ([], False),
    ],
)
def test_where_products_are_made_in_blocks(monkeypatch, libraries, expected):
    info = [
        {"num_threads": count} | ({"architecture": name} if name else {})
        for name, count in libraries
    ]
    monkeypatch.setattr(environment, "_blas", lambda: SimpleNamespace(info=lambda: info))
    assert environment.has_small_kernel() is expected


@pytest.mark.parametrize(
    ("membership", "files", "cpus"),
    [
        ("0::/", {}, 8),
        ("0::/", {"cpu.max": "max 100000\n"}, 8),
        ("0::/", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/", {"cpu.max": "20000 100000\n"}, 1),
        ("0::/", {"cpu.max": "140000 100000\n"}, 1),
        ("0::/", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/", {"cpu.max": "9900000 100000\n"}, 8),
        ("0::/a/b\n", {"a/b/cpu.max": "400000 100000", "a/cpu.max": "300000 100000"}, 3),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "other/cpu.max": "100000 100000"}, 8),
        # The path is the host's, the files are the container's.
        ("0::/../docker/x\n", {"cpu.max": "200000 100000"}, 2),
        ("4:cpu,cpuacct:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ("9:memory:/m\n4:cpu,cpuacct:/d/x\n0::/",
         {"cpu/d/cpu.cfs_quota_us": "250000\n", "cpu/d/cpu.cfs_period_us": "50000\n"}, 5),
        ("4:cpuset:/\n", {"cpu/cpu.cfs_quota_us": "1", "cpu/cpu.cfs_period_us": "1"}, 8),
        ("0::/", {"cpu.max": ""}, 8),
        ("0::/", {"cpu.max": "100000 0"}, 8),
        ("no such line", {"cpu.max": "100000 100000"}, 8),
    ],
)  # fmt: skip
def test_cpus_are_those_of_the_quota(groups, membership, files, cpus):
    groups(membership, files)
    assert environment.usable_cpus() == cpus


def test_cpus_are_those_of_the_affinity(groups, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(environment, "_MEMBERSHIP", environment.Path("/no such file"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    assert environment.usable_cpus() == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert environment.usable_cpus() == 1


def test_memory_is_that_of_the_groups_above_too(groups, monkeypatch, tmp_path):
    (tmp_path / "meminfo").write_text("MemAvailable: 9000 kB\n")
    monkeypatch.setattr(environment, "_MEMINFO", tmp_path / "meminfo")
    groups("0::/a/b", {"a/memory.max": "5000", "a/memory.current": "3000",
                       "a/memory.stat": "file 500\n", "a/b/memory.max": "max"})  # fmt: skip
    assert environment.free_memory() == 2500
    groups("3:memory:/", {"memory/memory.limit_in_bytes": "4000", "memory/memory.usage_in_bytes": "1000",
                          "memory/memory.stat": "cache 7\ntotal_cache 20\n"})  # fmt: skip
    assert environment.free_memory() == 3020


@pytest.mark.parametrize(
    ("cpus", "now", "variable", "counts"),
    [(2, 2, "", [1, 2]), (1, 2, "", [1]), (2, 1, "", [1]), (8, 4, "", [1, 2, 4]),
     (12, 16, "", [1, 2, 4, 8, 12]), (2, 2, "3", [3]), (2, 2, "0", [1, 2])],
)  # fmt: skip
@pytest.mark.usefixtures("unset")
def test_threads_to_choose_from(monkeypatch, cpus, now, variable, counts):
    """A variable decides; without one there are no more than usable CPUs, or a caller's limit."""
    monkeypatch.setattr(environment, "usable_cpus", lambda: cpus)
    monkeypatch.setattr(
        environment, "_blas", lambda: SimpleNamespace(info=lambda: [{"num_threads": now}])
    )
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert environment.thread_counts() == counts


@pytest.mark.usefixtures("unset")
def test_a_blas_that_cannot_be_told_has_one_number(monkeypatch):
    monkeypatch.setattr(environment, "_blas", lambda: SimpleNamespace(info=list))
    monkeypatch.setattr(environment, "affinity", lambda: range(4))
    assert environment.thread_counts() == [4]


@pytest.mark.parametrize(
    ("times", "chosen"),
    [
        ({3: [0.2]}, 3),
        ({1: [0.24] * 9, 2: [0.15] * 9}, 2),
        ({1: [0.15] * 9, 2: [1.4] * 9}, 1),
        ({1: [0.20] * 9, 2: [0.19] * 9}, 1),  # not worth it
        ({1: [0.24] * 9, 2: [0.15] * 8 + [1.4]}, 2),  # one pause
        ({1: [0.24] * 8 + [1.4], 2: [0.23] * 9}, 1),
        ({1: [0.24] * 9, 2: [0.15] * 6 + [1.4] * 3}, 1),  # of several the mean counts
        ({1: [0.24] * 2, 2: [0.15, 1.4]}, 1),  # of few none is left out
        ({1: [9.0], 2: [5.0]}, 2),
        ({1: [0.24] * 3, 2: [0.13] * 3, 4: [0.12] * 3, 8: [0.3] * 3}, 2),
        ({1: [0.24] * 3, 2: [0.23] * 3, 4: [0.12] * 3, 8: [0.3] * 3}, 4),
    ],
)
def test_the_choice_of_threads(times, chosen):
    assert choose_threads(times) == chosen


@pytest.mark.parametrize(
    ("cost", "chosen", "note"),
    [({1: 0.031, 2: 0.024}, 2, "2 threads: 24.0 ms a step, 1 thread: 31.0 ms"),
     ({1: 0.2, 2: 1.4}, 1, "1 thread: 200.0 ms a step, 2 threads: 1,400.0 ms"),
     ({2: 0.2}, 2, "")],
)  # fmt: skip
def test_steps_are_timed_in_turns(text_file, tmp_path, monkeypatch, cost, chosen, note):
    clock, used = [0.0], []

    def update(trainer):
        used.append(trainer.parallel.threads)
        clock[0] += cost[used[-1]]

    monkeypatch.setattr(planning.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(Trainer, "update", update)
    vocabulary, ids = open_ids(text_file, tmp_path)
    config = settings(text_file, train__steps=5000, train__sample_length=0)
    pace = measure(config, vocabulary, TextInfo("", ids.size, "", ""), ids, list(cost))
    assert (pace.threads, pace.note) == (chosen, note)
    assert pace.step_s == pytest.approx(cost[chosen])
    turns = [threads for threads, _ in itertools.groupby(used)]
    assert turns == list(cost) * (len(turns) // len(cost))
    assert clock[0] < 3 + 2 * sum(cost.values()), "no longer than one number of threads alone"


@pytest.mark.usefixtures("blas")
def test_the_choice_holds_while_a_run_trains(tmp_path, text_file, monkeypatch):
    """It is recorded, a resume has it, and a caller's own number is back afterwards."""
    tried = []
    monkeypatch.setattr(environment, "thread_counts", lambda processes: [1, 2])
    monkeypatch.setattr(
        prepare, "measure", lambda *given: tried.append(given[-2]) or Pace(1, 1, 2, "so")
    )
    environment._blas().limit(limits=1)
    prepared = start_run(overrides(text_file, train__steps=60), tmp_path, "a")
    assert (tried, prepared.notes[-1:]) == ([[1, 2]], ["so"])
    during = [environment.threads() for _ in zip(range(3), events(prepared.trainer), strict=False)]
    assert (during, environment.threads()) == ([2, 2, 2], 1)
    assert load(prepared.trainer.run.last).meta["threads"] == 2
    resumed = library.resume("a", checkpoints=tmp_path)
    assert (resumed.plan.threads, resumed.notes) == (2, ())
    stop_at(resumed._trainer, 3)
    (note,) = resume_run(prepared.trainer.run, threads=1).notes
    assert "threads 2 -> 1" in note
    prepared.trainer.run.release()
    # As many as a caller asks for; a checkpoint with such a number is damaged.
    (note,) = resume_run(prepared.trainer.run, threads=1025).notes
    assert "threads 2 -> 1025" in note
    prepared.trainer.run.release()


@pytest.mark.usefixtures("blas")
def test_nothing_is_tried_where_threads_are_chosen_or_steps_are_few(
    tmp_path, text_file, monkeypatch
):
    tried = []
    monkeypatch.setattr(
        prepare, "measure", lambda *given: tried.append(given[-2]) or Pace(1, 1, given[-2][0])
    )
    monkeypatch.setattr(environment, "usable_cpus", lambda: 2)
    environment._blas().limit(limits=2)

    def threads(name, **options):
        training = library.start(text_file, name=name, checkpoints=tmp_path, **SETTINGS | options)
        training.stop()
        training._trainer.run.discard()
        return training.plan.threads

    assert threads("short") == 1
    assert threads("told", threads=2) == 2
    assert threads("long", steps=60, threads=2) == 2
    environment.set_threads(2)
    assert threads("chosen", steps=60) == 2
    assert tried == [[2], [2]]


@pytest.mark.parametrize(
    ("more", "variable", "count"), [([], "", 1), ([], "3", 3), (["--threads", 2], "3", 2)]
)
@pytest.mark.parametrize(
    "command",
    [["sample", "none"], ["eval", "x.txt", "--run", "none"], ["cells", "x.txt", "--run", "none", "--find"],
     ["gradients", "--run", "none"], ["report", "none"]],
)  # fmt: skip
@pytest.mark.usefixtures("unset")
def test_other_commands_use_one_thread(charlm, monkeypatch, command, more, variable, count):
    used = []
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", variable)
    monkeypatch.setattr(library, "set_threads", used.append)
    assert charlm(*command, *more)[0] == 1
    assert used == [count]


@pytest.mark.parametrize(
    ("step_s", "steps", "said"),
    [
        (0.2, [0.2] * 200, None),
        (0.2, [0.2] * 100 + [0.8] * 30, 4),
        (0.2, [0.8] * 30, 4),
        (0.2, [0.5] * 100, None),
        (None, [0.8] * 100, None),  # slow from the first step on; nobody knows
        (None, [0.8] * 30 + [0.2] * 100 + [0.8] * 30, 4),
        (0.2, [0.2] * 40 + [60.0] + [0.2] * 40, None),  # a pause
        (20.0, [20.0, 90.0, 90.0, 90.0], None),  # not for long
        (20.0, [20.0, 20.0, 90.0, 90.0, 90.0], 4.5),
    ],
)
def test_steps_that_become_slow(step_s, steps, said):
    slowdown = training_view.Slowdown(step_s)
    found = [factor for seconds in steps if (factor := slowdown.add(seconds))]
    assert found[:1] == ([pytest.approx(said)] if said else [])


@pytest.mark.parametrize(
    ("threads", "advice"),
    [(1, ""), (2, "; Ctrl-C and charlm train --resume --threads 1 may be faster")],
)
def test_a_slow_training_says_so_once(capsys, monkeypatch, threads, advice):
    """A validation takes what it takes; only steps count."""
    clock = [0.0]

    def made():
        for n in range(1, 200):
            clock[0] += 1.0 if n > 20 else 0.2
            yield Updated(n, 1.0, 0.1, 1.0, 10)
            clock[0] += 30
            yield Validated(n, 1.0, 1.0, False, 10.0)

    class Training(SimpleNamespace):
        def events(self, bar):
            return made()

    monkeypatch.setattr(training_view.time, "monotonic", lambda: clock[0])
    plan = SimpleNamespace(step_s=0.2, steps=200, threads=threads)
    training_view.show(
        Training(plan=plan, step=0, resume_command="charlm train --resume"), quiet=False
    )
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("step ")]
    assert lines == [
        f"steps take 5 times as long as before: other programs may use the CPUs{advice}"
    ]
