"""Scores: every character counted once, each protocol by hand, and fair where the model learns."""

import math
from pathlib import Path

import numpy as np
import pytest
from helpers import VERSE
from korean import korean

import charlm
from charlm.errors import CheckpointError, ConfigError
from charlm.evaluation import dynamic, score
from charlm.evaluation.dynamic import CHUNK
from charlm.evaluation.score import carried, carried_nats, cold, layout
from charlm.nn.model import Model
from charlm.nn.stepper import Stepper
from charlm.runs.loading import learned_text, whole_text
from charlm.settings.schema import ModelConfig

TEXT = VERSE * 60
FAST = {"hidden": 24, "learning_rate": 0.02, "dropout": 0.0, "average": 0.0, "sample_length": 0}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model that has learned a little: its state matters."""
    folder = tmp_path_factory.mktemp("learned")
    (folder / "verse.txt").write_text(TEXT, newline="")
    sizes = {"layers": 2, "batch_size": 4, "seq_len": 8, "steps": 150}
    return charlm.train(folder / "verse.txt", checkpoints=folder / "runs", **FAST, **sizes)


@pytest.fixture(scope="module")
def learned(model):
    """The same as a network, and the ids of its text; 0 is the start symbol."""
    assert model.vocabulary.start_id == 0
    return model._model, np.array(whole_text(model._trained, model.path))


def by_hand(model, ids, begin, end, warm=0):
    """Score one character after the other, in nats."""
    stepper, nats = Stepper(model, 1), 0.0
    for position in range(begin - warm, end):
        before = int(ids[position - 1]) if position else 0
        z = stepper.step(np.array([before]))[:, 0].astype(float)
        if position >= begin:
            nats += np.log(np.exp(z - z.max()).sum()) + z.max() - z[ids[position]]
    return nats


@pytest.mark.parametrize("size", [1, 2, 256, 257, 700, 4799])
def test_one_piece_is_the_text_read_once(learned, size):
    model, ids = learned
    ids = ids[10 : 10 + size]
    ours = carried(model, ids, 0, pieces=1)
    assert ours.characters == size
    assert ours.nats == pytest.approx(by_hand(model, ids, 0, size) / size, rel=1e-5)


def test_two_pieces_by_hand(learned):
    """The first begins in the zero state, the second has read what stands before it."""
    model, ids = learned
    nats = by_hand(model, ids, 0, 350) + by_hand(model, ids, 350, 701, warm=300)
    assert carried(model, ids[:701], 0, pieces=2).nats == pytest.approx(nats / 701, rel=1e-5)


def test_many_pieces_are_close_to_one(learned):
    model, ids = learned
    ids = ids[:11_003]
    assert ids.size % layout(ids.size)[0], "the pieces are not all of one length"
    many, one = carried(model, ids, 0), carried(model, ids, 0, pieces=1)
    assert many.characters == one.characters == ids.size
    assert many.nats != one.nats
    assert many.nats == pytest.approx(one.nats, abs=0.002)
    assert many.nats < cold(model, ids, 0).nats, "the carried state helps"


@pytest.mark.parametrize("of", [1, 3, 16, 20])
@pytest.mark.parametrize("items", [False, True])
@pytest.mark.parametrize("size", [700, 6_003])
def test_parts_add_up_to_the_whole(learned, size, items, of):
    """Several processes score some of the pieces each; there may be more of them than pieces."""
    model, ids = learned
    parts = [
        carried_nats(model, ids[:size], 0, rank=rank, of=of, items=items) for rank in range(of)
    ]
    whole = carried(model, ids[:size], 0, items=items).nats * size
    assert sum(parts) == pytest.approx(whole, rel=1e-6)
    assert sum(part > 0 for part in parts) == min(of, layout(size)[0])


@pytest.fixture
def widths(monkeypatch):
    """The number of streams of each time step that is read."""
    step, widths = Stepper.step, []
    monkeypatch.setattr(
        Stepper, "step", lambda s, read: (widths.append(read.size), step(s, read))[1]
    )
    return widths


@pytest.mark.parametrize("size", [1, 599, 600, 700, 4801, 19_199, 19_200, 20_003])
def test_layout_is_what_is_read(learned, widths, size):
    model, ids = learned
    carried(model, np.resize(ids, size), 0)
    pieces, steps = layout(size)
    assert widths == [pieces] * steps
    assert pieces == {1: 1, 599: 1, 600: 2, 700: 2, 4801: 16, 19_199: 63}.get(size, 64)


@pytest.mark.parametrize("size", [599, 4_800, 20_000])
def test_layout_of_items_is_what_is_read(learned, widths, size):
    """Their pieces are not warmed up, and end with an item: here of 8 symbols."""
    model, _ = learned
    carried(model, np.resize([1, 2, 3, 1, 2, 3, 1, 0], size), 0, items=True)
    pieces, steps = layout(size, items=True)
    assert set(widths) == {pieces}
    assert steps <= len(widths) < steps + 8


@pytest.mark.parametrize("size", [1, 255, 256, 257, 1000])
def test_cold_windows(learned, size):
    """Each begins in the zero state, and reads the character before it first."""
    model, ids = learned
    nats = sum(by_hand(model, ids, begin, min(begin + 256, size)) for begin in range(0, size, 256))
    assert cold(model, ids[:size], 0).nats == pytest.approx(nats / size, rel=1e-5)


def test_units():
    four = score.Score(math.log(4), 10)
    assert (four.bits, four.perplexity) == pytest.approx((2, 4))
    assert score.Score(1712.0, 10).perplexity == math.inf


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("embedding", ["auto", "one-hot"])
def test_the_first_chunk_scores_as_fixed_weights_do(cell, embedding):
    ids = np.random.default_rng(0).integers(0, 30, 500).astype(np.uint8)
    network = Model(ModelConfig(cell=cell, hidden=12, embedding=embedding), 30, training=False)
    network.initialize(1)
    before, learned = network.parameters.flat.copy(), np.arange(300, dtype=np.uint8) % 30
    for size, same in ((1, True), (CHUNK, True), (CHUNK + 1, False), (500, False)):
        ours = dynamic.dynamic(network, learned, ids[:size], 3, 0.01)
        fixed = carried(network, ids[:size], 3, pieces=1)
        assert ours.characters == size
        assert (ours.nats == pytest.approx(fixed.nats, abs=1e-6)) is same
    assert np.array_equal(network.parameters.flat, before), "the model itself stays as it is"


@pytest.mark.slow
def test_no_character_is_learned_from_before_it_is_scored(model):
    """What is summed up over a beginning does not change with what follows it."""
    for cut in range(CHUNK, 5 * CHUNK, CHUNK):
        alone = model.evaluate_dynamic(TEXT[:cut], learning_rate=0.01).nats * cut
        other = "\n" * CHUNK
        # The same beginning before two ends: the difference is the ends' own, each scored by
        # weights that have seen the beginning alone.
        whole = model.evaluate_dynamic(TEXT[:cut] + other, learning_rate=0.01).nats * (cut + CHUNK)
        assert whole - alone == pytest.approx(scored_after(model, TEXT[:cut], other), rel=1e-4)


def scored_after(model, beginning, end):
    """Nats of an end, by a learner that was moved by its beginning, with the rule written out."""
    learner = Model(model.config.model, model.vocabulary.size)
    trained = np.array(model._model.parameters.flat)
    learner.parameters.flat[:] = trained
    learner.refresh()
    ids = model.vocabulary.encode("\n" + beginning + end).astype(np.intp).reshape(-1, 1)
    cache, state = learner.cache(CHUNK, 1), learner.zero_state(1)
    s = np.sqrt(dynamic._squares(learner, learned_text(model._trained, model.path)))
    pull = np.minimum(1, dynamic.DECAY * s / s.mean())
    for n in range(len(beginning) // CHUNK + 1):
        here = ids[n * CHUNK : (n + 1) * CHUNK + 1]
        loss, state = learner.loss_and_gradient(here[:-1], here[1:], state, cache)
        p = learner.parameters.flat
        p -= 0.01 * learner.gradient.flat / (s + dynamic.EPSILON * s.mean())
        p += pull * (trained - p)
        learner.refresh()
    return loss * CHUNK


def test_it_is_deterministic_and_learns_unless_the_rate_is_0(model):
    text = "A heron rose. " * 80
    assert len(text) % CHUNK == 0
    still = model.evaluate_dynamic(text[7:777], learning_rate=0.0)
    assert still.nats == pytest.approx(-model.log_probs(text[7:777]).mean(), abs=1e-5)
    first = model.evaluate_dynamic(text)
    assert first == model.evaluate_dynamic(text)
    assert first.nats < -model.log_probs(text).mean() - 0.1


def test_what_dynamic_evaluation_refuses(model, tmp_path):
    for rate in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="learning rate: must be at least 0"):
            model.evaluate_dynamic(TEXT, learning_rate=rate)
    (tmp_path / "best.npz").write_bytes(model.path.read_bytes())
    for _ in ("no text", "another text"):
        with pytest.raises(CheckpointError, match=r"needs the text that it learned beside it"):
            charlm.load(tmp_path / "best.npz").evaluate_dynamic(TEXT)
        (tmp_path / "ids.bin").write_bytes(bytes(4000))


@pytest.mark.slow
@pytest.mark.parametrize("level", ["char", "byte"])
def test_korean(tmp_path, monkeypatch, level):
    """A text whose alphabet is in the thousands, each character three bytes."""
    monkeypatch.chdir(tmp_path)
    text = korean(20_000)
    Path("글.txt").write_text(text, encoding="utf-8")
    model = charlm.train("글.txt", level=level, **FAST | {"learning_rate": 0.03, "steps": 80})
    written = model.sample(300, start="강물이", seed=1)
    assert written.startswith("강물이")
    whole = model.evaluate(korean(2_000, seed=9))
    assert whole.carried.nats < 0.8 * math.log(model.vocabulary.size)
    (copy,) = model.copies(f"불{text[1000:1050]}")
    if level == "byte":
        assert (model.vocabulary.size, model.log_probs("한").shape) == (256, (3,))
        assert (copy.place, copy.length) == tuple(
            len(t.encode()) for t in (text[:1000], text[1000:1050])
        )
        return
    assert (copy.place, copy.length) == (1000, 50)
    assert model.evaluate_dynamic(korean(2_000, seed=9)).nats < whole.carried.nats
    assert sum("가" <= c <= "힣" for c in written) > 0.4 * len(written)
