"""The library: the same runs as the shell's, and a model that can be used and looked into."""

import ast
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import OPTIONS, ROOT, VERSE, finish, of_kind
from helpers import SETTINGS as SMALL

import charlm
from charlm import environment
from charlm.text import source


@pytest.fixture
def here(tmp_path, monkeypatch, text_file):
    """An empty folder to run in, beside a text."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    text_file.rename(folder / "my-text.txt")
    return folder


@pytest.fixture
def model(here):
    return charlm.train("my-text.txt", **SMALL)


def assert_equal_parameters(one, other):
    for name, array in one.parameters.items():
        assert np.array_equal(array, other.parameters[name]), name


PUBLIC_NAMES = """
    AT_LEAST BAR_FORMAT ByteVocabulary CharlmError CheckpointError Config ConfigError Copy Description
    Diverged Done Drawing DrawingError Evaluation Event ExchangeError FIELDS Finding Format
    Gradients Heat History KEYS KNOWN_TEXTS KnownText LanguageModel Network Oddity Overrides
    Progress Reading Rollback RolledBack RunError RunSummary STREAMS Sample Sampled Sampler Samples
    Saturation Saved Score Settings Started Surprise TextError TextInfo TextStates Training
    TrainingPlan UnitFinding UnitTrace UnknownCharacter Updated Validated Vocabulary __version__ check
    check_figure chosen_threads compare compare_cells describe draw_gradients export fetch
    find_checkpoint format_of gradients import_ launched list_runs load page_path rate report resume
    save_page set_threads start train
"""


def test_public_names():
    assert charlm.__all__ == PUBLIC_NAMES.split()
    assert all(hasattr(charlm, name) for name in charlm.__all__)
    assert set(charlm.__all__) <= set(dir(charlm))
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        charlm.nope  # noqa: B018
    assert (ROOT / "charlm" / "py.typed").exists()


def test_type_checkers_see_the_public_names():
    tree = ast.parse((ROOT / "charlm" / "__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.asname: node.module for node in block.body for alias in node.names}
    assert seen == charlm._HOME


def test_a_training_gives_advice(here):
    training = charlm.start("my-text.txt", **SMALL, validate_every=3, learning_rate=0.02)
    assert training.advice() is None
    training.run()
    assert training.advice().startswith("a validation of 400 characters is too short")


def test_documentation_is_run(here, capsys, monkeypatch):
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.S)
    assert len(blocks) == 17
    names = {}
    for variable in environment.THREAD_VARIABLES:
        monkeypatch.setenv(variable, "1")
    with environment.limited(None):
        for block in blocks:
            exec(block, names)
    assert "charlm: unknown key 'hiden'; did you mean 'hidden'?" in capsys.readouterr().out
    assert len(names["losses"]) == 40


def test_train_is_what_the_shell_does(here):
    model = charlm.train("my-text.txt", **SMALL, seed=3, name="api")
    options = [*OPTIONS[:-1], 12, "--seed", 3, "--name", "shell"]
    assert finish(here, "train", "my-text.txt", "-q", *options) == (0, b"", "")
    shell = charlm.load("shell")
    assert_equal_parameters(model, shell)
    assert model.sample(50, seed=1) == shell.sample(50, seed=1)
    assert "api/best.npz: lstm, 2 layers of 12 units, 38 symbols" in repr(model)


def test_callback_sees_what_iterating_sees(here):
    seen = []
    charlm.train("my-text.txt", **SMALL, callback=seen.append)
    events = list(charlm.start("my-text.txt", **SMALL))
    assert [type(event) for event in seen] == [type(event) for event in events]
    seen, events = of_kind(seen, charlm.Updated), of_kind(events, charlm.Updated)
    assert [event.loss for event in seen] == [event.loss for event in events]
    assert len(seen) == 12


def test_a_bar_is_shown_where_it_can_be_seen(here, capsys, monkeypatch):
    for options, is_shown in (
        ({"progress": True}, True),
        ({}, False),
        ({"progress": False}, False),
    ):
        charlm.train("my-text.txt", **SMALL, **options)
        err = capsys.readouterr().err
        assert (
            bool(re.search(r"12/12 .*loss \d\.\d{3}, validation \d\.\d{3}, ", err)) == is_shown
        ), err
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    charlm.train("my-text.txt", **SMALL)
    assert "12/12" in capsys.readouterr().err, "a notebook has no terminal"


def test_stop_and_resume(here):
    whole = charlm.train("my-text.txt", **SMALL, name="whole")
    training = charlm.start("my-text.txt", **SMALL, name="stopped")
    for event in training:
        if isinstance(event, charlm.Updated) and event.step == 5:
            training.stop()
    assert isinstance(event, charlm.Done)
    assert event.interrupted
    assert_equal_parameters(whole, charlm.resume("stopped").run())


def test_settings_are_those_of_the_config(here):
    (here / "settings.yaml").write_text("model: {cell: rnn}\ntrain: {seed: 5}\n")
    training = charlm.start("my-text.txt", **SMALL, config="settings.yaml", preset="tiny", seed=6)
    config = training.config
    assert (config.preset, config.model.cell, config.train.seed) == ("tiny", "rnn", 6)
    assert config.data.path == ("my-text.txt",)
    with pytest.raises(charlm.ConfigError, match=r"charlm: train.learning_rate must be above 0"):
        charlm.start("my-text.txt", learning_rate=-1)
    with pytest.raises(charlm.ConfigError, match="unknown key 'nmae'; did you mean 'name'"):
        charlm.start("my-text.txt", nmae="x")
    with pytest.raises(charlm.TextError, match=r"nope.txt: no such file"):
        charlm.start("nope.txt")
    with pytest.raises(charlm.RunError, match="holds no run"):
        charlm.resume("nope")
    with pytest.raises(charlm.CheckpointError, match="nope: no such checkpoint"):
        charlm.load("nope")


def test_samples(model):
    text = model.sample(30, start="The ", seed=1)
    assert text == "The " + "".join(model.stream(30, start="The ", seed=1))
    assert len(text) == 34
    assert model.sample(30) != model.sample(30), "each without a seed is another"
    assert model.sample(30, temperature=0) == model.sample(30, temperature=0)
    with pytest.raises(charlm.UnknownCharacter, match="start: character 'é'"):
        model.stream(30, start="é")
    assert model.sample(0, start="éThe", on_unknown="skip") == "éThe"
    with pytest.raises(
        charlm.ConfigError, match="sample: unknown key 'temp'; did you mean 'temperature'"
    ):
        model.sample(30, temp=0.5)


def test_scores_agree_with_each_other(model):
    text = VERSE[:150]
    log_probs = model.log_probs(text)
    assert log_probs.shape == (150,)
    assert (log_probs <= 0).all()
    scores = model.evaluate(text)
    assert scores.carried.nats == pytest.approx(-log_probs.mean(), rel=1e-5)
    assert scores.cold.nats == pytest.approx(scores.carried.nats, rel=1e-5), "a single window"
    with pytest.raises(ValueError, match="empty"):
        model.evaluate("")


def test_forward_gives_the_same_log_probabilities(model):
    text = "The river rose"
    ids = model.vocabulary.encode(model.vocabulary.start + text)
    whole, end = model.forward(ids[:-1, None])
    assert whole.shape == (14, model.vocabulary.size, 1)
    p = np.exp(whole - whole.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    assert np.log(p[np.arange(14), ids[1:], 0]) == pytest.approx(model.log_probs(text), abs=1e-5)
    first, state = model.forward(ids[:5, None])
    rest, again = model.forward(ids[5:-1, None], state)
    assert np.concatenate([first, rest]) == pytest.approx(whole, abs=1e-5)
    for layer, other in zip(end, again, strict=True):
        assert all(a == pytest.approx(b, abs=1e-5) for a, b in zip(layer, other, strict=True))
    side_by_side, _ = model.forward(np.repeat(ids[:5, None], 3, axis=1))
    assert side_by_side[:, :, 1:2] == pytest.approx(first, abs=1e-5)


def test_parameters_are_views(model):
    before = model.log_probs("The river")
    model.parameters["output.b"][...] += np.arange(model.vocabulary.size)
    assert not np.allclose(model.log_probs("The river"), before)


def test_several_samples(model):
    drawing = {"start": "The ", "seed": 3, "temperature": 1.5}
    samples = list(model.samples(3, 30, best_of=4, **drawing))
    assert [one.index for one in samples] == [0, 1, 2]
    sampler = model.sampler(streams=12, scored=True, **drawing)
    texts = sampler.write(30)
    for k, one in enumerate(samples):
        likeliest = max(range(4 * k, 4 * k + 4), key=sampler.log_probs.__getitem__)
        assert (one.text, one.written) == (f"The {texts[likeliest]}", texts[likeliest])
        assert one.log_prob == pytest.approx(sampler.log_probs[likeliest])
        assert (one.symbols, one.seed, one.start) == (30, 3, "The ")
    for options in ({"count": 0}, {"count": 1, "best_of": 0}, {"count": 1, "top_k": 0}):
        with pytest.raises(charlm.ConfigError, match="must be at least 1, got 0"):
            model.samples(**options)
    with pytest.raises(charlm.UnknownCharacter):
        model.samples(1, start="é")


def test_paths_are_read_and_strings_are_texts(here, model):
    path = here / "my-text.txt"
    whole = model.evaluate(path.read_text())
    assert model.evaluate(path) == model.evaluate([path]) == whole
    assert np.array_equal(model.log_probs(path), model.log_probs(path.read_text()))
    with pytest.raises(charlm.TextError, match="nope: no such file"):
        model.evaluate(here / "nope")
    (here / "empty").touch()
    with pytest.raises(charlm.TextError, match="empty: is empty"):
        model.surprise(here / "empty")


def test_runs_are_listed_described_and_compared(here, model):
    charlm.train("my-text.txt", **SMALL | {"cell": "gru"}, name="other")
    assert {run.name for run in charlm.list_runs()} == {"my-text", "other"}
    described = [charlm.describe(name) for name in ("my-text", "other")]
    assert [run.parameters for run in described] == [3350, 2822]
    assert charlm.compare(described)["model.cell"] == ["lstm", "gru"]
    assert all(finding.state == "ok" for finding in charlm.check("other"))


def test_export_and_import(here, model):
    pytest.importorskip("safetensors")
    path = charlm.export(model, "safetensors")
    assert path == Path("my-text.safetensors")
    again = charlm.import_(path, "again")
    assert again.sample(50, seed=1) == model.sample(50, seed=1)
    with pytest.raises(charlm.ExchangeError, match="exists"):
        charlm.export("again", out=path)
    for options in ({"to": "keras"}, {}, {"out": "a.bin"}):
        with pytest.raises(charlm.ConfigError):
            charlm.export("again", **options)


def test_fine_tuning_keeps_the_level(here, model):
    message = "init_from: data.level is 'char' in .*, got 'byte'"
    with pytest.raises(charlm.ConfigError, match=message):
        charlm.start("my-text.txt", init_from=model.path, level="byte")


FRESH = "é and ñ and ü, with what was there before.\n"


@pytest.mark.parametrize("embedding", ["auto", "one-hot"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_fine_tuning_onto_other_characters(here, cell, embedding):
    old = charlm.train("my-text.txt", **SMALL | {"steps": 60, "learning_rate": 0.02}, cell=cell,
                       embedding=embedding, name="old")  # fmt: skip
    (here / "other.txt").write_text((FRESH + VERSE) * 20, encoding="utf-8")
    training = charlm.start(
        "other.txt", init_from="old", batch_size=4, seq_len=8, steps=3, name="new"
    )
    (note,) = [note for note in training.notes if "starts from the weights of" in note]
    assert "of the text's characters 38 are known and 3 new" in note
    assert "kept" not in note
    assert training.config.model == old.config.model
    assert training.config.train.init_from == str(old.path.absolute())
    events = iter(training)
    next(events), next(events)
    new = charlm.load(training.folder / "last.npz")
    assert new.vocabulary.size == old.vocabulary.size + 3
    text = VERSE[:200]
    assert old.log_probs(text).mean() == pytest.approx(new.log_probs(text).mean(), abs=0.15)
    moved = [new.vocabulary.symbols.index(c) for c in old.vocabulary.symbols]
    assert np.array_equal(new.parameters["output.W"][moved], old.parameters["output.W"])
    assert np.array_equal(new.parameters[f"{cell}.1.Wh"], old.parameters[f"{cell}.1.Wh"])
    list(events)


def test_fine_tuning_forgets_no_character(here):
    old = charlm.train("my-text.txt", **SMALL, name="old")
    (here / "few.txt").write_text("a bee\n" * 300)
    training = charlm.start("few.txt", init_from="old", batch_size=4, seq_len=8, steps=5)
    others = old.vocabulary.size - 5
    note = f"of the text's characters 5 are known and 0 new; {others} that the text lacks are kept"
    assert any(one.endswith(note) for one in training.notes)
    model = training.run()
    assert model.vocabulary.symbols == old.vocabulary.symbols
    assert np.isfinite(model.evaluate(VERSE).carried.nats)
    # Rare characters that the old model knows are no unknown ones.
    (here / "rare.txt").write_text("a bee\n" * 300 + "TΩ")
    model = charlm.start("rare.txt", init_from="old", batch_size=4, seq_len=8, steps=1, min_count=2)
    assert any(one.startswith("1 characters that occur less than 2 times") for one in model.notes)
    assert model.run().vocabulary.size == old.vocabulary.size + 1


def test_unknown_characters_of_any_text(here, model):
    (here / "other.txt").write_text(VERSE.replace("r", "ë") * 3, encoding="utf-8")
    path, known = Path("other.txt"), VERSE.replace("r", "e") * 3
    for read in (
        "evaluate",
        "surprise",
        "oddities",
        "states",
        "gates",
        "cells",
        "heat_page",
        "gradients",
    ):
        with pytest.raises(charlm.UnknownCharacter, match=r"other.txt: character 'ë'"):
            getattr(model, read)(path)
    replacing = charlm.load("my-text", on_unknown="replace")
    assert replacing.unknown(path) == {"ë": known.count("e") - 3 * VERSE.count("e")}
    assert replacing.evaluate(path) == replacing.evaluate(known) == model.evaluate(known)
    assert replacing.evaluate("Thë") == model.evaluate("The")
    assert np.array_equal(replacing.gradients(path, lags=4).dh, model.gradients(known, lags=4).dh)
    skipping = charlm.load("my-text", on_unknown="skip")
    assert skipping.evaluate(path) == model.evaluate(VERSE.replace("r", "") * 3)
    assert skipping.states(path).shape[0] == 3 * len(VERSE.replace("r", ""))
    with pytest.raises(
        charlm.ConfigError, match="on_unknown: must be error, skip or replace, got 'drop'"
    ):
        charlm.load("my-text", on_unknown="drop")


def test_a_start_that_resumes_where_it_can(here):
    whole = charlm.train("my-text.txt", **SMALL, name="whole")
    for k, steps in enumerate((5, 5, 99)):
        training = charlm.start("my-text.txt", **SMALL, name="job", resume=True, cell="lstm")
        assert (training.step, training.folder.name) == (min(5 * k, 10), "job")
        for event in training:
            if isinstance(event, charlm.Updated) and event.step == 5 * k + steps:
                training.stop()
    assert_equal_parameters(whole, charlm.load("job"))
    # A finished run is no error; other settings are not taken over without a word.
    other = SMALL | {"hidden": 20, "steps": 14}
    training = charlm.start("my-text.txt", **other, name="job", resume=True)
    assert (training.step, training.plan.steps) == (12, 14)
    assert "the run keeps what it began with: model.hidden 12, not 20" in training.notes
    training.run()
    (here / "other.txt").write_text(VERSE * 20)
    with pytest.raises(charlm.TextError, match=r"is not the text that .*job learns"):
        charlm.start("other.txt", **SMALL, name="job", resume=True)
    with pytest.raises(
        charlm.RunError, match="job: is there already; choose another --name, or con"
    ):
        charlm.start("my-text.txt", **SMALL, name="job")
    assert charlm.start("my-text.txt", **SMALL).folder.name == "my-text"


def test_a_string_is_learned_as_a_file_is(here):
    text = (here / "my-text.txt").read_text()
    of_file = charlm.train("my-text.txt", **SMALL)
    of_string = charlm.train(string=text, **SMALL)
    assert_equal_parameters(of_file, of_string)
    assert of_string.path.parent.name == "string"
    assert charlm.describe("string").description.text.path == "<string>"
    assert of_string.copies(text[:50])[0].length == 50
    training = charlm.resume("string", steps=14)
    assert not any("gone" in note for note in training.notes)
    training.run()
    assert charlm.check("string")[-1].state == "ok"
    again = charlm.start(string=text, resume=True)
    assert again.step == 14
    again.run()
    with pytest.raises(charlm.TextError, match=r"<string>: is not the text that .*string learns"):
        charlm.start(string=text + "x", resume=True)
    Path("checkpoints/string/ids.bin").unlink()
    charlm.resume("string", text="my-text.txt", steps=15).run()
    for level in ("char", "byte"):
        (here / "crlf.txt").write_bytes("\ufeffé\r\n".encode() * 200)
        one = charlm.start("crlf.txt", **SMALL, level=level)
        other = charlm.start(string="\ufeffé\r\n" * 200, **SMALL, level=level)
        assert one.plan._replace(text="") == other.plan._replace(text="")
    with pytest.raises(charlm.ConfigError, match="text and string: exclude each other"):
        charlm.start("my-text.txt", string=text)
    with pytest.raises(charlm.TextError, match="<string>: holds lone surrogates"):
        charlm.start(string="\ud800" * 500)
    with pytest.raises(charlm.TextError, match="<string>: is empty"):
        charlm.start(string="")
    with pytest.raises(
        charlm.TextError,
        match=r"it looks like a text, save it to a file, or call charlm.train\(str",
    ):
        charlm.train(text[:2000])


def test_runs_of_several_files_in_the_former_order_resume(here, monkeypatch):
    (here / "more").mkdir()
    for name in ("2.txt", "10.txt", ".hidden.txt"):
        (here / "more" / name).write_text(name + VERSE * 8)
    with monkeypatch.context() as former:
        former.setattr(source.Source, "find", source.Source.find_by_path)
        charlm.train(["my-text.txt", "more"], **SMALL, name="old")
    assert charlm.check("old")[-1].state == "ok"
    charlm.resume("old", steps=14).run()
    (here / "more" / "2.txt").write_text("changed")
    with pytest.raises(charlm.TextError, match="is not the text"):
        charlm.resume("old", steps=15)


def test_a_text_without_a_name_of_its_own(here, monkeypatch):
    (here / "inner").mkdir()
    monkeypatch.chdir(here / "inner")
    assert charlm.start("..", **SMALL).folder.name == "here"


def test_several_files_and_rare_characters(here):
    (here / "more").mkdir()
    (here / "more" / "a.md").write_text(VERSE * 5 + "Ω")
    (here / "more" / "b.md").write_text(VERSE * 5 + "ж")
    training = charlm.start(["my-text.txt", "more"], glob="*.md", min_count=2, **SMALL)
    assert training.folder.name == "my-text"
    assert any("2 characters that occur less than 2 times" in note for note in training.notes)
    model = training.run()
    assert model.vocabulary.unknown_id == model.vocabulary.size - 1
    assert "\ufffd" not in model.sample(500, temperature=5, seed=0)
    resumed = charlm.resume(steps=14)
    assert resumed.run().config.train.steps == 14
