"""Filters keep what they promise; the sampler draws by the probabilities and tells no more."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.config import ModelConfig
from charlm.errors import ConfigError, UnknownCharacter
from charlm.generation.filters import Filters
from charlm.generation.sampler import sample
from charlm.nn.model import Model
from charlm.text.vocabulary import Vocabulary

logits = st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=30)


def kept(z, **options):
    weights = Filters(**{"temperature": 1.0} | options).weigh(np.array(z, np.float32))
    return weights / weights.sum()


@given(z=logits, k=st.integers(1, 40))
def test_top_k_keeps_exactly_k(z, k):
    p, whole = kept(z, top_k=k), kept(z)
    positive = (p > 0).sum()
    assert positive == min(k, (whole > 0).sum()) or positive == k
    assert positive <= k
    assert min(whole[p > 0], default=0) >= max(whole[p == 0], default=0)


def test_top_k_of_equals():
    assert kept([1, 1, 1, 1], top_k=2).tolist() == [0.5, 0.5, 0, 0]


def test_top_p_keeps_the_one_that_reaches_p():
    z = np.log([0.5, 0.3, 0.15, 0.05])
    assert (kept(z, top_p=0.5) > 0).tolist() == [True, False, False, False]
    assert (kept(z, top_p=0.6) > 0).tolist() == [True, True, False, False]
    assert (kept(z, top_p=0.9) > 0).tolist() == [True, True, True, False]
    assert (kept(z, top_p=1.0) > 0).all()


@given(z=logits, p=st.floats(0.01, 1))
def test_top_p_always_keeps_the_likeliest(z, p):
    assert kept(z, top_p=p)[int(np.argmax(z))] > 0


def test_min_p():
    z = np.log([0.5, 0.3, 0.15, 0.05])
    assert (kept(z, min_p=0.2) > 0).tolist() == [True, True, True, False]
    assert (kept(z, min_p=1) > 0).tolist() == [True, False, False, False]


@given(z=logits, t=st.floats(0.05, 5))
def test_temperature_is_a_softmax(z, t):
    e = np.exp((np.array(z) - max(z)) / t)
    assert kept(z, temperature=t) == pytest.approx(e / e.sum(), abs=1e-4)


def test_temperature_zero_is_greedy():
    assert kept([1, 3, 3, 2], temperature=0).tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize(
    "options",
    [{"temperature": -1}, {"temperature": float("nan")}, {"temperature": float("inf")},
     {"top_k": 0}, {"top_p": 0}, {"top_p": 1.1}, {"min_p": -0.1}, {"min_p": 1.1}],
)  # fmt: skip
def test_out_of_range(options):
    with pytest.raises(ConfigError, match="must be"):
        Filters(**options)


@pytest.fixture
def small():
    vocabulary = Vocabulary("\nabc", "\n")
    model = Model(ModelConfig(layers=1, hidden=6), 4, training=False)
    model.initialize(1)
    model.parameters.flat[:] *= 5
    model.prepare()
    return model, vocabulary


def draw(small, filters=None, **options):
    options = {"length": 50, "seed": 1} | options
    return "".join(sample(*small, filters or Filters(), **options))


def test_same_seed_same_text(small):
    assert draw(small) == draw(small)
    assert draw(small) != draw(small, seed=2)
    assert draw(small) != draw(small, n=1)
    assert len(draw(small)) == 50
    assert draw(small, length=20) == draw(small)[:20]
    assert draw(small, length=0) == ""


def test_without_start_it_is_the_start_symbol(small):
    assert draw(small) == draw(small, start="\n")
    assert draw(small) != draw(small, start="abc")


def test_stop(small):
    text = draw(small, length=300)
    stop = text[40:43]
    stopped = draw(small, length=300, stop=stop)
    assert stopped == text[: text.index(stop) + 3]


def test_unknown_start_is_refused_before_anything_is_drawn(small):
    with pytest.raises(UnknownCharacter, match="start text: character 'x'"):
        sample(*small, Filters(), start="ax", length=1, seed=0)


def test_frequencies_follow_the_probabilities(small):
    """The first character, drawn 4,000 times, against the model's own distribution."""
    model, vocabulary = small
    filters = Filters(temperature=1.0)
    counts = Counter(draw(small, filters, length=1, n=n) for n in range(4000))
    tape = model.tape(1, 1)
    model.forward(np.array([[0]]), model.zero_state(1), tape)
    z = model.output.forward(tape.output, 0)[:, 0].astype(float)
    p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
    for k, symbol in enumerate(vocabulary.symbols):
        spread = (p[k] * (1 - p[k]) / 4000) ** 0.5
        assert abs(counts[symbol] / 4000 - p[k]) < 4 * spread + 1e-9


def test_what_is_filtered_out_is_never_drawn(small):
    whole, narrow = set(), set()
    for n in range(300):
        whole |= set(draw(small, Filters(temperature=3), length=3, n=n))
        narrow |= set(draw(small, Filters(temperature=3, top_k=1), length=1, n=n))
    assert whole == set("\nabc")
    assert len(narrow) == 1
