"""Scores: every character counted once, and the protocols do what their names say."""

import math

import numpy as np
import pytest
from conftest import VERSE, open_ids, settings

from charlm.evaluation import score
from charlm.evaluation.score import carried, cold
from charlm.nn.stepper import Stepper
from charlm.text.corpus import Share, TextInfo
from charlm.training.trainer import Trainer


def by_hand(model, ids, begin, end, reset_every=None):
    """Score one character after the other, from 0 as the start symbol."""
    row = np.empty(ids.size, ids.dtype)
    ids.read_into(0, row)
    stepper, nats = Stepper(model, 1), 0.0
    for position in range(begin, end):
        if reset_every and (position - begin) % reset_every == 0:
            stepper.reset()
        before = int(row[position - 1]) if position > begin else 0
        z = stepper.step(np.array([before]))[:, 0].astype(float)
        nats += np.log(np.exp(z - z.max()).sum()) + z.max() - z[row[position]]
    return nats / (end - begin)


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A model that has learned a little: its state matters."""
    folder = tmp_path_factory.mktemp("learned")
    path = folder / "verse.txt"
    path.write_text(VERSE * 60, newline="")
    config, _ = settings(path, model__hidden=24, train__steps=150, train__learning_rate=0.02,
                         train__average=0.0, train__dropout=0.0)  # fmt: skip
    vocabulary, ids = open_ids(path, folder)
    assert vocabulary.start_id == 0
    trainer = Trainer(config, vocabulary, TextInfo(str(path), ids.size, "", ""), ids, None)
    for _ in range(150):
        trainer.update()
    return trainer.model, ids


@pytest.mark.parametrize("size", [1, 2, 256, 257, 700, 4799])
def test_one_piece_is_the_text_read_once(learned, size):
    model, ids = learned
    ours = carried(model, ids, Share(10, 10 + size), 0, pieces=1)
    assert ours.characters == size
    assert ours.nats == pytest.approx(by_hand(model, ids, 10, 10 + size), rel=1e-5)


def test_sixteen_pieces_are_close_to_one(learned):
    model, ids = learned
    share = Share(0, 11_003)
    assert share.size % score.PIECES, "the pieces are not all of one length"
    many, one = carried(model, ids, share, 0), carried(model, ids, share, 0, pieces=1)
    assert many.characters == one.characters == share.size
    assert many.nats != one.nats
    assert many.nats == pytest.approx(one.nats, abs=0.002)


@pytest.mark.parametrize("size", [1, 255, 256, 257, 1000])
def test_cold_windows(learned, size):
    model, ids = learned
    row = np.empty(ids.size, ids.dtype)
    ids.read_into(0, row)
    nats, stepper = 0.0, Stepper(model, 1)
    for begin in range(0, size, 256):
        stepper.reset()
        for position in range(begin, min(begin + 256, size)):
            before = int(row[position - 1]) if position else 0
            z = stepper.step(np.array([before]))[:, 0].astype(float)
            nats += np.log(np.exp(z - z.max()).sum()) + z.max() - z[row[position]]
    assert cold(model, ids, Share(0, size), 0).nats == pytest.approx(nats / size, rel=1e-5)


def test_carried_state_helps(learned):
    model, ids = learned
    share = Share(0, 5000)
    assert carried(model, ids, share, 0).nats < cold(model, ids, share, 0).nats


def test_units():
    s = score.Score(math.log(4), 10)
    assert s.bits == pytest.approx(2)
    assert s.perplexity == pytest.approx(4)
