"""What a model computes inside: read off its own forward, and equal to the equations by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from helpers import VERSE, refused, train

import charlm
from charlm.insight import oddities, units
from charlm.insight.characters import characters, names
from charlm.insight.excerpt import excerpt, whole_lines
from charlm.insight.oddities import Heat
from charlm.insight.properties import properties
from charlm.insight.reading import Reader, saturation
from charlm.nn import reference
from charlm.nn.model import Model
from charlm.nn.stepper import Stepper
from charlm.runs.loading import load_model
from charlm.settings.schema import ModelConfig
from charlm.text.vocabulary import ByteVocabulary, Vocabulary

V, H, START = 9, 7, 2
every_cell = pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])


def network(cell, layers=1, seed=0):
    """Return a network with random weights, large enough to saturate gates."""
    config = ModelConfig(cell=cell, layers=layers, hidden=H, embedding="one-hot")
    model = Model(config, V, np.float64, training=False)
    rng = np.random.default_rng(seed)
    model.parameters.flat[:] = rng.normal(0, 1.5, model.parameters.flat.shape)
    model.refresh()
    return model


def random_text(N, seed=0):
    return np.random.default_rng(seed).integers(0, V, N).astype(np.uint8)


def by_hand(model, cell, ids):
    """Return (N, H) states and (N, H) gates by name, of a network of one layer."""
    weights = [view for name, view in model.parameters.views.items() if name.startswith(cell)]
    x, zero = [np.eye(V)[:, [k]] for k in (START, *ids)], np.zeros((H, 1))
    states = [zero, zero] if cell == "lstm" else [zero]
    hs = reference.CELLS[cell](x, *states, *weights)[0]
    letters = {"lstm": "ifo", "gru": "rz", "rnn": ""}[cell]
    Wx, Wh = (weight for weight in weights if weight.ndim == 2)
    b = sum(weight for weight in weights if weight.ndim == 1)
    pairs = zip(x, [zero, *hs[:-1]], strict=True)
    a = np.array([(Wx @ x_t + Wh @ h)[:, 0] + b for x_t, h in pairs])[1:]
    gates = {
        letter: reference.sigmoid(a[:, k * H : (k + 1) * H]) for k, letter in enumerate(letters)
    }
    hidden = np.array([h[:, 0] for h in hs[1:]])
    # h = o tanh(c)
    return hidden / gates["o"] if cell == "lstm" else hidden, gates


@every_cell
@pytest.mark.parametrize("N", [1, 127, 128, 129, 300])
def test_states_and_gates_are_those_of_the_equations(cell, N):
    model, ids = network(cell), random_text(N, seed=N)
    states, gates = by_hand(model, cell, ids)
    reading = Reader(model, START).read(ids, states=True, gates=True)
    assert reading.states.shape == (N, 1, H)
    assert np.abs(reading.states[:, 0] - states).max() < 1e-9
    assert list(reading.gates) == [(0, letter) for letter in gates]
    for (_, letter), values in reading.gates.items():
        assert np.abs(values - gates[letter]).max() < 1e-9
    for layer, letter, below, above in saturation(Reader(model, START).gates(ids)):
        assert layer == 0
        assert np.array_equal(below, (gates[letter] < 0.1).mean(axis=0))
        assert np.array_equal(above, (gates[letter] > 0.9).mean(axis=0))
        assert N == 1 or 0 < below.mean() < 1


@every_cell
def test_states_of_several_layers_are_where_they_belong(cell):
    model, ids = network(cell, layers=3), random_text(200)
    reading, stepper = Reader(model, START).read(ids, states=True, gates=True), Stepper(model, 1)
    for k, symbol in enumerate([START, *ids]):
        stepper.step(np.array([symbol]))
        for layer, state in enumerate(stepper.state):
            kept = np.tanh(state[1]) if cell == "lstm" else state[0]
            assert k == 0 or np.abs(reading.states[k - 1, layer] - kept[:, 0]).max() < 1e-12
    found = saturation([reading])
    assert sorted({of_gate.layer for of_gate in found}) == ([] if cell == "rnn" else [0, 1, 2])


@pytest.mark.parametrize("top", [0, 1, 4, V, V + 5])
def test_surprise_by_hand(top):
    model, ids = network("gru", 2), random_text(60, seed=3)
    surprise = Reader(model, START).read(ids, top=top).surprise
    cache = model.cache(60, 1)
    model.forward(np.concatenate([[START], ids[:-1]])[:, None], model.zero_state(1), cache)
    for t in range(60):
        z = model.output.forward(cache.output, t)[:, 0].copy()
        p = np.exp(z) / np.exp(z).sum()
        assert surprise.bits[t] == pytest.approx(-math.log2(p[ids[t]]), abs=1e-9)
        assert surprise.likeliest[t].tolist() == np.argsort(-p)[:top].tolist()
        assert surprise.probabilities[t] == pytest.approx(np.sort(p)[::-1][:top], abs=1e-6)


@every_cell
def test_reading_in_pieces_is_reading_at_once(cell):
    model, ids = network(cell, 2), random_text(300, seed=4)
    asked = {"top": 3, "states": True, "gates": True}
    reader, whole = Reader(model, START), Reader(model, START).read(ids, **asked)
    parts = [reader.read(some, **asked) for some in np.split(ids, [1, 1, 200])]  # one is empty
    for name in whole.surprise._fields:
        joined = np.concatenate([getattr(part.surprise, name) for part in parts])
        assert np.array_equal(joined, getattr(whole.surprise, name)), name
    assert np.array_equal(np.concatenate([part.states for part in parts]), whole.states)
    for key, values in whole.gates.items():
        assert np.array_equal(np.concatenate([part.gates[key] for part in parts]), values)


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


def test_names_of_bytes_are_distinct():
    found = names(ByteVocabulary())
    assert len(set(found)) == 256
    assert (found[10], found[65], found[0x1B], found[0xED]) == ("'\\n'", "A", "'\\x1b'", "0xed")


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
    assert "".join(f"{value:.0f}" for value in properties(text)[name]) == expected


@pytest.mark.parametrize("text", ["", "a", "\n", VERSE, VERSE.rstrip("\n")])
def test_every_character_has_every_property(text):
    for name, values in properties(text).items():
        assert values.shape == (len(text),), name
        assert np.isfinite(values).all(), name


def text_states(states, values):
    """Return states as of a text with these properties."""
    read = units.TextStates("x" * len(states), states)
    read.properties = values
    return read


def test_units_that_follow_a_property_are_found():
    """Unit 0.1 follows `step`, 1.2 opposes `ramp`, and 1.3 follows `step` until the held-out part."""
    rng, N, cut = np.random.default_rng(0), 3000, 2000
    states = rng.normal(0, 0.3, (N, 2, 5))
    step, ramp = (rng.random(N) < 0.3).astype(float), rng.random(N)
    states[:, 0, 1] += step
    states[:, 1, 2] -= 3 * ramp
    states[:cut, 1, 3] += 9 * step[:cut]
    constant = {"never": np.zeros(N), "late": (np.arange(N) >= cut).astype(float)}
    read = text_states(states, {"step": step, "ramp": ramp} | constant)
    assert read.held_out == cut
    found = read.find_units(4)
    assert {finding.property for finding in found} == {"step", "ramp"}, "constants are left out"
    assert len({(finding.layer, finding.unit) for finding in found}) == 4
    strengths = [abs(finding.correlation) for finding in found]
    assert strengths == sorted(strengths, reverse=True)
    expected = np.corrcoef(states[cut:, 1, 2], ramp[cut:])[0, 1]
    assert found[0] == ("ramp", 1, 2, pytest.approx(expected, abs=1e-5))
    assert expected < -0.9
    (lucky,) = text_states(states, {"step": step}).find_units(1)
    assert lucky == ("step", 1, 3, pytest.approx(0, abs=0.1)), "chance is found out"


def test_each_property_has_a_unit_before_any_has_two():
    rng = np.random.default_rng(5)
    values = {str(k): rng.random(900) for k in range(4)}
    states = rng.normal(0, 1, (900, 1, 40))
    states[:, 0, :20] = values["0"][:, None]
    found = [finding.property for finding in text_states(states, values).find_units(6)]
    assert sorted(found.count(name) for name in values) == [1, 1, 2, 2]
    assert len(text_states(states[:, :, :3], values).find_units(10)) == 3


def test_units_that_repeat_a_better_one_are_not_distinct():
    rng, N = np.random.default_rng(3), 900
    states = rng.normal(0, 1, (N, 1, 6))
    states[:, 0, 1] = 0.1 * states[:, 0, 1] - states[:, 0, 0]
    states[:, 0, 5] = 1
    read = units.TextStates("x" * N, states)
    found = [
        units.UnitFinding(name, 0, unit, correlation)
        for name, unit, correlation in [
            ("names", 0, 0.9), ("upper case", 1, -0.8), ("names", 2, 0.7), ("upper case", 3, 0.5),
            ("colon", 4, -0.09), ("colon", 5, 0.0),
        ]
    ]  # fmt: skip
    assert [finding.unit for finding in read.distinct(found)] == [0, 3]
    assert read.distinct([]) == []


def test_too_little_to_be_measured():
    for N in (0, 1, 299):
        assert text_states(np.ones((N, 1, 3)), {"odd": np.arange(N) % 2.0}).find_units() == []
    assert len(text_states(np.ones((300, 1, 3)), {"odd": np.arange(300) % 2.0}).find_units()) == 3


def test_the_part_that_is_shown_is_where_a_property_varies():
    text = "plain words\n" * 60 + "(a) b (c) d\n" * 3 + "plain words\n" * 20
    depth = units.UnitFinding("bracket depth", 0, 0, 1.0)

    def excerpt(text):
        return units.TextStates(text, np.zeros((len(text), 1, 1))).excerpt(depth, 36)

    begin, end = excerpt(text)
    assert text[begin:end] == "(a) b (c) d\n" * 2 + "(a) b (c) d"
    assert excerpt("ab") == (0, 2)
    assert excerpt("a\n" * 300)[0] >= 400
    ends = {"ab\n\ncd\nef|gh": 6, "abcdef\n\ng\nh|i": 6, "abcd|ef": 4, "ab\ncd|": 5}
    for text, end in ends.items():
        assert units.paragraph_end(text.replace("|", ""), 0, text.index("|")) == end, text


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A model, its vocabulary and ids, of a text that it has nearly by heart."""
    folder = tmp_path_factory.mktemp("learned")
    path = folder / "verse.txt"
    path.write_text(VERSE * 60, newline="")
    trainer, _ = train(path, folder, "learned", model__hidden=48, train__steps=150,
                       train__learning_rate=0.02, train__average=0.0, train__dropout=0.0)  # fmt: skip
    return trainer.model, trainer.vocabulary


def found_in(learned, text, count=5):
    model, vocabulary = learned
    heat = Heat(model, vocabulary, vocabulary.encode(text), count)
    pieces, lines = list(heat), text.splitlines(keepends=True)
    for odd in heat.oddities:
        assert lines[odd.line - 1][odd.column - 1] == odd.character.replace("\\n", "\n")
    bits = [odd.bits for odd in heat.oddities]
    assert bits == sorted(bits, reverse=True)
    return heat.oddities, pieces


def test_a_typo_is_the_oddest_place(learned):
    text = VERSE + VERSE.replace("ferryman", "ferrOman")
    odd = found_in(learned, text)[0][0]
    assert (odd.before, odd.character, odd.after) == ("but the ferr", "O", "man.")
    model, vocabulary = learned
    surprise = Reader(model, vocabulary.start_id).read(vocabulary.encode(text), top=1).surprise
    at = text.index("O", len(VERSE))
    assert odd.bits == pytest.approx(surprise.bits[at]) == surprise.bits.max()
    assert odd.expected.strip("'") == vocabulary.symbols[surprise.likeliest[at, 0]]
    assert odd.probability == surprise.probabilities[at, 0] > 0.2
    assert found_in(learned, VERSE, count=0)[0] == []


@pytest.mark.parametrize("size", [40, 90, 400])
def test_pieces_end_with_lines_and_change_nothing(learned, monkeypatch, size):
    model, vocabulary = learned
    text = (VERSE * 4)[:-30]
    monkeypatch.setattr(oddities, "_PIECE", size)
    _, pieces = found_in(learned, text)
    assert "".join(part for part, _ in pieces) == text
    assert all(part.endswith("\n") for part, _ in pieces[:-1]) == (size > 80)
    assert len(pieces) > 2
    whole = Reader(model, vocabulary.start_id).read(vocabulary.encode(text)).surprise
    assert np.allclose(np.concatenate([bits for _, bits in pieces]), whole.bits)


def test_pieces_of_bytes_end_with_characters(monkeypatch):
    content = "한국어🙂" * 40
    monkeypatch.setattr(oddities, "_PIECE", 31)
    vocabulary = ByteVocabulary()
    model = Model(ModelConfig(hidden=4, layers=1), 256, training=False)
    pieces = [text for text, _ in Heat(model, vocabulary, vocabulary.encode(content))]
    assert "".join(pieces) == content
    assert len(pieces) > 10


def test_a_learned_unit_follows_the_speakers(learned):
    model, vocabulary = learned
    text = VERSE * 20
    states = Reader(model, vocabulary.start_id).read(vocabulary.encode(text), states=True).states
    strongest = {}
    for finding in units.TextStates(text, states).find_units():
        strongest.setdefault(finding.property, abs(finding.correlation))
    assert strongest["inside a speaker's name"] > 0.8
    assert "bracket depth" not in strongest


@pytest.fixture
def run(tmp_path, text_file, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return charlm.train(text_file, layers=2, hidden=12, batch_size=4, seq_len=8, steps=12)


def test_from_python(run):
    text = VERSE[:200]
    surprise = run.surprise(text, top=3)
    assert np.array_equal(-surprise.nats, run.log_probs(text))
    assert surprise.likeliest.shape == surprise.probabilities.shape == (200, 3)
    assert run.states(text).shape == (200, 2, 12)
    assert [of_gate.below.shape for of_gate in run.gates(text)] == [(12,)] * 6
    assert len(run.oddities(text, 4)) == 4
    assert 0 < len(run.cells(VERSE * 3, 4)) <= 4
    for call in (run.surprise, run.states, run.gates, run.cells, run.oddities, run.heat_page):
        with pytest.raises(charlm.UnknownCharacter, match="character 'é'"):
            call("é")
        with pytest.raises(ValueError, match="empty"):
            call("")


@pytest.mark.parametrize(
    ("settings", "text", "rows"),
    [
        ({}, "The river", ["f", "i", "o", "tanh(c)"]),
        ({"cell": "gru"}, "The river", ["r", "z", "h"]),
        ({"cell": "rnn"}, "The river", ["h"]),
        ({"level": "byte"}, "Thé riv한", ["f", "i", "o", "tanh(c)"]),
    ],
)
def test_a_unit_over_time(text_file, monkeypatch, settings, text, rows):
    """Its rows are those of the whole network, however the text is cut, one value a character."""
    monkeypatch.chdir(text_file.parent)
    small = {"layers": 2, "hidden": 12, "batch_size": 4, "seq_len": 8, "steps": 4}
    model = charlm.train(text_file, **small, **settings)
    whole = model._reader().read(model.vocabulary.encode(text), states=True, gates=True)
    monkeypatch.setattr("charlm.insight.reading._PIECE", 4)
    trace = model.unit_trace(text, (1, 3))
    assert (trace.text, trace.layer, trace.unit, list(trace.values)) == (text, 1, 3, rows)
    size = (lambda c: len(c.encode())) if settings.get("level") == "byte" else len
    lasts = np.cumsum([size(c) for c in text]) - 1
    for name, values in trace.values.items():
        expected = whole.states[:, 1, 3] if name == rows[-1] else whole.gates[1, name][:, 3]
        assert np.allclose(values, expected[lasts], atol=1e-6), name
    assert model.unit_trace(text, (0, 11), 2).text == "Th"
    for unit in ((2, 0), (0, 12), (-1, 0), (0, -1)):
        for call in (model.unit_trace, model.cells_page):
            with refused(charlm.ConfigError, "unit", "must be from (0, 0) to (1, 11), got "):
                call(text, unit)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("b.\nc\n\nd\n\ne", "d\n\ne"), ("b.\nc\n", "c\n"), ("abc", "abc"), ("", ""),
     ("a" * 700 + "\nb", "a" * 700 + "\nb")],
)  # fmt: skip
def test_an_excerpt_may_begin_with_a_whole_line(text, shown):
    ids = np.frombuffer(text.encode(), np.uint8)
    assert whole_lines(ids, ord("\n")).tobytes().decode() == shown


def test_excerpts(run, text_file):
    trained = load_model(run.path)
    whole, data = trained.vocabulary.encode(text_file.read_text()), trained.config.data
    name, ids = excerpt(whole, data)
    assert (name, ids.tolist()) == ("Validation text", whole[3600:].tolist())
    assert excerpt(whole, data, 7)[1].tolist() == whole[3600:3607].tolist()
    name, ids = excerpt(whole, replace(data, validation=0), 50)
    assert (name, ids.tolist()) == ("The end of the training text", whole[-50:].tolist())
