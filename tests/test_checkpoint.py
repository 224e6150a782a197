"""Checkpoints: what is saved is loaded; what is damaged is refused; a crash damages nothing."""

import errno
import os

import fuzz
import numpy as np
import pytest

from charlm.errors import CheckpointError
from charlm.storage import atomic
from charlm.storage.checkpoint import load, read_meta, save

ARRAYS = {"lstm.0.Wx": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros(0)}
META = {"kind": "best", "vocabulary": {"symbols": "ab한🙂"}}
WRITTEN = {"format": 1, **META, "arrays": list(ARRAYS)}


@pytest.fixture
def path(tmp_path):
    save(tmp_path / "c.npz", ARRAYS, META)
    return tmp_path / "c.npz"


def test_what_is_saved_is_loaded(path, tmp_path):
    checkpoint = load(path)
    assert checkpoint.meta == WRITTEN == read_meta(path)
    assert list(checkpoint.arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert checkpoint.arrays[name].dtype == array.dtype
        assert np.array_equal(checkpoint.arrays[name], array)
    save(tmp_path / "d.npz", ARRAYS, META)
    assert path.read_bytes() == (tmp_path / "d.npz").read_bytes(), "equal ones are equal files"
    with np.load(path, allow_pickle=False) as content:
        assert np.array_equal(content["lstm.0.Wx"], ARRAYS["lstm.0.Wx"]), "NumPy opens it too"


@pytest.mark.slow
def test_every_truncation_and_flipped_bit_is_refused_or_harmless(path):
    def content_of(path):
        found = load(path)
        return found.meta, [(array.dtype, array.tolist()) for array in found.arrays.values()]

    outcomes = fuzz.spoiled(path, content_of)
    assert outcomes["CheckpointError"] > 5000


def test_what_is_no_checkpoint(tmp_path):
    (tmp_path / "text.npz").write_bytes(b"not a zip at all")
    np.savez(tmp_path / "foreign.npz", a=np.zeros(3))
    for name, message in (("nowhere.npz", "no such checkpoint"), ("text.npz", "cannot be read"),
                          ("foreign.npz", "is no checkpoint of charlm's"), (".", "is a folder")):  # fmt: skip
        with pytest.raises(CheckpointError, match=message):
            load(tmp_path / name)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_failed_save_leaves_the_one_before(path, monkeypatch, call):
    whole = path.read_bytes()

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic.os, call, fail)
    with pytest.raises(OSError, match="No space"):
        save(path, {"other": np.ones(3)}, {})
    assert path.read_bytes() == whole
    assert [file.name for file in path.parent.iterdir()] == ["c.npz"], "the temporary file is gone"


def test_save_is_synced_before_it_is_renamed(path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(
            atomic.os, name, lambda *a, name=name, real=real: (calls.append(name), real(*a))[1]
        )
    save(path, ARRAYS, META)
    assert calls == ["fsync", "replace", "fsync"]
