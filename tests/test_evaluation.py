"""Scores: every character counted once, and the protocols do what their names say."""

import math

import numpy as np
import pytest
from conftest import VERSE, open_ids, settings

from charlm.evaluation import score
from charlm.evaluation.score import carried, cold, layout
from charlm.nn.stepper import Stepper
from charlm.text.corpus import TextInfo
from charlm.training.trainer import Trainer


def by_hand(model, ids, begin, end, warm=0):
    """Score one character after the other, in nats; 0 is the start symbol."""
    stepper, nats = Stepper(model, 1), 0.0
    for position in range(begin - warm, end):
        before = int(ids[position - 1]) if position else 0
        z = stepper.step(np.array([before]))[:, 0].astype(float)
        if position >= begin:
            nats += np.log(np.exp(z - z.max()).sum()) + z.max() - z[ids[position]]
    return nats


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A model that has learned a little: its state matters."""
    folder = tmp_path_factory.mktemp("learned")
    path = folder / "verse.txt"
    path.write_text(VERSE * 60, newline="")
    config = settings(path, model__hidden=24, train__steps=150, train__learning_rate=0.02,
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
    ids = ids[10 : 10 + size]
    ours = carried(model, ids, 0, pieces=1)
    assert ours.characters == size
    assert ours.nats == pytest.approx(by_hand(model, ids, 0, size) / size, rel=1e-5)


def test_sixteen_pieces_are_close_to_one(learned):
    model, ids = learned
    ids = ids[:11_003]
    assert ids.size % score.PIECES, "the pieces are not all of one length"
    many, one = carried(model, ids, 0), carried(model, ids, 0, pieces=1)
    assert many.characters == one.characters == ids.size
    assert many.nats != one.nats
    assert many.nats == pytest.approx(one.nats, abs=0.002)
    assert many.nats < cold(model, ids, 0).nats, "the carried state helps"


def test_two_pieces_by_hand(learned):
    """The first begins in the zero state, the second has read what stands before it."""
    model, ids = learned
    nats = by_hand(model, ids, 0, 350) + by_hand(model, ids, 350, 701, warm=300)
    assert carried(model, ids[:701], 0, pieces=2).nats == pytest.approx(nats / 701, rel=1e-5)


@pytest.mark.parametrize("size", [700, 4799, 4800, 4801, 11_003])
def test_layout_is_what_is_read(learned, monkeypatch, size):
    model, ids = learned
    step, widths = Stepper.step, []
    monkeypatch.setattr(
        Stepper, "step", lambda s, read: (widths.append(read.size), step(s, read))[1]
    )
    carried(model, ids[:size], 0)
    pieces, steps = layout(size)
    assert widths == [pieces] * steps
    assert pieces == (1 if size < 4800 else 16)


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
