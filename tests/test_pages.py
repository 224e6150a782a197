"""Pages: self-contained, safe with any text, and alive in a browser."""

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import HOSTILE_MARKUP as HOSTILE
from helpers import SETTINGS, VERSE, elements

import charlm as library
from charlm.errors import DrawingError
from charlm.insight.characters import characters
from charlm.insight.reading import Surprise
from charlm.pages import page as page_module
from charlm.pages import plots
from charlm.pages.coloured import by_state, by_surprise, over_time
from charlm.pages.page import Markup, data, fill, page, safe, write_page
from charlm.storage.history import Reading, read_history
from charlm.text.vocabulary import Vocabulary

SMALL = SETTINGS | {"steps": 30, "validate_every": 10}


def need_matplotlib():
    pytest.importorskip(
        "matplotlib", reason="matplotlib is not installed: CONTRIBUTING.md tells how"
    )


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder with a finished run, verse, of a text with quotes and brackets."""
    folder = tmp_path_factory.mktemp("pages")
    text = folder / "verse.txt"
    text.write_text((VERSE + '"Aye (so)," said the <heron> & was gone.\n\n') * 120, newline="")
    library.train(text, checkpoints=folder / "checkpoints", **SMALL)
    return folder


@pytest.fixture
def here(trained, tmp_path, monkeypatch):
    """An empty folder, but for a copy of that run; reports need matplotlib."""
    need_matplotlib()
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def change_history(folder, change):
    """Write a run's history anew, each entry changed."""
    path = folder / "checkpoints" / "verse" / "history.jsonl"
    entries = [change(json.loads(line)) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def test_text_is_never_markup():
    found = elements(page(HOSTILE, HOSTILE, fill("section", id="a", body=[HOSTILE])))
    assert [tag for tag, _ in found].count("script") == 1
    assert "img" not in [tag for tag, _ in found]
    assert safe("a<b>&\"'\x00\x1b\n\u202e\u200b é한🙂") == (
        "a&lt;b&gt;&amp;&quot;&#x27;\\x00\\x1b\\n\\u202e\\u200b é한🙂"
    )


def test_data_cannot_end_its_element():
    packed = data("id", {"text": HOSTILE + "<!--", "odd": "\u2028\ud800"})
    assert packed.count("<") == 2
    inside = re.fullmatch(r"<script[^>]*>(.*)</script>", packed, re.S)
    assert json.loads(inside[1])["text"] == HOSTILE + "<!--"


def test_page_allows_no_address_and_its_own_script_only():
    content = page("title", "", Markup())
    policy = dict(next(a for t, a in elements(content) if a.get("http-equiv")))["content"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    script = (Path(page_module.__file__).parent / "page.js").read_text()
    assert f"<script>{script}</script>" in content


def test_a_page_is_replaced_and_nothing_else(tmp_path):
    path = tmp_path / "page.html"
    write_page(path, page("one", "", Markup()))
    write_page(path, page("two", "한", Markup()))
    assert "<title>two" in path.read_text(encoding="utf-8")
    path.write_text("<!doctype html>\nmine")
    with pytest.raises(DrawingError, match="is there already, and not a page of charlm's"):
        write_page(path, page("three", "", Markup()))
    assert path.read_text() == "<!doctype html>\nmine"
    with pytest.raises(DrawingError, match=r"nowhere.*cannot be written \(No such file"):
        write_page(tmp_path / "nowhere" / "page.html", "")
    with pytest.raises(DrawingError, match=r"cannot be written \(Is a directory"):
        write_page(tmp_path, "")


def test_surprise_is_coloured_by_character():
    vocabulary = Vocabulary("\n<ab", "\n")
    ids, nats = np.array([1, 2, 0, 3]), np.array([0.5, 2.5, 8.2, 99]) * np.log(2)
    seen = Surprise(nats, np.array([[1, 2]] * 4), np.array([[0.5, 0.25]] * 4))
    content = by_surprise("t", characters(vocabulary, ids), seen, vocabulary, ids)
    text, packed = content.split('<script type="application/json" id="t-data">')
    text = text[text.index('<div class="text"') :]
    assert re.findall(r"<span[^>]*>.*?</span>", text, re.S) == [
        "<span>&lt;</span>", "<span class=s2>a</span>",
        '<span class=s8><i class="end">↵</i>\n</span>', "<span class=s8>b</span>",
    ]  # fmt: skip
    packed = json.loads(packed.removesuffix("</script>"))
    assert packed["names"] == ["'\\n'", "<", "a", "b"]
    assert packed["characters"][1] == [2, 2.5, 1, 500, 2, 250]


def test_states_are_coloured_from_blue_to_orange():
    content = by_state("ab<c\td\n", np.array([-1, -1, 0.05, 0.5, 0.45, 1, -0.2]))
    assert content == (
        '<div class="text"><span class=n5>ab</span>&lt;<span class=p2>c\t</span>'
        '<span class=p5>d</span><span class=n1><i class="end">↵</i>\n</span></div>'
    )
    css = (Path(page_module.__file__).parent / "page.css").read_text()
    for letter, most in {"s": 8, "p": 5, "n": 5}.items():
        assert all(f".{letter}{k} {{" in css for k in range(1, most + 1))


def test_rows_over_time_have_a_column_a_character():
    values = {"f": np.array([0, 0.5, 0, 1]), "tanh(c)": np.array([-1, 0.04, 0.2, 0.62])}
    content = over_time("<\n\n ", values)
    head = "<div><b><u></u><i>f</i><i>tanh(c)</i></b>"
    assert content == (
        f'<div class="over-time">{head}'
        '<b title="f 0.00, tanh(c) -1.00"><u>&lt;</u><i class=n0></i><i class=n5></i></b>'
        '<b title="f 0.50, tanh(c) 0.04"><u class=end>↵</u><i class=p2></i><i class=n0></i></b>'
        '<b title="f 0.00, tanh(c) 0.20"><u class=end>↵</u><i class=n0></i><i class=p1></i></b>'
        f'</div>{head}<b title="f 1.00, tanh(c) 0.62"><u> </u><i class=p5></i><i class=p3></i></b>'
        "</div></div>"
    )


def test_report_without_matplotlib(here, charlm, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, out, err = charlm("report")
    assert (code, out) == (1, "")
    assert err.startswith("charlm: report: needs matplotlib, which is not installed; /")
    assert not (here / "checkpoints" / "verse" / "report.html").exists()


def test_report(here, charlm):
    code, out, err = charlm("report")
    assert (code, out) == (0, "")
    assert re.fullmatch(r"checkpoints/verse/report.html: \d+ kB; open it in a browser\n", err)
    content = (here / "checkpoints" / "verse" / "report.html").read_text(encoding="utf-8")
    found = elements(content)
    sections = [a["id"] for tag, a in found if tag == "section"]
    assert sections == ["training", "samples", "surprise", "gates", "cells", "settings"]
    assert [a["href"] for tag, a in found if tag == "a"] == [f"#{name}" for name in sections]
    assert [tag for tag, _ in found].count("svg") == 8
    # Nothing is fetched: no element names an address.
    for tag, attributes in found:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "form")
        assert "src" not in attributes
        href = attributes.get("href", attributes.get("xlink:href", "#"))
        assert href.startswith("#"), href
    assert not re.search(r"url\((?!#)", content)
    # Every id is there once, and what is referred to is there.
    ids = [a["id"] for _, a in found if "id" in a]
    assert len(set(ids)) == len(ids)
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', content)) <= set(ids)
    assert not re.search(r"#00000\d", content), "every colour is the page's"
    history = read_history(here / "checkpoints" / "verse" / "history.jsonl")
    samples = [r for r in history.readings if r.sample is not None]
    assert [r.step for r in samples] == [0, 10, 20, 30]
    for reading in samples:
        assert f"<b>step {reading.step}</b>" in content
        assert safe(reading.sample.strip("\n").split("\n")[0]) in content
    best = min(r.validation for r in history.readings if r.validation is not None)
    assert f"{best:.3f} nats" in content
    assert library.report("verse") == content, "the same run gives the same page"
    assert library.report(here / "checkpoints" / "verse" / "best.npz") == content


@pytest.mark.slow
def test_a_report_links_to_the_page_of_its_model_beside_it(here):
    def links(out=None):
        found = elements(library.report("verse", out=out))
        return [a["href"] for tag, a in found if tag == "a" and not a["href"].startswith("#")]

    folder = here / "checkpoints" / "verse"
    (folder / "verse.html").write_text("another page")
    assert links() == []
    (folder / "verse.html").unlink()
    library.export("verse", out=folder / "verse.html")
    assert links() == ["verse.html"]
    assert links(folder / "verse.html") == links(here / "report.html") == []


@pytest.mark.slow
def test_report_compares_the_losses(here, charlm):
    """With ln V and the characters' entropy, which needs the text, and with advice."""
    text = (here / "verse.txt").read_text()
    counts = np.array([text[: int(len(text) * 0.9)].count(c) for c in set(text)])
    shares = counts[counts > 0] / counts.sum()
    entropy, V = -(shares @ np.log(shares)), len(set(text))
    content, advice = library.report(), "<b>Advice:</b> "
    noted = f"ln {V} = {np.log(V):.2f}, all symbols equally likely"
    assert f"Dashed: {noted}; {entropy:.2f}, the entropy of" in content
    assert content.count(f">{np.log(V):.2f}</text>") == content.count(f">{entropy:.2f}</text>") == 2
    assert advice not in content, "there are three validations"
    for steps in (40, 50):
        assert charlm("train", "--resume", "--steps", steps, "--quiet")[0] == 0
    said = library.resume("verse").advice()
    assert advice + safe(said) + "." in library.report()
    (here / "checkpoints" / "verse" / "ids.bin").write_bytes(b"damaged")
    for content in (library.report(text="verse.txt"), library.report("verse", text="verse.txt")):
        assert f"Dashed: {noted}.</p></div>" in content
    (here / "checkpoints" / "verse" / "ids.bin").unlink()
    assert f"Dashed: {noted}.</p></div>" in library.report()


def test_report_lies_beside_what_it_is_of(here, charlm):
    best = here / "checkpoints" / "verse" / "best.npz"
    shutil.copy(best, here / "mine.npz")
    assert charlm("report", "mine.npz")[0] == 0
    content = (here / "mine.html").read_text()
    assert 'id="training"' not in content
    assert charlm("report", best, "--out", "there.html")[0] == 0
    assert 'id="training"' in (here / "there.html").read_text()
    assert sorted(path.name for path in here.rglob("*.html")) == ["mine.html", "there.html"]


def test_report_colours_what_evaluation_scores(here):
    model, content = library.load("verse"), library.report()
    text = (here / "verse.txt").read_text()
    text = text[int(len(text) * 0.9) :]
    packed = json.loads(re.search(r'id="text-data">(.*?)</script>', content)[1])
    names = [{"'\\n'": "\n", "' '": " "}.get(name, name) for name in packed["names"]]
    shown = "".join(names[symbol] for symbol, *_ in packed["characters"])
    begin = text.index(shown, 300)
    assert text[begin - 1] == "\n"
    bits = model.surprise(text).bits[begin : begin + len(shown)]
    found = [found for _, found, *_ in packed["characters"]]
    assert found == pytest.approx(bits.tolist(), abs=0.006)


@pytest.mark.slow
def test_report_of_hostile_run(here):
    change_history(here, lambda entry: entry | {"sample": HOSTILE * 3})
    folder = here / "checkpoints" / "<img src=x onerror=taken()>&"
    (here / "checkpoints" / "verse").rename(folder)
    content = library.report(folder)
    found = elements(content)
    assert "img" not in [tag for tag, _ in found]
    assert [a.get("type") for tag, a in found if tag == "script"] == ["application/json", None]
    assert not set("\x1b\u202e") & set(content)
    (here / "verse.txt").rename(here / "<b>.txt")
    assert "&lt;b&gt;.txt, each" in library.report(folder, text=here / "<b>.txt")


@pytest.mark.slow
def test_report_of_old_and_odd_histories(here):
    path = here / "checkpoints" / "verse" / "history.jsonl"

    def old(entry):
        return {k: v for k, v in entry.items() if k not in ("sample", "chars_per_s", "elapsed_s")}

    change_history(here, old)
    content = library.report()
    assert all(absent not in content for absent in ('id="samples"', "Speed", "seconds"))
    torn, good = '{"step": 4, "loss": 1e999, "sample": "torn"}', '{"step": 5, "sample": "a"}'
    path.write_text(f"{torn}\n{good}\n")
    content = library.report()
    assert 'id="training"' not in content
    assert content.count("the first weights") == 1
    path.write_text('{"step": 5, "loss": 2.5, "elapsed_s": 0}\n{"resume": 5}\n')
    assert "it was resumed after step 5." in library.report()
    path.unlink()
    assert 'id="cells"' in library.report()


def test_report_of_a_run_without_a_text(here):
    (here / "checkpoints" / "verse" / "ids.bin").unlink()
    content = library.report()
    assert "There is no text in this run's folder; name one with <code>--text</code>." in content
    assert 'id="gates"' not in content
    content = library.report(text=here / "verse.txt")
    assert 'id="cells"' in content
    assert "verse.txt, each character coloured by" in content


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "gates"), [({"cell": "gru"}, 2), ({"cell": "rnn"}, 0), ({"level": "byte"}, 3)]
)
def test_report_of_every_kind(here, settings, gates):
    model = library.train("verse.txt", name="other", **SMALL | settings)
    content = library.report("other")
    assert len(re.findall("a point for each unit", content)) == gates
    assert ('id="gates"' in content) == (gates > 0)
    assert f"{model.vocabulary.size} symbols" in content


@pytest.mark.slow
def test_short_texts(here):
    for text in ("a", "a\n", "The river\nrose"):
        (here / "short.txt").write_text(text)
        assert "too short, or too uniform" in library.report(text="short.txt")
    model = library.load()
    assert "<span" in model.heat_page("a")
    assert 'class="cells"></div>' in model.cells_page("a")


@pytest.mark.parametrize("wide", [True, False])
def test_losses_are_drawn_with_levels_named_beside_the_axes(wide):
    need_matplotlib()
    readings = [
        Reading(k, loss=4 - k / 100, train_loss=4 / k, validation=5 / k) for k in (10, 20, 30, 40)
    ]
    drawn = plots.losses(readings, [], {"ln 55": 4.01, "entropy": 3.3}, wide=wide)
    paths = re.findall(r'<path d="([^"]*)" clip-path="[^"]*" style="([^"]*)', drawn)
    lines = [(style, re.findall(r"[ML] ([\d.]+) ([\d.]+)", path)) for path, style in paths]
    (mean,) = (line for style, line in lines if "--one" in style and "opacity" not in style)
    assert len(mean) == 3, "a line from the first ten steps' mean would lie above the steep fall"
    right = max(float(x) for _, line in lines for x, _ in line)
    names = re.findall(r'translate\(([\d.]+) [\d.]+\)">(ln 55|4.01|entropy|3.30)<', drawn)
    assert [name for _, name in names] == ["ln 55", "4.01", "entropy", "3.30"]
    assert min(float(x) for x, _ in names) > right
    assert "validation, best 0.125" in drawn
    for few in (readings[:1], [Reading(3, loss=1.0)]):
        assert "training, mean" not in plots.losses(few, [], {"ln 2": 0.69}, wide=wide)


def test_minutes_stand_above_the_steps_they_belong_to():
    need_matplotlib()
    minutes = [1, 2, 3, 4, 5, 15, 25]
    readings = [Reading(k, norm=1.0, elapsed_s=60 * passed) for k, passed in enumerate(minutes, 1)]
    drawn = plots.curve(readings, "norm", "gradient norm")
    assert ">minutes</text>" in drawn
    assert plots.curve(readings, "loss", "unit") == ""
    # 25 minutes had passed after step 7, 15 after step 6: 20 stands half-way between.
    labels = re.findall(r'<text[^>]* x="([\d.]+)"[^>]*>([\d.]+)</text>', drawn)
    places = {label: float(x) for x, label in labels}
    assert places["20"] == pytest.approx(places["6"] + (places["7"] - places["6"]) / 2, abs=0.2)


@pytest.fixture(scope="session")
def report(trained):
    need_matplotlib()
    path = trained / "report.html"
    write_page(path, library.report("verse", checkpoints=trained / "checkpoints"))
    return path


def character(n):
    return f"#text > span:nth-child({n})"


def tip(browser):
    """Return what the tip shows, or None where it is hidden."""
    return browser.evaluate(
        "tip.hidden ? null : [tip.querySelector('p').textContent,"
        " [...tip.querySelectorAll('div')].map(row => [row.children[0].textContent, row.className,"
        " row.children[2].textContent])]"
    )


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 390, 800, 1400])
def test_page_fits_and_complains_of_nothing(browser, report, width, dark):
    browser.open(report, width, dark=dark)
    assert browser.requests == [report.as_uri()]
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    ground = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    light = sum(map(int, re.findall(r"\d+", ground))) > 3 * 128
    assert light != dark
    colours = browser.evaluate(
        "[...document.querySelectorAll('svg text')].map(text => getComputedStyle(text).fill)"
    )
    for colour in set(colours):
        channels = [int(channel) for channel in re.findall(r"\d+", colour)[:3]]
        assert len(set(channels)) == 3 or (sum(channels) > 3 * 128) == dark, colour
    # What is drawn can be read on a phone.
    sizes = browser.evaluate(
        "[...document.querySelectorAll('figure')].filter(f => f.offsetParent).flatMap(f =>"
        " [...f.querySelectorAll('svg text')].map(t => t.getBoundingClientRect().height))"
    )
    assert min(sizes) > 9


@pytest.mark.slow
def test_pointing_shows_what_was_expected(browser, report):
    browser.open(report)
    assert tip(browser) is None
    packed = browser.evaluate("JSON.parse(document.getElementById('text-data').textContent)")
    for n in (1, 40, 200):
        browser.point(character(n))
        head, rows = tip(browser)
        came, bits, *likeliest = packed["characters"][n - 1]
        assert head == f"{packed['names'][came]} came, {bits:.1f} bits"
        assert [row[0] for row in rows[:5]] == [packed["names"][k] for k in likeliest[::2]]
        assert [row[1] for row in rows].count("came") == 1
        assert len(rows) == (5 if came in likeliest[::2] else 6)
        assert browser.evaluate("document.querySelectorAll('.at').length") == 1
    browser.point("h1")
    assert tip(browser) is None


@pytest.mark.slow
def test_tapping_shows_it_too(browser, report):
    browser.open(report, 390, 800)
    browser.tap(character(60))
    assert tip(browser) is not None
    box = browser.evaluate("(({left, right}) => [left, right])(tip.getBoundingClientRect())")
    assert 0 <= box[0] < box[1] <= 390
    browser.tap("#surprise h2")
    assert tip(browser) is None


@pytest.mark.slow
def test_keys_walk_through_the_text(browser, report):
    browser.open(report)
    at = "[...document.querySelectorAll('#text > span')].findIndex(span => span.matches('.at'))"
    for _ in range(40):
        browser.press("Tab")
        if browser.evaluate("document.activeElement.id") == "text":
            break
    assert browser.evaluate(at) == 0
    for key, place in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("Home", 0)):
        browser.press(key)
        assert browser.evaluate(at) == place
    browser.press("ArrowDown")
    text = browser.evaluate("document.querySelector('#text').textContent")
    assert browser.evaluate(at) == text.replace("↵", "").index("\n") + 1
    browser.press("ArrowUp")
    assert browser.evaluate(at) == 0
    assert tip(browser) is not None
    browser.press("Escape")
    assert tip(browser) is None


@pytest.mark.slow
def test_hostile_text_stays_text(browser, here):
    text = (VERSE + HOSTILE.replace("\x1b", "").replace("\u202e", "")) * 20
    (here / "hostile.txt").write_text(text)
    model = library.train("hostile.txt", name="hostile", **SMALL)
    for name, content in {
        "heat": model.heat_page(text, title=HOSTILE),
        "cells": model.cells_page(text, title=HOSTILE),
        "unit": model.cells_page(text, unit=(1, 3), title=HOSTILE),
        "trace": model.cells_page(model.unit_trace(text, (1, 3)), title=HOSTILE),
        "report": library.report("hostile"),
    }.items():
        path = here / f"{name}.html"
        write_page(path, content)
        browser.open(path)
        assert browser.evaluate("typeof window.taken") == "undefined", name
        assert (browser.complaints, browser.requests) == ([], [path.as_uri()]), name
        shown = browser.evaluate(
            "(text => text ? text.textContent : [...document.querySelectorAll('.over-time b:not(:first-child)')]"
            ".map(b => b.textContent).join(''))(document.querySelector('.text'))"
        ).replace("↵", "")
        assert shown, name
        assert shown in text.replace("\n" * (name == "trace"), ""), name
        if name == "trace":
            for width in (360, 1400):
                browser.open(path, width)
                assert browser.evaluate("document.documentElement.scrollWidth") == width
