"""The benchmarks that make tables: what they count, and that a row of each can be made."""

import importlib.util
import json
import subprocess
import sys

import pytest
from helpers import ROOT, VERSE, environment

from charlm.storage.history import Reading

FOLDER = ROOT / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """Import a benchmark by its name."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def load(name):
        spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def run(tmp_path, *arguments):
    """Run scripts/bench's program; results go to its own folder, so it is given a copy."""
    folder = tmp_path / "checkout" / "benchmarks"
    if not folder.exists():
        folder.mkdir(parents=True)
        for path in FOLDER.glob("*.py"):
            (folder / path.name).write_bytes(path.read_bytes())
        (folder.parent / "charlm").symlink_to(ROOT / "charlm")
    done = subprocess.run(
        [sys.executable, str(folder / "bench.py"), *map(str, arguments)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads((folder / "results" / f"{arguments[0]}.json").read_text())


def test_words_and_repetition(benchmark):
    filters = benchmark("filters")
    assert filters.words(" It's Zoë's 2nd: well-known, o'er, en") == [
        "it's", "zoë's", "nd", "well", "known", "o'er",
    ]  # fmt: skip
    assert filters.words("the river rose.") == ["river", "rose"]
    assert filters.repeated(["a", "b", "c", "d"]) == 0
    assert filters.repeated(["a", "b", "c", "a", "b", "c"]) == pytest.approx(1 / 4)
    assert filters.repeated([]) == 0


def test_cells_of_equal_size(benchmark):
    cells = benchmark("equal_cells")
    target = cells.size("lstm", 32)
    for cell in ("gru", "rnn"):
        H = cells.units(cell, target)
        apart = abs(cells.size(cell, H) - target)
        assert apart <= abs(cells.size(cell, H - 1) - target)
        assert apart <= abs(cells.size(cell, H + 1) - target)
    assert cells.units("lstm", target) == 32


def test_advice_names_no_wrong_encoding(benchmark, monkeypatch):
    """Texts in 24 languages: whole, cut within a character, and damaged."""
    decoding = benchmark("decoding")
    monkeypatch.setattr(decoding, "LENGTHS", (60, 250))
    found = decoding.run(1)
    assert found["wrong"] == []
    right = {tuple(key): n for *key, n in found["table"] if key[1:] == ["whole", "right"]}
    assert right[250, "whole", "right"] > right[60, "whole", "right"] > 50


def test_what_is_held_out_is_what_was_validated_on(benchmark, tmp_path):
    presets = benchmark("presets")
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf" + b"0123456789\r\n" * 10)
    held = presets.held_out(tmp_path / "a.txt", tmp_path / "held.txt")
    assert held.read_bytes() == b"0123456789\n"


@pytest.mark.slow
def test_a_row_of_presets_and_one_of_filters(tmp_path):
    (tmp_path / "verse.txt").write_text(VERSE * 60)
    small = ["--set", "model.hidden=12", "--set", "model.layers=1", "--set", "train.epochs=2",
             "--set", "train.batch_size=8"]  # fmt: skip
    out, result = run(
        tmp_path, "presets", "--text", tmp_path / "verse.txt", "--seeds", 2, "--dynamic", *small
    )
    assert "| `charlm train verse.txt --set model.hidden=12" in out
    assert [one["seed"] for one in result["runs"]] == [0, 1]
    for one in result["runs"]:
        assert one["validations"] >= 1
        # Uniform guesses among 38 characters cost 3.6 nats.
        assert 0 < one["carried"] < 3.6
        assert 0 < one["dynamic"] < 3.6
        assert 0 < one["cold_ngrams"] < one["cold"]
    subprocess.run(
        [sys.executable, "-m", "charlm", "train", "verse.txt", "--quiet", *small],
        cwd=tmp_path, check=True, env=environment(),
    )  # fmt: skip
    out, result = run(tmp_path, "filters", "--texts", 2, "--length", 120)
    rows = [line for line in out.splitlines() if line.startswith("| ")]
    assert rows[1].startswith("| temperature 0 | ")
    assert rows[-1].startswith("| (held-out text) | 100.0% | ")
    assert len(rows) == 1 + len(result["rows"])


@pytest.mark.slow
def test_cells_draw_a_plot(benchmark, tmp_path):
    pytest.importorskip("matplotlib")
    cells = benchmark("equal_cells")
    curves = {
        cell: [Reading(n, validation=3 / n, elapsed_s=n) for n in (1, 2, 3)]
        for cell in ("lstm", "gru")
    }
    path = tmp_path / "cells.svg"
    cells.draw(curves, {"lstm": {"units": 8}, "gru": {"units": 9}}, path)
    drawn = path.read_text()
    assert "lstm, 2 x 8" in drawn
    assert "gru, 2 x 9" in drawn
