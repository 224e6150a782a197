"""Settings: one statement of each, in code, file, command line and error message."""

import dataclasses
from pathlib import Path

import pytest
import yaml

from charlm.errors import ConfigError
from charlm.settings.files import from_dict, read_yaml, to_yaml
from charlm.settings.presets import PRESETS
from charlm.settings.resolve import resolve
from charlm.settings.schema import FIELDS, Config, Overrides, coerce

ROOT = Path(__file__).parent.parent


def test_shipped_file_shows_every_key_with_its_default():
    shipped = (ROOT / "config.yaml").read_text(encoding="utf-8")
    head, _, body = shipped.partition("\npreset:")
    assert all(line.startswith("#") for line in head.splitlines() if line)
    assert "preset:" + body == to_yaml(Config(), commented=True)
    assert yaml.safe_load(shipped) == {"preset": "auto"}


def test_defaults_are_the_small_preset():
    small = resolve([Overrides("x", {"preset": "small"})])[0]
    assert resolve([])[0] == Config() == dataclasses.replace(small, preset="auto")
    assert resolve([Overrides("x", {"preset": "auto"})])[0] == Config()


def test_an_optimizer_without_a_rate_has_its_own():
    def rate(**given):
        return resolve([Overrides("x", {f"train.{k}": v for k, v in given.items()})])[
            0
        ].train.learning_rate

    adam = rate()
    rates = {q: rate(optimizer=q) for q in ("adam", "rmsprop", "adagrad", "sgd")}
    assert rates["adam"] == adam < min(rates["adagrad"], rates["sgd"])
    assert rates["rmsprop"] < adam
    assert rate(optimizer="sgd", momentum=0.0) == pytest.approx(rates["sgd"] * 10)
    assert rate(optimizer="sgd", learning_rate=0.3) == 0.3
    assert rate(optimizer="rmsprop", momentum=0.9) == rates["rmsprop"], "it has no momentum"
    tiny = resolve([Overrides("x", {"preset": "tiny", "train.optimizer": "sgd"})])[0].train
    assert tiny.learning_rate == pytest.approx(rates["sgd"] * 0.02 / 0.008)


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "adagrad", "sgd"])
def test_a_presets_weight_decay_is_adams(optimizer):
    settings = {"preset": "medium", "train.optimizer": optimizer}
    decay = PRESETS["medium"]["train.weight_decay"]
    assert decay > 0
    found = resolve([Overrides("x", settings)])[0].train.weight_decay
    assert found == (decay if optimizer == "adam" else 0)
    chosen = resolve([Overrides("x", {**settings, "train.weight_decay": 0.01})])[0]
    assert chosen.train.weight_decay == 0.01


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_and_yaml_round_trip(preset, tmp_path):
    config, _ = resolve([Overrides("x", {"preset": preset})])
    path = tmp_path / "c.yaml"
    path.write_text(to_yaml(config), encoding="utf-8")
    assert resolve([read_yaml(path)])[0] == config
    assert from_dict("x", config.as_dict()) == config


def test_later_layers_win():
    layers = [
        Overrides("file", {"preset": "tiny", "train.seed": 1, "model.layers": 3}),
        Overrides("--set", {"train.seed": "2"}),
    ]
    config, given = resolve(layers)
    assert (config.model.hidden, config.model.layers, config.train.seed) == (128, 3, 2)
    assert given == {"preset", "train.seed", "model.layers"}


def test_the_last_length_counts():
    config, _ = resolve(
        [Overrides("file", {"train.epochs": 3}), Overrides("--minutes", {"train.minutes": 2})]
    )
    assert (config.train.steps, config.train.epochs, config.train.minutes) == (None, None, 2)
    config, _ = resolve([Overrides("file", {"train.minutes": 3, "train.steps": None})])
    assert (config.train.steps, config.train.minutes) == (None, 3)
    with pytest.raises(ConfigError, match=r"train.steps and train.epochs exclude each other"):
        resolve([Overrides("file", {"train.epochs": 3, "train.steps": 2})])
    with pytest.raises(ConfigError, match="none is set"):
        resolve([Overrides("file", {"train.steps": None})])


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
    got = coerce("x", key, value)
    assert got == result
    assert type(got) is type(result)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("train.batchsize", 3, "--set: unknown key 'train.batchsize'; did you mean 'train.batch_size'?"),
        ("hidden", 3, "--set: unknown key 'hidden'; did you mean 'model.hidden'?"),
        ("zzz", 3, "--set: unknown key 'zzz'; config.yaml lists all keys"),
        ("lr", 3, "--set: unknown key 'lr'; did you mean 'train.learning_rate'?"),
        ("train.lr", 3, "--set: unknown key 'train.lr'; did you mean 'train.learning_rate'?"),
        ("model.dropout", 3, "--set: unknown key 'model.dropout'; did you mean 'train.dropout'?"),
        ("train.minutes", 1e308, "--set: train.minutes must be above 0 and at most 100000, got 1e+308"),
        ("train.epochs", 1e308, "--set: train.epochs must be above 0 and at most 100000, got 1e+308"),
        ("model.forget_bias", 1e39, "--set: model.forget_bias must be at least -100 and at most 100, got 1e+39"),
        ("train.steps", "2.5", "--set: train.steps must be a whole number, got '2.5'"),
        ("train.steps", "1e300", "--set: train.steps must be a whole number, got '1e300'"),
        ("train.dropout", 1, "--set: train.dropout must be at least 0 and below 1, got 1"),
        ("train.steps", 2.5, "--set: train.steps must be a whole number, got 2.5"),
        ("train.steps", True, "--set: train.steps must be a whole number, got True"),
        ("train.steps", 0, "--set: train.steps must be at least 1, got 0"),
        ("train.learning_rate", "fast", "--set: train.learning_rate must be a number, got 'fast'"),
        ("train.learning_rate", "nan", "--set: train.learning_rate must be a number, got 'nan'"),
        ("train.seq_len", "all", "--set: train.seq_len must be one of full or a whole number, got 'all'"),
        ("model.cell", "LSTM", "--set: model.cell must be one of lstm, gru, rnn, got 'LSTM'"),
        ("data.path", 3, "--set: data.path must be a path or several, got 3"),
    ],
)  # fmt: skip
def test_refused_values(key, value, message):
    with pytest.raises(ConfigError) as error:
        coerce("--set", key, value)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "train: {batchsize: 3}",
            "unknown key 'train.batchsize'; did you mean 'train.batch_size'?",
        ),
        ("trian: {}", "unknown key 'trian'; did you mean 'train'?"),
        (
            "- 1",
            "must hold keys and values, got list; where the file is not charlm's, name another",
        ),
        (
            "train: 3",
            "'train' must hold keys and values, got 3; where the file is not charlm's, name",
        ),
        (
            "site: x",
            "unknown key 'site'; where the file is not charlm's, name another with --config",
        ),
        (
            "model: {zzz: x}",
            "unknown key 'model.zzz'; where the file is not charlm's, name another",
        ),
        ("a: \x01", 'special characters are not allowed in "<unicode string>", position 3'),
        ("a: [", "line 1: "),
        (
            "preset: huge",
            "preset must be one of auto, short, tiny, small, medium, large, got 'huge'",
        ),
        (
            "model: {embedding: one-hot}\ntrain: {embedding_dropout: 0.1}",
            "train.embedding_dropout: one-hot input has no channels to drop, got 0.1; leave it",
        ),
        ("data: {validation: 0.6, test: 0.5}", "data.validation + data.test must stay below 1"),
        ("train: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
    ],
)
def test_refused_files(tmp_path, content, message):
    path = tmp_path / "config.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError) as error:
        resolve([read_yaml(path)])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_unreadable_files(tmp_path):
    with pytest.raises(ConfigError, match=r"nope.yaml: cannot be read \(No such file"):
        read_yaml(tmp_path / "nope.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"data: {path: caf\xe9}")
    with pytest.raises(ConfigError, match=r"is not UTF-8 \(byte 16\)"):
        read_yaml(tmp_path / "latin.yaml")
    (tmp_path / "empty.yaml").write_bytes(b"")
    assert read_yaml(tmp_path / "empty.yaml").settings == {}


def test_every_setting_says_what_it_means():
    assert all(q.metadata["meaning"] for q in FIELDS.values())
