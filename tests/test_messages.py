"""Errors and wrong usage: one line on stderr, and the exit code that comes with it."""

import os
import zipfile

import numpy as np
import pytest
from helpers import write_checkpoint

import charlm as package
from charlm.errors import TextError
from charlm.text.vocabulary import ByteVocabulary

RUN = ["--preset", "small", "--hidden", 8, "--batch-size", 4, "--seq-len", 8, "--steps", 2, "-q"]
LARGE = ["--batch-size", "64", "--seq-len", "64"]
NO_RUN = "holds no run yet; start one with: charlm train TEXT"
NO_ZIP = "cannot be read (File is not a zip file); the file is damaged or no checkpoint"
NO_CHECKPOINT = "no such checkpoint; name an .npz file, a run's folder or a run"
FOREIGN = "is no checkpoint of charlm's (it has no meta.json)"
TOO_SHORT = "characters is too short, batch_size=1 x seq_len=1 needs at least 3; name a longer text"
TOO_HOT = "must be at most 1000, where all characters are about equally likely"
ERRORS = [
    (["train", "nope.txt"], "nope.txt: no such file; check its name"),
    (["train", "folder"], "folder: is a folder without any file *.txt; name another pattern with --glob"),
    (["train", "empty.txt"], "empty.txt: is empty; name a text to learn from"),
    (["train", "latin.txt"],
     "latin.txt: is not UTF-8, got byte 0xE9 at offset 3 (invalid continuation byte); it looks "
     "like latin-1, try --encoding latin-1, or learn its bytes as they are with --level byte"),
    (["train", "one.txt"], f"one.txt: 1 {TOO_SHORT}"),
    (["train", "two.txt"], f"two.txt: 2 {TOO_SHORT}"),
    (["train", "verse.txt", *LARGE, "--set", "data.validation=0.999999"],
     "verse.txt: 4,000 characters is too short, batch_size=64 x seq_len=64 needs at least "
     "4,096,000,000; lower either"),
    (["train", "verse.txt", *LARGE],
     "verse.txt: 4,000 characters is too short, batch_size=64 x seq_len=64 needs at least 4,552; "
     "lower either"),
    (["train", "verse.txt", "--minutes", "1e308"],
     "--minutes: train.minutes must be above 0 and at most 100000, got 1e+308"),
    (["train", "verse.txt", "--lr", "1e39", "--hidden", "8", "--batch-size", "4", "--steps", "9",
      "--set", "train.validate_every=1", "--set", "train.warmup=0", "--quiet"],
     "train: the validation loss is no longer finite, got nan, and 3 rollbacks at half the "
     "learning rate did not help; start again with a tenth of it, --lr 1e+38"),
    (["train", "verse.txt", "--set", "train.batchsize=3"],
     "--set: unknown key 'train.batchsize'; did you mean 'train.batch_size'?"),
    (["train", "verse.txt", "--set", "train.batch_size"], "--set: must be KEY=VALUE, got 'train.batch_size'"),
    (["train", "verse.txt", "--set", "train.schedule=plateau", "--set", "data.validation=0"],
     "train.schedule: plateau needs validations, got data.validation 0.0"),
    (["train", "verse.txt", "--set", "train.patience=3", "--set", "data.validation=0"],
     "train.patience: needs validations, got data.validation 0.0"),
    (["train", "verse.txt", "--lr", "-1"], "--lr: train.learning_rate must be above 0, got -1.0"),
    (["train", "verse.txt", "--preset", "huge"],
     "--preset: preset must be one of auto, short, list, tiny, small, medium, large, got 'huge'"),
    (["train", "verse.txt", "--config", "no.yaml"], "no.yaml: cannot be read (No such file or directory)"),
    (["train", "verse.txt", "--name", "a/b"], "--name: must be a folder's name, got 'a/b'; leave out / and \\"),
    (["train", "verse.txt", "--checkpoints", "verse.txt"], "verse.txt: is no folder; name another"),
    (["train", "--resume"], f"checkpoints: {NO_RUN}"),
    (["train", "--resume", "--name", "x"], "checkpoints/x: holds no run; there is none yet"),
    (["sample"], f"checkpoints: {NO_RUN}"),
    (["sample", "x"], f"x: {NO_CHECKPOINT}"),
    (["sample", "folder"], "folder: holds neither best.npz nor last.npz; name another"),
    (["sample", "verse.txt"], f"verse.txt: {NO_ZIP}"),
    (["sample", "foreign.npz"], f"foreign.npz: {FOREIGN}"),
    (["sample", "model.npz", "--temp", "1e39"], f"--temp: {TOO_HOT}, got 1e+39"),
    (["sample", "model.npz", "--temp", "inf"], f"--temp: {TOO_HOT}, got inf"),
    (["sample", "model.npz", "--temp", "-1"], "--temp: must be at least 0, got -1.0"),
    (["sample", "model.npz", "--top-k", "0"], "--top-k: must be at least 1, got 0"),
    (["sample", "model.npz", "--top-p", "0"], "--top-p: must be above 0 and at most 1, got 0.0"),
    (["sample", "model.npz", "--min-p", "2"], "--min-p: must be from 0 to 1, got 2.0"),
    (["train", ""], "text: is an empty name; name a file or folder"),
    (["train", "verse.txt", ""], "text: is an empty name; name a file or folder"),
    (["train", "folder", "--glob", ""], "--glob: data.glob must be a text, got ''"),
    (["train", "verse.txt", "--init-from", ""], "--init-from: train.init_from must be a text, got ''"),
    (["train", "verse.txt", "--name", ""], "--name: must be a folder's name, got ''; name one"),
    (["train"], "data/shakespeare.txt: no such file; name a text: charlm train TEXT"),
    (["sample", ""], "a run's name is empty; name one"),
    (["train", "verse.txt", "--encoding", ""], "--encoding: data.encoding must be a text, got ''"),
    (["eval", "nope.txt", "--run", "model.npz"], "nope.txt: no such file; check its name"),
    (["eval", "verse.txt"], f"checkpoints: {NO_RUN}"),
    (["eval", "empty.txt", "--run", "model.npz"], "empty.txt: is empty; name a text to read"),
    (["info"], f"checkpoints: {NO_RUN}"),
    (["info", "--checkpoints", "nope"], f"nope: {NO_RUN}"),
    (["info", "--checkpoints", "verse.txt"], f"verse.txt: {NO_RUN}"),
    (["info", "x"], f"x: {NO_CHECKPOINT}"),
    (["info", "x", "--json"], f"x: {NO_CHECKPOINT}"),
    (["info", "folder"], "folder: holds neither best.npz nor last.npz; name another"),
    (["info", "broken", "x"], f"broken/last.npz: {NO_ZIP}"),
    (["info", "verse.txt"], f"verse.txt: {NO_ZIP}"),
    (["info", "foreign.npz"], f"foreign.npz: {FOREIGN}"),
    (["info", "later.npz"], "later.npz: has format 2, this charlm reads up to 1; update charlm"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), ERRORS, ids=[" ".join(one[0]) for one in ERRORS])
def test_errors_are_one_line(charlm, text_file, tmp_path, arguments, message):
    for folder in ("folder", "broken"):
        (tmp_path / folder).mkdir()
    for name, content in (
        ("empty", b""),
        ("one", b"x"),
        ("two", b"xy"),
        ("latin", b"caf\xe9 au lait"),
    ):
        (tmp_path / f"{name}.txt").write_bytes(content)
    (tmp_path / "broken/last.npz").touch()
    write_checkpoint(tmp_path / "model.npz")
    np.savez(tmp_path / "foreign.npz", a=np.zeros(3))
    with zipfile.ZipFile(tmp_path / "later.npz", "w") as archive:
        archive.writestr("meta.json", '{"format": 2}')
    assert charlm(*arguments) == (1, "", f"charlm: {message}\n")


UNIT = ["cells", "a.txt", "--run", "model.npz"]
ONE_TEXT = "--color is for one text that is shown while it is drawn"
USAGE = [
    (["--nope"], "No such option"),
    (["nope"], "No such command 'nope'"),
    (["train", "--hidden", "x"], "Invalid value for '--hidden': must be a whole number, got 'x'"),
    (["train", "--lr", "abc"], "Invalid value for '--lr' / '--learning-rate': must be a number, got 'abc'"),
    (["train", "--resume", "--resume-or-start"], "--resume and --resume-or-start exclude each other"),
    (["sample", "--temp", "nan"], "must be a number, got 'nan'"),
    (["gradients", "--lags", "1"], "Invalid value for '--lags': must be a whole number of at least 2 and at most 1000, got '1'"),
    (["train", "--steps", "3", "--epochs", "2"], "--steps and --epochs exclude each other"),
    (["eval"], "Missing argument 'TEXT'"),
    (["eval", ""], "Invalid value for 'TEXT': must be a file or a folder, got an empty name"),
    (["cells", "", "--find"], "Invalid value for 'TEXT': must be a file or a folder, got an empty name"),
    (["gradients", ""], "Invalid value for 'TEXT': must be a file or a folder, got an empty name"),
    (["report", "model.npz", "--text", ""], "Invalid value for '--text': must be a file or a folder, got an empty name"),
    (["eval", "a", "b", "c"], "unexpected extra argument"),
    (["eval", "a.txt", "--lr", "0.1"], "--lr goes with --dynamic; the other scores learn nothing"),
    (["eval", "a.txt", "--json", "--heat"], "--json excludes --heat"),
    (["eval", "a.txt", "--out", "a.html"], "--out belongs to --heat"),
    (["cells", "a.txt", "--find", "--gates"], "--gates goes with --unit"),
    (["fetch", "--url", "http://x/"], "--url needs the NAME of the text that lies there"),
    (["gradients", "--run", "run", "--scale", "2"], "--scale and --forget-bias are for fresh cells; name no run"),
    (["gradients", "a.txt"], "TEXT is for runs, name one; fresh cells read random symbols"),
    (["sample", "--color", "--json"], ONE_TEXT),
    (["sample", "--color", "--count", "2"], ONE_TEXT),
    (["sample", "--color", "--best-of", "2"], ONE_TEXT),
    (["sample", "--length", "-1"], "Invalid value for '--length'"),
    (["sample", "--count", "0"], "Invalid value for '--count'"),
    (["sample", "--count", "x"], "Invalid value for '--count': must be a whole number of at least 1, got 'x'"),
    (["sample", "--best-of", "0"], "Invalid value for '--best-of'"),
    (["sample", "--on-unknown", "skp"], "Invalid value for '--on-unknown': must be error, skip, replace, got 'skp'; did you mean skip?"),
    (["export", "--to", "torch"], "Invalid value for '--to': must be pytorch, safetensors, onnx, html, got 'torch'; did you mean pytorch?"),
    (["sample", "--seed", "-1"], "Invalid value for '--seed'"),
    ([*UNIT], "give either --unit LAYER.UNIT or --find"),
    ([*UNIT, "--find", "--unit", "0.1"], "give either --unit LAYER.UNIT or --find"),
    ([*UNIT, "--unit", "7"], "--unit must be LAYER.UNIT, such as 0.17, got '7'"),
    ([*UNIT, "--unit", "-1.2"], "--unit must be LAYER.UNIT, such as 0.17, got '-1.2'"),
    ([*UNIT, "--unit", "2.0"], "--unit must be from 0.0 to 1.7 in this model, got 2.0"),
    ([*UNIT, "--unit", "0.8"], "--unit must be from 0.0 to 1.7 in this model, got 0.8"),
    ([*UNIT, "a", "--find"], "unexpected extra argument"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), USAGE, ids=[" ".join(one[0]) for one in USAGE])
def test_wrong_usage(charlm, tmp_path, arguments, message):
    write_checkpoint(tmp_path / "model.npz")
    code, out, err = charlm(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("Usage: charlm")
    assert message in " ".join(err.replace("│", " ").split())


def test_an_empty_text_has_no_score(tmp_path):
    model = package.load(write_checkpoint(tmp_path / "model.npz"))
    for look in (model.states, model.gates, model.cells, model.surprise):
        with pytest.raises(ValueError, match=r"^the text: is empty"):
            look("")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders here")
def test_pipes_are_no_files(charlm, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    advice = "is no ordinary file; copy its text into one first"
    assert charlm("train", "pipe") == (1, "", f"charlm: pipe: {advice}\n")
    with pytest.raises(TextError, match=advice):
        package.start("pipe")


def test_dynamic_evaluation_that_diverges(charlm, text_file, tmp_path):
    charlm("train", text_file, *RUN, "--name", "run")
    code, out, err = charlm("eval", text_file, "--run", "run", "--dynamic", "--lr", "1e30")
    assert (code, out) == (1, "")
    assert err.startswith("charlm: eval: the loss is no longer finite at character ")
    assert err.endswith("learning rate 1e+30; use a lower --lr\n")


def test_only_texts_are_encoded():
    with pytest.raises(TypeError, match="text: must be a text or bytes, got int"):
        ByteVocabulary().encode(3)
