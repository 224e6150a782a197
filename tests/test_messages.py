"""Messages that no other test reads: their text, and the exit code that comes with them."""

import os

import pytest

import charlm as package
from charlm.errors import TextError
from charlm.text.vocabulary import ByteVocabulary

RUN = ["--preset", "small", "--hidden", 8, "--batch-size", 4, "--seq-len", 8, "--steps", 2, "-q"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["eval", "a.txt", "--lr", "0.1"], "--lr goes with --dynamic; the other scores learn nothing"),
        (["eval", "a.txt", "--json", "--heat"], "--json excludes --heat"),
        (["eval", "a.txt", "--out", "a.html"], "--out belongs to --heat"),
        (["fetch", "--url", "http://x/"], "--url needs the NAME of the text that lies there"),
        (["gradients", "--run", "run", "--scale", "2"], "--scale and --forget-bias are for fresh cells; name no run"),
        (["gradients", "a.txt"], "TEXT is for runs, and none is named; fresh cells read symbols drawn at random"),
        (["sample", "--color", "--json"], "--color is for one text that is shown while it is drawn"),
    ],
)  # fmt: skip
def test_usage(charlm, arguments, message):
    code, out, err = charlm(*arguments)
    assert (code, out) == (2, "")
    assert message in " ".join(err.split())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ["train.schedule=plateau", "data.validation=0"],
            "train.schedule: plateau needs validations, got data.validation 0.0",
        ),
        (
            ["train.patience=3", "data.validation=0"],
            "train.patience: needs validations, got data.validation 0.0",
        ),
    ],
)
def test_settings_at_odds(charlm, text_file, changes, message):
    given = [part for change in changes for part in ("--set", change)]
    code, out, err = charlm("train", text_file, *RUN, *given)
    assert (code, out, err) == (1, "", f"charlm: {message}\n")


def test_an_empty_text_has_no_score(charlm, text_file, tmp_path):
    charlm("train", text_file, *RUN, "--name", "run")
    (tmp_path / "empty.txt").write_text("")
    code, out, err = charlm("eval", "empty.txt", "--run", "run")
    assert (code, out) == (1, "")
    assert err == "charlm: empty.txt: is empty; name a text to read\n"
    model = package.load("run")
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
