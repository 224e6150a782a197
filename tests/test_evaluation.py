"""Scores: every character counted once, and the protocols do what their names say."""

import math

import numpy as np
import pytest
from conftest import VERSE, open_ids, settings

from charlm.evaluation import score
from charlm.evaluation.score import carried, cold, layout
from charlm.nn.functions import cross_entropy
from charlm.nn.stepper import Stepper
from charlm.text.corpus import TextInfo
from charlm.training.trainer import Trainer


def by_hand(model, ids, begin, end, reset_every=None):
    """Score one character after the other, from 0 as the start symbol."""
    row = ids
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
    ours = carried(model, ids[10 : 10 + size], 0, pieces=1)
    assert ours.characters == size
    assert ours.nats == pytest.approx(by_hand(model, ids, 10, 10 + size), rel=1e-5)


def test_sixteen_pieces_are_close_to_one(learned):
    model, ids = learned
    ids = ids[:11_003]
    assert ids.size % score.PIECES, "the pieces are not all of one length"
    many, one = carried(model, ids, 0), carried(model, ids, 0, pieces=1)
    assert many.characters == one.characters == ids.size
    assert many.nats != one.nats
    assert many.nats == pytest.approx(one.nats, abs=0.002)


def test_two_pieces_by_hand(learned):
    """The first begins in the zero state, the second has read what stands before it."""
    model, ids = learned
    row = ids.astype(np.intp)
    size, half, nats = 701, 350, 0.0
    for begin, end, warm_from in ((0, half, 0), (half, size, half - 300)):
        stepper = Stepper(model, 1)
        for position in range(warm_from, end):
            z = stepper.step(row[position - 1 : position] if position else np.zeros(1, np.intp))
            if position >= begin:
                nats += float(cross_entropy(z, row[position : position + 1])[0])
    ours = carried(model, ids[:size], 0, pieces=2)
    assert ours.nats == pytest.approx(nats / size, rel=1e-5)


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
    model, ids = learned
    row = ids
    nats, stepper = 0.0, Stepper(model, 1)
    for begin in range(0, size, 256):
        stepper.reset()
        for position in range(begin, min(begin + 256, size)):
            before = int(row[position - 1]) if position else 0
            z = stepper.step(np.array([before]))[:, 0].astype(float)
            nats += np.log(np.exp(z - z.max()).sum()) + z.max() - z[row[position]]
    assert cold(model, ids[:size], 0).nats == pytest.approx(nats / size, rel=1e-5)


def test_carried_state_helps(learned):
    model, ids = learned
    assert carried(model, ids[:5000], 0).nats < cold(model, ids[:5000], 0).nats


def test_units():
    s = score.Score(math.log(4), 10)
    assert s.bits == pytest.approx(2)
    assert s.perplexity == pytest.approx(4)
    assert score.Score(1712.0, 10).perplexity == math.inf
