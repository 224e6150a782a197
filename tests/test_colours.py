"""Colours on a terminal: who gets them, what they stand for, and the text under them unchanged."""

import io
import math
import re

import numpy as np
import pytest
from helpers import SETTINGS, VERSE
from rich.color import ColorSystem

import charlm as library
from charlm.commands.drawing import by_state, by_surprise, colour_system, over_time
from charlm.insight import oddities, units
from charlm.pages import texts
from charlm.terminal import printable

ANSI = re.compile(r"\033\[[\d;]*m")


@pytest.fixture
def colours(monkeypatch):
    """Let the program in this process use all colours."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")


@pytest.fixture
def no_colours(monkeypatch):
    for variable in ("TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("colours")
    (folder / "verse.txt").write_text(VERSE * 20, newline="")
    library.train(folder / "verse.txt", checkpoints=folder, **SETTINGS | {"steps": 30})
    return folder


@pytest.fixture
def program(charlm, trained):
    """The program, on that run."""
    return lambda command, *more: charlm(command, *more, "--checkpoints", trained)


def drawn(by, text, values):
    """Colour a text by a value for each character."""
    return "".join(by(c, value, ALL) for c, value in zip(text, values.tolist(), strict=True))


ALL, SOME = ColorSystem.TRUECOLOR, ColorSystem.EIGHT_BIT


@pytest.mark.parametrize(
    ("terminal", "environment", "expected"),
    [
        (True, {"TERM": "xterm", "COLORTERM": "truecolor"}, ALL),
        (True, {"TERM": "xterm", "COLORTERM": "24bit"}, ALL),
        (True, {"TERM": "xterm-256color"}, SOME),
        (True, {"TERM": "xterm"}, ColorSystem.STANDARD),
        (True, {"TERM": "dumb"}, None),
        (True, {"TERM": "xterm-256color", "NO_COLOR": "1"}, None),
        (True, {"TERM": "xterm-256color", "NO_COLOR": ""}, SOME),
        (False, {"TERM": "xterm-256color", "COLORTERM": "truecolor"}, None),
        (False, {"TERM": "xterm-256color", "FORCE_COLOR": "1"}, SOME),
        (False, {"FORCE_COLOR": "1", "COLORTERM": "truecolor"}, ALL),
        (False, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, None),
    ],
)
def test_colour_system(monkeypatch, no_colours, terminal, environment, expected):
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    stream = io.StringIO()
    stream.isatty = lambda: terminal
    assert colour_system(stream) is expected


def test_colours_grow_with_what_they_stand_for():
    assert by_surprise("a", 2.9, ALL) == "a"
    assert by_surprise("a", 3, ALL) == "\033[38;5;231;48;2;112;112;112ma\033[0m"
    assert by_surprise("a", 8, ALL) == by_surprise("a", 99, ALL)
    assert "48;2;200;70;0m" in by_surprise("a", 8, ALL)
    assert by_state("a", 0.1, ALL) == "a"
    assert "48;2;0;100;180m" in by_state("a", -1, ALL)
    assert "48;5;166m" in by_state("a", 1, SOME)
    assert by_state("a", 1, None) == "a"


def test_text_cannot_command_the_terminal():
    for colours in (None, *ColorSystem):
        assert ANSI.sub("", by_surprise("\x1b", 9, colours)) == "\\x1b"
        assert ANSI.sub("", by_state("\u202e", 0, colours)) == "\\u202e"
    assert by_state("\n", 1, ALL).endswith(" \033[0m\n"), "a colour ends with its line"
    assert by_state("\n", 1, None) == "\n"


# charlm sample --color


def test_sample_in_colours(program, trained, colours):
    plain = program("sample", "--seed", 3, "--start", "The ", "-n", 120)[1]
    code, out, err = program("sample", "--seed", 3, "--start", "The ", "-n", 120, "--color")
    assert (code, len(err.splitlines())) == (0, 1)
    model = library.load(trained / "verse")
    bits = -model.log_probs(plain)[4:] / math.log(2)
    expected = "The " + drawn(by_surprise, plain[4:], bits)
    # A number may round the other way: the sampler's sum is a difference of two.
    assert ANSI.sub("", out).replace(" \n", "\n") == plain.replace(" \n", "\n")
    numbers = [re.findall(r"\d+", " ".join(ANSI.findall(text))) for text in (out, expected)]
    assert len(numbers[0]) == len(numbers[1]) > 100
    assert np.abs(np.subtract(*(np.array(text, int) for text in numbers))).max() <= 1


def test_sample_in_colours_of_bytes(charlm, tmp_path, colours):
    (tmp_path / "bytes.txt").write_text("한국어 🙂 " * 200)
    library.train(tmp_path / "bytes.txt", level="byte", checkpoints=tmp_path, **SETTINGS)
    arguments = ("sample", "--seed", 1, "-n", 90, "--checkpoints", tmp_path)
    plain, out = charlm(*arguments)[1], charlm(*arguments, "--color")[1]
    expected = "".join(c if c in "\n\t" else printable(c) for c in plain)
    assert ANSI.sub("", out).replace(" \n", "\n") == expected.replace(" \n", "\n")
    assert "\ufffd" in expected, "some bytes are no characters"


def test_sample_without_colours_is_plain(program, no_colours):
    plain = program("sample", "--seed", 3, "-n", 60)[1]
    code, out, err = program("sample", "--seed", 3, "-n", 60, "--color")
    assert (code, out) == (0, plain)
    assert "stdout shows no colours; FORCE_COLOR=1 writes them all the same" in err


# charlm eval --heat


def test_heat(program, trained, colours, tmp_path):
    text = VERSE[:150] + "DD?\n" + VERSE[150:]
    (tmp_path / "text.txt").write_text(text, newline="")
    plain = program("eval", tmp_path / "text.txt", "--run", trained / "verse")[1]
    code, out, err = program("eval", tmp_path / "text.txt", "--run", trained / "verse", "--heat")
    assert (code, err) == (0, "")
    assert out.startswith(plain)
    coloured, _, odd = out.removeprefix(plain).partition("\noddest places, in bits\n")
    model = library.load(trained / "verse")
    assert coloured == "\n" + drawn(by_surprise, text, model.surprise(text).bits)
    lines = odd.splitlines()
    assert len(lines) == 10
    first = model.oddities(text)[0]
    assert lines[0].split()[:2] == [f"{first.line}:{first.column}", f"{first.bits:.1f}"]
    assert f"{first.before}[{first.character}]{first.after}  expected" in lines[0]


def test_heat_without_colours_names_the_places(program, trained, no_colours):
    code, out, err = program("eval", trained / "verse.txt", "--heat")
    assert code == 0
    assert "\033" not in out
    assert len(out.partition("oddest places, in bits\n")[2].splitlines()) == 10
    assert (
        err
        == "stdout shows no colours; --out makes a page, FORCE_COLOR=1 writes them all the same\n"
    )


def test_heat_as_a_page(program, trained, tmp_path, no_colours, monkeypatch):
    page = tmp_path / "heat.html"
    code, _, err = program("eval", trained / "verse.txt", "--heat", "--out", page)
    assert (code, err) == (0, f"{page}: open it in a browser\n")
    content = page.read_text()
    assert "<h1>verse.txt</h1>" in content
    assert content.count("<tr><td>") == 10
    assert content.count("<span", content.index('id="text"')) >= len(VERSE * 20)
    for module in (oddities, texts):
        monkeypatch.setattr(module, "KEPT", 500)
    assert program("eval", trained / "verse.txt", "--heat", "--out", page)[0] == 0
    assert "These are the first 500 of 4,440 symbols." in page.read_text()


# charlm cells


def test_a_unit(program, trained, colours):
    code, out, err = program("cells", trained / "verse.txt", "--unit", "1.7", "-n", 100)
    assert (code, err) == (0, "")
    text = VERSE[:100]
    states = library.load(trained / "verse").states(text)[:, 1, 7]
    assert out == drawn(by_state, text, states).removesuffix("\n") + "\n"
    assert len(ANSI.findall(out)) > 30


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [
        ("ab", 80, ["   ab", "f  09", "   -", "h  59"]),
        # Lines end at newlines, else between words; a longer word is cut.
        ("a\nbc", 80, ["   a", "f  09", "   -", "h  59", "", "   bc", "f  09", "   -", "h  59"]),
        ("a\n\nb\n", 80, ["   a", "f  090", "   - -", "h  595", "", "   b", "f  90", "    -", "h  95"]),
        ("ab cdefghijk", 11, [
            "   ab", "f  090", "   - -", "h  595", "", "   cdefghij", "f  90909090", "    - - - -",
            "h  95959595", "", "   k", "f  9", "", "h  9",
        ]),
        # A wide character has two columns, an escape as many as it is written with.
        ("한\ta", 80, ["   한\\ta", "f  0 9 0", "   -   -", "h  5 9 5"]),
    ],
)  # fmt: skip
def test_rows_below_a_text(text, columns, expected):
    rows = {"f": [0.04, 0.99] * 6, "h": [-0.59, 1.0] * 6}
    rows = {name: values[: len(text)] for name, values in rows.items()}
    assert over_time(text, rows, columns, None).split("\n") == expected
    coloured = over_time(text, rows, columns, ALL)
    assert (
        ANSI.sub("", coloured).split()
        == ANSI.sub("", re.sub(r"[-0-9]", " ", over_time(text, rows, columns, None))).split()
    )
    lines = [line for line in coloured.split("\n") if line.startswith("h")]
    widths = [1 + (c == "한" or c == "\t") for c in text]
    cells = [by_state(" " * w, v, ALL) for w, v in zip(widths, rows["h"], strict=True)]
    assert "".join(line.removeprefix("h  ") for line in lines) == "".join(cells)


def test_gates_of_a_unit(program, trained, colours, no_colours, monkeypatch, tmp_path):
    command = ["cells", trained / "verse.txt", "--unit", "1.7", "--gates", "-n", 100]
    monkeypatch.setenv("COLUMNS", "60")
    trace = library.load(trained / "verse").unit_trace(VERSE[:100], (1, 7))
    rows = {name: values.tolist() for name, values in trace.values.items()}
    code, out, err = program(*command)
    assert (code, out) == (0, over_time(trace.text, rows, 60, None) + "\n")
    assert "stdout shows no colours" in err
    assert "; a digit is the first one behind the decimal point, with its sign above it\n" in err
    assert max(map(len, out.split("\n"))) <= 60
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    assert program(*command) == (0, over_time(trace.text, rows, 60, ALL) + "\n", "")
    page = tmp_path / "gates.html"
    assert program(*command, "--out", page) == (0, "", f"{page}: open it in a browser\n")
    content = page.read_text()
    assert (
        "Layer 1, unit 7, after each character: f, i, o from 0 (shut) to 1 (open), tanh(c) from −1 to 1."
        in content
    )
    assert content == library.load(trained / "verse").cells_page(trace, title="verse.txt")


def test_found_units(program, trained, colours, no_colours, tmp_path, monkeypatch):
    code, out, err = program("cells", trained / "verse.txt", "--run", "verse", "--find")
    assert code == 0
    assert "stdout shows no colours" in err
    found = library.load(trained / "verse").cells(VERSE * 20)
    assert out.splitlines() == [
        f"{one.correlation:+.3f}  layer {one.layer}, unit {one.unit:<4}  {one.property}"
        for one in found
    ]
    assert len(found) == 10
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    code, coloured, err = program("cells", trained / "verse.txt", "--find")
    assert (code, err) == (0, "")
    assert all(line in coloured for line in out.splitlines())
    assert coloured.count("48;2;") > 500
    page = tmp_path / "cells.html"
    code, again, err = program("cells", trained / "verse.txt", "--find", "--out", page)
    assert (code, again, err) == (0, out, f"{page}: open it in a browser\n")
    assert page.read_text().count('<figure class="cell">') == 10
    code, again, err = program("cells", trained / "verse.txt", "--unit", "0.3", "--out", page)
    assert (code, again) == (0, "")
    assert "Layer 0, unit 3: its state" in page.read_text()


def test_texts_in_which_nothing_is_found(program, trained, tmp_path):
    (tmp_path / "short.txt").write_text("The river")
    code, out, err = program("cells", tmp_path / "short.txt", "--find")
    assert (code, out) == (1, "")
    assert "short.txt: nothing can be measured in it; name a longer text" in err
    assert units.CHARACTERS == 20_000
