"""n-grams: Kneser-Ney's equations one by one, and their mixture with a network."""

import json
from collections import Counter, defaultdict

import numpy as np
import pytest
from helpers import VERSE, learn_items

import charlm
from charlm.errors import CheckpointError, ConfigError
from charlm.nn.stepper import Mixture, Stepper
from charlm.text.ngrams import MOST, ORDER, NGrams

FAST = {"hidden": 16, "steps": 30, "batch_size": 4, "seq_len": 8, "sample_length": 0}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learned")
    (folder / "verse.txt").write_text(VERSE * 40, newline="")
    return charlm.train(folder / "verse.txt", checkpoints=folder / "runs", **FAST)


def by_the_book(ids, V, order, boundary=None):
    """Return p(v, context) as the equations have it, from dictionaries."""
    ids = tuple(map(int, ids))
    counts = [Counter(ids[i : i + n] for i in range(len(ids) - n + 1)) for n in range(order + 2)]
    for n in range(1, order):
        before = defaultdict(set)
        for longer in counts[n + 1]:
            before[longer[1:]].add(longer[0])
        for ngram in counts[n]:
            if ngram[0] != boundary:
                counts[n][ngram] = max(1, len(before[ngram]))

    def discount(n, count):
        t = Counter(counts[n].values())
        k, Y = min(count, 3), t[1] / max(1, t[1] + 2 * t[2])
        return min(max(k - (k + 1) * Y * t[k + 1] / max(1, t[k]), 0), k)

    def p(v, context):
        if len(context) >= order:
            context = context[len(context) - order + 1 :]
        n, shorter = len(context) + 1, p(v, context[1:]) if context else 1 / V
        following = {g[-1]: count for g, count in counts[n].items() if g[:-1] == context}
        if not following:
            return shorter
        left, total = sum(discount(n, c) for c in following.values()), sum(following.values())
        own = following[v] - discount(n, following[v]) if v in following else 0
        return (own + left * shorter) / total

    return p


@pytest.mark.parametrize("boundary", [None, 1])
@pytest.mark.parametrize("order", [1, 2, 5])
def test_the_equations(order, boundary):
    rng = np.random.default_rng(order)
    # Symbol 5 never occurs, and others often enough for each of the three discounts.
    V, ids = 6, rng.choice(5, 400, p=[0.4, 0.3, 0.2, 0.07, 0.03])
    ngrams, p = NGrams(ids, V, order, boundary), by_the_book(ids, V, order, boundary)
    read = rng.integers(0, V, (12, 3))
    contexts = ngrams.contexts(3)
    for t, symbols in enumerate(read):
        ngrams.read(contexts, symbols)
        ours = ngrams.probabilities(contexts)
        np.testing.assert_allclose(ours.sum(axis=0), 1, rtol=1e-6)
        theirs = [[p(v, tuple(read[: t + 1, b].tolist())) for b in range(3)] for v in range(V)]
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 3, 9])
def test_few_symbols(size):
    ngrams = NGrams(np.arange(size) % 2, 3)
    contexts = ngrams.contexts(1)
    for symbol in (0, 1, 0, 2, 1):
        ngrams.read(contexts, np.array([symbol]))
        assert ngrams.probabilities(contexts).sum() == pytest.approx(1)


def test_many_symbols_have_shorter_ngrams():
    V, rng = 60_000, np.random.default_rng(0)
    ids = rng.integers(V - 20, V, 300)
    ngrams = NGrams(ids.astype(np.uint16), V)
    assert ngrams.order == 3 < ORDER
    p, contexts = by_the_book(ids, V, 3), ngrams.contexts(1)
    for symbol in ids[100:103]:
        ngrams.read(contexts, np.array([symbol]))
    context = tuple(ids[101:103].tolist())
    expected = [p(v, context) for v in range(V - 20, V)]
    np.testing.assert_allclose(ngrams.probabilities(contexts)[-20:, 0], expected, rtol=1e-5)


def test_the_last_symbols_of_a_long_text_count(monkeypatch):
    assert MOST >= 1_000_000
    monkeypatch.setattr("charlm.text.ngrams.MOST", 50)
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 4, 120)
    short, contexts = NGrams(ids[-50:], 4), np.zeros((ORDER, 1), np.int64)
    np.testing.assert_array_equal(
        NGrams(ids, 4).probabilities(contexts), short.probabilities(contexts)
    )


def test_a_mixture_is_of_probabilities(model):
    """By hand, through a reset in the midst, and a stream that begins anew alone."""
    network, ngrams = model._model, model._ngrams
    mixed, alone = Stepper(network, 2, Mixture(ngrams, 0.3)), Stepper(network, 2)
    contexts = ngrams.contexts(2)
    for t, ids in enumerate(np.random.default_rng(0).integers(0, network.V, (12, 2))):
        if t == 5:
            mixed.reset(), alone.reset(), contexts.fill(0)
        if t == 8:
            mixed.keep(np.array([True, False])), alone.keep(np.array([True, False]))
            contexts[:, 1] = 0
        ngrams.read(contexts, ids)
        z = alone.step(ids).astype(float)
        p = np.exp(z - z.max(axis=0)) / np.exp(z - z.max(axis=0)).sum(axis=0)
        expected = 0.7 * p + 0.3 * ngrams.probabilities(contexts)
        np.testing.assert_allclose(np.exp(mixed.step(ids)), expected, rtol=2e-5)


def test_a_mixture_scores_and_draws(model, tmp_path):
    """Of a text that was learned, n-grams of eight know more than so small a network."""
    text = VERSE * 2
    alone, mixed = model.evaluate(text), model.evaluate(text, ngram_weight=0.9)
    assert mixed.carried.nats < 0.5 * alone.carried.nats
    assert mixed.cold.nats < 0.5 * alone.cold.nats
    assert model.evaluate(text, ngram_weight=0) == alone
    assert mixed.carried.nats > model.evaluate(text, ngram_weight=1).carried.nats > 0

    drawing = {"start": VERSE[:30], "seed": 1, "temperature": 0.2, "ngram_weight": 0.9}
    written = model.sample(30, **drawing)
    assert written in VERSE * 2, "the most probable text is what was learned"
    assert model.sample(30, **drawing | {"ngram_weight": 0.0}) not in VERSE * 2
    # Every stream begins behind the start text, and so do the texts that follow in it.
    for one in model.samples(70, 30, **drawing | {"temperature": 0.0}):
        assert one.text == model.sample(30, **drawing | {"temperature": 0.0})


def test_contexts_end_where_an_item_begins(tmp_path):
    """The score of items does not depend on the items before them."""
    names = ["anna", "annabel", "bob", "bobby", "carl", "carla"]
    model = charlm.load(learn_items(tmp_path / "names", names * 16))
    one, other = (model.evaluate(f"{name}\nanna\n", ngram_weight=0.5) for name in ("bob", "carl"))
    alone = {name: model.evaluate(f"{name}\n", ngram_weight=0.5) for name in ("bob", "carl")}

    def nats(evaluation):
        return evaluation.carried.nats * evaluation.carried.characters

    anna = nats(one) - nats(alone["bob"])
    assert anna == pytest.approx(nats(other) - nats(alone["carl"]), rel=1e-4)


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan"), "much"])
def test_weights_out_of_range(model, weight):
    with pytest.raises(ConfigError, match="ngram_weight: must be a number"):
        model.evaluate("sea", ngram_weight=weight)
    with pytest.raises(ConfigError, match="ngram_weight: must be a number"):
        model.sample(3, ngram_weight=weight)


def test_without_the_training_text(model, tmp_path):
    copy = tmp_path / "alone.npz"
    copy.write_bytes(model.path.read_bytes())
    alone = charlm.load(copy)
    alone.evaluate("the sea")
    with pytest.raises(CheckpointError, match="needs the text that it learned"):
        alone.evaluate("the sea", ngram_weight=0.3)


def test_commands(model, charlm, tmp_path):
    """`eval` says what it scored; what goes with the network alone is refused."""
    run, text = model.path.parent, tmp_path / "held.txt"
    text.write_text("the sea\n", newline="")
    scored = json.loads(charlm.output("eval", text, "--run", run, "--json", "--ngram-weight", 0.5))
    mixed = model.evaluate("the sea\n", ngram_weight=0.5)
    assert scored["ngram_weight"] == 0.5
    assert scored["carried"]["nats"] == pytest.approx(mixed.carried.nats)
    shown = charlm.output("eval", text, "--run", run, "--ngram-weight", 0.5)
    assert "mixed with n-grams of weight 0.5" in shown
    for other in ("--dynamic", "--heat"):
        code, _, err = charlm("eval", text, "--run", run, "--ngram-weight", 0.5, other)
        assert code == 2
        assert "the network alone" in err
    options = ("--seed", 1, "--length", 40, "--ngram-weight")
    assert charlm("sample", run, *options, 0.5)[1] == model.sample(40, seed=1, ngram_weight=0.5)
    code, _, err = charlm("sample", run, *options, 1.5)
    assert code != 0
    assert "--ngram-weight: must be a number" in err
