"""Settings: one statement of each, in code, file, command line and error message."""

import dataclasses
import typing
from pathlib import Path

import pytest
import yaml

from charlm.errors import ConfigError
from charlm.settings.files import from_dict, read_yaml, to_yaml
from charlm.settings.presets import PRESETS
from charlm.settings.resolve import resolve
from charlm.settings.schema import FIELDS, KEYS, SECTIONS, Config, Overrides, Settings, coerce

ROOT = Path(__file__).parent.parent


def resolved(**settings):
    """Return the configuration of overrides; keys as in `train__steps`."""
    named = {key.replace("__", "."): value for key, value in settings.items()}
    return resolve([Overrides("test", named)]).config


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
    assert len(settings) == len(FIELDS)


def test_defaults_are_the_small_preset():
    assert resolve([]).config == Config() == resolved(preset="auto")
    assert dataclasses.replace(resolved(preset="small"), preset="auto") == Config()


def test_an_optimizer_without_a_rate_has_its_own():
    def rate(**given):
        return resolved(**{f"train__{name}": value for name, value in given.items()}).train

    rates = {name: rate(optimizer=name).learning_rate for name in ("rmsprop", "adagrad", "sgd")}
    adam = rate().learning_rate
    assert rates["rmsprop"] < adam < min(rates["adagrad"], rates["sgd"])
    assert rate(optimizer="sgd", momentum=0.0).learning_rate == pytest.approx(rates["sgd"] * 10)
    assert rate(optimizer="sgd", learning_rate=0.3).learning_rate == 0.3
    assert rate(optimizer="rmsprop", momentum=0.9).learning_rate == rates["rmsprop"]
    tiny = resolved(preset="tiny", train__optimizer="sgd").train
    assert tiny.learning_rate == pytest.approx(rates["sgd"] * 0.02 / 0.008)


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "adagrad", "sgd"])
def test_a_presets_weight_decay_is_adams(optimizer):
    decay = PRESETS["medium"]["train.weight_decay"]
    assert decay > 0
    found = resolved(preset="medium", train__optimizer=optimizer).train.weight_decay
    assert found == (decay if optimizer == "adam" else 0)
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
    with pytest.raises(ConfigError) as error:
        resolve([Overrides("--hidden", {"model.hidden": 16})], base)
    assert (error.value.where, error.value.problem) == (
        "init_from",
        "model.hidden is 40 in a.npz, got 16",
    )


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
    ("key", "value", "result"),
    [
        ("train.learning_rate", "1e-3", 0.001),
        ("train.learning_rate", 1, 1.0),
        ("train.steps", "30", 30),
        ("train.steps", 30.0, 30),
        ("train.steps", "30.0", 30),
        ("train.steps", "1e3", 1000),
        ("train.seed", "12345678901234567890", 12345678901234567890),
        ("train.seq_len", "full", "full"),
        ("train.seq_len", "32", 32),
        ("train.epochs", "null", None),
        ("model.embedding", "one-hot", "one-hot"),
        ("model.embedding", 16, 16),
        ("data.path", "a.txt", ("a.txt",)),
        ("data.path", ["a", "b"], ("a", "b")),
        ("train.nesterov", "true", True),
    ],
)
def test_values_take_the_settings_type(key, value, result):
    found = coerce("x", key, value)
    assert found == result
    assert type(found) is type(result)


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("train.minutes", 1e308, "must be above 0 and at most 100000, got 1e+308"),
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
    with pytest.raises(ConfigError) as error:
        coerce("--set", key, value)
    assert (error.value.where, error.value.problem) == ("--set", f"{key} {problem}")


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("train.batchsize", "train.batch_size"),
        ("hidden", "model.hidden"),
        ("lr", "train.learning_rate"),
        ("train.lr", "train.learning_rate"),
        ("model.dropout", "train.dropout"),
        ("zzz", None),
    ],
)
def test_unknown_keys(key, meant):
    with pytest.raises(ConfigError) as error:
        coerce("--set", key, 3)
    assert error.value.problem == f"unknown key '{key}'"
    advice = f"did you mean '{meant}'?" if meant else "config.yaml lists all keys"
    assert error.value.advice == advice


@pytest.mark.parametrize(
    ("where", "problem", "settings"),
    [
        ("data.validation + data.test", "must stay below 1, got 0.6 + 0.5",
         {"data__validation": 0.6, "data__test": 0.5}),
        ("data.encoding", "is no encoding that Python knows, got 'utf-9'",
         {"data__encoding": "utf-9"}),
        ("train.nesterov", "needs a momentum, got 0.0",
         {"train__nesterov": True, "train__momentum": 0}),
        ("train.schedule", "plateau needs validations, got data.validation 0.0",
         {"train__schedule": "plateau", "data__validation": 0}),
        ("train.patience", "needs validations, got data.validation 0.0",
         {"train__patience": 2, "data__validation": 0}),
        ("train.embedding_dropout", "one-hot input has no features to drop, got 0.1",
         {"model__embedding": "one-hot", "train__embedding_dropout": 0.1}),
        ("test", "preset must be one of auto, short, tiny, small, medium, large, got 'huge'",
         {"preset": "huge"}),
    ],
)  # fmt: skip
def test_settings_that_contradict_one_another(where, problem, settings):
    with pytest.raises(ConfigError) as error:
        resolved(**settings)
    assert (error.value.where, error.value.problem) == (where, problem)


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
        ("train: !!python/object/apply:os.system [ls]", "is not valid YAML (line 1: could not", ""),
    ],
)  # fmt: skip
def test_refused_files(tmp_path, content, problem, advice):
    path = tmp_path / "config.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError) as error:
        read_yaml(path)
    assert error.value.where == str(path)
    assert error.value.problem.startswith(problem)
    assert error.value.advice.startswith(advice)
    assert "\n" not in str(error.value)


def test_unreadable_files(tmp_path):
    with pytest.raises(ConfigError, match=r"nope.yaml: cannot be read \(No such file"):
        read_yaml(tmp_path / "nope.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"data: {path: caf\xe9}")
    with pytest.raises(ConfigError, match=r"is not UTF-8 \(byte 16\)"):
        read_yaml(tmp_path / "latin.yaml")
    path = tmp_path / "bom.yaml"
    path.write_text("model: {hidden: 5}\r\n", encoding="utf-8-sig")
    assert read_yaml(path).settings == {"model.hidden": 5}
    (tmp_path / "empty.yaml").write_bytes(b"")
    assert read_yaml(tmp_path / "empty.yaml").settings == {}
