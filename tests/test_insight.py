"""What happens inside: read off the network's own forward, and equal to the equations by hand."""

import math

import numpy as np
import pytest
from conftest import VERSE, open_ids, settings

import charlm
from charlm.errors import CheckpointError, TextError, UnknownCharacter
from charlm.insight import oddities, units
from charlm.insight.characters import characters, names
from charlm.insight.excerpt import of_file, of_run
from charlm.insight.oddities import OddityFinder
from charlm.insight.properties import PROPERTIES, properties
from charlm.insight.reading import Reader, saturation
from charlm.nn import reference
from charlm.nn.model import Model
from charlm.nn.stepper import Stepper
from charlm.runs.loading import load_model
from charlm.settings.schema import Config
from charlm.text.corpus import TextInfo
from charlm.text.vocabulary import ByteVocabulary, Vocabulary
from charlm.training.trainer import Trainer

V, H, START = 9, 7, 2
CELLS = ("lstm", "gru", "rnn")


def memory(model, ids, start_id):
    return Reader(model, start_id).read(ids, states=True).states


def surprise(model, ids, start_id, top=0):
    return Reader(model, start_id).read(ids, top=top).surprise


def network(cell, layers=1, seed=0):
    """Return a network with random weights, large enough to drive gates to their ends."""
    config = Config().replace(
        model__cell=cell, model__layers=layers, model__hidden=H, model__embedding="one-hot"
    )
    model = Model(config.model, V, np.float64, training=False)
    rng = np.random.default_rng(seed)
    model.parameters.flat[:] = rng.normal(0, 1.5, model.parameters.flat.shape)
    model.refresh()
    return model


def by_hand(model, cell, ids):
    """Return (N, H) memories and (N, H) gates by name, of a network of one layer."""
    weights = {name.rpartition(".")[2]: q for name, q in model.parameters.views.items()
               if name.startswith(cell)}  # fmt: skip
    read = np.concatenate([[START], ids])
    x, zero = [np.eye(V)[:, [k]] for k in read], np.zeros((H, 1))
    if cell == "gru":
        bx, bh = weights["bx"].ravel(), weights["bh"].ravel()
        hs = reference.gru(x, zero, weights["Wx"], bx, weights["Wh"], bh)[0]
        before = [zero, *hs][:-1]
        a = [weights["Wx"] @ q + weights["Wh"] @ h + (bx + bh)[:, None]
             for q, h in zip(x, before, strict=True)]  # fmt: skip
        order = "rz"
    elif cell == "lstm":
        b = weights["b"].ravel()
        hs = reference.lstm(x, zero, zero, weights["Wx"], weights["Wh"], b)[0]
        before = [zero, *hs][:-1]
        a = [weights["Wx"] @ q + weights["Wh"] @ h + b[:, None]
             for q, h in zip(x, before, strict=True)]  # fmt: skip
        order = "ifo"
    else:
        hs = reference.rnn(x, zero, weights["Wx"], weights["Wh"], weights["b"].ravel())[0]
        a, order = [], ""
    gates = {
        gate: np.array([reference.sigmoid(q[k * H : (k + 1) * H, 0]) for q in a[1:]])
        for k, gate in enumerate(order)
    }
    hidden = np.array([h[:, 0] for h in hs[1:]])
    # h = o tanh(c)
    return hidden / gates["o"] if cell == "lstm" else hidden, gates


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("N", [1, 127, 128, 129, 300])
def test_memories_and_gates_are_those_of_the_equations(cell, N):
    model, ids = network(cell), np.random.default_rng(N).integers(0, V, N).astype(np.uint8)
    expected, gates = by_hand(model, cell, ids)
    found = memory(model, ids, START)
    assert found.shape == (N, 1, H)
    assert np.abs(found[:, 0] - expected).max() < 1e-9
    told = saturation(Reader(model, START).pieces(ids, gates=True))
    assert [(q.layer, q.gate) for q in told] == [(0, gate) for gate in gates]
    for q in told:
        assert np.array_equal(q.below, (gates[q.gate] < 0.1).mean(axis=0))
        assert np.array_equal(q.above, (gates[q.gate] > 0.9).mean(axis=0))
        assert N == 1 or 0 < q.below.mean() < 1


@pytest.mark.parametrize("cell", CELLS)
def test_memories_of_several_layers_are_where_they_belong(cell):
    model, ids = network(cell, layers=3), np.random.default_rng(1).integers(0, V, 200)
    found, stepper = memory(model, ids, START), Stepper(model, 1)
    for k, read in enumerate([START, *ids]):
        stepper.step(np.array([read]))
        for layer, state in enumerate(stepper.state):
            kept = np.tanh(state[1]) if cell == "lstm" else state[0]
            assert k == 0 or np.abs(found[k - 1, layer] - kept[:, 0]).max() < 1e-12
    told = saturation(Reader(model, START).pieces(ids, gates=True))
    assert sorted({q.layer for q in told}) == ([] if cell == "rnn" else [0, 1, 2])


def test_no_text_has_no_share_of_time():
    with pytest.raises(ValueError, match="empty"):
        saturation(Reader(network("lstm"), START).pieces(np.empty(0, np.uint8), gates=True))
    assert memory(network("lstm"), np.empty(0, np.uint8), START).shape == (0, 1, H)


@pytest.mark.parametrize("top", [0, 1, 4, V, V + 5])
def test_surprise_by_hand(top):
    model, ids = network("gru", 2), np.random.default_rng(3).integers(0, V, 60).astype(np.uint8)
    seen = surprise(model, ids, START, top)
    cache = model.cache(60, 1)
    model.forward(np.concatenate([[START], ids[:-1]])[:, None], model.zero_state(1), cache)
    for t in range(60):
        z = model.output.forward(cache.output, t)[:, 0].copy()
        p = np.exp(z) / np.exp(z).sum()
        assert seen.bits[t] == pytest.approx(-math.log2(p[ids[t]]), abs=1e-9)
        assert seen.likeliest[t].tolist() == np.argsort(-p)[:top].tolist()
        assert seen.probabilities[t] == pytest.approx(np.sort(p)[::-1][:top], abs=1e-6)
    assert seen.nats / math.log(2) == pytest.approx(seen.bits)


def test_reading_in_pieces_is_reading_at_once():
    model, ids = network("lstm", 2), np.random.default_rng(4).integers(0, V, 50)
    reader, whole = Reader(model, START), surprise(model, ids, START, 3)
    parts = [reader.read(some, top=3).surprise for some in (ids[:1], ids[1:1], ids[1:])]
    for name in whole._fields:
        joined = np.concatenate([getattr(part, name) for part in parts])
        assert np.array_equal(joined, getattr(whole, name)), name


# Characters


def test_characters_of_a_vocabulary():
    vocabulary = Vocabulary("\n abé", "\n", unknown=True)
    spelled = characters(vocabulary, np.array([2, 5, 4, 0]))
    assert spelled.text == "a\ufffdé\n"
    assert spelled.sums(np.array([1.0, 2, 4, 8])).tolist() == [1, 2, 4, 8]
    assert names(vocabulary) == ["'\\n'", "' '", "a", "b", "é", "rare"]


@pytest.mark.parametrize(
    ("content", "text", "lengths"),
    [
        ("aé한🙂\n".encode(), "aé한🙂\n", [1, 2, 3, 4, 1]),
        (b"\xed\x95", "\ufffd", [2]),
        (b"\xed\x95a", "\ufffda", [2, 1]),
        (b"a\xffb\xff", "a\ufffdb\ufffd", [1, 1, 1, 1]),
        (b"", "", []),
    ],
)
def test_characters_of_bytes(content, text, lengths):
    ids = np.frombuffer(content, np.uint8)
    spelled = characters(ByteVocabulary(), ids)
    assert spelled.text == text
    assert (spelled.ends - spelled.begins).tolist() == lengths
    assert spelled.sums(np.ones(ids.size)).tolist() == lengths
    if lengths:
        assert spelled.lasts(np.arange(ids.size))[-1] == ids.size - 1


def test_names_of_bytes_can_be_told_apart():
    told = names(ByteVocabulary())
    assert len(set(told)) == 256
    assert (told[10], told[65], told[0x1B], told[0xED]) == ("'\\n'", "A", "'\\x1b'", "0xed")


# Properties


def marks(name, text):
    return "".join(f"{q:.0f}" for q in PROPERTIES[name](text))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("inside a speaker's name", "A B:\nHo: no\n\nC:\nd", "11110000000001100"),
        ("inside a speaker's name", "a: b\nC:\n", "00000000"),
        ("after a colon", "a:bcdefghijklm", "00111111111100"),
        ("upper case", "aB É한1", "010100"),
        ("position in the line", "abc\n\nde", "0123001"),
        ("line length", "abc\n\nde", "3333022"),
        ("line length", "ab\n", "222"),
        ("quotation depth", 'a"b"c “d “e”f”g', "011000111221100"),
        ("quotation depth", 'a"b\n\nc', "011100"),
        ("bracket depth", "a(b[c])d)(", "0112210001"),
        ("vowel next", "be áx", "10100"),
    ],
)
def test_properties(name, text, expected):
    assert marks(name, text) == expected


def test_every_property_is_told_of_every_character():
    for text in ("", "a", "\n", VERSE, VERSE.rstrip("\n")):
        for name, values in properties(text).items():
            assert values.shape == (len(text),), name
            assert np.isfinite(values).all(), name


# Cells


def planted(N=3000, seed=0):
    """Return noise with units that tell: 0.1 of `step`, 1.2 of its opposite, 1.3 of it by luck."""
    rng = np.random.default_rng(seed)
    states = rng.normal(0, 0.3, (N, 2, 5))
    told = {"step": (rng.random(N) < 0.3).astype(float), "ramp": rng.random(N),
            "never": np.zeros(N), "late": (np.arange(N) >= units.held_out(N)).astype(float)}  # fmt: skip
    states[:, 0, 1] += told["step"]
    states[:, 1, 2] -= 3 * told["ramp"]
    states[: units.held_out(N), 1, 3] += 9 * told["step"][: units.held_out(N)]
    return states, told


def test_planted_units_are_found():
    states, told = planted()
    found = units.find_units(states, told, 4)
    first = {q.property: q for q in reversed(found)}
    assert (first["ramp"].layer, first["ramp"].unit) == (1, 2)
    cut = units.held_out(3000)
    expected = np.corrcoef(states[cut:, 1, 2], told["ramp"][cut:])[0, 1]
    assert first["ramp"].correlation == pytest.approx(expected, abs=1e-5)
    assert expected < -0.9
    assert len({(q.layer, q.unit) for q in found}) == 4
    strengths = [abs(q.correlation) for q in found]
    assert strengths == sorted(strengths, reverse=True)
    assert {q.property for q in found} == {"step", "ramp"}, "what does not change cannot be told"


def test_luck_is_found_out_on_the_held_out_part():
    """Unit 1.3 tells `step` best where units are chosen, and nothing of it after that."""
    states, told = planted()
    (lucky,) = units.find_units(states, {"step": told["step"]}, 1)
    assert (lucky.layer, lucky.unit) == (1, 3)
    assert abs(lucky.correlation) < 0.1


def test_each_property_has_a_place_before_any_has_two():
    rng = np.random.default_rng(5)
    told = {str(k): rng.random(900) for k in range(4)}
    states = rng.normal(0, 1, (900, 1, 40))
    states[:, 0, :20] = told["0"][:, None]
    found = units.find_units(states, told, 6)
    counts = [[q.property for q in found].count(name) for name in told]
    assert sum(counts) == 6
    assert max(counts) <= 2
    assert min(counts) >= 1
    assert len(units.find_units(states[:, :, :3], told, 10)) == 3


def test_correlations_are_pearsons():
    rng = np.random.default_rng(6)
    states, values = rng.normal(2, 3, (500, 4)), rng.normal(-1, 2, (500, 3))
    states[:, 0] += values[:, 1]
    values[:, 2] = 7
    r = units.correlations(states, values)
    assert r[:, :2] == pytest.approx(np.corrcoef(states.T, values[:, :2].T)[:4, 4:], abs=1e-5)
    assert np.array_equal(r[:, 2], np.zeros(4)), "what never changes correlates with nothing"


def test_too_little_to_be_measured():
    for N in (0, 1, 299):
        assert units.find_units(np.ones((N, 1, 3)), {"odd": np.arange(N) % 2.0}) == []
    assert len(units.find_units(np.ones((300, 1, 3)), {"odd": np.arange(300) % 2.0})) == 3


def test_the_telling_part_is_where_a_property_changes():
    text = "plain words\n" * 60 + "(a) b (c) d\n" * 3 + "plain words\n" * 20
    begin, end = units.most_varying(text, PROPERTIES["bracket depth"](text), 36)
    assert text[begin:end] == "(a) b (c) d\n" * 2 + "(a) b (c) d"
    assert units.most_varying("ab", np.zeros(2), 36) == (0, 2)
    for text, end in {
        "ab\n\ncd\nef|gh": 6,
        "abcdef\n\ng\nh|i": 6,
        "abcd|ef": 4,
        "ab\ncd|": 5,
    }.items():
        assert units.paragraph_end(text.replace("|", ""), 0, text.index("|")) == end, text
    assert units.most_varying("a\n" * 300, np.zeros(600), 36)[0] >= units.held_out(600)


# A model that has learned something


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A model, its vocabulary and ids, of a text that it has nearly by heart."""
    folder = tmp_path_factory.mktemp("learned")
    path = folder / "verse.txt"
    path.write_text(VERSE * 60, newline="")
    config = settings(path, model__hidden=48, train__steps=150, train__learning_rate=0.02,
                         train__average=0.0, train__dropout=0.0)  # fmt: skip
    vocabulary, ids = open_ids(path, folder)
    trainer = Trainer(config, vocabulary, TextInfo(str(path), ids.size, "", ""), ids, None)
    for _ in range(150):
        trainer.update()
    return trainer.model, vocabulary


def watched(learned, text, count=5):
    model, vocabulary = learned
    finder = OddityFinder(model, vocabulary, count)
    list(finder.read(vocabulary.encode(text)))
    return finder.oddities


def test_a_typo_is_the_oddest_place(learned):
    text = VERSE + VERSE.replace("ferryman", "ferrOman")
    odd = watched(learned, text)
    assert (odd[0].before, odd[0].character, odd[0].after) == ("but the ferr", "O", "man.")
    assert text.split("\n")[odd[0].line - 1][odd[0].column - 1] == "O"
    model, vocabulary = learned
    seen = surprise(model, vocabulary.encode(text), vocabulary.start_id, 1)
    at = text.index("O", len(VERSE))
    assert odd[0].bits == pytest.approx(seen.bits[at])
    assert at == seen.bits.argmax()
    assert odd[0].expected.strip("'") == vocabulary.symbols[seen.likeliest[at, 0]]
    assert odd[0].probability == seen.probabilities[at, 0] > 0.2


def test_oddities_are_apart_and_in_order(learned):
    odd = watched(learned, VERSE * 3, count=20)
    bits = [q.bits for q in odd]
    assert bits == sorted(bits, reverse=True)
    lines = (VERSE * 3).split("\n")
    for q in odd:
        assert (lines[q.line - 1] + "\n")[q.column - 1] == {"\\n": "\n"}.get(
            q.character, q.character
        )
    assert watched(learned, VERSE, count=0) == []


@pytest.mark.parametrize("piece", [40, 90, 400])
def test_pieces_end_with_lines_and_change_nothing(learned, monkeypatch, piece):
    model, vocabulary = learned
    text = (VERSE * 4)[:-30]
    monkeypatch.setattr(oddities, "_PIECE", piece)
    finder = OddityFinder(model, vocabulary)
    seen = list(finder.read(vocabulary.encode(text)))
    assert "".join(part for part, _ in seen) == text
    assert all(part.endswith("\n") for part, _ in seen[:-1]) == (piece > 80)
    assert len(seen) > 2
    whole = surprise(model, vocabulary.encode(text), vocabulary.start_id)
    assert np.allclose(np.concatenate([bits for _, bits in seen]), whole.bits)
    lines = text.split("\n")
    for q in finder.oddities:
        assert (lines[q.line - 1] + "\n")[q.column - 1] == {"\\n": "\n"}.get(
            q.character, q.character
        )


def test_pieces_of_bytes_end_with_characters(monkeypatch):
    content = "한국어🙂" * 40
    monkeypatch.setattr(oddities, "_PIECE", 31)
    vocabulary = ByteVocabulary()
    config = Config().replace(model__hidden=4, model__layers=1)
    finder = OddityFinder(Model(config.model, 256, training=False), vocabulary)
    found = [text for text, _ in finder.read(vocabulary.encode(content))]
    assert "".join(found) == content
    assert len(found) > 10


def test_a_learned_cell_tells_the_speakers(learned):
    model, vocabulary = learned
    text = VERSE * 20
    states = memory(model, vocabulary.encode(text), vocabulary.start_id)
    found = units.find_units(states, properties(text))
    by_name = {q.property: q for q in reversed(found)}
    assert abs(by_name["inside a speaker's name"].correlation) > 0.8
    assert "bracket depth" not in by_name


# From Python, and excerpts


@pytest.fixture
def run(tmp_path, text_file, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return charlm.train(text_file, layers=2, hidden=12, batch_size=4, seq_len=8, steps=12)


def test_from_python(run):
    text = VERSE[:200]
    seen = run.surprise(text, top=3)
    assert np.array_equal(-seen.nats, run.log_probs(text))
    assert seen.likeliest.shape == seen.probabilities.shape == (200, 3)
    assert run.states(text).shape == (200, 2, 12)
    assert [q.below.shape for q in run.gates(text)] == [(12,)] * 6
    assert len(run.oddities(text, 4)) == 4
    assert 0 < len(run.cells(VERSE * 3, 4)) <= 4
    for call in (run.surprise, run.states, run.gates, run.cells, run.oddities, run.heat_page):
        with pytest.raises(charlm.UnknownCharacter, match="character 'é'"):
            call("é")
        with pytest.raises(ValueError, match="empty"):
            call("")


def test_excerpts(run, tmp_path, text_file):
    trained = load_model(run.path)
    whole = trained.vocabulary.encode(text_file.read_text())
    name, ids = of_run(run.path, trained)
    assert (name, ids.tolist()) == ("Validation text", whole[3600:].tolist())
    assert of_run(run.path, trained, 7)[1].tolist() == whole[3600:3607].tolist()
    assert of_file(text_file, trained, 7)[1].tolist() == whole[:7].tolist()
    assert of_run(tmp_path / "best.npz", trained) is None
    text_file.write_text("")
    with pytest.raises(TextError, match=r"verse.txt: is empty; name a text to read"):
        of_file(text_file, trained)
    text_file.write_text("The é")
    with pytest.raises(UnknownCharacter, match=r"'é'.* at position 4"):
        of_file(text_file, trained)
    (run.path.parent / "ids.bin").write_bytes(b"\xff" * 100)
    with pytest.raises(CheckpointError, match="needs the text that it learned beside it"):
        of_run(run.path, trained)


def test_an_excerpt_without_validation(tmp_path, text_file):
    model = charlm.train(text_file, hidden=12, batch_size=4, seq_len=8, steps=3, validation=0,
                         checkpoints=tmp_path)  # fmt: skip
    name, ids = of_run(model.path, load_model(model.path), 50)
    assert (name, ids.size) == ("The end of the training text", 50)
    assert characters(model.vocabulary, ids).text == text_file.read_text()[-50:]
