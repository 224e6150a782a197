"""Dynamic evaluation: every character scored before it is learned from, and no checkpoint changed."""

import numpy as np
import pytest
from conftest import VERSE

import charlm
from charlm.errors import CheckpointError, ConfigError, Diverged
from charlm.evaluation import dynamic
from charlm.evaluation.dynamic import CHUNK
from charlm.evaluation.score import carried
from charlm.nn.model import Model
from charlm.runs.training_text import learned_text
from charlm.settings.schema import ModelConfig

TEXT = VERSE * 12
SETTINGS = {"hidden": 16, "batch_size": 4, "seq_len": 16, "steps": 60, "sample_length": 0}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dynamic")
    (folder / "verse.txt").write_text(TEXT, newline="")
    return charlm.train(folder / "verse.txt", checkpoints=folder / "runs", **SETTINGS)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("embedding", ["auto", "one-hot"])
def test_the_first_chunk_scores_as_fixed_weights_do(cell, embedding):
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 30, 500).astype(np.uint8)
    network = Model(ModelConfig(cell=cell, hidden=12, embedding=embedding), 30, training=False)
    network.initialize(1)
    before, learned = network.parameters.flat.copy(), np.arange(300, dtype=np.uint8) % 30
    for size, same in ((1, True), (CHUNK, True), (CHUNK + 1, False), (500, False)):
        ours = dynamic.dynamic(network, learned, ids[:size], 3, 0.01)
        fixed = carried(network, ids[:size], 3, pieces=1)
        assert ours.characters == size
        assert (ours.nats == pytest.approx(fixed.nats, abs=1e-6)) is same
    assert np.array_equal(network.parameters.flat, before), "the model itself stays as it is"


def test_no_character_is_learned_from_before_it_is_scored(model):
    """What is summed up over a beginning does not change with what follows it."""
    text = TEXT[: 5 * CHUNK]
    for chunks in range(1, 5):
        cut = chunks * CHUNK
        alone = model.evaluate_dynamic(text[:cut], learning_rate=0.01).nats * cut
        other = "\n" * CHUNK
        # The same beginning before two ends: the difference is the ends' own, each scored by
        # weights that have seen the beginning alone.
        whole = model.evaluate_dynamic(text[:cut] + other, learning_rate=0.01).nats * (cut + CHUNK)
        end = scored_after(model, text[:cut], other)
        assert whole - alone == pytest.approx(end, rel=1e-4)


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
    fixed = -model.log_probs(text).mean()
    assert first.nats < fixed - 0.1


def test_what_it_refuses(model, tmp_path):
    for rate in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="learning rate: must be at least 0"):
            model.evaluate_dynamic(TEXT, learning_rate=rate)
    with pytest.raises(Diverged, match=r"no longer finite at character \d+, got nan at learning"):
        model.evaluate_dynamic(TEXT, learning_rate=1e38)
    (tmp_path / "best.npz").write_bytes(model.path.read_bytes())
    for _ in ("no text", "another text"):
        with pytest.raises(CheckpointError, match=r"needs the text that it learned beside it"):
            charlm.load(tmp_path / "best.npz").evaluate_dynamic(TEXT)
        (tmp_path / "ids.bin").write_bytes(bytes(4000))
