"""Filters keep what they promise; the sampler draws by the probabilities they leave."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm import randomness
from charlm.errors import CheckpointError, ConfigError, UnknownCharacter
from charlm.generation.filters import Filters
from charlm.generation.sampler import Sampler
from charlm.nn.model import Model
from charlm.settings.schema import ModelConfig
from charlm.text.vocabulary import ByteVocabulary, Vocabulary

logits = st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=30)


def kept(z, **options):
    weights = Filters(**{"temperature": 1.0} | options).weigh(np.array(z, np.float32))
    return weights / weights.sum()


@given(z=logits, p=st.floats(0, 1, exclude_min=True))
def test_top_p_always_keeps_the_likeliest(z, p):
    # Of equals, which tiny differences become in float32, the first.
    assert kept(z, top_p=p)[int(np.argmax(kept(z)))] > 0


@pytest.mark.parametrize("options", [{"temperature": 1001}, {"top_p": 1.1}, {"min_p": -0.1}])
def test_out_of_range(options):
    with pytest.raises(ConfigError, match="must be"):
        Filters(**options)


@pytest.mark.parametrize("t", [0, 5e-324, 1e-300, 1e-50, 1e-40, 1e-31, 1e-30, 1e-20])
def test_extreme_cold_is_greedy_and_extreme_heat_even(t):
    assert kept([1, 3, 3, 2], temperature=0).tolist() == [0, 1, 0, 0]
    z = [-30, 3, 2.9999, 30.0001, 30, -1e6]
    assert kept(z, temperature=t).tolist() == [0, 0, 0, 1, 0, 0]
    columns = np.array([z, z[::-1]], np.float32).T
    assert Filters(t).weigh(columns).argmax(axis=0).tolist() == [3, 2]
    assert kept([-20, 20, 0], temperature=1000) == pytest.approx([1 / 3] * 3, abs=0.01)


LOGIT = st.sampled_from([-3.0, -1.5, 0.0, 0.1, 0.7, 1.0, 2.5]) | st.floats(-9, 9)
COLUMNS = st.integers(1, 12).flatmap(
    lambda V: st.lists(st.lists(LOGIT, min_size=V, max_size=V), min_size=1, max_size=4)
)
OPTIONS = st.fixed_dictionaries(
    {
        "temperature": st.sampled_from([0.0, 0.3, 1.0, 2.0]),
        "top_k": st.none() | st.integers(1, 13),
        "top_p": st.none() | st.floats(0.05, 1),
        "min_p": st.none() | st.floats(0, 1),
    }
)


def naive(z: list[float], temperature, top_k, top_p, min_p) -> list[float]:
    """Filter one column with lists and loops."""
    if temperature == 0:
        return [float(v == z.index(max(z))) for v in range(len(z))]
    w = [math.exp((value - max(z)) / temperature) for value in z]
    order = sorted(range(len(z)), key=lambda v: (-w[v], v))
    for v in order[top_k:] if top_k else ():
        w[v] = 0
    total, so_far = math.fsum(w), 0.0
    for v in order if top_p and top_p < 1 else ():
        mine = w[v]
        if so_far >= top_p * total:
            w[v] = 0
        so_far += mine
    return [weight if weight >= (min_p or 0) * max(w) else 0.0 for weight in w]


@given(columns=COLUMNS, options=OPTIONS)
def test_filters_in_any_combination(columns, options):
    """Each column of several, and each alone, against loops; in float64, free of near ties."""
    together = Filters(**options).weigh(np.array(columns).T.copy())
    for b, column in enumerate(columns):
        expected = naive(column, **options)
        alone = Filters(**options).weigh(np.array(column))
        assert alone == pytest.approx(expected, rel=1e-12)
        assert together[:, b] == pytest.approx(expected, rel=1e-12)
        assert alone.max() == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("options", [{}, {"temperature": 0}, {"top_k": 1}, {"top_p": 0.5}])
def test_logits_that_are_no_numbers_are_refused(bad, options):
    columns = np.zeros((4, 3), np.float32)
    columns[2, 1] = bad
    for z in (columns, columns[:, 1], np.full(3, -np.inf, np.float32)):
        with pytest.raises(CheckpointError, match="its logits are not finite numbers"):
            Filters(**options).weigh(z)


def make(config: ModelConfig, vocabulary: Vocabulary, scale: float = 5, seed: int = 1):
    model = Model(config, vocabulary.size, training=False)
    model.initialize(seed)
    model.parameters.flat[:] *= scale
    model.refresh()
    return model, vocabulary


@pytest.fixture
def small():
    return make(ModelConfig(layers=1, hidden=6), Vocabulary("\nabc", "\n"))


# The bytes of characters of two, three, three and four bytes, each byte but once.
BYTES = "é€한😀".encode()


@pytest.fixture
def byte_chain():
    """A model that mostly draws the byte that follows in BYTES, and by and by any other."""
    vocabulary = ByteVocabulary()
    config = ModelConfig(cell="rnn", layers=1, hidden=256, embedding="one-hot")
    model = Model(config, 256, training=False)
    views = model.parameters.views
    views["rnn.0.Wx"][...] = 5 * np.eye(256)
    for before, after in zip(BYTES, BYTES[1:] + BYTES[:1], strict=True):
        views["output.W"][after, before] = 6
    views["output.W"][BYTES[0], ord("\n")] = 20
    model.refresh()
    return model, vocabulary


def sampler_of(small, filters=None, **options):
    return Sampler(*small, filters or Filters(), **{"seed": 1} | options)


def draw(small, filters=None, length=50, **options):
    return "".join(sampler_of(small, filters, **options).characters(length))


def probabilities(model: Model, ids: list[int]) -> np.ndarray:
    """What the model says comes after each of the ids, (T, V), by its training forward."""
    cache = model.cache(len(ids), 1)
    model.forward(np.array(ids)[:, None], model.zero_state(1), cache)
    z = [model.output.forward(cache.output, t)[:, 0].astype(float) for t in range(len(ids))]
    e = np.exp(np.array(z) - np.max(z, axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("B", [1, 2, 5])
def test_same_seed_same_texts(small, B):
    texts = sampler_of(small, streams=B).write(50)
    assert texts == sampler_of(small, streams=B).write(50)
    assert texts != sampler_of(small, streams=B, seed=2).write(50)
    assert texts != sampler_of(small, streams=B, n=1).write(50)
    assert len(set(texts)) == B
    assert {len(text) for text in texts} == {50}
    assert sampler_of(small, streams=B).write(0) == [""] * B
    pieces = sampler_of(small, streams=B)
    assert [a + b for a, b in zip(pieces.write(20), pieces.write(30), strict=True)] == texts
    assert sampler_of(small, scored=True).write(50) == [draw(small)], "scoring changes no draw"


@pytest.mark.parametrize("B", [1, 3])
@pytest.mark.parametrize("options", [{"temperature": 0.7}, {"temperature": 1.5, "top_k": 3}])
def test_draws_follow_from_the_seed(small, B, options):
    """One generator, B numbers a step, each the place on its stream's ladder of weights."""
    model, vocabulary = small
    texts = sampler_of(small, Filters(**options), streams=B, start="ab", n=7).write(30)
    rng = randomness.generator(1, randomness.SAMPLES, 7)
    numbers = [rng.random(B) for _ in range(30)]
    for b, text in enumerate(texts):
        ids = vocabulary.encode("ab" + text).tolist()
        p = probabilities(model, ids)
        for t in range(30):
            ladder = np.cumsum(Filters(**options).weigh(np.log(p[t + 1])))
            place = numbers[t][b] * ladder[-1]
            assert int(np.searchsorted(ladder, place, "right")) == ids[t + 2]


def test_stop(small):
    text = draw(small, length=300)
    stop = text[40:43]
    stopped = draw(small, length=300, stop=stop)
    assert stopped == text[: text.index(stop) + 3]
    assert draw(small, length=300, stop="") == text
    assert draw(small, length=300, stop=["", stop, "x"]) == stopped
    # The one that is complete first ends the text.
    stops = [text[200:203], text[90:93], text[40:44], "x"]
    ends = [text.index(stop) + len(stop) for stop in stops if stop in text]
    assert draw(small, length=300, stop=stops) == text[: min(ends)]
    assert draw(small, length=300, stop=stops[::-1]) == text[: min(ends)]


def test_streams_end_each_for_itself(small):
    whole = sampler_of(small, streams=4).write(300)
    stop = whole[1][20:24]
    sampler = sampler_of(small, streams=4, stop=[stop])
    texts = sampler.write(300)
    for text, uncut in zip(texts, whole, strict=True):
        assert text == (uncut[: uncut.index(stop) + 4] if stop in uncut else uncut)
    assert sampler.counts == [len(text) for text in texts]
    assert sampler.ended == [stop in text for text in texts]
    assert len(set(sampler.counts)) > 1, "they end at different steps"
    sampler = sampler_of(small, streams=2, stop=list("\nabc"))
    assert [len(text) for text in sampler.write(300)] == [1, 1]
    assert (sampler.counts, sampler.finished) == ([1, 1], True)
    assert sampler.write(300) == sampler.step() == ["", ""], "nothing is drawn when all have ended"
    with pytest.raises(ConfigError, match="streams: must be 1 to write character by character"):
        sampler.characters(5)


@pytest.mark.parametrize(("stop", "least"), [("a", 0), ("a", 1), ("a", 30), ("ab", 200)])
def test_a_stop_text_is_held_back(small, stop, least):
    """Until so many symbols are written; it may begin before."""
    text = draw(small, length=300)
    end = text.find(stop, max(0, least - len(stop))) + len(stop)
    assert draw(small, length=300, stop=stop, min_length=least) == text[:end]


def test_texts_without_end(small):
    """A text of the whole length, or up to its stop, and then the next one in its stream."""
    whole = sampler_of(small, streams=2, scored=True).texts(9)
    assert [(one.written, one.ended) for one, _ in zip(whole, range(2), strict=False)] == [
        (text, False) for text in sampler_of(small, streams=2).write(9)
    ]
    drawn = sampler_of(small, streams=3, stop="a", start="abc", scored=True).texts(40)
    for one, _ in zip(drawn, range(50), strict=False):
        assert one.ended == one.written.endswith("a") == ("a" in one.written)
        assert len(one.written) == one.symbols == one.characters
        assert one.ended or one.symbols == 40
        p = probabilities(small[0], (ids := small[1].encode("abc" + one.written).tolist()))
        expected = sum(math.log(p[t - 1, ids[t]]) for t in range(3, len(ids)))
        assert one.log_prob == pytest.approx(expected, rel=1e-5)
    assert next(sampler_of(small).texts(0)) == ("", 0, 0, 0.0, False)


def test_start(small):
    assert draw(small) == draw(small, start="\n"), "without one it is the start symbol"
    assert draw(small) != draw(small, start="abc")
    with pytest.raises(UnknownCharacter, match="start: character 'x'"):
        sampler_of(small, start="ax")
    assert draw(small, start="axb", on_unknown="skip") == draw(small, start="ab")
    assert draw(small, start="aBb", on_unknown="replace") == draw(small, start="abb")
    assert draw(small, start="xyz", on_unknown="skip") == draw(small)


@pytest.mark.parametrize("B", [1, 3])
def test_a_weight_of_nothing_is_not_drawn_even_by_zero(small, B, monkeypatch):
    sampler = sampler_of(small, Filters(1, top_k=1), streams=B)
    small[0].parameters.views["output.b"][2] = 90
    small[0].refresh()
    zero = SimpleNamespace(random=lambda *size: np.zeros(size) if size else 0.0)
    monkeypatch.setattr(sampler, "_rng", zero)
    assert sampler.step() == ["b"] * B


@pytest.mark.parametrize("B", [1, 3])
@pytest.mark.parametrize(
    "options", [{}, {"temperature": 0}, {"top_k": 1}, {"top_p": 0.01}, {"min_p": 1}]
)
def test_the_unknown_symbol_is_never_drawn(B, options):
    model, vocabulary = make(ModelConfig(layers=1, hidden=6), Vocabulary("abc", "a", unknown=True))
    model.parameters.views["output.b"][vocabulary.unknown_id] = 9
    model.refresh()
    filters = Filters(**{"temperature": 5.0} | options)
    sampler = Sampler(model, vocabulary, filters, streams=B, seed=1, scored=True)
    texts = sampler.write(200)
    assert set("".join(texts)) <= set("abc")
    assert [len(text) for text in texts] == [200] * B
    # Most of the model's probability lies where nothing is drawn from.
    assert (sampler.log_probs < -5 * 200).all()


@pytest.mark.parametrize("B", [1, 3])
def test_log_probabilities_are_the_models_own(small, B):
    """The start is read once for all streams, and not scored; what comes after a stop is not drawn."""
    model, vocabulary = small
    start, filters = "abcabba" * 5, Filters(0.5, top_k=3)
    sampler = sampler_of(small, filters, streams=B, stop="ba", start=start, scored=True)
    texts = sampler.write(80)
    assert any(sampler.ended)
    for text, found in zip(texts, sampler.log_probs, strict=True):
        ids = vocabulary.encode(start + text).tolist()
        p = probabilities(model, ids)
        expected = sum(math.log(p[t - 1, ids[t]]) for t in range(len(start), len(ids)))
        assert found == pytest.approx(expected, rel=1e-5)
    assert not sampler_of(small, streams=B).log_probs.any()


def test_damaged_weights_are_refused(small):
    for bad in (np.nan, np.inf, -np.inf, 3e38):
        small[0].parameters.flat[7] = bad
        with np.errstate(all="ignore"):
            small[0].refresh()
        with pytest.raises(CheckpointError, match="model: its weights are not finite numbers"):
            draw(small)


def test_bytes_are_decoded_as_they_come(byte_chain):
    sampler = sampler_of(byte_chain, Filters(0))
    pieces = [sampler.step()[0] for _ in range(13)]
    assert pieces == ["", "é", "", "", "€", "", "", "한", "", "", "", "😀", ""]
    assert list(sampler_of(byte_chain, Filters(0)).characters(12)) == list("é€한😀")
    assert draw(byte_chain, Filters(0), length=11) == "é€한"
    assert draw(byte_chain, Filters(0), length=100, stop="한") == "é€한"
    wild = draw(byte_chain, Filters(1), length=500)
    assert "\ufffd" in wild
    assert any(character in wild for character in "é€한😀")


def test_a_stop_inside_what_one_byte_completes(byte_chain, monkeypatch):
    """A byte that breaks a character off completes two at once."""
    sampler = sampler_of(byte_chain, stop="\ufffd")
    script = iter([0xE2, 0x82, ord("A")])
    monkeypatch.setattr(sampler, "_draw", lambda: [next(script)])
    assert sampler.write(9) == ["\ufffd"]
    assert sampler.ended == [True]
