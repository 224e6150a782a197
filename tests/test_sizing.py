"""Settings and the text's size: the preset that is chosen, what shrinks, and what stays as given."""

import pytest
from conftest import VERSE
from hypothesis import given
from hypothesis import strategies as st

import charlm
from charlm.settings.presets import PRESETS
from charlm.settings.resolve import resolve, shrink_to_text
from charlm.settings.schema import Overrides


def finalized(characters, **settings):
    named = {key.replace("__", "."): value for key, value in settings.items()}
    return resolve([Overrides("test", named)]).finalize(characters)


@pytest.mark.parametrize(
    ("characters", "minutes", "preset", "why"),
    [
        (20_000, None, "short", "20,000 characters are few, and are read over and over"),
        (299_999, 60, "short", "299,999 characters are few, and are read over and over"),
        (300_000, None, "small", "300,000 characters are what it is made for"),
        (1_115_394, 1, "tiny", "1,115,394 characters and 1 minutes"),
        (1_115_394, 3, "small", "1,115,394 characters and 3 minutes"),
        (1_115_394, 25, "medium", "1,115,394 characters and 25 minutes"),
        (1_115_394, 75, "large", "1,115,394 characters and 75 minutes"),
        (10_000_000, None, "medium", "10,000,000 characters are more than small would read; wi"),
        (10_000_000, 3, "small", "10,000,000 characters and 3 minutes"),
    ],
)
def test_choice(characters, minutes, preset, why):
    length = {} if minutes is None else {"train__steps": None, "train__minutes": minutes}
    config, (note,) = finalized(characters, **length)
    assert note.startswith(f"preset {preset}: {why}")
    assert note.endswith("; --preset chooses another")
    expected, _ = finalized(characters, preset=preset, **length)
    if characters == 10_000_000 and minutes is None:
        expected = expected.replace(train__dropout=0.0)
    assert config == expected


def test_what_was_given_stays():
    config, _ = finalized(20_000, model__hidden=77, train__dropout=0.0, train__steps=9)
    assert (config.model.hidden, config.train.dropout, config.train.steps) == (77, 0.0, 9)
    assert config.train.epochs is None
    assert config.train.batch_size == PRESETS["short"]["train.batch_size"]
    assert finalized(20_000, train__learning_rate=0.03)[0].train.learning_rate == 0.03
    assert finalized(20_000, train__epochs=None)[0].train.steps == 850


def test_another_optimizer_keeps_its_own_rate():
    config, _ = finalized(20_000, train__optimizer="sgd")
    assert config == finalized(20_000, preset="short", train__optimizer="sgd")[0]
    assert config.train.learning_rate > 0.1
    for optimizer in ("adam", "sgd"):
        config, _ = finalized(10_000_000, train__optimizer=optimizer)
        assert (config.train.weight_decay > 0) == (optimizer == "adam")


@pytest.mark.parametrize("preset", PRESETS)
def test_a_named_preset_wins(preset):
    config, notes = finalized(1_000_000, preset=preset)
    asked = resolve([Overrides("test", {"preset": preset})]).config
    assert not notes
    assert config == asked.replace(train__steps=config.train.steps, train__epochs=None)


@given(N=st.integers(10, 10**6), B=st.integers(1, 300), T=st.integers(1, 300))
def test_a_text_shrinks_no_more_than_needed(N, B, T):
    fewer, shorter = shrink_to_text(N, B, T, set())
    assert 1 <= fewer <= B
    assert 1 <= shorter <= T
    assert fewer * shorter <= N, "it always fits"
    if N // B >= 4 * T:
        assert (fewer, shorter) == (B, T), "a long text shrinks nothing"
    if shorter < T:
        assert fewer == 1, "streams shrink first"
    assert shrink_to_text(N, B, T, {"train.batch_size", "train.seq_len"}) == (B, T)


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adam"},
        {"optimizer": "rmsprop"},
        {"optimizer": "adagrad"},
        {"optimizer": "sgd"},
        {"optimizer": "sgd", "momentum": 0.0},
        {"optimizer": "sgd", "nesterov": True},
    ],
)
def test_every_optimizer_learns_with_its_defaults(tmp_path, monkeypatch, settings):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.txt").write_text((VERSE * 30)[:6000])
    small = {"hidden": 24, "batch_size": 8, "seq_len": 16, "steps": 200, "sample_length": 0}
    events = charlm.start("my.txt", **small, **settings, dropout=0.0)
    losses = [event.loss for event in events if isinstance(event, charlm.Validated)]
    # The frequencies of the characters alone would give 3.0.
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 2.8


def test_the_choice_is_noted_and_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.txt").write_text(VERSE * 20)
    training = charlm.start("my.txt", hidden=8, steps=4, save_every_s=1e-9)
    assert training.notes[0].startswith("preset short: ")
    for event in training:
        if isinstance(event, charlm.Updated) and event.step == 2:
            training.stop()
    resumed = charlm.resume("my")
    assert resumed.config == training.config
    assert (resumed.config.preset, resumed.config.model.hidden) == ("short", 8)
    assert not any(note.startswith("preset") for note in resumed.notes)
    named = charlm.start("my.txt", preset="tiny", hidden=8, steps=4)
    assert not any(note.startswith("preset") for note in named.notes)
    begun = charlm.start("my.txt", init_from="my", steps=4)
    assert (begun.config.preset, begun.config.model.hidden) == ("short", 8)
