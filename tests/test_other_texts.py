"""Texts that are no English verse: Korean and source code."""

import math
import tokenize
from pathlib import Path

import pytest
from korean import korean

import charlm

FAST = {"hidden": 24, "steps": 80, "learning_rate": 0.03, "dropout": 0.0, "sample_length": 20}


def hangul(text):
    return sum("가" <= c <= "힣" for c in text) / max(1, len(text))


@pytest.mark.parametrize("level", ["char", "byte"])
def test_korean(tmp_path, monkeypatch, level):
    monkeypatch.chdir(tmp_path)
    Path("글.txt").write_text(korean(20_000), encoding="utf-8")
    model = charlm.train("글.txt", level=level, **FAST)
    written = model.sample(300, start="강물이", seed=1)
    assert written.startswith("강물이")
    whole = model.evaluate(korean(2_000, seed=9))
    assert whole.carried.nats < 0.8 * math.log(model.vocabulary.size)
    quoted = korean(20_000)[1000:1050]
    (copy,) = model.copies(f"불{quoted}")
    place = 1000 if level == "char" else len(korean(20_000)[:1000].encode())
    assert copy.place == place
    assert copy.length == (50 if level == "char" else len(quoted.encode()))
    if level == "char":
        assert model.evaluate_dynamic(korean(2_000, seed=9)).nats < whole.carried.nats
        assert hangul(written) > 0.4


def test_source_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here = Path(tokenize.__file__).parent
    folder = tmp_path / "library"
    folder.mkdir()
    for name in ("tokenize.py", "textwrap.py", "shlex.py"):
        (folder / name).write_bytes((here / name).read_bytes())
    training = charlm.start(folder, glob="*.py", **FAST)
    model = training.run()
    assert training.notes[0].startswith("preset short: ")
    assert model.evaluate("def text(self):\n    return None\n").carried.nats < 3.5
