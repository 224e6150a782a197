"""Replicas in threads share the streams of an update, and make the run that one thread makes."""

import threading
import time

import numpy as np
import pytest
from helpers import open_ids, overrides, settings, stop_at

from charlm import environment
from charlm.nn.model import Model
from charlm.settings.schema import ModelConfig
from charlm.storage.checkpoint import load
from charlm.text.corpus import TextInfo
from charlm.training.data_parallel import DataParallel, replicas
from charlm.training.loop import events
from charlm.training.parallel import Group
from charlm.training.prepare import resume_run, start_run
from charlm.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("no_fsync")


@pytest.fixture(autouse=True)
def small_networks_validate_in_threads(monkeypatch):
    monkeypatch.setattr("charlm.training.trainer.LONG_CALLS", 0)


def trained(text_file, folder, threads, steps=5, **changes):
    """Return a trainer after some steps, the losses of these, and a validation loss."""
    config = settings(text_file, **changes)
    vocabulary, ids = open_ids(text_file, folder)
    t = Trainer(config, vocabulary, TextInfo("", ids.size, "", ""), ids, None, threads=threads)
    losses = [t.update().loss for _ in range(steps)]
    return t, losses, t.validate()


def arrays(t):
    """Return all that a training changes."""
    states = [part for layer in t.state for part in layer]
    return [
        t.model.parameters.flat,
        t.ema_model.parameters.flat,
        *t.optimizer.state.values(),
        t.optimizer.matrices.flat,
        *states,
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"train__dropout": 0.3, "train__embedding_dropout": 0.1},
        {"model__embedding": "one-hot", "train__average": 0.0, "train__optimizer": "sgd"},
        {"model__embedding": 40},  # folded
        {"model__embedding": 5},  # looked up
        {"model__cell": "gru", "train__dropout": 0.2},
        {"model__cell": "rnn", "model__layers": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize(("threads", "B"), [(2, 9), pytest.param(3, 16, marks=pytest.mark.slow)])
def test_threads_make_the_run_of_one(text_file, tmp_path, changes, threads, B):
    """The same streams, masks and losses, up to rounding; and the same bits each time."""
    changes |= {"train__batch_size": B, "train__seq_len": 8, "train__learning_rate": 1e-3}
    one, losses, validation = trained(text_file, tmp_path, 1, **changes)
    several, theirs, validated = trained(text_file, tmp_path, threads, **changes)
    assert (one.parallel.size, several.parallel.size) == (1, threads)
    assert theirs == pytest.approx(losses, rel=1e-5)
    assert validated == pytest.approx(validation, rel=1e-5)
    for ours, other in zip(arrays(one), arrays(several), strict=True):
        assert ours.shape == other.shape
        assert np.linalg.norm(ours - other) <= 1e-3 * np.linalg.norm(ours)
    again = trained(text_file, tmp_path, threads, **changes)
    assert again[1:] == (theirs, validated)
    assert all(map(np.array_equal, arrays(again[0]), arrays(several)))


def test_the_number_of_threads_may_change(text_file, tmp_path):
    """As while steps are timed: the run is the same up to rounding."""
    changes = {"train__batch_size": 12, "train__learning_rate": 1e-3}
    _, losses, validation = trained(text_file, tmp_path, 1, steps=6, **changes)
    other, theirs, _ = trained(text_file, tmp_path, 3, steps=2, **changes)
    for threads in (1, 2):
        other.use_threads(threads)
        theirs += [other.update().loss for _ in range(2)]
    assert theirs == pytest.approx(losses, rel=1e-5)
    assert other.validate() == pytest.approx(validation, rel=1e-5)


@pytest.mark.parametrize("items", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_the_gradient_is_the_sum(cell, items):
    """In float64, where nothing but the order of sums differs."""
    T, B, V, rng = 6, 13, 20, np.random.default_rng(0)
    model = Model(ModelConfig(cell=cell, layers=2, hidden=7), V, np.float64)
    model.initialize(0)
    inputs, targets = rng.integers(0, V, (2, T, B))
    state = [tuple(rng.normal(size=part.shape) for part in layer) for layer in model.zero_state(B)]
    keep = rng.integers(0, 2, (T, B)).astype(float) if items else None
    found = []
    for threads in (1, 3):
        parallel = DataParallel(model, T, B, [0.0, 0.5, 0.5], threads)
        for linear in model.linears:
            linear.W.fill(np.nan)
        parallel.refresh()
        loss, leaving = parallel.loss_and_gradient(
            inputs, targets, state, keep, 99, lambda: np.random.default_rng(7), 5, 20
        )
        found.append(
            [np.array(loss), model.gradient.flat, *(p for layer in leaving for p in layer)]
        )
        found[-1] = [array.copy() for array in found[-1]]
    for ours, other in zip(*found, strict=True):
        assert np.linalg.norm(ours) > 0
        assert np.linalg.norm(ours - other) < 1e-13 * np.linalg.norm(ours)


def test_how_many_replicas(monkeypatch):
    given = [(1, 64), (2, 64), (2, 8), (2, 7), (16, 64), (64, 64), (4, 1)]
    assert [replicas(*each) for each in given] == [1, 2, 2, 1, 16, 16, 1]
    monkeypatch.setattr(environment, "can_set_threads", lambda: False)
    assert replicas(2, 64) == 1


def test_a_resume_is_exact(text_file, tmp_path):
    """On as many threads as before; which the checkpoint says, and the BLAS has one."""
    given = overrides(text_file, train__batch_size=9, train__dropout=0.2)
    whole, halves = (start_run(given, tmp_path, name, threads=2).trainer for name in "ab")
    assert (whole.parallel.size, environment.threads()) == (2, 1)
    list(events(whole))
    stop_at(halves, 5)
    resumed = resume_run(halves.run)
    assert (resumed.trainer.parallel.threads, resumed.notes) == (2, [])
    list(events(resumed.trainer))
    ends = [load(t.run.last) for t in (whole, resumed.trainer)]
    assert ends[0].arrays.keys() == ends[1].arrays.keys()
    for name, array in ends[0].arrays.items():
        assert np.array_equal(array, ends[1].arrays[name]), name
    assert [end.meta["threads"] for end in ends] == [2, 2]
    other = resume_run(halves.run, threads=1, steps=14)
    assert (other.trainer.parallel.size, len(other.notes)) == (1, 2)
    other.trainer.run.release()


@pytest.fixture
def two():
    """Two replicas of a small model."""
    return DataParallel(Model(ModelConfig(layers=1, hidden=4), 5), 3, 8, [], 2)


@pytest.mark.parametrize("failing", [{0}, {1}, {0, 1}])
def test_an_error_is_raised_after_all_have_ended(two, failing):
    ended = []

    def work(r):
        time.sleep(0.05 * r)
        ended.append(r)
        if r in failing:
            raise KeyboardInterrupt(r) if r == 0 else ValueError(r)

    with pytest.raises((KeyboardInterrupt, ValueError)) as error:
        two.run(work)
    assert (error.value.args, ended) == ((min(failing),), [0, 1])
    assert two.run(lambda r: r) == [0, 1], "it can go on"


def test_overflow_is_no_warning(two):
    """A diverging loss is found in the loss, also where a worker computes it."""
    with np.errstate(all="ignore"):
        assert np.isinf(two.run(lambda r: np.exp(np.float32(1000 + r)))).all()


def test_parts_make_up_the_whole(two):
    parts = []
    two.split(7, parts.append)
    assert sorted((part.start, part.stop) for part in parts) == [(0, 3), (3, 7)]


def test_threads_end_with_their_replicas():
    before = set(threading.enumerate())
    parallel = DataParallel(Model(ModelConfig(layers=1, hidden=4), 5), 3, 16, [], 4)
    all_run = threading.Barrier(4)
    parallel.run(lambda _: all_run.wait(10))
    workers = set(threading.enumerate()) - before
    assert len(workers) == 3
    del parallel
    for worker in workers:
        worker.join(10)
        assert not worker.is_alive()


def test_processes_have_the_parameters_of_the_first_every_ten_steps(text_file, tmp_path):
    """Unlike processors round SOAP's products in other ways."""
    t, _, _ = trained(text_file, tmp_path, 1, steps=0)
    t.group = Group()
    t.group.size, t.group.broadcast = 2, lambda value: np.full_like(value, 0.25)
    for n in range(11):
        t.update()
        assert (t.model.parameters.flat == 0.25).all() == (n in (0, 10))


def test_unlike_processes_score_each_piece_once(text_file, tmp_path):
    """Processes with more streams than others may have more threads."""
    t, _, _ = trained(text_file, tmp_path, 1, train__batch_size=8)
    t.validation = np.sort(np.resize(t.ids, 5000))  # no two pieces have the same loss
    whole, parts = t.validate(), []
    t.group = Group()
    t.group.size = 3
    for t.group.rank, threads in enumerate((1, 2, 2)):
        t.use_threads(threads)
        assert t.validation_threads == threads
        parts.append(t.validate())
    assert all(parts)
    assert sum(parts) == pytest.approx(whole, rel=1e-5)
