"""Independent items: where they end, which are held out, how they are read and scored."""

import hashlib
import itertools
import random

import numpy as np
import pytest
from helpers import SETTINGS, VERSE, change, refused
from hypothesis import given
from hypothesis import strategies as st

import charlm
from charlm.errors import CheckpointError, ConfigError, TextError
from charlm.evaluation import score
from charlm.exchange.description import from_text, to_text
from charlm.insight.characters import characters
from charlm.runs.folder import Run
from charlm.runs.loading import whole_text
from charlm.runs.resumable import find_resumable
from charlm.settings.resolve import resolve
from charlm.settings.schema import DataConfig, Overrides
from charlm.text import corpus, items
from charlm.text.batches import ItemStreams
from charlm.text.source import Source
from charlm.text.vocabulary import ByteVocabulary, Vocabulary
from charlm.training.prepare import resume_run

NAMES = [f"{first}{last}" for first in ("an", "bo", "cle", "dr") for last in ("a", "bby", "o", "x")]


def write(path, names=NAMES, end="\n"):
    path.write_text("".join(f"{name}{end}" for name in names), newline="")
    return path


SPLITS = [
    ("line", "anna\n\nbob \n  \nc", ["anna", "", "bob ", "", "c"]),
    ("line", "a\x1eb\n", ["a\x1eb"]),
    ("blank-line", "\n\nX:1\nab \n\n \t\n\n  c\nd\n \n", ["X:1\nab ", "  c\nd"]),
    ("blank-line", "a\x1eb\nc", ["a", "b\nc"]),
    ("file", "\na\n\nb\n", ["a\n\nb"]),
    ("<|end|>", "one<|end|>\ntwo\n\n<|end|><|end|>three <|end", ["one", "two", "", "three <|end"]),
    ("%%", "%%%a%%", ["", "%a"]),
]


@pytest.mark.parametrize(("how", "text", "expected"), SPLITS)
def test_where_items_end(how, text, expected):
    """However the text is cut into pieces, and at byte level too."""
    cuts = random.Random(text)
    for _ in range(60):
        places = [0, *sorted(cuts.choices(range(len(text) + 1), k=4)), len(text)]
        pieces = [text[begin:end] for begin, end in itertools.pairwise(places)]
        found = list(itertools.chain(*items.split(pieces, how)))
        assert found == expected, pieces
    for level in ("char", "byte"):
        source = Source.of_string(text, DataConfig(level=level, items=how))
        end = "\n" if how == "line" else "\x1e"
        read = [p.decode() if isinstance(p, bytes) else p for p in source.pieces()]
        assert "".join(read) == "".join(item + end for item in expected if item)


def test_files_end_items_and_carriage_returns_do_not(tmp_path):
    (tmp_path / "1.txt").write_bytes(b"a\r\n\r\nb\r\nc")
    (tmp_path / "2.txt").write_bytes(b"d\r\n")
    for how, expected in (("line", "a\nb\nc\nd\n"), ("blank-line", "a\x1eb\nc\x1ed\x1e"),
                          ("file", "a\n\nb\nc\x1ed\x1e")):  # fmt: skip
        source = Source.find([tmp_path], DataConfig(items=how))
        assert "".join(source.pieces()) == expected


@pytest.mark.parametrize("sizes", [[3, 1, 4, 2, 1, 1, 5, 2, 9, 3], [1] * 7, [40, 1, 2], [5], [1]])
@pytest.mark.parametrize(("B", "T"), [(4, 7), (3, 16), (12, 3), (1, 5)])
def test_streams_of_items(sizes, B, T):
    """What follows holds for more streams than items, and for an item longer than a stream."""
    # Item k has the symbols 10 k + 1, 10 k + 2 and so on, all distinct.
    one = [np.append(np.arange(size) % 9 + 10 * k + 1, 0) for k, size in enumerate(sizes)]
    ids = np.concatenate(one).astype(np.uint8)
    streams = ItemStreams(ids, B, T, 5, 0)
    chunks = 3 * streams.chunks + 1
    read = []
    for n in range(chunks):
        inputs, targets, fresh, keep = streams.chunk(n)
        assert inputs.shape == targets.shape == keep.shape == (T, B)
        assert not fresh
        assert np.array_equal(keep, inputs != 0)
        read.append((inputs.copy(), targets.copy()))
    whole = {tuple(item) for item in one}
    orders = []
    for epoch in range(3):
        mine = read[epoch * streams.chunks : (epoch + 1) * streams.chunks]
        columns = (
            np.concatenate([inputs for inputs, _ in mine]),
            np.concatenate([t for _, t in mine]),
        )
        seen, order = set(), []
        for inputs, targets in zip(*(part.T for part in columns), strict=True):
            assert inputs[0] == 0, "an epoch begins where items begin"
            assert np.array_equal(inputs[1:], targets[:-1]), "chunks follow each other"
            *complete, _ = np.split(targets, np.flatnonzero(targets == 0) + 1)
            order += [tuple(item) for item in complete]
            seen |= {tuple(item) for item in complete}
        assert seen == whole, "every item is read, and as a whole"
        orders.append(order)
    if len(sizes) == 10:
        assert len({tuple(order) for order in orders}) == 3, "shuffled anew"
    other = ItemStreams(ids, B, T, 5, 0)
    for n in np.random.default_rng(0).permutation(chunks).tolist():
        for found, expected in zip(other.chunk(n)[:2], read[n], strict=True):
            assert np.array_equal(found, expected), "a function of n"


def test_parts_are_drawn_by_the_seed():
    config = resolve([Overrides("test", {"data.validation": 0.2, "data.test": 0.1})]).config
    for count, expected in (
        (1000, [700, 200, 100]),
        (1, [1, 0, 0]),
        (6, [4, 1, 1]),
        (2, [2, 0, 0]),
    ):
        parts = items.draw_parts(count, config)
        assert np.bincount(parts, minlength=3).tolist() == expected
    parts = items.draw_parts(1000, config)
    assert np.array_equal(parts, items.draw_parts(1000, config))
    assert not np.array_equal(parts, items.draw_parts(1000, config.replace(train__seed=1)))
    assert 60 < np.count_nonzero(parts[:100] == 0) < 80, "from everywhere"
    most = config.replace(data__validation=0.9, data__test=0.05)
    assert np.count_nonzero(items.draw_parts(3, most) == 0) == 1, "something is learned"


@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=40), st.data())
def test_ids_hold_part_after_part(tmp_path_factory, names, data):
    path = tmp_path_factory.mktemp("parts") / "ids.bin"
    source = Source.of_string("\n".join(names), DataConfig(items="line"))
    vocabulary, counts, _ = corpus.scan(source)
    assert counts[ord("\n")] == len(names)
    assert vocabulary.start == "\n"
    parts = np.array(
        data.draw(st.lists(st.integers(0, 2), min_size=len(names), max_size=len(names)))
    )
    text = corpus.encode_to_file(source, vocabulary, path, parts=parts)
    ids = corpus.open_ids(path, vocabulary.dtype)
    found = [vocabulary.decode(part) for part in corpus.split(ids, DataConfig(), text)]
    for part, content in enumerate(found):
        assert content == "".join(
            f"{name}\n" for name, k in zip(names, parts, strict=True) if k == part
        )
    assert text.items == tuple(np.bincount(parts, minlength=3))
    assert text.ids_sha256 == hashlib.sha256(ids.tobytes()).hexdigest()
    assert corpus.encode_to_file(source, vocabulary, None, parts=parts) == text
    if text.items[0]:
        assert corpus.TextInfo.from_dict(text.as_dict()) == text
    for wrong in (parts[1:], np.append(parts, 0)):
        with refused(TextError, "<string>", "changed while it was being read"):
            corpus.encode_to_file(source, vocabulary, None, parts=wrong)


def test_the_boundary_is_the_start_symbol(tmp_path):
    for level, how, start in (("char", "blank-line", "\x1e"), ("byte", "file", "\x1e"),
                              ("byte", "line", "\n"), ("char", "line", "\n")):  # fmt: skip
        source = Source.of_string("ab\n\nc", DataConfig(level=level, items=how))
        vocabulary = corpus.scan(source)[0]
        again = Vocabulary.from_dict(vocabulary.as_dict(), "file")
        assert (vocabulary.start, again.start) == (start, start)
    assert ByteVocabulary().as_dict() == {"level": "byte"}, "as it was before"
    rare = corpus.scan(Source.of_string("aaa", DataConfig(items="file")), min_count=2)[0]
    assert rare.symbols == "\x1ea", "the boundary is never folded"
    for start in ("", "ab", "é" * 2, "가", 3):
        with refused(CheckpointError, "file", "holds no valid vocabulary"):
            Vocabulary.from_dict({"level": "byte", "start": start}, "file")


def test_notes_on_items(tmp_path):
    names = ["anna", "bob ", "", "anna", "  ", "cleo", "bob ", "dora\t"]
    source = Source.of_string("\n".join(names), DataConfig(items="line"))
    parts = np.array([0, 0, 1, 1, 0, 0])
    assert items.notes(source.item_blocks, parts) == [
        "empty items are left out: 2",
        "items that end in blanks, which are learned: 3",
        "items that repeat an earlier one: 2",
        "items to validate that are learned too: 1 of 2, as 'anna'",
    ]
    clean = Source.of_string("a\nb\nc\n", DataConfig(items="line"))
    assert items.notes(clean.item_blocks, np.array([0, 1, 0])) == []


LISTS = {
    "names": (NAMES * 20, True),
    "two words": ([f"{a} {b}" for a in NAMES for b in NAMES], True),
    "few": (NAMES * 12, False),
    "a long line": ([*NAMES * 20, "x" * 201], False),
    "sentences": ([f"{name} {name} ran away." for name in NAMES] * 20, False),
    "verse": (VERSE.splitlines() * 40, False),
    "source code": (["def f(x)", "    y = x", "    return y"] * 90, False),
    "blank lines": ([*NAMES, "", ""] * 20, False),
}


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_that_is_learned_as_one_text_is_noticed(tmp_path, kind):
    names, expected = LISTS[kind]
    path = write(tmp_path / "text.txt", names)
    said = [
        [note for note in charlm.start(path, **SETTINGS, name=name, checkpoints=tmp_path, **more).notes
         if "looks like a list" in note]
        for name, more in (("a", {}), ("b", {"items": "line"}))
    ]  # fmt: skip
    assert [len(notes) for notes in said] == [expected, 0]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model that has learned a little of a list, some items of which are long."""
    folder = tmp_path_factory.mktemp("items")
    rng = random.Random(1)
    names = ["".join(rng.choices(NAMES, k=rng.choice((1, 2, 3, 150)))) for _ in range(300)]
    path = write(folder / "names.txt", names)
    sizes = SETTINGS | {"steps": 60, "learning_rate": 0.02}
    return charlm.train(path, items="line", checkpoints=folder, progress=False, **sizes)


SCORED = ["anna", "boo", "dra" * 100, "x", "clea", "obo" * 30]


@pytest.mark.slow
def test_an_items_score_depends_on_no_other(model):
    alone = {name: model.log_probs(name).sum() for name in SCORED}
    for names in (SCORED, SCORED[::-1], SCORED * 40):
        text = "\n".join(names)
        carried, cold = model.evaluate(text)
        characters = sum(len(name) + 1 for name in names)
        assert (carried.characters, carried.items, cold.items) == (characters, *[len(names)] * 2)
        assert carried.nats * characters == pytest.approx(-sum(map(alone.get, names)), rel=1e-5)
        assert carried.nats_per_item == carried.nats * characters / len(names)
        found = np.split(model.log_probs(text), np.cumsum([len(name) + 1 for name in names])[:-1])
        for name, each in zip(names, found, strict=True):
            assert each.sum() == pytest.approx(alone[name], rel=1e-5)
        fixed = model.evaluate_dynamic(text, learning_rate=0.0)
        assert (fixed.nats, fixed.items) == (pytest.approx(carried.nats, rel=1e-5), len(names))
    short = [name for name in SCORED if len(name) < 256]
    carried, cold = model.evaluate("\n".join(short))
    assert cold.nats == pytest.approx(carried.nats, rel=1e-6)


def test_a_text_is_read_as_items_everywhere(tmp_path):
    path = write(tmp_path / "list.txt", ["ab", "ba"] * 9, end="%%")
    given = {"checkpoints": tmp_path, "hidden": 8, "steps": 2, "progress": False}
    model = charlm.train(path, items="%%", **given)
    for text in ("ab%%\n\nba%%", write(tmp_path / "read.txt", ["ab", "ba"], end="%%")):
        assert model.evaluate(text).carried.items == 2
        assert len(model.log_probs(text)) == 6
        assert model.unknown(text) == {}
    assert model.unknown("a%b%%c") == {"%": 1, "c": 1}


def test_a_long_item_is_cut_into_cold_windows(model):
    item, vocabulary = "dra" * 200, model.vocabulary
    ids = vocabulary.encode(item + "\n")
    nats = sum(
        score.carried(model._model, ids[k : k + 256], int(ids[k - 1]) if k else 0, pieces=1).nats
        * ids[k : k + 256].size
        for k in (0, 256, 512)
    )
    cold = model.evaluate("\n".join(["anna", item])).cold
    others = -model.log_probs("anna").sum()
    assert cold.nats * cold.characters == pytest.approx(nats + others, rel=1e-5)


def test_states_begin_anew_with_each_item(model):
    states = model.states("anna\ndra\nanna")
    assert np.allclose(states[:5], states[9:], atol=1e-6)
    assert np.abs(states[3:5]).max(axis=(1, 2)).min() > 0.01, "those after an item's last symbols"


def test_the_boundary_is_shown_as_a_line_end():
    ids = Vocabulary("\x1eab", "\x1e").encode("a\x1eb")
    assert characters(Vocabulary("\x1eab", "\x1e"), ids).text == "a\nb"
    assert characters(Vocabulary("\x1eab", "a"), ids).text == "a\x1eb"


def test_an_exported_description_says_what_items_are(model):
    again = from_text(to_text(model.config, model.vocabulary), "file")
    assert (again.config.data.items, again.vocabulary.start) == ("line", "\n")
    wrong = to_text(model.config, model.vocabulary).replace('"line"', "3")
    with refused(ConfigError, "file", "data.items must be"):
        from_text(wrong, "file")


def test_a_model_of_items_needs_its_own_boundary(model, tmp_path):
    path = write(tmp_path / "tunes.txt", ["X:1\nabc", "X:2\ncba"] * 9, end="\n\n")
    given = {"init_from": model.path, "checkpoints": tmp_path, "steps": 2, "batch_size": 2}
    with refused(ConfigError, "init_from", "begins with '\\n', and these items end with '\\x1e'"):
        charlm.start(path, items="blank-line", **given)
    assert charlm.start(path, items="line", **given).plan.items == 36


@pytest.mark.parametrize(
    ("content", "how", "error", "where", "problem"),
    [("a\nb\n", "%%", ConfigError, "data.items", "separates nothing in"),
     ("\n \n\n", "line", TextError, None, "is empty"),
     ("", "file", TextError, None, "is empty")],
)  # fmt: skip
def test_what_is_no_list(tmp_path, content, how, error, where, problem):
    path = tmp_path / "list.txt"
    path.write_text(content)
    with refused(error, where or path, problem):
        charlm.start(path, items=how, checkpoints=tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["list.txt"]


@pytest.mark.parametrize(
    ("names", "settings"),
    [(["ab"], {}), (["ab"] * 3, {}), (["x" * 3000, "a"], {}), (NAMES * 9, {"seq_len": "full"}),
     (NAMES, {"level": "byte", "items": "blank-line"}), (NAMES * 3, {"min_count": 40}),
     (NAMES, {"validation": 0.0, "test": 0.5}), (["한글", "é\u0301"] * 9, {"cell": "gru"})],
)  # fmt: skip
def test_small_lists_are_learned(tmp_path, names, settings):
    path = write(tmp_path / "list.txt", names, end="\n\n" if "level" in settings else "\n")
    given = {"hidden": 8, "steps": 5, "validate_every": 2, "items": "line"} | settings
    model = charlm.train(path, checkpoints=tmp_path / "runs", progress=False, **given)
    assert model.evaluate(path).carried.items == len(names)


def test_ids_of_items_are_checked_and_made_again(tmp_path):
    path = write(tmp_path / "list.txt", NAMES * 9 + [""] * 900)
    training = charlm.start(path, items="line", name="a", checkpoints=tmp_path, **SETTINGS)
    model = training.run(progress=False)
    run = Run(model.path.parent)
    ids = np.array(whole_text(model._trained, model.path))
    assert training.plan.items == 144
    assert model.training_text.size == training.plan.training
    assert find_resumable(run).intact
    run.ids.write_bytes(b"damaged")
    resumed = resume_run(run).trainer
    assert np.array_equal(resumed.ids, ids)
    resumed.run.release()
    text = dict(vars(resumed.text))
    ends = text["ends"]
    for wrong in ({"items": [10**12, 0, 0]}, {"items": [1, 1, 1], "ends": [3, 2, ends[2]]},
                  {"items": [-1, 1, 1]}, {"items": [1, 1]}, {"items": "abc"}, {"ends": [1.0, 2, 3]},
                  {"items": [], "ends": []}, {"items": [0, *text["items"][1:]]},
                  {"ends": [float(ends[0]), *ends[1:]]},
                  {"ends": [ends[0] - 1, *ends[1:]]}):  # fmt: skip
        change(run.last, text=text | wrong)
        with pytest.raises(CheckpointError):
            find_resumable(run)


def test_the_command_learns_and_scores_items(charlm, tmp_path):
    path = write(tmp_path / "names.txt", NAMES * 9)
    sizes = ["--hidden", 8, "--batch-size", 4, "--seq-len", 8, "--steps", 5]
    code, _, err = charlm("train", path, "--items", "line", *sizes)
    assert code == 0
    assert "144 items, 684 characters" in err
    assert "nats per item" in charlm.output("eval", path)
    assert '"nats_per_item"' in charlm.output("eval", path, "--json")
