"""Settings: one statement of each, in code, file, command line and error; fitted to the text."""

import dataclasses
import typing

import pytest
import yaml
from helpers import ROOT, VERSE, refused
from hypothesis import given
from hypothesis import strategies as st

import charlm
from charlm.errors import ConfigError
from charlm.optim.optimizers import OPTIMIZERS
from charlm.settings.files import from_dict, read_yaml, to_yaml
from charlm.settings.presets import PRESETS
from charlm.settings.resolve import resolve, shrink_to_text
from charlm.settings.schema import FIELDS, KEYS, SECTIONS, Config, Overrides, Settings, coerce


def pending(**settings):
    """Return the settings of a text that is not read yet; keys as in `train__steps`."""
    named = {key.replace("__", "."): value for key, value in settings.items()}
    return resolve([Overrides("test", named)])


def resolved(**settings):
    return pending(**settings).config


def finalized(characters, **settings):
    return pending(**settings).finalize(characters)[0]


def test_shipped_file_shows_every_key_with_its_default():
    shipped = (ROOT / "config.yaml").read_text(encoding="utf-8")
    head, _, body = shipped.partition("\npreset:")
    assert all(line.startswith("#") for line in head.splitlines() if line)
    assert "preset:" + body == to_yaml(Config(), commented=True)
    assert yaml.safe_load(shipped) == {"preset": "auto"}
    assert all(setting.metadata["meaning"] for setting in FIELDS.values())


def test_keyword_arguments_are_the_settings():
    hints = [typing.get_type_hints(section) for section in SECTIONS.values()]
    settings = {name: hint for section in hints for name, hint in section.items()}
    assert typing.get_type_hints(Settings) == settings
    assert list(KEYS) == list(settings), "their short names are unique"
    parameters = {"text", "callback", "name", "checkpoints", "config", "preset", "reading"}
    assert not parameters & set(KEYS)
    assert len(settings) == len(FIELDS)


def test_defaults_are_the_small_preset():
    assert resolve([]).config == Config() == resolved(preset="auto")
    assert dataclasses.replace(resolved(preset="small"), preset="auto") == Config()


def test_an_optimizer_without_a_rate_has_its_own():
    def rate(**given):
        return resolved(**{f"train__{name}": value for name, value in given.items()}).train

    rates = {name: rate(optimizer=name).learning_rate for name in ("rmsprop", "adagrad", "sgd")}
    adam = rate().learning_rate
    assert [rate / adam for rate in rates.values()] == pytest.approx([0.6, 10, 100])
    assert rate(optimizer="sgd", momentum=0.0).learning_rate == pytest.approx(rates["sgd"] * 10)
    assert rate(optimizer="sgd", learning_rate=0.3).learning_rate == 0.3
    assert rate(optimizer="rmsprop", momentum=0.9).learning_rate == rates["rmsprop"]
    tiny = resolved(preset="tiny", train__optimizer="sgd").train
    assert tiny.learning_rate == pytest.approx(rates["sgd"] * 0.02 / adam)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_presets_weight_decay_is_decoupled(optimizer):
    decay = PRESETS["medium"]["train.weight_decay"]
    assert decay > 0
    found = resolved(preset="medium", train__optimizer=optimizer).train.weight_decay
    assert found == (decay if optimizer in ("adam", "soap") else 0)
    given = resolved(preset="medium", train__optimizer=optimizer, train__weight_decay=0.01)
    assert given.train.weight_decay == 0.01


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_and_yaml_round_trip(preset, tmp_path):
    config = resolved(preset=preset)
    path = tmp_path / "c.yaml"
    path.write_text(to_yaml(config), encoding="utf-8")
    assert resolve([read_yaml(path)]).config == config
    assert from_dict("x", config.as_dict()) == config


def test_later_overrides_win():
    overrides = [
        Overrides("file", {"preset": "tiny", "train.seed": 1, "model.layers": 3}),
        Overrides("--set", {"train.seed": "2"}),
    ]
    config = resolve(overrides).config
    assert (config.model.hidden, config.model.layers, config.train.seed) == (128, 3, 2)


def test_a_checkpoints_settings_are_below_the_overrides():
    base = Overrides("a.npz", {"preset": "medium", "model.hidden": 40})
    config = resolve([Overrides("--preset", {"preset": "tiny"})], base).config
    assert (config.preset, config.model.hidden) == ("tiny", 40)
    with refused(ConfigError, "init_from", "model.hidden is 40 in a.npz, got 16"):
        resolve([Overrides("--hidden", {"model.hidden": 16})], base)


def test_the_last_length_counts():
    config = resolve(
        [Overrides("file", {"train.epochs": 3}), Overrides("--minutes", {"train.minutes": 2})]
    ).config
    assert (config.train.steps, config.train.epochs, config.train.minutes) == (None, None, 2)
    config = resolved(train__minutes=3, train__steps=None)
    assert (config.train.steps, config.train.minutes) == (None, 3)
    with pytest.raises(ConfigError, match=r"train.steps and train.epochs exclude each other"):
        resolved(train__epochs=3, train__steps=2)
    with pytest.raises(ConfigError, match="none is set"):
        resolved(train__steps=None)


@pytest.mark.parametrize(
    ("key", "pairs"),
    [
        ("train.learning_rate", [("1e-3", 0.001), (1, 1.0)]),
        ("train.steps", [("30", 30), (30.0, 30), ("30.0", 30), ("1e3", 1000)]),
        ("train.seed", [("12345678901234567890", 12345678901234567890)]),
        ("train.seq_len", [("full", "full"), ("32", 32)]),
        ("train.epochs", [("null", None)]),
        ("model.embedding", [("one-hot", "one-hot"), (16, 16)]),
        ("data.path", [("a.txt", ("a.txt",)), (["a", "b"], ("a", "b"))]),
        ("train.nesterov", [("true", True)]),
    ],
)
def test_values_take_the_settings_type(key, pairs):
    for value, result in pairs:
        found = coerce("x", key, value)
        assert (found, type(found)) == (result, type(result))


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("model.forget_bias", 1e39, "must be at least -100 and at most 100, got 1e+39"),
        ("train.steps", "2.5", "must be a whole number, got '2.5'"),
        ("train.steps", "1e300", "must be a whole number, got '1e300'"),
        ("train.dropout", 1, "must be at least 0 and below 1, got 1"),
        ("train.steps", 2.5, "must be a whole number, got 2.5"),
        ("train.steps", True, "must be a whole number, got True"),
        ("train.steps", 0, "must be at least 1, got 0"),
        ("train.learning_rate", "fast", "must be a number, got 'fast'"),
        ("train.learning_rate", "nan", "must be a number, got 'nan'"),
        ("train.seq_len", "all", "must be one of full or a whole number, got 'all'"),
        ("model.cell", "LSTM", "must be one of lstm, gru, rnn, got 'LSTM'"),
        ("model.cell", "\33[2J", "must be one of lstm, gru, rnn, got '\\x1b[2J'"),
        ("model.cell", "x" * 999, f"must be one of lstm, gru, rnn, got '{'x' * 37}...{'x' * 38}'"),
        pytest.param(
            "train.steps", 16**5000, "must be a whole number, got a huge number", id="huge"
        ),
        ("data.path", 3, "must be a path or several, got 3"),
    ],
)
def test_refused_values(key, value, problem):
    with refused(ConfigError, "--set", f"{key} {problem}"):
        coerce("--set", key, value)


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("hidden", "model.hidden"),
        ("lr", "train.learning_rate"),
        ("train.lr", "train.learning_rate"),
        ("model.dropout", "train.dropout"),
        ("zzz", None),
    ],
)
def test_unknown_keys(key, meant):
    advice = f"did you mean '{meant}'?" if meant else "config.yaml lists all keys"
    with refused(ConfigError, "--set", f"unknown key '{key}'", advice):
        coerce("--set", key, 3)


@pytest.mark.parametrize(
    ("where", "problem", "settings"),
    [
        ("data.validation + data.test", "must stay below 1, got 0.6 + 0.5",
         {"data__validation": 0.6, "data__test": 0.5}),
        ("data.encoding", "is no encoding that Python knows, got 'utf-9'",
         {"data__encoding": "utf-9"}),
        ("train.nesterov", "needs a momentum, got 0.0",
         {"train__nesterov": True, "train__momentum": 0}),
        ("train.embedding_dropout", "one-hot input has no features to drop, got 0.1",
         {"model__embedding": "one-hot", "train__embedding_dropout": 0.1}),
    ],
)  # fmt: skip
def test_settings_that_contradict_one_another(where, problem, settings):
    with refused(ConfigError, where, problem):
        resolved(**settings)


@pytest.mark.parametrize(
    ("content", "problem", "advice"),
    [
        ("train: {batchsize: 3}", "unknown key 'train.batchsize'",
         "did you mean 'train.batch_size'?"),
        ("trian: {}", "unknown key 'trian'", "did you mean 'train'?"),
        ("site: x", "unknown key 'site'", "where the file is not charlm's"),
        ("model: {zzz: x}", "unknown key 'model.zzz'", "where the file is not charlm's"),
        ("model: {1: x}", "unknown key 1", "where the file is not charlm's"),
        ("- 1", "must hold keys and values, got list", "where the file is not charlm's"),
        ("train: 3", "'train' must hold keys and values, got 3", "where the file is not charlm's"),
        ("a: \x01", "is not valid YAML (unacceptable character #x0001: special", ""),
        ("a: [", "is not valid YAML (line 1: ", ""),
        ("a: 2020-99-01", "is not valid YAML (month must be in 1..12)", ""),
        ("train: {steps: !!float x}", "is not valid YAML (could not convert", ""),
        ("train: {steps: " + "9" * 5000 + "}", "is not valid YAML (Exceeds the limit", ""),
        ("{0x" + "f" * 5000 + "}", "unknown key a huge number", "where the file is not charlm's"),
        ("[" * 2000, "is not valid YAML (", ""),
        (b"data: {path: caf\xe9}", "is not UTF-8 (byte 16)", ""),
        ("train: !!python/object/apply:os.system [ls]", "is not valid YAML (line 1: could not", ""),
    ],
)  # fmt: skip
def test_refused_files(tmp_path, content, problem, advice):
    path = tmp_path / "config.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with refused(ConfigError, path, problem, advice):
        read_yaml(path)


def test_files_that_are_read(tmp_path):
    path = tmp_path / "config.yaml"
    path.touch()
    assert read_yaml(path).settings == {}
    path.write_bytes(b"\xef\xbb\xbfmodel: {hidden: 5}\r\n")
    assert read_yaml(path).settings == {"model.hidden": 5}


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
    config, (note,) = pending(**length).finalize(characters)
    assert note.startswith(f"preset {preset}: {why}")
    assert note.endswith("; --preset chooses another")
    expected = finalized(characters, preset=preset, **length)
    if characters == 10_000_000 and minutes is None:
        expected = expected.replace(train__dropout=0.0)
    assert config == expected


@pytest.mark.parametrize(
    ("items", "minutes", "preset", "dropout"),
    [
        (40_000, None, "list", 0.0),
        (40_000, 1, "list", 0.0),
        (40_000, 3, "list", 0.3),
        (500, None, "short", 0.3),
    ],
)
def test_choice_for_items(items, minutes, preset, dropout):
    length = {} if minutes is None else {"train__steps": None, "train__minutes": minutes}
    config, notes = pending(**length).finalize(250_000, items)
    assert (config.preset, config.train.dropout) == (preset, dropout)
    assert notes[0].startswith(f"preset {preset}: 250,000 characters ")
    assert pending(preset="list", **length).finalize(250_000, items)[0].train.dropout == 0.0


def test_what_was_given_stays():
    config = finalized(20_000, model__hidden=77, train__dropout=0.0, train__steps=9)
    assert (config.model.hidden, config.train.dropout, config.train.steps) == (77, 0.0, 9)
    assert config.train.epochs is None
    assert config.train.batch_size == PRESETS["short"]["train.batch_size"]
    assert finalized(20_000, train__learning_rate=0.03).train.learning_rate == 0.03
    assert finalized(20_000, train__epochs=None).train.steps == Config().train.steps


def test_another_optimizer_keeps_its_own_rate():
    config = finalized(20_000, train__optimizer="sgd")
    assert config == finalized(20_000, preset="short", train__optimizer="sgd")
    assert config.train.learning_rate > 0.1


@pytest.mark.parametrize("preset", PRESETS)
def test_a_named_preset_wins(preset):
    asked = pending(preset=preset)
    config, notes = asked.finalize(1_000_000)
    assert not notes
    assert config == asked.config.replace(train__steps=config.train.steps, train__epochs=None)


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
    ("optimizer", "settings"),
    [*((name, {}) for name in OPTIMIZERS), ("sgd", {"momentum": 0.0}), ("sgd", {"nesterov": True})],
)
def test_every_optimizer_learns_with_its_defaults(tmp_path, monkeypatch, optimizer, settings):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.txt").write_text((VERSE * 30)[:6000])
    small = {"hidden": 24, "batch_size": 8, "seq_len": 16, "steps": 200, "sample_length": 0}
    events = charlm.start("my.txt", **small, optimizer=optimizer, **settings, dropout=0.0)
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
