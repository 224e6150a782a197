"""Training learns, resumes to the bit, stops at what is not finite, and allocates nothing."""

import itertools
import os
import shutil
import tracemalloc
from unittest.mock import Mock

import numpy as np
import pytest
from helpers import (
    VERSE,
    faults,
    of_kind,
    open_ids,
    refused,
    settings,
    started,
    stop_at,
    train,
)  # fmt: skip

from charlm import environment, randomness
from charlm.errors import Diverged, RunError, TextError
from charlm.nn.dropout import draw_mask
from charlm.nn.functions import cross_entropy
from charlm.nn.stepper import Stepper
from charlm.runs import folder as runs
from charlm.runs.folder import Run
from charlm.runs.loading import load_model
from charlm.settings.files import to_yaml
from charlm.storage.checkpoint import load
from charlm.storage.history import read_history
from charlm.text.corpus import TextInfo
from charlm.text.vocabulary import Vocabulary
from charlm.training import loop, snapshot
from charlm.training.events import Done, Sampled, Saved, Started, Updated, Validated
from charlm.training.loop import events
from charlm.training.prepare import resume_run, training_memory
from charlm.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("no_fsync")


def new_trainer(path, folder, **changes):
    config = settings(path, **changes)
    vocabulary, ids = open_ids(path, folder)
    return Trainer(config, vocabulary, TextInfo(str(path), ids.size, "", ""), ids, None)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_memorises_a_short_text(tmp_path, cell):
    path = tmp_path / "short.txt"
    path.write_text(VERSE[:200])
    t = new_trainer(path, tmp_path, model__cell=cell, model__hidden=64, train__batch_size=1,
                    train__seq_len=40, train__steps=400, train__dropout=0.0, train__average=0.0,
                    data__validation=0.0, train__learning_rate=0.02)  # fmt: skip
    for _ in range(400):
        t.update()
    # The text follows on itself in training, so it is read once before all of it is scored.
    ids = np.array([[t.vocabulary.symbols.index(c)] for c in VERSE[:200]])
    stepper, nats = Stepper(t.model, 1), 0.0
    for lap in range(2):
        for k in range(200):
            z = stepper.step(ids[k])
            nats += lap * float(cross_entropy(z, ids[(k + 1) % 200])[0])
    assert nats / 200 < 0.05


def test_events_come_in_order(text_file, tmp_path):
    t, seen = train(text_file, tmp_path / "runs", "a", train__validate_every=5)
    kinds = [type(event) for event in seen]
    assert kinds[:2] == [Started, Saved]
    assert kinds[-1] is Done
    assert kinds.count(Updated) == 12
    assert [event.step for event in of_kind(seen, Validated)] == [5, 10, 12]
    assert [event.step for event in of_kind(seen, Saved)] == [0, 5, 10, 12]
    names = sorted(file.name for file in t.run.folder.iterdir())
    assert names == ["best.npz", "config.yaml", "history.jsonl", "ids.bin", "last.npz"]
    readings = read_history(t.run.history).readings
    assert [reading.step for reading in readings] == list(range(13))
    # The history keeps what was written, and what was before the first step.
    kept = {reading.step: reading.sample for reading in readings if reading.sample is not None}
    assert sorted(kept) == [0, 5, 10, 12]
    assert {event.step: event.text for event in of_kind(seen, Sampled)}.items() <= kept.items()
    assert t.run.config.read_text() == to_yaml(t.config)


@pytest.mark.parametrize(("length", "kept"), [(400, [300, 300, 300]), (200, [200] * 3), (0, [])])
def test_samples_in_the_history_are_short(text_file, tmp_path, length, kept):
    t, seen = train(text_file, tmp_path, "a", train__steps=2, train__validate_every=1,
                    train__sample_length=length)  # fmt: skip
    assert [len(event.text) for event in of_kind(seen, Sampled)] == [length] * (2 if length else 0)
    samples = [reading.sample for reading in read_history(t.run.history).readings]
    assert [len(sample) for sample in samples if sample is not None] == kept


def test_best_holds_the_averaged_weights_of_the_best_validation(text_file, tmp_path):
    t, seen = train(text_file, tmp_path, "a", train__steps=30, train__validate_every=10)
    scores = {event.step: event.loss for event in of_kind(seen, Validated)}
    model, vocabulary, config, description = load_model(t.run.best)
    assert description.progress.best_loss == min(scores.values())
    assert description.progress.step == min(scores, key=scores.get) == 30
    assert np.array_equal(model.parameters.flat, t.ema_model.parameters.flat)
    assert not np.array_equal(model.parameters.flat, t.model.parameters.flat)
    assert vocabulary.symbols == t.vocabulary.symbols
    assert config == t.config
    last = load_model(t.run.last).model
    assert np.array_equal(last.parameters.flat, t.ema_model.parameters.flat)


# Dropout and averaging on, across an epoch's end.
EXACT = {
    "train__dropout": 0.2, "train__embedding_dropout": 0.1, "train__average": 0.9,
    "train__validate_every": 5, "train__seq_len": 90, "data__validation": 0.3,
}  # fmt: skip
RESUMED = {
    "lstm": (EXACT, [1, 5, 7, 11]),
    "gru": (EXACT | {"model__cell": "gru"}, [1, 5, 7, 11]),
    "rnn": (EXACT | {"model__cell": "rnn"}, [1, 5, 7, 11]),
    "items": (EXACT | {"data__items": "line"}, [1, 5, 7, 11]),
    "momentum": (
        {"train__optimizer": "sgd", "train__momentum": 0.9, "train__average": 0.0}, [4],
    ),
    # The rate decays and training ends where it would have without the stop.
    "plateau": (
        {"train__schedule": "plateau", "train__plateau": 0, "train__patience": 4,
         "train__validate_every": 2, "train__warmup": 0, "train__learning_rate": 0.3,
         "train__steps": 400, "train__optimizer": "adam"}, [3, 8, 17],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", RESUMED)
def test_resume_is_exact(text_file, tmp_path, case):
    """Equal to the last bit: parameters, counters, history, losses and rates."""
    changes, stops = RESUMED[case]
    whole, seen = train(text_file, tmp_path / "whole", "a", **changes)
    if case == "plateau":
        assert seen[-1].early
        assert len({event.learning_rate for event in of_kind(seen, Updated)}) > 2
    if changes is EXACT:
        assert whole.streams.chunks == 7
    for stop in stops:
        check_resumed(text_file, tmp_path / f"{stop}", whole, seen, stop, changes)


def check_resumed(text, folder, whole, seen, stop, changes):
    """Compare a run that is stopped and resumed with the whole one."""
    stopped = started(text, folder, **changes)
    before = stop_at(stopped, stop)
    assert stopped.progress.step == stop < whole.progress.step
    again = resume_run(stopped.run).trainer
    after = list(events(again))
    assert of_kind(before, Updated) + of_kind(after, Updated) == of_kind(seen, Updated)
    assert read_history(again.run.history).resumes == [stop]
    faults.equal(whole.run.folder, again.run.folder)


def test_a_moved_goal_is_said(text_file, tmp_path):
    t, _ = train(text_file, tmp_path, "a")
    prepared = resume_run(Run(tmp_path / "a"), steps=20)
    assert any("the goal moved from 12 to 20" in note for note in prepared.notes)
    prepared.trainer.run.release()
    again = resume_run(Run(tmp_path / "a")).trainer
    assert again.steps == 20, "it moved for good, before a step was made"
    list(events(again))
    assert again.progress.step == 20
    assert "steps: 20 " in t.run.config.read_text()


def test_a_text_that_changed_is_refused(text_file, tmp_path):
    train(text_file, tmp_path / "runs", "a")
    run = Run(tmp_path / "runs" / "a")
    moved = tmp_path / "moved.txt"
    shutil.copy(text_file, moved)
    text_file.write_text(text_file.read_text() + "x")
    with pytest.raises(TextError, match=rf"is not the text that {run.folder} learns"):
        resume_run(run)
    assert resume_run(run, [moved]).trainer.text.path == str(moved)
    text_file.unlink()
    assert any("the run's own copy is used" in note for note in resume_run(run).notes)
    run.ids.write_bytes(b"damaged")
    with pytest.raises(TextError, match="damaged or missing; name where the text is now"):
        resume_run(run)
    beginning = resume_run(run, [moved])
    assert any("encoded again from the text" in note for note in beginning.notes)
    with pytest.raises(TextError, match="no such file"):
        resume_run(run, [tmp_path / "nowhere.txt"])


def test_what_is_not_finite_stops_before_anything_moves(text_file, tmp_path):
    t = started(text_file, tmp_path)
    stop_at(t, 3)
    t.model.parameters.views["lstm.1.b"][0] = np.nan
    t.model.refresh()
    before, moments = t.model.parameters.flat.copy(), t.optimizer.state["m"].copy()
    with pytest.raises(Diverged, match=r"the loss is no longer finite, got nan, at step 4 .* l"):
        t.update()
    assert np.array_equal(before, t.model.parameters.flat, equal_nan=True)
    assert np.array_equal(moments, t.optimizer.state["m"])


@pytest.mark.parametrize("average", [0.99, 0.0])
@pytest.mark.parametrize(
    ("validation", "message"),
    [(0.1, "the validation loss is no longer finite, got nan, a"),
     (0.0, "'embedding.W' is no longer finite, and 3 rollbacks")],
)  # fmt: skip
def test_weights_that_are_not_finite_are_never_saved(
    text_file, tmp_path, average, validation, message
):
    """The step itself was finite; what it left is not, in the weights or the average."""
    t = started(text_file, tmp_path, train__learning_rate=1e40, train__warmup=0,
                train__validate_every=1, train__average=average, data__validation=validation)  # fmt: skip
    with pytest.raises(Diverged, match=message):
        list(events(t))
    assert load(t.run.last).meta["progress"]["step"] == 0
    assert not t.run.best.exists()


def test_whatever_is_saved_is_finite(text_file, tmp_path):
    t, _ = train(text_file, tmp_path, "a")
    t.run.take()
    whole = t.run.last.read_bytes()
    for name, array in (("optimizer.v", t.optimizer.state["v"]), ("average/", t.ema_model.parameters.flat),
                        ("state/1.c", t.state[1][1].reshape(-1))):  # fmt: skip
        # The last ones are padding.
        end, kept = array[-600:], array[-600:].copy()
        for end[:] in (np.inf, -np.inf, np.nan):
            with pytest.raises(Diverged, match=f"'{name}.*' is no longer finite, after st"):
                snapshot.save_last(t)
        end[:] = kept
    assert t.run.last.read_bytes() == whole
    snapshot.save_last(t)


def test_failed_save_is_one_line(text_file, tmp_path, monkeypatch):
    t = started(text_file, tmp_path, "b")
    running = events(t)
    assert isinstance(next(itertools.islice(running, 1, None)), Saved)
    monkeypatch.setattr(snapshot, "save", Mock(side_effect=OSError(28, "No space left on device")))
    problem, command = (
        "cannot be saved (No space",
        f"charlm train --resume --checkpoints {tmp_path}",
    )
    advice = f"the checkpoint before is whole, resume from it with: {command}"
    with refused(RunError, t.run.best, problem, advice):
        list(running)
    t = started(text_file, tmp_path, "a")
    advice = "no checkpoint was saved yet, make room and start again"
    with refused(RunError, t.run.last, problem, advice):
        list(events(t))
    assert not t.run.folder.exists(), "a run without a checkpoint is none"


def test_masks_are_those_of_the_rates_and_the_update(text_file, tmp_path):
    t = new_trainer(text_file, tmp_path, train__dropout=0.4, train__embedding_dropout=0.2)
    for n in range(3):
        t.update()
        rng = randomness.generator(0, randomness.DROPOUT_MASKS, n)
        assert len(t.parallel.caches[0].masks) == 3
        for rate, mask in zip((0.2, 0.4, 0.4), t.parallel.caches[0].masks, strict=True):
            expected = np.empty_like(mask)
            draw_mask(rate, expected, rng)
            assert np.array_equal(mask, expected)


def test_no_update_is_longer_than_the_clipped_gradient(text_file, tmp_path):
    t = new_trainer(text_file, tmp_path, train__optimizer="sgd", train__momentum=0.0, train__clip_norm=0.01,
                    train__learning_rate=0.5, train__schedule="constant", train__warmup=0)  # fmt: skip
    for _ in range(3):
        before = t.model.parameters.flat.copy()
        assert t.update().norm > 0.1
        moved = np.linalg.norm(t.model.parameters.flat - before)
        assert moved == pytest.approx(0.5 * 0.01, rel=1e-3)


def test_what_is_late_is_saved(text_file, tmp_path, monkeypatch):
    """A clock on which two steps take more than a minute and one does not."""
    clock = itertools.count(0, 15)
    monkeypatch.setattr(loop.time, "monotonic", clock.__next__)
    _, seen = train(text_file, tmp_path, "a", train__validate_every=100)
    assert [event.step for event in of_kind(seen, Saved)] == [0, 3, 6, 9, 12]


def test_update_allocates_nothing_that_grows(tmp_path):
    """Peak over a later update, in bytes, at sizes whose arrays hold 16 to 1,000 KiB each."""
    path = tmp_path / "text.txt"
    path.write_text("abcdefghijklmnopqrstuvwxyz \n" * 2000)
    for cell in ("lstm", "gru", "rnn"):
        for B, T, H in ((16, 16, 64), (64, 64, 64), (32, 32, 256)):
            t = new_trainer(path, tmp_path, model__cell=cell, model__hidden=H,
                            train__batch_size=B, train__seq_len=T, train__dropout=0.1)  # fmt: skip
            for _ in range(3):
                t.update()
            tracemalloc.start()
            t.update()
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 64 << 10, (cell, B, T, H, peak)


def sizes(H, B, T, **more):
    return {"model__hidden": H, "train__batch_size": B, "train__seq_len": T} | more


# The sizes that docs/performance.md tells of, and what else changes what is allocated.
ALLOCATED = [
    *(sizes(H, B, T, model__layers=L, train__average=0.99, train__dropout=0.1)
      for L, H, B, T in ((2, 128, 50, 50), (2, 256, 64, 64), (2, 512, 64, 128), (3, 512, 100, 100))),
    *(sizes(256, 64, 64, model__cell=cell) for cell in ("gru", "rnn")),
    *(sizes(128, 32, 32, model__cell=cell, model__embedding=embedding, train__embedding_dropout=masked,
            train__average=average, train__optimizer=optimizer)
      for cell in ("lstm", "gru", "rnn")
      for embedding, masked, average, optimizer in (
          ("one-hot", 0, 0.9, "sgd"), (16, 0, 0, "rmsprop"), (200, 0.1, 0.9, "adagrad"))),
    sizes(64, 1500, 3),
]  # fmt: skip


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("changes", ALLOCATED, ids=str)
def test_memory_is_known_before(tmp_path, text_file, changes, threads):
    """The formula against what tracemalloc sees, and the parameters to the last one."""
    config = settings(text_file, **changes)
    vocabulary = Vocabulary("".join(map(chr, range(32, 97))), " ")
    ids = np.zeros(50_000, vocabulary.dtype)
    environment.has_small_kernel()  # loads threadpoolctl
    tracemalloc.start()
    t = Trainer(config, vocabulary, TextInfo("", ids.size, "", ""), ids, None, threads=threads)
    if t.model.parameters.size < 400_000:
        t.update()
    traced = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    needed = training_memory(config, vocabulary.size, threads=threads)
    assert needed.parameters == t.model.parameters.size
    assert needed.total == pytest.approx(traced, rel=0.03)


def test_no_validation_share(text_file, tmp_path):
    t, seen = train(text_file, tmp_path, "a", data__validation=0.0)
    assert not of_kind(seen, Validated)
    assert not t.run.best.exists()
    assert runs.find_checkpoint("a", tmp_path) == t.run.last
    assert seen[-1].best_loss is None


def test_history_survives_a_torn_line(tmp_path):
    run = Run(tmp_path)
    run.record({"step": 1})
    with run.history.open("a") as file:
        file.write('{"step": 2, "lo')
    run.record({"step": 3})
    assert run.history.read_text() == '{"step": 1}\n{"step": 2, "lo\n{"step": 3}\n'


def test_newest_run(tmp_path):
    with pytest.raises(RunError, match="holds no run yet"):
        runs.find_run(tmp_path)
    for age, name in enumerate(["old", "new"]):
        run = runs.create(tmp_path, name)
        run.last.touch()
        os.utime(run.last, (1000 + age, 1000 + age))
    assert runs.find_run(tmp_path).folder.name == "new"
    made = [runs.create(tmp_path, "new") for _ in range(2)]
    assert [run.folder.name for run in made] == ["new-2", "new-3"]
    with pytest.raises(RunError, match="there are new, old"):
        runs.find_run(tmp_path, "other")
