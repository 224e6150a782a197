"""Preparing a run: what is checked, chosen and measured before the first step."""

import functools
import math

import numpy as np
import pytest
from helpers import open_ids, overrides, refused, settings, train

from charlm import environment
from charlm.errors import ConfigError, RunError, TextError
from charlm.settings.schema import Config, Overrides
from charlm.text import corpus, source
from charlm.text.corpus import TextInfo
from charlm.training import planning, prepare
from charlm.training.loop import events
from charlm.training.planning import Pace, measure, set_steps
from charlm.training.prepare import resume_run, start_run, training_memory
from charlm.training.trainer import Trainer


def test_a_short_text_has_fewer_streams(tmp_path):
    path = tmp_path / "short.txt"
    path.write_text("A tale of two thousand characters.\n" * 58)
    given = {"preset": "small", "model.hidden": 12, "train.steps": 3, "data.path": str(path)}
    prepared = start_run([Overrides("test", given)], tmp_path, "a")
    assert (prepared.trainer.streams.B, prepared.trainer.streams.T) == (8, 32)
    assert prepared.notes == ["the text is short: 8 streams of 32 time steps instead of 64 of 32"]
    list(events(prepared.trainer))
    sizes = Overrides("test", {"train.batch_size": 64, "train.seq_len": 64})
    problem = "2,030 characters is too short, batch_size=64 x seq_len=64 needs at least 4,552"
    with refused(TextError, path, problem):
        start_run([Overrides("test", given), sizes], tmp_path, "b")
    assert not (tmp_path / "b").exists()


def test_notes_say_what_is_read(tmp_path):
    for name in ("2.txt", "10.txt"):
        (tmp_path / name).write_bytes(b"A tale of two files.\n" * 99 + b"lone\r")
    given = {"preset": "small", "model.hidden": 8, "train.steps": 1, "data.path": str(tmp_path)}
    notes = start_run([Overrides("test", given)], tmp_path, "a").notes
    assert notes[0] == "2 files: 2.txt, 10.txt"
    assert notes[1].startswith(r"the text holds 2 carriage returns without a newline")


@pytest.mark.parametrize(
    ("length", "steps", "T"),
    [({"train__seq_len": "full", "train__steps": 2}, 2, 3600 // 4),
     ({"train__steps": None, "train__epochs": 1.5}, round(1.5 * (3600 // 4 // 8)), 8)],
)  # fmt: skip
def test_full_streams_and_epochs_become_numbers(text_file, tmp_path, length, steps, T):
    trainer, _ = train(text_file, tmp_path, "a", **length)
    assert (trainer.steps, trainer.streams.T, trainer.progress.step) == (steps, T, steps)
    assert (trainer.config.train.epochs, trainer.config.train.seq_len) == (None, T)


def test_minutes_become_steps_once(text_file, tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "measure", lambda *_: Pace(step_s=0.5, validation_s=1.0))
    given = overrides(text_file, train__steps=None, train__minutes=1.0)
    prepared = start_run(given, tmp_path, "a")
    steps = prepared.trainer.steps
    assert steps == pytest.approx((60 - 1 - 8) / 0.5, abs=4)
    assert any(f"the same with --steps {steps}" in note for note in prepared.notes)
    assert prepared.trainer.config.train.minutes is None
    assert Pace(0.5, 1.0).total_s(steps, math.ceil(steps / 8)) < 60
    late = start_run(given, tmp_path, "b", began=prepare.time.perf_counter() - 30)
    assert late.trainer.steps == pytest.approx(steps - 60, abs=4), "half a minute has gone already"


@pytest.mark.parametrize(
    ("seconds", "pace", "given", "steps", "every"),
    [
        (101, Pace(1.0, 5.0), 10, 66, 10),
        (101, Pace(1.0, 1.0), "auto", 92, "auto"),
        (101, Pace(1.0, 20.0), "auto", 80, 80),  # one validation, and most of the time
        (0, Pace(1.0, 5.0), "auto", 1, 1),
        (0.6, Pace(1.0, 0.0), "auto", 1, "auto"),
    ],
)
def test_validations_count_in_minutes(seconds, pace, given, steps, every):
    config = Config().replace(train__steps=None, train__minutes=2, train__validate_every=given)
    config, note = set_steps(config, pace, seconds)
    assert (config.train.steps, config.train.validate_every) == (steps, every)
    assert ("train.validate_every" in note) == (every != given)


@pytest.mark.parametrize(("pause_at", "busy"), [(None, 1.0), (3, 1.67), (40, 1.41), (225, 1.41)])
def test_a_pause_does_not_spoil_the_plan(text_file, tmp_path, monkeypatch, pause_at, busy):
    """A step takes 0.1 s, a time step 1 ms; a pause of 1 s hits a step, a time step, a sample."""
    clock, calls = [0.0], [0]

    def work(cost):
        calls[0] += 1
        clock[0] += cost + (1.0 if calls[0] == pause_at else 0.0)

    monkeypatch.setattr(planning.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(Trainer, "update", lambda _: work(0.1))
    monkeypatch.setattr(
        planning, "cross_entropy", lambda z, _: work(0.001 if z.shape[1] == 1 else 9)
    )
    monkeypatch.setattr(Trainer, "sample", lambda _, length: work(0.0001 * length))
    vocabulary, ids = open_ids(text_file, tmp_path)

    def pace(**changes):
        text = TextInfo("", ids.size, "", "")
        return measure(settings(text_file, **changes), vocabulary, text, ids, [1])

    timed = pace(train__steps=1000, train__sample_length=400)
    assert timed.step_s / 0.1 == pytest.approx(busy, abs=0.04)
    assert timed.validation_s / (0.001 * 400 + 0.0001 * 400) == pytest.approx(timed.step_s / 0.1)
    began = clock[0]
    assert pace(train__steps=50, data__validation=0.0).validation_s == 0
    assert clock[0] - began == pytest.approx(0.7), "few steps are not worth three seconds"


def test_too_little_memory_is_known_before(tmp_path, text_file, monkeypatch):
    """Nothing is allocated, and no run's folder is made; what to lower depends on what is large."""
    run = train(text_file, tmp_path / "runs", "a")[0].run
    wide = overrides(text_file, train__batch_size=16)
    prepared = start_run(wide, tmp_path / "other").trainer
    prepared.run.discard()
    config, V = prepared.config, prepared.vocabulary.size
    monkeypatch.setattr(environment, "free_memory", lambda: 10**6)
    with pytest.raises(
        ConfigError, match=r"needs 1\d\d\.\d GB, got 1\.0 MB of free memory"
    ) as error:
        start_run(overrides(text_file, model__hidden=16384), tmp_path / "runs", "b")
    assert error.value.advice == "lower model.hidden (16384) or model.layers (2)"
    long = overrides(text_file, train__batch_size=3, train__seq_len=1000)
    advice = "lower train.batch_size (3) or train.seq_len (1000)"
    with refused(ConfigError, "train", "needs ", advice):
        start_run(long, tmp_path / "runs", "b")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["a"]
    one, four = (training_memory(config, V, threads=n).total for n in (1, 4))
    monkeypatch.setattr(environment, "free_memory", lambda: (one + four) // 2)
    with refused(ConfigError, "train", "needs ", "lower --threads (4)"):
        start_run(wide, tmp_path / "runs", "b", threads=4)
    monkeypatch.setattr(environment, "free_memory", lambda: 1000)
    with pytest.raises(ConfigError, match="free memory"):
        resume_run(run)
    monkeypatch.setattr(environment, "free_memory", lambda: None)
    resume_run(run).trainer.run.release()


def test_a_start_that_is_interrupted_leaves_no_folder(tmp_path, text_file, monkeypatch):
    """Each of the two readings of a text counts half; whatever stops either, no run is left."""
    monkeypatch.setattr(source, "PIECE_BYTES", 1000)
    calls, runs = [], tmp_path / "runs"
    prepared = start_run(overrides(text_file), runs, reading=lambda *call: calls.append(call))
    prepared.trainer.run.discard()
    assert calls == [(k * 500, 4000) for k in range(1, 9)]

    def stop(goal, done, _):
        if done >= goal:
            raise KeyboardInterrupt

    for goal in (1000, 3000):
        with pytest.raises(KeyboardInterrupt):
            start_run(overrides(text_file), runs, reading=functools.partial(stop, goal))
        assert list(runs.iterdir()) == []


def test_ids_are_encoded_again_into_a_new_file(tmp_path, text_file):
    """A process that has the damaged file mapped keeps it."""
    trainer, _ = train(text_file, tmp_path, "a", train__steps=1)
    run, whole = trainer.run, np.array(trainer.ids)
    run.ids.write_bytes(bytes(whole.size))
    mapped = corpus.open_ids(run.ids, whole.dtype)
    prepared = resume_run(run)
    prepared.trainer.run.release()
    assert np.array_equal(prepared.trainer.ids, whole)
    assert not mapped.any()
    run.ids.unlink()
    run.ids.mkdir()
    with refused(RunError, run.ids, "is a folder"):
        resume_run(run)
