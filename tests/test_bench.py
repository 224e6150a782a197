"""How fast, in what memory: `charlm bench`, and what the machine says it has free."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import charlm as library
from charlm import environment
from charlm.config import PRESETS
from charlm.errors import ConfigError
from charlm.training import memory, speed

ROOT = Path(__file__).parent.parent


@pytest.fixture
def fast(monkeypatch):
    """Presets that take no time, and a memory that is the tiny one's to the byte."""
    monkeypatch.setitem(PRESETS, "tiny", {"model.hidden": 8, "train.batch_size": 2})
    monkeypatch.setitem(PRESETS, "small", {"model.hidden": 12, "train.seq_len": 16})
    for variable in environment._THREAD_VARIABLES:
        monkeypatch.setenv(variable, os.environ.get(variable, "1"))


def test_bench_is_a_table(charlm, fast):
    code, out, err = charlm("bench", "tiny", "small", "--threads", 1)
    assert code == 0, err
    assert re.fullmatch(r"training of 2 LSTM layers, 65 characters, 1 thread of \S+ \S+\n", err)
    head, tiny, small = out.splitlines()
    assert head.split() == [
        "preset", "units", "streams", "parameters", "chars/s", "a", "million", "memory",
    ]  # fmt: skip
    assert re.fullmatch(r"tiny +2 x 8 +2 x 64 +2,193 +[\d,]+ +\d+\.\d min +0\.\d MB", tiny)
    assert re.fullmatch(r"small +2 x 12 +64 x 16 +[\d,]+ +[\d,]+ +\d+\.\d min +\d\.\d MB", small)
    assert len(head) == len(tiny) == len(small)


def test_bench_as_json(charlm, fast):
    code, out, err = charlm("bench", "tiny", "--json")
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert report["threads"] == environment.threads()
    assert {"charlm", "python", "numpy", "blas"} <= report.keys()
    (row,) = report["presets"]
    assert (row["preset"], row["layers"], row["hidden"]) == ("tiny", 2, 8)
    assert row["minutes_per_million"] == pytest.approx(1e6 / row["chars_per_s"] / 60)


def test_bench_from_python(fast):
    row = next(iter(library.bench(["tiny", "large"], seconds=0)))
    needed = memory.need(row.config, speed.CHARACTERS)
    assert (row.preset, row.parameters, row.nbytes) == ("tiny", needed.parameters, needed.total)
    assert row.chars_per_s > 0
    (row,) = library.bench(["short"], seconds=0)
    assert (row.preset, row.config.train.batch_size) == ("short", 16), "it counts epochs"
    for name in ("huge", "auto"):
        with pytest.raises(ConfigError, match="one of short, tiny, small, medium, large, got '"):
            library.bench(["tiny", name])


def test_bench_refuses_what_does_not_fit(charlm, monkeypatch):
    monkeypatch.setattr(environment, "free_memory", lambda: 10**6)
    code, _, err = charlm("bench", "large")
    assert code == 1
    assert err.splitlines()[-1] == (
        "charlm: train: needs 580.1 MB of memory, got 1.0 MB that are free here; lower model.hidden "
        "(768) or model.layers (2)"
    )


def test_free_memory(tmp_path, monkeypatch):
    """The least of what the kernel and a container say; a machine that says nothing, None."""
    proc, group = tmp_path / "meminfo", tmp_path / "cgroup"
    group.mkdir()
    monkeypatch.setattr(environment, "_MEMINFO", proc)
    monkeypatch.setattr(environment, "_GROUP", group)
    monkeypatch.setattr(environment.os, "sysconf", {"SC_PHYS_PAGES": 10, "SC_PAGE_SIZE": 4096}.get)
    assert environment.free_memory() == 40960
    proc.write_text("MemTotal:  9 kB\nMemAvailable:    7000 kB\nHugePages_Total:  0\n")
    assert environment.free_memory() == 7000 * 1024
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("3000000\n")
    (group / "memory.stat").write_text("anon 2000000\nfile 1000000\n")
    assert environment.free_memory() == 7000 * 1024
    (group / "memory.max").write_text("4000000\n")
    assert environment.free_memory() == 2000000
    proc.unlink()
    (group / "memory.max").unlink()
    monkeypatch.delattr(environment.os, "sysconf")
    assert environment.free_memory() is None


def test_free_memory_here():
    free = environment.free_memory()
    assert free is None or 10**7 < free < 10**14


@pytest.mark.parametrize(
    ("variable", "options", "threads"),
    [(None, [], "1"), (None, ["--threads", "3"], "3"), ("2", [], "2"), ("2", ["--threads", "3"], "3")],
)  # fmt: skip
def test_sample_chooses_its_threads_before_numpy(tmp_path, variable, options, threads):
    """One, unless the environment or --threads says another number."""
    code = (
        "import os, sys\n"
        "from charlm import cli, environment\n"
        "def told(count):\n"
        "    print(count, 'numpy' in sys.modules)\n"
        "environment.set_threads = told\n"
        "sys.argv = ['charlm', 'sample', *sys.argv[1:]]\n"
        "cli.main()\n"
    )
    names = environment._THREAD_VARIABLES
    variables = {k: v for k, v in os.environ.items() if k not in names}
    variables |= {"PYTHONPATH": str(ROOT)} | (
        {"OPENBLAS_NUM_THREADS": variable} if variable else {}
    )
    out = subprocess.run(
        [sys.executable, "-c", code, *options], cwd=tmp_path, env=variables,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert out.stdout == f"{threads} False\n", out.stderr
