"""The page that writes: its controls by mouse, finger and keyboard, its words, what it draws."""

import json
import re

import pytest
from helpers import ROOT, SETTINGS, VERSE

import charlm as library

pytestmark = pytest.mark.slow
KINDS = {
    "lstm": {}, "gru": {"cell": "gru"}, "rnn": {"cell": "rnn", "layers": 1},
    "bytes": {"level": "byte"}, "names": {"items": "line"}, "records": {"items": "blank-line"},
}  # fmt: skip
NAMES = "anna\nbob\ncarla\ndieter\neve\n" * 40
READ = "!frameAsked && reader.length === text.ids.length"
SHOWN = "text.characters.map(character => character.span.textContent.replace('\\u21b5', '\\n')).join('')"
TIP = "tip.hidden ? null : tip.querySelector('p').textContent"


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    """Return a function that makes the page of a kind of model, once."""
    folder, made = tmp_path_factory.mktemp("live"), {}

    def page(kind):
        if kind not in made:
            path = folder / f"{kind}.txt"
            korean = "강물이 다리 아래에서 노래하며 걸어갔다.\n" * 10 * (kind == "bytes")
            path.write_text(NAMES if kind == "names" else VERSE * 20 + korean)
            given = SETTINGS | {"steps": 60, "hidden": 20, "seed": 1} | KINDS[kind]
            model = library.train(path, name=kind, checkpoints=folder, progress=False, **given)
            shown = path if kind == "bytes" else None
            made[kind] = library.export(model, out=folder / f"{kind}.html", text=shown)
        return made[kind]

    return page


@pytest.fixture
def live(browser, pages):
    """Return a function that opens a page, waits until it has read, and returns the browser."""

    def opened(kind="lstm", width=1300, height=900, **screen):
        browser.open(pages(kind), width, height, **screen)
        browser.wait(READ)
        return browser

    return opened


def focus(browser, selector):
    browser.evaluate(f"document.querySelector({json.dumps(selector)}).focus()")


def press_button(browser, how, selector):
    if how == "keys":
        focus(browser, selector)
        browser.press(" ")
    else:
        {"mouse": browser.click, "touch": browser.tap}[how](selector)


def slide(browser, name, value):
    """Set a slider by the keyboard, from its nearer end."""
    focus(browser, f"#{name}")
    low, high, step = browser.evaluate(f"['min', 'max', 'step'].map(key => +$('{name}')[key] || 1)")
    low = browser.evaluate(f"+$('{name}').min")
    from_end = high - value < value - low
    browser.press("End" if from_end else "Home")
    for _ in range(round((high - value if from_end else value - low) / step)):
        browser.press("ArrowLeft" if from_end else "ArrowRight")
    assert browser.evaluate(f"+$('{name}').value") == pytest.approx(value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_reads_its_text_and_says_what_it_is(live, kind):
    browser = live(kind)
    assert len(browser.requests) == 1
    lead, value, shades = browser.evaluate(
        "[$('lead').textContent, input.value, text.characters.map(c => [c.shade, c.begin, c.end])]"
    )
    cell = {"gru": "GRU", "rnn": "tanh RNN"}.get(kind, "LSTM")
    parameters = browser.evaluate("model.parameters")
    for part in (cell, "20 units", f"{kind}.txt", "Validation loss", f"{parameters:,}", "kB"):
        assert part in lead
    bits = browser.evaluate("reader.bits")
    for shade, begin, end in shades:
        level = min(8, int(sum(bits[begin:end])))
        assert shade == (f"s{level}" if level else "")
    shown = browser.evaluate(SHOWN)
    assert shown.replace("\u241e", "\u241e\n") == value if kind == "records" else shown == value
    assert browser.evaluate("vocabulary.decode(text.ids) === model.text")


@pytest.mark.parametrize("how", ["mouse", "touch", "keys"])
def test_buttons_write_step_back_and_begin_anew(live, how):
    browser = live()
    begun = browser.evaluate("text.ids.length")
    assert browser.evaluate("document.querySelector('.pen').getBoundingClientRect().width") > 0
    slide(browser, "speed", 6)
    browser.evaluate("$('length').value = 30")
    for _ in range(2):
        press_button(browser, how, "#write")
        browser.wait("!state.writing")
        wrote = browser.evaluate("input.value")
        assert browser.evaluate("text.ids.length") == begun + 30
        press_button(browser, how, "#restart")
        browser.wait(READ)
        assert browser.evaluate("text.ids.length") == begun
    press_button(browser, how, "#write")
    browser.wait("!state.writing")
    assert browser.evaluate("input.value") == wrote, "the same seed writes the same"
    press_button(browser, how, "#step")
    assert browser.evaluate("[text.ids.length, text.caret]") == [begun + 31, begun + 31]
    press_button(browser, how, "#back")
    press_button(browser, how, "#back")
    browser.wait("!frameAsked")
    assert browser.evaluate("[text.ids.length, text.caret]") == [begun + 31, begun + 29]
    assert browser.evaluate("text.pen === text.characters[text.caret].span")
    press_button(browser, how, "#step")
    assert browser.evaluate("[text.ids.length, reader.length]") == [begun + 30] * 2
    # Writing is paused by the same button, and goes on from there.
    slide(browser, "speed", 0)
    press_button(browser, how, "#write")
    assert browser.evaluate("$('write').textContent.trim()") == "Pause"
    browser.wait(f"text.ids.length > {begun + 30}")
    press_button(browser, how, "#write")
    assert browser.evaluate("[state.writing, $('write').textContent.trim()]") == [False, "Write"]


def test_bars_move_with_temperature_and_filters(live):
    browser = live()
    shares = "bars.rows.map(row => bars.shown.weights[row.id])"
    names = "bars.rows.map(row => row.name.textContent)"
    before, order = browser.evaluate(shares), browser.evaluate(names)
    for name, value, kept in (
        ("temperature", 0, 1),
        ("topK", 2, 2),
        ("minP", 0.5, None),
        ("topP", 0.05, 1),
    ):
        live()
        slide(browser, name, value)
        browser.wait("!frameAsked")
        after = browser.evaluate(shares)
        assert sum(share > 0 for share in after) == kept or kept is None
        assert after != before
        assert sum(after) == pytest.approx(1)
        assert browser.evaluate(names) == order
    scale, share = browser.evaluate(
        "[bars.rows[0].drawn.style.transform, bars.rows[0].share.textContent]"
    )
    assert (scale, share) == ("scaleX(1)", "100 %")


@pytest.mark.parametrize("how", ["mouse", "touch", "keys"])
def test_a_bar_writes_its_symbol(live, how):
    browser = live()
    count, chosen = browser.evaluate("[text.ids.length, bars.rows[2].id]")
    if how == "keys":
        focus(browser, "#bars button")
        browser.press("ArrowDown")
        browser.press("ArrowDown")
        browser.press(" ")
    else:
        press_button(browser, how, "#bars li:nth-child(3) button")
    browser.wait(f"text.ids.length === {count + 1}")
    assert browser.evaluate("[text.ids.at(-1), reader.ids.at(-1)]") == [chosen] * 2
    assert browser.evaluate("$('status').textContent") != ""


def test_typing_is_read(live):
    browser = live()
    focus(browser, "#input")
    before = browser.evaluate("input.value")
    for typed, kept in (("The ", "The "), ("heron#\u00e9", "heron")):
        browser.type(typed)
        browser.wait(READ)
        before += kept
        assert browser.evaluate("input.value") == before
    assert browser.evaluate("$('status').textContent").endswith("left out: # \u00e9")
    for _ in range(7):
        browser.press("ArrowLeft")
    browser.type("old ")
    browser.press("Backspace")
    browser.wait(READ)
    before = before[:-7] + "old" + before[-7:]
    assert (
        browser.evaluate(f"[input.value, {SHOWN}, vocabulary.decode(reader.ids)]") == [before] * 3
    )
    assert browser.evaluate("text.caret") == len(before) - 7
    # What stands behind the caret is dimmed, and replaced where writing goes on.
    assert (
        browser.evaluate(
            "text.characters.slice(text.caret).every(({ span }) => span.matches('.behind')) && document.querySelectorAll('.behind').length"
        )
        == 7
    )
    assert browser.evaluate(
        "bars.rows.every(row => row.button.matches('.came') === (row.id === text.ids[moment()]))"
    )
    browser.evaluate("$('length').value = 5")
    browser.press("Enter", control=True)
    browser.wait("!state.writing")
    assert browser.evaluate("input.value").startswith(before[:-7])
    assert browser.evaluate("text.ids.length") == len(before) - 2
    # All of it may go.
    browser.evaluate("input.select()")
    browser.press("Backspace")
    browser.wait(READ)
    assert browser.evaluate("[text.ids.length, text.caret, reader.length]") == [0, 0, 0]
    press_button(browser, "keys", "#step")
    assert browser.evaluate("text.ids.length") == 1


def test_who_types_or_moves_the_caret_pauses_what_is_written(live):
    browser = live()
    slide(browser, "speed", 2)
    for act in (browser.click, browser.tap):
        browser.click("#write")
        browser.wait("state.written > 2")
        count = browser.evaluate("text.ids.length")
        act(".line > span:nth-child(3)")
        browser.wait("!state.writing")
        assert browser.evaluate("text.ids.length") >= count, "nothing is lost"
        browser.evaluate("text.caret = text.characters.length")
    focus(browser, "#input")
    browser.press("Enter", control=True)
    browser.wait("state.written > 2")
    browser.type("the ")
    browser.wait(READ)
    assert browser.evaluate("[state.writing, input.value.endsWith('the ')]") == [False, True]
    assert browser.evaluate("vocabulary.decode(reader.ids) === input.value")


def test_characters_of_several_bytes(live):
    browser = live("bytes")
    focus(browser, "#input")
    browser.type("\ub2e4 \ub9ac")
    browser.wait(READ)
    assert browser.evaluate("text.ids.length - text.characters.at(-1).begin") == 3
    ids = list("\ub2e4 \ub9ac".encode())
    assert browser.evaluate("reader.ids.slice(-7)") == ids
    browser.press("Backspace")
    browser.wait(READ)
    assert browser.evaluate("reader.ids.slice(-4)") == ids[:4]
    # A character that is not complete is one that is not known, until its last byte is drawn.
    for byte, shown in ((0xEB, "\ufffd"), (0x8B, "\ufffd"), (0xA4, "\ub2e4"), (0xFF, "\ufffd")):
        browser.evaluate(f"take({byte})")
        assert browser.evaluate("text.characters.at(-1).string") == shown
    assert browser.evaluate("input.value").endswith("\ub2e4 \ub2e4\ufffd")
    focus(browser, "#input")
    browser.type("x")
    browser.wait(READ)
    # Bytes are kept as they are, and so are controls: a textarea makes a carriage return a newline.
    assert browser.evaluate("reader.ids.slice(-2)") == [0xFF, ord("x")]
    browser.evaluate("take(13)")
    browser.type("\u2400y")
    browser.wait(READ)
    assert browser.evaluate("reader.ids.slice(-3)") == [13, 0, ord("y")]
    assert browser.evaluate("input.value").endswith("\u240d\u2400y")


def test_a_syllable_that_is_composed_is_shown_and_read_when_it_is_whole(live):
    browser = live("bytes")
    focus(browser, "#input")
    count = browser.evaluate("text.ids.length")
    for part in ("\u314e", "\ud558", "\ud55c"):
        browser.call("Input.imeSetComposition", text=part, selectionStart=1, selectionEnd=1)
        assert browser.evaluate(
            "getComputedStyle(input).color === getComputedStyle(document.body).color"
        )
        assert browser.evaluate("[input.value.at(-1), text.ids.length]") == [part, count]
    browser.type("\ud55c")
    browser.wait(READ)
    assert browser.evaluate(f"[reader.ids.slice({count}), input.value.at(-1)]") == [
        list("\ud55c".encode()),
        "\ud55c",
    ]
    assert not browser.evaluate("document.body.matches('.composing')")


@pytest.mark.parametrize("kind", ["names", "records"])
def test_items_are_written_one_after_the_other(live, kind):
    browser = live(kind)
    browser.evaluate("take(model.boundary)")
    browser.wait(READ)
    assert browser.evaluate("text.letters.lastChild.firstChild === text.tail"), "a new line"
    assert browser.evaluate("bars.shown.weights[model.boundary]") == 0, "no item is empty"
    focus(browser, "#input")
    browser.type("a" + "\u241e\n" * (kind == "records") + "\n" * (kind == "names"))
    browser.wait(READ)
    assert browser.evaluate("reader.ids.at(-1) === model.boundary")


@pytest.mark.parametrize("how", ["mouse", "touch", "keys"])
def test_pointing_shows_what_was_expected_and_what_mattered(live, how):
    browser = live()
    assert browser.evaluate(TIP) is None
    n = browser.evaluate("text.letters.children[0].children.length") - 1
    if how == "keys":
        browser.evaluate("input.focus(), input.setSelectionRange(1, 1)")
        for _ in range(n - 3):
            browser.press("ArrowRight")
        browser.wait(f"state.pointed === {n - 3}")
    else:
        act = browser.point if how == "mouse" else browser.tap
        act(f".line > span:nth-child({n - 2})")
        browser.wait(f"state.pointed === {n - 3}")
    browser.wait("state.marked.length")
    k = n - 3
    name, bits = browser.evaluate(f"[vocabulary.name(text.ids[{k}]), reader.bits[{k}]]")
    assert browser.evaluate(TIP) == f"{name} came, {bits:.1f} bits"
    assert browser.evaluate("tip.querySelectorAll('.came').length") == 1
    norms = browser.evaluate(f"[...lookBack(network, reader, {k}, 100)]")
    levels = [round(8 * (norm / max(norms)) ** 0.5) for norm in norms]
    classes = browser.evaluate(f"text.characters.slice(0, {k}).map(c => c.span.className)")
    found = [int(max(re.findall(r"\bb(\d)", name), default=0)) for name in classes]
    assert len(levels) == len(found) == k
    assert all(abs(a - b) <= 1 for a, b in zip(levels, found, strict=True)), "up to rounding"
    assert max(found) == 8
    if how == "keys":
        browser.press("Escape")
    else:
        browser.point("h1") if how == "mouse" else browser.tap("#write")
    browser.wait("tip.hidden && !state.marked.length")
    assert browser.evaluate("document.querySelectorAll('.at').length") == 0


@pytest.mark.parametrize("how", ["mouse", "touch", "keys"])
def test_a_unit_colours_the_text(live, how):
    browser = live()
    if how == "keys":
        focus(browser, "#grids figure:nth-child(2) .grid")
        assert browser.evaluate("state.colouredBy") == "surprise", "to pass by chooses nothing"
        browser.press("Enter")
        assert browser.evaluate("[state.layer, state.unit === model.units[0].unit]") == [1, True]
        for key in ("Home", "ArrowRight", "ArrowDown"):
            browser.press(key)
    else:
        press_button(browser, how, "#grids figure:nth-child(2) .grid")
    browser.wait("!frameAsked")
    layer, unit = browser.evaluate("[state.layer, state.unit]")
    assert (layer, unit) == (1, 9) if how == "keys" else layer == 1
    shades = browser.evaluate("text.characters.map(character => character.shade)")
    expected = browser.evaluate(
        f"text.ids.map((_, k) => stateClass(reader.memory(k, {layer})[{unit}]))"
    )
    assert shades == expected
    assert any(re.fullmatch("[pn][1-5]", shade) for shade in shades)
    assert browser.evaluate("$('gates-name').textContent") == "Gates of layer 1"
    press_button(browser, how, "input[value=surprise]")
    browser.wait("!frameAsked")
    assert browser.evaluate("text.characters.some(character => /^s/.test(character.shade))")


def test_units_that_were_found_are_named(live, pages, tmp_path):
    browser = live()
    found = browser.evaluate("model.units")
    assert len(found) > 1
    browser.click("#found button:nth-child(2)")
    assert browser.evaluate("[state.layer, state.unit]") == [found[1]["layer"], found[1]["unit"]]
    pressed = "$('found').children[1].getAttribute('aria-pressed')"
    assert browser.evaluate(pressed) == "true"
    browser.evaluate("colourBy('surprise')")
    assert browser.evaluate(pressed) == "false"
    assert browser.evaluate("document.querySelectorAll('.grid .known').length") == len(found)


@pytest.mark.parametrize(("kind", "strips"), [("lstm", "fio"), ("gru", "rz"), ("rnn", "")])
def test_the_cell_is_drawn_with_the_numbers_of_the_step(live, kind, strips):
    browser = live(kind)
    browser.evaluate("choose(0, 3)")
    browser.wait("!frameAsked")
    v, k = browser.evaluate("cell.values"), browser.evaluate("reader.length - 1")
    if kind == "lstm":
        assert v["c"] == pytest.approx(v["f"] * v["c0"] + v["i"] * v["g"], abs=1e-5)
        assert v["h"] == pytest.approx(v["o"] * v["tanhC"], abs=1e-5)
    elif kind == "gru":
        assert v["h"] == pytest.approx(v["z"] * v["h0"] + (1 - v["z"]) * v["n"], abs=1e-5)
    assert v["h"] == pytest.approx(browser.evaluate(f"reader.record({k}).state[0].h[3]"))
    assert browser.evaluate("$('equations').textContent.endsWith(`= ${signed(cell.values.h)}`)")
    assert browser.evaluate("strips.strips.map(strip => strip.gate).join('')") == strips
    note = browser.evaluate("$('gates-note').textContent")
    assert note.startswith("A column is a character" if strips else "A tanh RNN has no gates")


def test_values_flow_only_where_motion_is_welcome(live):
    for calm in (False, True):
        browser = live(calm=calm)
        browser.evaluate("take()")
        browser.wait("!frameAsked")
        assert (browser.evaluate("document.getAnimations().length") == 0) == calm


def test_what_is_destroyed_comes_back(live):
    browser = live()
    browser.evaluate("$('length').value = 30, $('speed').value = 6")
    focus(browser, "#input")
    browser.type("The ")
    browser.evaluate("text.caret = 20")
    kept = browser.evaluate("input.value")
    acts = {
        "Write": "write()", "One step": "take()", "a bar": "bars.rows[1].button.click()",
        "Start over": "text.caret = 0, restart(), text.caret = 20", "typing": "",
        "deleting": "input.setSelectionRange(3, 20)",
    }  # fmt: skip
    for name, act in acts.items():
        browser.evaluate(f"lastEdit.kind = '', {act or 0}")
        browser.wait("!state.writing")
        focus(browser, "#input")
        if name == "typing":
            browser.type("th")
            browser.type("e ")
        if name == "deleting":
            browser.press("Backspace")
        browser.wait(READ)
        if name != "Start over":
            assert browser.evaluate("input.value") != kept, name
        if name == "One step":
            browser.click("#undo")
        else:
            browser.press("z", control=True)
        browser.wait(READ)
        value, ids, same = browser.evaluate(
            "[input.value, vocabulary.decode(text.ids), vocabulary.decode(reader.ids) === input.value]"
        )
        assert (value, ids, same) == (kept, kept, True), name
        browser.evaluate("text.caret = 20")
    # At last the text that the page began with; then nothing is left to undo.
    for _ in range(3):
        browser.press("z", control=True)
    assert browser.evaluate("input.value === model.text")
    assert browser.evaluate("$('status').textContent") == "nothing to undo"


def test_bytes_come_back_as_they_were(live):
    browser = live("bytes")
    browser.evaluate("take(0xEB), take(0x8B)")
    for byte in (0xA4, 0x0D, ord("a")):
        browser.evaluate(f"window.before = [...text.ids], take({byte}), undo()")
        browser.wait(READ)
        assert browser.evaluate("String(before) === String(text.ids)")
        assert browser.evaluate("String(before) === String(reader.ids)")
        browser.evaluate(f"take({byte})")


def test_from_the_same_place_the_same_is_written(live):
    browser = live()
    browser.evaluate("$('length').value = 40, $('speed').value = 6")
    written = []
    for act in ("write()", "write()", "take()", "$('seed').value = 2, write()"):
        browser.evaluate(f"text.caret = 30, {act}")
        browser.wait(f"!state.writing && {READ}")
        written.append(browser.evaluate("input.value.slice(30)"))
        browser.evaluate("undo()")
    assert written[0] == written[1] != written[3]
    assert written[2] == written[0][0], "one step is the first of them"


def test_a_number_out_of_range_is_shown_as_it_is_used(live):
    browser = live()
    for name, typed, used in (
        ("length", "0", "1"), ("length", "2.7", "2"), ("length", "", "1"),
        ("seed", "-3", "0"), ("seed", "5000000000", "4294967295"),
    ):  # fmt: skip
        browser.evaluate(
            f"$('{name}').value = '{typed}', $('{name}').dispatchEvent(new Event('change'))"
        )
        assert browser.evaluate(f"[$('{name}').value, String(number('{name}'))]") == [used] * 2


@pytest.mark.parametrize("width", [390, 1300])
def test_characters_that_are_not_known_are_named_for_all_to_see(live, width):
    browser = live(width=width)
    focus(browser, "#input")
    browser.type("#\u00a0")
    box = "$('status').getBoundingClientRect().height > 10"
    assert browser.evaluate(f"[$('status').textContent, {box}]") == [
        "Not among this model's characters, left out: # \\xa0", True,
    ]  # fmt: skip
    browser.evaluate("take()")
    assert not browser.evaluate(box)
    browser.evaluate("vocabulary.unknown = 3")
    focus(browser, "#input")
    browser.type("#")
    assert browser.evaluate("$('status').textContent").endswith("read as the unknown symbol: #")


def test_a_long_text_is_seen_to_be_read(live):
    browser = live()
    focus(browser, "#input")
    seen = "getComputedStyle($('reading')).visibility"
    assert browser.evaluate(seen) == "hidden"
    browser.evaluate("document.execCommand('insertText', false, 'the old heron '.repeat(800))")
    browser.wait(f"{seen} === 'visible'")
    browser.wait(READ)
    assert browser.evaluate(f"[{seen}, vocabulary.decode(reader.ids) === input.value]") == [
        "hidden",
        True,
    ]
    # What is being written can be undone too.
    before = browser.evaluate("text.ids.length")
    browser.evaluate("write()")
    browser.wait("state.written > 2")
    browser.press("z", control=True)
    assert browser.evaluate("[state.writing, text.ids.length]") == [False, before]


def test_the_end_is_followed_where_it_is_in_view(live):
    browser = live(width=390, height=640)
    browser.evaluate("$('length').value = 3000, $('speed').value = 5, write()")
    browser.wait("text.field.scrollHeight > text.field.clientHeight + 120")
    browser.wait("state.written > 300 && text.isAtEnd")
    browser.evaluate("text.field.scrollTop -= 30, window.place = text.field.scrollTop")
    browser.wait(f"state.written > {browser.evaluate('state.written')} + 60")
    assert browser.evaluate("[text.field.scrollTop - place, state.writing]") == [0, True]
    browser.evaluate("pause()")
    browser.wait("!frameAsked")
    assert browser.evaluate("text.field.scrollTop - place") == 0
    browser.evaluate("write()")
    browser.evaluate("text.field.scrollTop = text.field.scrollHeight")
    browser.wait(f"state.written > {browser.evaluate('state.written')} + 60")
    browser.wait("text.isAtEnd && text.field.scrollTop > place + 30")


@pytest.mark.parametrize(
    ("width", "height", "stays"),
    [(390, 844, True), (480, 320, False), (320, 256, False), (1280, 400, False), (1280, 900, True)],
)
def test_the_text_stays_in_view_where_there_is_room(live, width, height, stays):
    browser = live(width=width, height=height)
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    browser.evaluate("scrollTo({ top: 600, behavior: 'instant' })")
    assert browser.evaluate("$('field').getBoundingClientRect().bottom > 0") == stays


def test_outlines_fit_their_squares(live):
    browser = live()
    for selector in (".chosen", ".known"):
        drawn, outline = browser.evaluate(
            f"[units.side / devicePixelRatio, document.querySelector('.grid {selector}').offsetWidth]"
        )
        assert abs(drawn - outline) <= 1


def test_a_language_is_changed_while_the_page_writes(live):
    browser = live()
    browser.evaluate("$('length').value = 3000, write(), $('language').click()")
    browser.wait("document.querySelector('#grids figcaption').textContent === '층 0'")
    assert browser.evaluate("[state.writing, bars.rows[0].button.ariaLabel.includes('확률')]") == [
        True,
        True,
    ]


def test_what_is_written_is_shown_after_a_composition(live):
    browser = live()
    focus(browser, "#input")
    browser.evaluate("document.body.classList.add('composing')")
    event = "new KeyboardEvent('keydown', { key: 'Enter', ctrlKey: true, isComposing: true })"
    browser.evaluate(f"input.dispatchEvent({event})")
    assert not browser.evaluate("state.writing")
    browser.evaluate("write()")
    assert browser.evaluate("[state.writing, document.body.matches('.composing')]") == [True, False]


def test_colours_that_tell_something_are_not_forced(live):
    browser = live()
    browser.call(
        "Emulation.setEmulatedMedia", features=[{"name": "forced-colors", "value": "active"}]
    )
    colours = browser.evaluate(
        "['.s5', '.legend .s8', '#bars .drawn'].map(name => "
        "getComputedStyle(document.querySelector(name)).backgroundColor)"
    )
    assert len(set(colours)) == 3
    assert len(set(browser.evaluate("stateColours(units.grids[0].frame)"))) == 11


def test_a_screen_reader_is_not_flooded(live):
    browser = live()
    slide(browser, "speed", 6)
    browser.evaluate(
        "window.said = [], new MutationObserver(() => said.push($('status').textContent))"
        ".observe($('status'), { childList: true }), $('length').value = 200"
    )
    browser.click("#write")
    browser.wait("!state.writing")
    browser.wait("said.length")
    assert browser.evaluate("said") == ["200 characters written"]
    slide(browser, "topP", 0.5)
    assert browser.evaluate("$('topP').ariaValueText") == "0.50"
    live_regions = "document.querySelectorAll('output, [role=status], [aria-live]').length"
    assert browser.evaluate(live_regions) == 2, "what is said, and the tip"


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_all_that_takes_the_focus_has_a_name_and_a_role(live, kind):
    browser = live(kind)
    for node in browser.call("Accessibility.getFullAXTree")["nodes"]:
        properties = {p["name"]: p["value"].get("value") for p in node.get("properties", ())}
        if properties.get("focusable") and node["role"]["value"] != "RootWebArea":
            assert node["name"]["value"].strip(), node
            assert node["role"]["value"] != "generic"


def test_words_are_in_two_languages(live):
    browser = live(language="ko-KR")
    assert browser.evaluate("[document.documentElement.lang, $('language').textContent]") == [
        "ko",
        "English",
    ]
    assert "\ub9e4\uac1c\ubcc0\uc218" in browser.evaluate("$('lead').textContent")
    assert browser.evaluate(
        "[...document.querySelectorAll('[data-label]')].every(e => /[\uac00-\ud7a3]/.test(e.textContent))"
    )
    browser.click("#language")
    assert browser.evaluate("document.documentElement.lang") == "en"
    assert not browser.evaluate(
        "/[\uac00-\ud7a3]/.test(document.querySelector('main').innerText.replace('\ud55c\uad6d\uc5b4', ''))"
    )
    # Every label is there in both, and each is used.
    table = browser.evaluate(
        "Object.entries(LABELS).map(([key, words]) => [key, typeof words.en, typeof words.ko])"
    )
    folder = ROOT / "charlm" / "pages" / "live"
    used = "".join(path.read_text() for path in folder.iterdir() if path.name != "labels.js")
    properties = (ROOT / "charlm" / "insight" / "properties.py").read_text()
    for key, english, korean in table:
        assert english == korean != "undefined", key
        assert re.search(rf"\b{key}\b", used + properties), key
    for key in re.findall(r'data-(?:label|name)="([^"]+)"', used) + re.findall(
        r'label\("(\w+)"', used
    ):
        assert key in [row[0] for row in table], key


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_a_page_fits(live, width, dark):
    browser = live(width=width, dark=dark)
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    # The textarea lies exactly over the coloured text.
    assert browser.evaluate("input.scrollHeight <= input.clientHeight + 1")
    sizes = browser.evaluate(
        "[...document.querySelectorAll('#drawing text')].map(t => t.getBoundingClientRect().height)"
    )
    assert min(sizes) > 9
