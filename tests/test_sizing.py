"""A preset by the text's size: what is chosen, what is said, and what it leaves alone."""

import pytest
from conftest import VERSE

import charlm
from charlm.settings.presets import PRESETS, choose_preset
from charlm.settings.resolve import resolve
from charlm.settings.schema import Overrides


def suited(characters, **settings):
    given = {key.replace("__", "."): value for key, value in settings.items()}
    config, keys = resolve([Overrides("test", given)])
    return choose_preset(config, keys, characters)


@pytest.mark.parametrize(
    ("characters", "minutes", "preset", "why"),
    [
        (20_000, None, "short", "20,000 characters are few, and are read over and over"),
        (299_999, None, "short", "299,999 characters are few, and are read over and over"),
        (20_000, 60, "short", "20,000 characters are few, and are read over and over"),
        (300_000, None, "small", "300,000 characters are what it is made for"),
        (1_115_394, None, "small", "1,115,394 characters are what it is made for"),
        (1_115_394, 1, "tiny", "1,115,394 characters and 1 minutes"),
        (1_115_394, 3, "small", "1,115,394 characters and 3 minutes"),
        (1_115_394, 25, "medium", "1,115,394 characters and 25 minutes"),
        (1_115_394, 75, "large", "1,115,394 characters and 75 minutes"),
        (
            10_000_000,
            None,
            "medium",
            "10,000,000 characters are more than small would read; without",
        ),
        (10_000_000, 3, "small", "10,000,000 characters and 3 minutes"),
    ],
)
def test_choice(characters, minutes, preset, why):
    given = {} if minutes is None else {"train__minutes": minutes}
    config, note = suited(characters, **given)
    assert config.preset == preset
    assert note.startswith(f"preset {preset}: {why}")
    assert note.endswith("; --preset chooses another")
    asked, _ = resolve([Overrides("test", {"preset": preset})])
    assert config.model == asked.model
    dropout = 0.0 if characters == 10_000_000 and minutes is None else asked.train.dropout
    assert config.train.dropout == dropout
    assert config.train.learning_rate == asked.train.learning_rate
    length = (config.train.steps, config.train.epochs, config.train.minutes)
    assert length == (
        (None, None, minutes) if minutes else (asked.train.steps, asked.train.epochs, None)
    )


def test_what_somebody_chose_stays():
    config, _ = suited(20_000, model__hidden=77, train__dropout=0.0, train__steps=9)
    assert (config.model.hidden, config.train.dropout, config.train.steps) == (77, 0.0, 9)
    assert config.train.epochs is None
    assert config.train.batch_size == PRESETS["short"]["train.batch_size"]
    config, _ = suited(20_000, train__learning_rate=0.03)
    assert config.train.learning_rate == 0.03


def test_another_optimizer_keeps_a_rate_that_suits_it():
    config, _ = suited(20_000, train__optimizer="sgd")
    asked, _ = resolve([Overrides("test", {"preset": "short", "train.optimizer": "sgd"})])
    assert config == asked
    assert config.train.learning_rate > 0.1
    for optimizer in ("adam", "sgd"):
        config, _ = suited(10_000_000, train__optimizer=optimizer)
        assert (config.train.weight_decay > 0) == (optimizer == "adam")


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
def test_every_optimizer_learns_out_of_the_box(tmp_path, monkeypatch, settings):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.txt").write_text((VERSE * 30)[:6000])
    small = {"hidden": 24, "batch_size": 8, "seq_len": 16, "steps": 200, "sample_length": 0}
    events = charlm.start("my.txt", **small, **settings, dropout=0.0)
    losses = [event.loss for event in events if isinstance(event, charlm.Validated)]
    # With no more than how often each character occurs it would be 3.0.
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 2.8


@pytest.mark.parametrize("preset", PRESETS)
def test_a_named_preset_wins(preset):
    config, note = suited(20_000, preset=preset)
    assert note is None
    assert config == resolve([Overrides("test", {"preset": preset})])[0]


def test_the_choice_is_told_and_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.txt").write_text(VERSE * 20)
    training = charlm.start("my.txt", hidden=8, steps=4, save_every_s=1e-9)
    assert training.notes[0].startswith("preset short: ")
    for _ in training:
        if training._trainer.progress.step == 2:
            training.stop()
    resumed = charlm.resume("my")
    assert resumed.config == training.config
    assert (resumed.config.preset, resumed.config.model.hidden) == ("short", 8)
    assert not any(note.startswith("preset") for note in resumed.notes)
    named = charlm.start("my.txt", preset="tiny", hidden=8, steps=4)
    assert not any(note.startswith("preset") for note in named.notes)
    begun = charlm.start("my.txt", init_from="my", steps=4)
    assert begun.config.preset == "short"
    assert begun.config.model.hidden == 8
