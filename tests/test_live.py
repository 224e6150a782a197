"""The page that runs a model: the same numbers in a browser as in NumPy, from disk alone."""

import json
import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from helpers import HOSTILE_MARKUP as HOSTILE
from helpers import ROOT, elements, refused, write_checkpoint

import charlm as library
from charlm.errors import ConfigError, ExchangeError
from charlm.generation.filters import Filters
from charlm.insight.attribution import attribution
from charlm.insight.reading import Reader
from charlm.language_model import LanguageModel
from charlm.nn.model import Model
from charlm.pages.live import SCRIPTS, live_page
from charlm.runs.description import Description
from charlm.runs.loading import Trained
from charlm.settings.schema import Config
from charlm.text.vocabulary import ByteVocabulary, Vocabulary

CHARACTERS = Vocabulary("\n !'abcdeghinorst\u00e9\ud55c\U0001f642", "\n")
TEXT = "the rose shone\nin his gr\u00e9en garden \ud55c \U0001f642!\n" * 6
# Layers 1 to 3 of each cell; with an embedding, but for two layers.
NETWORKS = [
    (cell, L, "one-hot" if L == 2 else 6, CHARACTERS, None)
    for cell, L in product(("lstm", "gru", "rnn"), (1, 2, 3))
]
NETWORKS += [("lstm", 2, 6, ByteVocabulary(), None), ("gru", 1, 6, CHARACTERS, "line")]
NETWORKS += [
    ("lstm", 2, "one-hot", Vocabulary("\n\x1eabcdeghinorst", "\x1e", unknown=True), "file")
]
every_network = pytest.mark.parametrize(
    "network", NETWORKS, ids=lambda case: f"{case[0]}-{case[1]}-{case[2]}-{case[3].size}-{case[4]}"
)
# What the tests use in the page; nothing of it is the page's own.
PRELUDE = """
const model = decodeModel(document.getElementById("model"));
const vocabulary = new Vocabulary(model), network = new Network(model);
const reader = new Reader(network, vocabulary);
const greedy = (count) => {
  for (let k = 0; k < count; k++) {
    const at = reader.length;
    const p = weigh(reader.logits(at), { temperature: 0 }, reader.banned(at));
    reader.push(draw(p, new Random(k)));
  }
  return vocabulary.decode(reader.ids);
};
"""


def make(cell, L, embedding, vocabulary, items, seed=0):
    """Return a model that was never trained, and is sure of what it expects."""
    config = Config().replace(
        model__cell=cell, model__layers=L, model__hidden=11, model__embedding=embedding,
        data__items=items,
    )  # fmt: skip
    model = Model(config.model, vocabulary.size, training=False)
    model.initialize(seed)
    rng = np.random.default_rng(seed)
    for name, view in model.parameters.views.items():
        view += rng.normal(0, 0.2, view.shape).astype(np.float32)
        view *= 6 if name == "output.W" else 1
    model.refresh()
    trained = Trained(model, vocabulary, config, Description("best", config, vocabulary))
    return LanguageModel(trained, Path("best.npz"))


def run(browser, folder, model, script, *, float32=True, **values):
    """Open a model's page, and return what a function's body returns in it."""
    path = folder / "page.html"
    path.write_text(live_page("page", model._trained, None, float32=float32), encoding="utf-8")
    browser.open(path)
    given = "".join(f"const {name} = {json.dumps(value)};" for name, value in values.items())
    found = browser.evaluate(f"JSON.stringify((() => {{{PRELUDE}{given}{script}}})())")
    assert browser.requests == [path.resolve().as_uri()]
    return json.loads(found)


@every_network
def test_numbers_are_those_of_numpy(network, browser, tmp_path):
    cell, L, _, vocabulary, how = network
    model, start, items = make(*network), vocabulary.start_id, how is not None
    ids = vocabulary.encode(TEXT, on_unknown="replace")[:200]
    if how == "file":
        ids[[40, 41, 90]] = start
    places = [0, 1, 60, 95, 199]
    found = run(
        browser, tmp_path, model, """
        reader.setText(ids);
        const all = (list) => ids.map((_, k) => list(k).map((array) => [...array]));
        return {
          logits: all((k) => [reader.logits(k)]),
          memory: all((k) => network.layers.map((_, layer) => reader.memory(k, layer))),
          gates: all((k) => reader.record(k).gates.flatMap(Object.values)),
          bits: ids.map((_, k) => reader.surprise(k)),
          letters: network.gates,
          lookBack: places.map((k) => [...lookBack(network, reader, k, 50)]),
        };""",
        ids=ids.tolist(), places=places,
    )  # fmt: skip
    read = Reader(model._trained.model, start, items=items).read(ids, states=True, gates=True)
    assert np.abs(np.array(found["bits"]) - read.surprise.bits).max() < 1e-4
    assert np.abs(np.array(found["memory"]) - read.states).max() < 1e-5
    letters = {"lstm": "ifog", "gru": "rzn", "rnn": ""}[cell]
    assert found["letters"] == list(letters)
    gates = np.array(found["gates"]).reshape(ids.size, L, len(letters), 11)
    for (layer, letter), expected in read.gates.items():
        assert np.abs(gates[:, layer, letters.index(letter)] - expected).max() < 1e-5
    if not items:
        logits, _ = model.forward(np.append(start, ids)[:-1, None])
        assert np.abs(np.array(found["logits"])[:, 0] - logits[:, :, 0]).max() < 1e-4
    for k, norms in zip(places, found["lookBack"], strict=True):
        expected = attribution(model._trained.model, ids, k, start, 50, items=items)
        assert len(norms) == min(k, 50)
        scale = expected.max(initial=1e-9)
        assert np.abs(norms - expected).max(initial=0) < 1e-4 * scale


@pytest.mark.slow
@every_network
def test_float16_costs_little(network, browser, tmp_path):
    model = make(*network)
    ids = model.vocabulary.encode(TEXT, on_unknown="replace")
    script = "reader.setText(ids); return reader.bits;"
    bits = run(browser, tmp_path, model, script, float32=False, ids=ids.tolist())
    read = Reader(model._trained.model, model.vocabulary.start_id, items=network[4] is not None)
    assert abs(np.mean(bits) * np.log(2) - read.read(ids).surprise.nats.mean()) < 0.002


def test_every_float16_is_decoded(browser, tmp_path):
    script = "return [...decodeFloat16(Uint16Array.from({ length: 65536 }, (_, k) => k).buffer)];"
    found = np.array(run(browser, tmp_path, make(*NETWORKS[0]), script), float)
    expected = np.arange(65536, dtype=np.uint16).view(np.float16)
    finite = np.isfinite(expected)
    assert np.array_equal(found[finite], expected[finite])


@pytest.mark.slow
@every_network
def test_greedy_text_is_that_of_the_library(network, browser, tmp_path):
    """A text is read behind `start` in the page; a start text of `sample` is read alone."""
    model, vocabulary, items = make(*network), network[3], network[4] is not None
    before = "" if items else vocabulary.start
    drawn = run(
        browser, tmp_path, model, """
        const fresh = greedy(60);
        reader.setText(vocabulary.encode("ros").ids);
        return [fresh, greedy(60)];""",
    )  # fmt: skip
    for text, start in zip(drawn, ("", "ros"), strict=True):
        sampled = model.sample(60, start=before + start if start else "", temperature=0)
        text = text.partition(vocabulary.start)[0] if items else text
        assert text == (sampled.removeprefix(before) if start else sampled)


def test_the_example_of_the_documentation(browser, tmp_path):
    page = (ROOT / "docs" / "exchange.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```js\n(.*?)^```", page, re.M | re.S)
    path = tmp_path / "page.html"
    path.write_text(live_page("page", make(*NETWORKS[0])._trained, None), encoding="utf-8")
    browser.open(path)
    returning = re.sub(r"console\.log\((.*)\);", r"return [\1];", shown)
    text, bits, mattered = browser.evaluate(f"(() => {{{returning}}})()")
    assert (len(text), len(mattered)) == (200, 10)
    assert bits > 0


def test_greedy_text_is_that_of_the_command(charlm, browser, tmp_path):
    write_checkpoint(tmp_path / "best.npz")
    assert charlm("export", "best.npz", "--to", "html", "--out", "page.html")[0] == 0
    browser.open(tmp_path / "page.html")
    text = charlm("sample", "best.npz", "--temp", "0", "--length", "80")[1]
    assert browser.evaluate(f"(() => {{{PRELUDE} return greedy(80);}})()") == text.removesuffix(
        "\n"
    )


FILTERS = [
    {}, {"temperature": 0.3}, {"temperature": 2.5}, {"temperature": 0}, {"temperature": 1e-31},
    {"top_k": 1}, {"top_k": 3}, {"top_k": 99}, {"top_p": 0.5}, {"top_p": 1e-9}, {"top_p": 1},
    {"min_p": 0.2}, {"min_p": 0}, {"min_p": 1}, {"temperature": 0.7, "top_k": 5, "top_p": 0.8},
    {"temperature": 1.5, "top_k": 6, "top_p": 0.9, "min_p": 0.3},
]  # fmt: skip


def test_filters_are_those_of_the_library(browser, tmp_path):
    rng = np.random.default_rng(5)
    logits = [*rng.normal(0, 3, (8, 12)), np.zeros(12), np.repeat([2.0, 1.0, -400.0], 4)]
    logits = [z.astype(np.float32) for z in logits]
    names = {"temperature": "temperature", "top_k": "topK", "top_p": "topP", "min_p": "minP"}
    settings = [{names[key]: value for key, value in each.items()} for each in FILTERS]
    found = run(
        browser, tmp_path, make(*NETWORKS[0]), """
        return logits.map((z) => settings.map((each) => [...weigh(z, each, [7])]));""",
        logits=[z.tolist() for z in logits], settings=settings,
    )  # fmt: skip
    for z, rows in zip(logits, found, strict=True):
        z[7] = -np.inf
        for given, row in zip(FILTERS, rows, strict=True):
            weights = Filters(**{"temperature": 1.0, **given}).weigh(z.copy()).astype(float)
            assert np.abs(np.array(row) - weights / weights.sum()).max() < 1e-6, given
            assert sum(row) == pytest.approx(1)


def test_draws_follow_the_probabilities_and_the_seed(browser, tmp_path):
    first, again, other, end = run(
        browser, tmp_path, make(*NETWORKS[0]), """
        return [...[1, 1, 2].map((seed) => {
          const random = new Random(seed);
          return Array.from({ length: 4000 }, () => draw([0, 0.5, 0, 0.3, 0.2, 0], random));
        }), draw([0, 0.5, 0.5, 0], { next: () => 1 })];""",
    )  # fmt: skip
    assert first == again != other
    assert end == 2
    for drawn in (first, other):
        assert np.bincount(drawn, minlength=6) / 4000 == pytest.approx(
            [0, 0.5, 0, 0.3, 0.2, 0], abs=0.03
        )


@pytest.mark.parametrize(
    ("vocabulary", "items", "banned"),
    [
        (CHARACTERS, None, [[], [], []]),
        (CHARACTERS, "line", [[0], [], [0]]),
        (Vocabulary("\nab", "\n", unknown=True), "line", [[3, 0], [3], [3, 0]]),
        (Vocabulary("\n", "\n"), "line", [[], [], []]),
    ],
)
def test_what_is_never_drawn(vocabulary, items, banned, browser, tmp_path):
    """The unknown symbol, and the end of an item that is empty; there may be no other symbol."""
    script = (
        "reader.setText([network.V > 1 ? 1 : 0, 0]); return [0, 1, 2].map((k) => reader.banned(k));"
    )
    assert run(browser, tmp_path, make("rnn", 1, 6, vocabulary, items), script) == banned


def test_a_text_may_change_and_outgrow_the_memory(browser, tmp_path):
    """What is kept of a text is read once; what was dropped is computed again, and the same."""
    for items in (None, "line"):
        model = make("lstm", 2, 6, CHARACTERS, items)
        steps, differences, lengths = run(
            browser, tmp_path, model, """
            let steps = 0;
            const step = network.step.bind(network);
            network.step = (...given) => { steps++; return step(...given); };
            const counted = (change) => { const before = steps; change(); return steps - before; };
            reader.mostBlocks = 2;
            const text = vocabulary.encode(TEXT.repeat(2)).ids, other = [...text];
            other[300] = 3;
            const counts = [
              counted(() => reader.setText(text)), counted(() => reader.setText(text)),
              counted(() => reader.setText(other)), counted(() => reader.setText(text)),
              counted(() => reader.truncate(128)), counted(() => reader.setText(text)),
            ];
            const whole = new Reader(network, vocabulary);
            text.forEach((id) => whole.push(id));
            const numbers = (one, k) =>
              [one.logits(k), one.before(k)[1].c, one.record(k).gates[0].f, one.memory(k, 1)];
            const apart = text.map((_, k) => numbers(reader, k).some((array, part) =>
              array.some((value, j) => value !== numbers(whole, k)[part][j])));
            const same = text.every((_, k) => reader.surprise(k) === whole.surprise(k));
            return [counts, apart.filter(Boolean).length + !same,
                    [reader.length, reader.blocks.size, text.length]];""",
            TEXT=TEXT,
        )  # fmt: skip
        N = len(TEXT) * 2
        # Of a block that was dropped, what stands before the change is read again.
        begun = 300 % 64
        assert steps == [N, 0, N - 300 + begun, N - 300 + begun, 0, N - 64]
        assert differences == 0
        assert lengths == [N, 2, N]


TEXTS = [
    "the rose", "a\r\nb", "a\rb", "e\u0301gre\u0301", "\ud55c \U0001f642", "xyz rose \u00fc",
    "\ufeffa", "", HOSTILE, "r\u00e9", "\ufffd",
]  # fmt: skip
VOCABULARIES = [CHARACTERS, Vocabulary("\n abehorst\u0301", "\n", unknown=True), ByteVocabulary()]


@pytest.mark.parametrize("vocabulary", VOCABULARIES, ids=["char", "unknown", "byte"])
def test_texts_become_the_ids_of_the_library(vocabulary, browser, tmp_path):
    model = make("rnn", 1, 6, vocabulary, None)
    how = "skip" if vocabulary.unknown_id is None else "replace"
    found = run(
        browser, tmp_path, model, """
        return texts.map((text) => {
          const { ids, unknown } = vocabulary.encode(text);
          return [ids, unknown, vocabulary.decode(ids)];
        });""",
        texts=TEXTS,
    )  # fmt: skip
    for text, (ids, unknown, decoded) in zip(TEXTS, found, strict=True):
        text = vocabulary.normal_form(text.replace("\r\n", "\n"))
        expected = vocabulary.encode(text, on_unknown=how)
        assert ids == expected.tolist()
        assert set(unknown) == set(vocabulary.unknown(text))
        assert decoded == vocabulary.decode(expected)


def test_names_of_symbols(browser, tmp_path):
    symbols = "\t\n\x1e abc\u00a0\u0301\u2028\ud55c\ufeff\U0001f642"
    shown = [
        "⇥",
        "↵",
        "\\x1e",
        "␣",
        "a",
        "b",
        "c",
        "\\xa0",
        "◌́",
        "\\u2028",
        "한",
        "\\ufeff",
        "🙂",
        "rare",
    ]
    script = "return Array.from({ length: network.V }, (_, id) => vocabulary.name(id));"
    model = make("rnn", 1, 6, Vocabulary(symbols, "\n", unknown=True), None)
    assert run(browser, tmp_path, model, script) == shown
    names = run(browser, tmp_path, make("rnn", 1, 6, ByteVocabulary(), None), script)
    assert [names[k] for k in (0, 9, 10, 32, 97, 127, 128, 255)] == [
        "\\x00", "⇥", "↵", "␣", "a", "\\x7f", "0x80", "0xff",
    ]  # fmt: skip
    assert len(set(names)) == 256
    broken = run(
        browser, tmp_path, make("rnn", 1, 6, ByteVocabulary(), None),
        "return vocabulary.decode([97, 0xed, 0x95, 0x9c, 0xff, 0xed, 0x95]);",
    )  # fmt: skip
    assert broken == "a\ud55c\ufffd\ufffd"


def test_a_text_is_never_markup(browser, tmp_path):
    vocabulary = Vocabulary("".join(sorted({"\n", *HOSTILE})), "\n")
    model, text = make("lstm", 1, 6, vocabulary, None), (HOSTILE + "\n") * 4
    page = live_page(HOSTILE, model._trained, vocabulary.encode(text))
    tags = [tag for tag, _ in elements(page)]
    assert "img" not in tags
    assert tags.count("script") == 1 + len(SCRIPTS)
    path = tmp_path / "page.html"
    path.write_text(page, encoding="utf-8")
    browser.open(path)
    kept = browser.evaluate(f"(() => {{{PRELUDE} return [model.name, model.text];}})()")
    assert kept == [HOSTILE, text]
    assert browser.evaluate("window.taken") is None


def test_scripts_share_one_scope():
    """Each name is declared once, and no script can end its element."""
    declared = []
    for script in SCRIPTS:
        source = (ROOT / "charlm" / "pages" / script).read_text(encoding="utf-8")
        assert '"use strict";' in source
        assert not re.search(r"</script|<!--|innerHTML|\beval\b", source), script
        declared += re.findall(r"^(?:async )?(?:class|const|let|function) (\w+)", source, re.M)
    assert len(declared) == len(set(declared)), sorted(declared)


def test_what_a_page_is_told_of_a_run(charlm, text_file, browser, tmp_path):
    settings = "--layers 2 --hidden 12 --batch-size 4 --seq-len 8 --steps 30 --quiet"
    assert charlm("train", text_file, *settings.split())[0] == 0
    assert charlm("export", "--to", "html") == (
        0, "", "verse.html: lstm, 2 layers of 12 units, 3,350 parameters, from "
        "checkpoints/verse/best.npz\n",
    )  # fmt: skip
    browser.open(tmp_path / "verse.html")
    model = json.loads(browser.evaluate("document.getElementById('model').textContent"))
    del model["vocabulary"], model["arrays"]
    loss, text, units = (model.pop(key) for key in ("validation", "text", "units"))
    assert 1 < loss < 5
    assert text in text_file.read_text()
    assert 300 < len(text) <= 600
    assert all({"layer", "unit", "property", "r"} == set(unit) for unit in units)
    assert model == {
        "name": "verse", "version": model["version"], "cell": "lstm", "layers": 2, "hidden": 12,
        "embedding": 12, "symbols": 38, "parameters": 3350, "level": "char", "items": None,
        "boundary": None, "start": 0, "unknown": None, "trained_on": "verse.txt",
        "dtype": "float16", "bytes": 8933,
    }  # fmt: skip

    (tmp_path / "other.txt").write_text("A heron, it may be.")
    more = ("--text", "other.txt", "--float32", "--force")
    assert charlm("export", "--out", "verse.html", *more)[0] == 0
    browser.open(tmp_path / "verse.html")
    told = json.loads(browser.evaluate("document.getElementById('model').textContent"))
    assert (told["text"], told["units"], told["dtype"]) == ("A heron, it may be.", [], "float32")


def test_a_page_begins_with_whole_lines_paragraphs_or_items():
    characters, bytes_ = Vocabulary("\n\x1eab\ud55c", "\n"), ByteVocabulary()
    for vocabulary, text, items, shown in (
        (characters, "aaaa bbbb\n".replace(" ", "a") * 100, None, 599),
        (characters, ("a" * 250 + "\n\n") * 9, None, 502),
        (characters, "a" * 900, None, 600),
        (characters, "aaaaabbbbb\n" * 3, None, 33),
        (characters, "aaaaabbbbb\n" * 100, "line", 594),
        (Vocabulary("\n\x1eab", "\x1e"), "aaa\nbb\x1e" * 100, "file", 595),
        (bytes_, "\ud55c" * 900, None, 600),
    ):
        model = make("rnn", 1, 6, vocabulary, items)
        page = live_page("a", model._trained, vocabulary.encode(text))
        (packed,) = re.findall(r'<script type="application/json" id="model">(.*?)</script>', page)
        assert json.loads(packed)["text"] == text[:shown]


@pytest.mark.parametrize(
    ("options", "code", "problem"),
    [
        ("--to onnx --float32", 2, "--text and --float32 are for html, got onnx"),
        ("--out a.pt --text verse.txt", 2, "--text and --float32 are for html, got pytorch"),
        ("--to html --text none.txt", 1, "charlm: none.txt: no such file; check its name"),
        (
            "--to html --text odd.txt",
            1,
            "charlm: odd.txt: character '\u00fc' (U+00FC) at position 1",
        ),
        ("--to html --text odd.txt --on-unknown skip", 0, "a.html: lstm, 2 layers of 8 units"),
        ("--out there.html", 1, "charlm: there.html: exists; replace it with --force"),
        ("--to htm", 2, "must be pytorch, safetensors, onnx, html, got 'htm'; did you mean html?"),
    ],
)
def test_export_of_a_page(options, code, problem, charlm, tmp_path):
    write_checkpoint(tmp_path / "a.npz")
    (tmp_path / "odd.txt").write_text("a\u00fcb" * 3, encoding="utf-8")
    (tmp_path / "there.html").touch()
    found, out, err = charlm("export", "a.npz", *options.split())
    assert (found, out) == (code, "")
    assert problem in re.sub(r"[\s│]+", " ", err)


def large(hidden):
    """Return a model of two layers; its weights are zeros."""
    vocabulary = Vocabulary("".join(map(chr, range(10, 75))), "\n")
    config = Config().replace(model__layers=2, model__hidden=hidden)
    model = Model(config.model, vocabulary.size, training=False)
    return Trained(model, vocabulary, config, Description("best", config, vocabulary))


def test_what_a_page_cannot_hold(tmp_path):
    for hidden, float32, problem, advice in (
        (
            1100,
            False,
            "a page holds up to 50 MB, this model takes 52 MB in float16",
            "export it to",
        ),
        (800, True, "a page holds up to 50 MB, this model takes 55 MB in float32", "leave out --f"),
    ):
        with refused(ExchangeError, "--to html", problem, advice):
            live_page("a", large(hidden), None, float32=float32)
    model = make(*NETWORKS[0])
    model.parameters["output.W"][0, 0] = 7e4
    problem = "'output.W' holds 7e+04, float16 ends at 65504"
    with refused(ExchangeError, "--to html", problem, "keep float32 with --float32"):
        live_page("a", model._trained, None)
    assert live_page("a", model._trained, None, float32=True)
    with refused(ConfigError, "text, float32", "only for html, got onnx"):
        library.export(model, "onnx", float32=True)
    page = tmp_path / "page.html"
    page.touch()
    with refused(ExchangeError, page, "pages cannot be imported", "export it to pytorch or"):
        library.import_(page)


def test_the_page_of_the_documentation_has_these_scripts():
    """It is made anew by the command that docs/insight.md names, and charlm export."""
    content = (ROOT / "docs" / "shakespeare.html").read_text(encoding="utf-8")
    for name in (*SCRIPTS, "page.css", "live/live.css"):
        assert (ROOT / "charlm" / "pages" / name).read_text(encoding="utf-8") in content, name


def test_a_page_of_two_layers_of_256_is_small():
    assert len(live_page("a", large(256), None)) < 3.2e6


def test_attribution_from_python():
    model = make(*NETWORKS[0])
    expected = attribution(model._trained.model, model.vocabulary.encode("the rose"), 7, 0, 5)
    assert np.array_equal(model.attribution("the rose", -1, most=5), expected)
    for k, most, where, problem in (
        (8, 1, "k", "must be a symbol of the text, from 0 to 7, got 8"),
        (-9, 1, "k", "must be a symbol of the text, from 0 to 7, got -9"),
        (7, 0, "most", "must be at least 1, got 0"),
    ):
        with refused(ConfigError, where, problem):
            model.attribution("the rose", k, most=most)
