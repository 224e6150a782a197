"""Old files: what each version of the format wrote is read for ever, to the same values.

`tests/formats/<version>/` holds what that version wrote (see `make.py` there); nothing writes it
again.
"""

import importlib
import shutil
from pathlib import Path

import pytest
from helpers import change

import charlm
from charlm.errors import CheckpointError
from charlm.exchange.transfer import import_run
from charlm.runs.folder import Run
from charlm.storage import checkpoint as storage
from charlm.storage.checkpoint import load, save
from charlm.training import snapshot
from charlm.training.prepare import resume_run

FORMATS = Path(__file__).parent / "formats"
TEXT = "ab, 한🙂"
# Made by `python tests/formats/make.py` when the version was current.
LOG_PROBS = {
    1: {
        "lstm": [-2.156908, -2.133207, -2.233644, -2.149995, -2.233634, -2.228012],
        "gru": [-2.155784, -2.128818, -2.231456, -2.070803, -2.231224, -2.251458],
        "rnn": [-2.080709, -2.080557, -1.913345, -2.228004, -2.160166, -1.995166],
    }
}
VERSIONS = sorted(LOG_PROBS)
CASES = [(version, cell) for version in VERSIONS for cell in LOG_PROBS[version]]


def test_every_version_has_its_files():
    assert list(range(1, storage.FORMAT + 1)) == VERSIONS
    assert sorted(int(folder.name) for folder in FORMATS.glob("[0-9]*")) == VERSIONS


@pytest.mark.parametrize(("version", "cell"), CASES)
def test_old_models_predict_what_they_did(version, cell):
    model = charlm.load(FORMATS / str(version) / f"{cell}.npz")
    assert model.config.model.cell == cell
    assert model.vocabulary.symbols == "\n ,abcé한🙂"
    assert model.log_probs(TEXT).tolist() == pytest.approx(LOG_PROBS[version][cell], abs=2e-6)


@pytest.mark.parametrize("version", VERSIONS)
def test_old_runs_go_on(version, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(FORMATS / str(version) / "run", folder)
    trainer = resume_run(Run(folder), steps=42).trainer
    checkpoint = load(FORMATS / str(version) / "run" / "last.npz")
    for name, view in trainer.model.parameters.views.items():
        assert (view == checkpoint.arrays[name]).all()
    assert (trainer.progress.step, trainer.steps) == (40, 42)
    assert 1 < trainer.update().loss < 3
    Run(folder).release()


def test_a_good_state_inside_is_left_alone(tmp_path):
    """Some of format 1 hold it as `good/` members; the run's own state is good enough."""
    folder = tmp_path / "run"
    shutil.copytree(FORMATS / "1" / "run", folder)
    run = Run(folder)
    old = load(run.last)
    counters = {key: old.meta[key] for key in ("progress", "plateau")}
    change(
        run.last, {f"good/{name}": array * 0 for name, array in old.arrays.items()}, good=counters
    )
    trainer = resume_run(run, steps=42).trainer
    trainer.update()
    snapshot.roll_back(trainer)
    assert trainer.progress.step == 40
    for name, view in trainer.model.parameters.views.items():
        assert (view == old.arrays[name]).all()
    run.release()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("suffix", "library"), [(".pt", "torch"), (".safetensors", "safetensors")])
def test_old_exports_are_imported(version, suffix, library, tmp_path):
    try:
        importlib.import_module(library)
    except ImportError:
        pytest.skip(f"{library} is not installed")
    run = import_run(FORMATS / str(version) / f"lstm{suffix}", tmp_path)
    found = charlm.load(run.folder).log_probs(TEXT).tolist()
    assert found == pytest.approx(LOG_PROBS[version]["lstm"], abs=2e-6)


@pytest.mark.parametrize(
    ("version", "message"),
    [(2, "has format 2, this charlm reads up to 1; update charlm"),
     *((version, "names no format") for version in (0, True, "1", None))],
)  # fmt: skip
def test_the_format_is_checked(version, message, tmp_path):
    old = load(FORMATS / "1" / "lstm.npz")
    save(tmp_path / "m.npz", old.arrays, {**old.meta, "format": version})
    with pytest.raises(CheckpointError, match=message):
        charlm.load(tmp_path / "m.npz")
