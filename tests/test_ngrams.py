"""n-grams: Kneser-Ney's equations one by one, and their mixture with a network."""

import json
from collections import Counter, defaultdict

import numpy as np
import pytest
from helpers import VERSE, learn_items

import charlm
from charlm.errors import CheckpointError, ConfigError
from charlm.evaluation import score
from charlm.nn.stepper import Mixture, Stepper
from charlm.text.ngrams import MOST, ORDER, NGrams

FAST = {"hidden": 16, "steps": 30, "batch_size": 4, "seq_len": 8, "sample_length": 0}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learned")
    (folder / "verse.txt").write_text(VERSE * 40, newline="")
    return charlm.train(folder / "verse.txt", checkpoints=folder / "runs", **FAST)


def by_the_book(ids, V, order):
    """Return p(v, read) as the equations have it, from dictionaries; `read` is all that is known."""
    ids = tuple(map(int, ids))
    occurring = [Counter(ids[i : i + n] for i in range(len(ids) - n + 1)) for n in range(order + 1)]
    preceding = [defaultdict(set) for _ in range(order + 1)]
    for n in range(1, order):
        for ngram in occurring[n]:
            preceding[n][ngram] = set()
        for longer in occurring[n + 1]:
            preceding[n][longer[1:]].add(longer[0])
    preceding = [
        {ngram: max(1, len(before)) for ngram, before in each.items()} for each in preceding
    ]

    def discount(counts, count):
        t = Counter(counts.values())
        t1, t2, t3, t4 = (max(1, t[k]) for k in (1, 2, 3, 4))
        Y = t1 / (t1 + 2 * t2)
        D = {1: 1 - 2 * Y * t2 / t1, 2: 2 - 3 * Y * t3 / t2, 3: 3 - 4 * Y * t4 / t3}
        return max(0.05, D[min(count, 3)])

    def p(v, context, counts):
        n = len(context) + 1
        shorter = p(v, context[1:], preceding[n - 1]) if context else 1 / V
        following = {ngram[-1]: count for ngram, count in counts.items() if ngram[:-1] == context}
        if not following:
            return shorter
        left, total = sum(discount(counts, c) for c in following.values()), sum(following.values())
        own = following[v] - discount(counts, following[v]) if v in following else 0
        return (own + left * shorter) / total

    def highest(v, read):
        context = tuple(read)[len(read) - min(len(read), order - 1) :]
        return p(v, context, occurring[len(context) + 1])

    return highest


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64])
@pytest.mark.parametrize("order", [1, 2, 5])
def test_the_equations(order, dtype):
    rng = np.random.default_rng(order)
    # Symbol 5 never occurs, and others often enough for each of the three discounts.
    V, ids = 6, rng.choice(5, 400, p=[0.4, 0.3, 0.2, 0.07, 0.03]).astype(dtype)
    ngrams, p = NGrams(ids, V, order), by_the_book(ids, V, order)
    read = rng.integers(0, V, (12, 3)).astype(dtype)
    contexts = ngrams.contexts(3)
    for t in range(12):
        ours = ngrams.probabilities(contexts)
        np.testing.assert_allclose(ours.sum(axis=0), 1, rtol=1e-6)
        theirs = [[p(v, read[:t, b].tolist()) for b in range(3)] for v in range(V)]
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
        ngrams.read(contexts, read[t])


@pytest.mark.parametrize("text", ["a", "ab", "aab", "ab" * 100, "abcabcabd" * 4, "abcdefgh" * 5])
def test_few_and_repeated_symbols(text):
    """All that can follow is possible, and what was learned by heart is likely."""
    V, ids = 9, np.frombuffer(text.encode(), np.uint8) - ord("a")
    ngrams = NGrams(ids, V)
    contexts = ngrams.contexts(1)
    for symbol in [*ids[:20].tolist(), 8, 0]:
        p = ngrams.probabilities(contexts)[:, 0]
        assert p.sum() == pytest.approx(1)
        assert p.min() > 0
        ngrams.read(contexts, np.array([symbol]))
    if text == "ab" * 100:
        likely, contexts = [], ngrams.contexts(1)
        for symbol in ids[:50].tolist():
            likely.append(ngrams.probabilities(contexts)[symbol, 0])
            ngrams.read(contexts, np.array([symbol]))
        assert min(likely[1:]) > 0.8


def test_many_symbols_have_shorter_ngrams():
    V, rng = 60_000, np.random.default_rng(0)
    ids = rng.integers(V - 20, V, 300)
    ngrams = NGrams(ids.astype(np.uint16), V)
    assert ngrams.order == 3 < ORDER
    p, contexts = by_the_book(ids, V, 3), ngrams.contexts(1)
    for symbol in ids[100:103]:
        ngrams.read(contexts, np.array([symbol]))
    expected = [p(v, ids[100:103].tolist()) for v in range(V - 20, V)]
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
    """By hand, where all streams are reset, and where one is."""
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


def test_a_mixture_scores_and_draws(model):
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


def test_only_the_training_part_is_counted(tmp_path):
    """Held-out text of other characters is as unlikely as what never occurs."""
    text = tmp_path / "halves.txt"
    text.write_text("abcd " * 200 + "wxyz " * 200, newline="")
    model = charlm.train(text, checkpoints=tmp_path, validation=0.25, test=0.25, **FAST)
    seen, unseen = (
        model.evaluate(t, ngram_weight=1).carried.nats for t in ("abcd " * 9, "wxyz " * 9)
    )
    assert seen < 0.5
    assert unseen > 2


def test_pieces_side_by_side_are_as_one(model):
    """Contexts are carried from the characters that a piece is warmed up on."""
    network, mixture = model._model, Mixture(model._ngrams, 0.5)
    ids = model.vocabulary.encode((VERSE * 80)[:9_600]).astype(np.intp)
    many, one = (score.carried(network, ids, 0, pieces=n, mixture=mixture).nats for n in (16, 1))
    assert many == pytest.approx(one, rel=2e-3)


def test_items_are_drawn_from_the_mixture(tmp_path):
    names = ["anna", "bob", "carl", "dora"]
    model = charlm.load(learn_items(tmp_path / "names", names * 40, steps=1))
    drawn = {*model.items(60, length=9, ngram_weight=1.0, temperature=0.5, seed=1)}
    assert drawn == {*names}
    assert not {*model.items(9, length=9, temperature=0.5, seed=1)} & {*names}


def test_an_underflow_leaves_the_loss_finite(model):
    sure = charlm.load(model.path)
    sure.parameters["output.b"][0] = 300
    assert 80 < sure.evaluate("sea", ngram_weight=1e-45).carried.nats < 300


@pytest.mark.parametrize("weight", [0.3, np.float32(0.3), 1, np.int64(1)])
def test_weights_are_numbers(model, weight):
    assert model.evaluate("sea", ngram_weight=weight) == model.evaluate(
        "sea", ngram_weight=float(weight)
    )


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan"), "much", None, True])
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
        assert "excludes --dynamic and --heat" in err
    options = ("--seed", 1, "--length", 40, "--ngram-weight")
    assert charlm("sample", run, *options, 0.5)[1] == model.sample(40, seed=1, ngram_weight=0.5)
    code, _, err = charlm("sample", run, *options, 1.5)
    assert code != 0
    assert "--ngram-weight: must be a number" in err
