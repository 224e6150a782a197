"""Items that are drawn: each begins and ends where items do, and they follow the learned list."""

import json
import shutil
import subprocess
import sys
import tracemalloc
from collections import Counter

import numpy as np
import pytest
from helpers import environment, learn_items, refused, write_checkpoint

import charlm as library
from charlm import language_model, randomness
from charlm.errors import ConfigError
from charlm.generation.filters import Filters

LETTERS = np.random.default_rng(1)
NAMES = ["".join(LETTERS.choice(list("abcde"), size)) for size in LETTERS.integers(2, 7, 200)]


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """A model that has learned a list of names of two to six letters."""
    return library.load(learn_items(tmp_path_factory.mktemp("run") / "names", NAMES, steps=1500))


def log_prob(model, text: str, *, ended: bool = True) -> float:
    """Score an item behind its boundary, alone, by the training forward."""
    ids = model.vocabulary.encode("\n" + text + "\n" * ended).astype(int)
    z = model.forward(ids[:-1, None])[0][:, :, 0].astype(float)
    return float((z[np.arange(ids.size - 1), ids[1:]] - np.log(np.exp(z).sum(axis=1))).sum())


def chi_square(found: list, expected: list) -> tuple[float, int]:
    """Return Pearson's statistic of what was drawn from a distribution, and its df."""
    drawn, shares = Counter(found), Counter(expected)
    wanted = {key: len(found) * n / len(expected) for key, n in shares.items()}
    # A model gives nothing the probability 0.
    assert sum(drawn[k] for k in drawn.keys() - wanted.keys()) <= 0.005 * len(found)
    return sum((drawn[k] - n) ** 2 / n for k, n in wanted.items()), len(wanted) - 1


@pytest.mark.slow
def test_lengths_and_first_letters_follow_the_list(tmp_path):
    """At temperature 1; 2,000 draws from the list itself are above the bound once in 10,000."""
    items = [first + "vwxyz"[:size] for first, many in (("a", 9), ("b", 5), ("c", 3), ("d", 2), ("e", 1))
             for size, more in enumerate((1, 4, 2, 0, 3), 1) for _ in range(many * more)]  # fmt: skip
    model = library.load(learn_items(tmp_path / "run", items, steps=1500))
    drawn = list(model.samples(2000, temperature=1, seed=1))
    assert all(one.ended for one in drawn)
    for trait, most, df in ((len, 21.1, 3), (lambda text: text[0], 23.5, 4)):
        found = chi_square([trait(one.text) for one in drawn], list(map(trait, items)))
        assert found[1] == df
        assert found[0] < most


@pytest.mark.parametrize("count", [1, 3, 100])
def test_an_item_is_scored_as_it_is_alone(names, count):
    """Its end is scored, where it has one, and what was drawn beyond the length is not."""
    for one in names.samples(count, 4, temperature=1.5, seed=2):
        assert one.log_prob == pytest.approx(log_prob(names, one.text, ended=one.ended), rel=1e-4)
        assert one.characters == one.symbols == len(one.text) + one.ended
        assert one.ended or len(one.text) == 4
        assert len(one.text) >= 1


def by_hand(model, B: int, n: int, length: int, start: str = "", least: int = 1, stop: str = "?"):
    """Draw texts stream by stream, and order them by the step at which they begin."""
    rng, vocabulary = randomness.generator(5, randomness.SAMPLES, 0), model.vocabulary
    numbers, done = rng.random((400, B)), []
    for b in range(B):
        text, begin = "", 0
        for step in range(400):
            ids = vocabulary.encode("\n" + start + text).astype(int)
            z = model.forward(ids[:, None])[0][-1, :, 0].copy()
            if len(text) < least:
                z[vocabulary.start_id] = -np.inf
            ladder = np.cumsum(Filters(1.2).weigh(z).astype(float))
            drawn = vocabulary.symbols[
                np.searchsorted(ladder, numbers[step, b] * ladder[-1], "right")
            ]
            over = drawn == "\n" or len(text) == length
            text += drawn * (not over)
            if over or (text.endswith(stop) and len(text) >= least):
                done.append((begin, b, text))
                text, begin = "", step + 1
    return [text for _, _, text in sorted(done)[:n]]


@pytest.mark.parametrize(
    "options",
    [{"length": 9}, {"length": 3}, {"length": 9, "start": "ab"}, {"length": 6, "least": 5},
     {"length": 9, "stop": "a"}, {"length": 9, "stop": "a", "least": 4}],
)  # fmt: skip
def test_streams_begin_the_next_item_at_once(names, monkeypatch, options):
    monkeypatch.setattr(language_model, "_STREAMS", 3)
    least, length = options.get("least", 1), options["length"]
    drawing = {"start": options.get("start", ""), "stop": options.get("stop", "?")}
    least = 0 if drawing["start"] else least
    texts = by_hand(names, 3, 40, length, least=least, **drawing)
    drawing |= {"min_length": options.get("least", 0), "temperature": 1.2, "seed": 5}
    assert [one.written for one in names.samples(40, length, **drawing)] == texts


def test_one_item_ends_where_it_ends(names):
    text = names.sample(seed=4, temperature=1)
    assert (
        text
        == "".join(names.stream(seed=4, temperature=1))
        == next(names.items(1, seed=4, temperature=1))
    )
    sampler = names.sampler(seed=4, temperature=1)
    assert ("".join(sampler.characters(len(text))), sampler.ended) == (text, [True]), "just as long"
    sampler = names.sampler(seed=4, temperature=1)
    assert ("".join(sampler.characters(1)), sampler.ended) == (text[:1], [False])


def test_memory_does_not_grow(names):
    def peak(count: int) -> int:
        tracemalloc.start()
        for _ in names.samples(count, seed=1, temperature=1):
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    few = peak(500)
    assert peak(5000) < 1.3 * few


def test_samples_while_training_are_items(tmp_path):
    (tmp_path / "list.txt").write_text("abc\n\nabd\n\n" * 100)
    training = library.start(
        tmp_path / "list.txt", items="blank-line", checkpoints=tmp_path, layers=1, hidden=24, steps=100,
        batch_size=8, seq_len=16, learning_rate=0.03, sample_length=40,
    )  # fmt: skip
    text = [event.text for event in training if isinstance(event, library.Sampled)][-1]
    assert len(text) == 40
    assert {"abc", "abd"} <= set(text.split("\n"))
    assert "\x1e" not in text


def test_new_and_unique(names):
    drawn = list(names.samples(300, new=True, unique=True, compare=True, seed=3, temperature=1))
    assert [one.index for one in drawn] == list(range(300))
    assert len({one.text for one in drawn}) == 300
    assert not {one.text for one in drawn} & set(NAMES)
    known = list(names.samples(300, compare=True, seed=3, temperature=1))
    assert [one.known for one in known] == [one.text in NAMES for one in known]
    assert len({one.known for one in known}) == 2
    assert all(one.known is None for one in names.samples(9, unique=True))
    assert names.known_items([NAMES[0], NAMES[1][:-1] + "?", "", "\n", NAMES[0] + "\n"]) == [
        True, False, False, False, False,
    ]  # fmt: skip
    # What is left out is counted, and the others come as they would without it.
    every = [one.text for one in names.samples(800, seed=3, temperature=1)]
    samples = names.samples(20, new=True, unique=True, seed=3, temperature=1)
    fresh = list(dict.fromkeys(text for text in every if text not in NAMES))[:20]
    assert [one.text for one in samples] == fresh
    before = every[: every.index(fresh[-1]) + 1]
    assert samples.known == sum(text in NAMES for text in before) > 0
    assert samples.repeated == len(before) - samples.known - 20


def test_nothing_new_is_one_error(names, monkeypatch):
    monkeypatch.setattr(language_model, "_IN_A_ROW", 50)
    samples = names.samples(300, unique=True, temperature=0, seed=1)
    with refused(ConfigError, "sample", "found 1 of 300 items, and left out the last 50 in a row "
                 "(0 in the learned list, 50 repeated)", "draw fewer, or at a higher temperature"):  # fmt: skip
        list(samples)


@pytest.mark.parametrize(
    ("call", "where", "problem"),
    [
        (lambda m: m.sample(start="a\n"), "start", "holds '\\n', which stands between items"),
        (lambda m: m.samples(2, 5, min_length=6), "min_length", "must be at most length (5), got 6"),
        (lambda m: m.stream(5, min_length=6), "min_length", "must be at most length (5), got 6"),
        (lambda m: m.sample(min_length=-1), "min_length", "must be at least 0, got -1"),
        (lambda m: m.items(0), "count", "must be at least 1, got 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn(names, call, where, problem):
    with refused(ConfigError, where, problem):
        call(names)


def test_a_model_of_one_text_has_no_items(charlm, tmp_path):
    path = write_checkpoint(tmp_path / "m.npz")
    for call in (lambda m: m.items(2), lambda m: m.samples(2, new=True)):
        with pytest.raises(ConfigError, match="only for a model of independent items; train one"):
            call(library.load(path))
    for option in ("--new", "--unique"):
        code, out, err = charlm("sample", path, option)
        assert (code, out) == (2, "")
        assert "--new and --unique need a model of items" in err


@pytest.fixture
def run(charlm, names, tmp_path):
    """The program, in a folder that has the run."""
    shutil.copytree(names.path.parent, tmp_path / "checkpoints" / "names")
    return charlm


def test_a_list_is_written(run, names):
    options = ["sample", "--seed", 1, "--temp", 1]
    said = "checkpoints/names/last.npz, seed 1\n"
    texts = list(names.items(20, seed=1, temperature=1, start="b"))
    assert run(*options, "--count", 20, "--start", "b") == (0, "\n".join(texts) + "\n", said)
    assert all(text.startswith("b") for text in texts)
    one = next(names.items(1, seed=1, temperature=1))
    assert run(*options) == (0, one + "\n", said)
    code, out, err = run(*options, "--count", 30, "--new", "--unique")
    samples = names.samples(30, new=True, unique=True, seed=1, temperature=1)
    assert out.splitlines() == [one.text for one in samples]
    left_out = f"left out: {samples.known} in the learned list, {samples.repeated} repeated\n"
    assert (code, err) == (0, said + left_out)
    code, out, err = run(*options, "--count", 50, "--length", 3, "--min-length", 3)
    cut = sum(not one.ended for one in names.samples(50, 3, min_length=3, seed=1, temperature=1))
    assert {len(line) for line in out.splitlines()} == {3}
    assert err == f"{said}cut at 3 characters, before their end: {cut} of 50 items\n"
    for options in (["--min-length", 9, "--length", 8], ["--color", "--new"]):
        assert run("sample", *options)[0] == 2


def test_json_of_items(run, names, tmp_path):
    options = ["sample", "--seed", 1, "--temp", 1, "--count", 9, "--length", 4, "--json"]
    lines = [json.loads(line) for line in run(*options)[1].splitlines()]
    for line, one in zip(lines, names.samples(9, 4, seed=1, temperature=1), strict=True):
        assert (line["text"], line["known"]) == (one.text, one.text in NAMES)
        assert (line["ended"], line["symbols"]) == (one.ended, len(one.text) + one.ended)
        expected = log_prob(names, one.text, ended=one.ended)
        assert line["log_probability"] == pytest.approx(expected, rel=1e-4)
        assert line["nats_per_character"] == pytest.approx(-expected / line["symbols"], rel=1e-4)
    assert {line["ended"] for line in lines} == {True, False}
    shutil.copy(names.path, tmp_path / "alone.npz")
    options[1:1] = ["alone.npz"]
    _, out, err = run(*options)
    assert [json.loads(line) for line in out.splitlines()] == [
        line | {"known": None} for line in lines
    ]
    assert "no item is looked up in the learned list: alone.npz: needs the text" in err
    assert run(*options, "--new")[:2] == run(*options, "--check-copy")[:2] == (1, "")


def test_known_items_are_copies(run, names):
    for count, texts in ((1, [names.sample(seed=8, temperature=1)]),
                         (40, list(names.items(40, seed=8, temperature=1)))):  # fmt: skip
        _, out, err = run("sample", "--seed", 8, "--temp", 1, "--count", count, "--check-copy")
        assert out.splitlines() == texts
        known = [text for text in texts if text in NAMES]
        more = f", and {len(known) - 8} more" * (len(known) > 8)
        expected = f"copy: {len(known)} of {count} items stand in the learned list: {', '.join(known[:8])}{more}"
        assert err.splitlines()[1:] == [
            expected if known else f"no copy: none of {count} items stands in the learned list"
        ]


def test_items_are_separated_as_in_their_list(charlm, tmp_path):
    for how, between in (("blank-line", "\n\n"), ("file", "\n\n"), ("%%", "\n%%\n")):
        name = how.replace("%", "p")
        path = learn_items(tmp_path / "checkpoints" / name, ["a\nb", "b\na"] * 100, how)
        texts = list(library.load(path).items(5, 9, seed=1))
        assert not any("\x1e" in text for text in texts)
        for count in (5, 1):
            out = charlm("sample", name, "--count", count, "--length", 9, "--seed", 1)[1]
            expected = texts if count == 5 else [library.load(path).sample(9, seed=1)]
            assert out == "".join(text + between for text in expected)


@pytest.mark.slow
def test_head_may_leave_a_million(run, tmp_path):
    process = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m charlm sample --count 1000000 --seed 1 | head -3"],
        cwd=tmp_path, env=environment(), capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert (process.returncode, process.stdout.count(b"\n")) == (0, 3)
    assert process.stderr.decode() == "checkpoints/names/last.npz, seed 1\n"
