"""What is printed: on real terminals, on narrow consoles, into pipes."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import OPTIONS as SMALL
from helpers import VERSE, environment, finish, write_checkpoint
from helpers import on_a_terminal as shown_on_a_terminal
from korean import korean
from rich.cells import cell_len

import charlm as library
from charlm.commands.drawing import wrap
from charlm.terminal import whole_words
from charlm.text.vocabulary import ByteVocabulary, Vocabulary

# What a run, and a file, may be called: a terminal would take it for a title and a colour.
NAME = "a\x1b]0;title\x07\x1b[31mb\x9b2J"
HOSTILE = Vocabulary(
    "".join(sorted("\n\tab\x00\x07\x08\r\x1b[]2J\x7f\x85\x9b\u202e\u2066é漢")), "\n"
)
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


# Many commands one after the other in one process, each begun by a line of its number.
PROGRAM = """
import json, os, sys
from charlm import cli
for k, arguments in enumerate(json.loads(sys.argv[1])):
    sys.argv = ["charlm", *(os.fsdecode(bytes.fromhex(word)) for word in arguments)]
    print(f"<{k}>", flush=True)
    try:
        cli.main()
    except SystemExit as end:
        print(f"<exit {end.code}>", flush=True)
"""


def command(commands: list[list[object]]) -> list[str]:
    # In hexadecimal digits: a narrow locale has its own idea of an argument's characters.
    lines = [[os.fsencode(str(word)).hex() for word in arguments] for arguments in commands]
    return [sys.executable, "-c", PROGRAM, json.dumps(lines)]


def on_a_terminal(folder: Path, *commands: list[object], **more: str) -> str:
    """Run commands on a wide terminal without colours, and return what that shows."""
    return shown_on_a_terminal(
        folder, command=command([*commands]), columns=9999, **{"NO_COLOR": "1"} | more
    )


def each_of(shown: str, commands: list) -> list[tuple[list[object], str, int]]:
    """Cut what several commands showed into what each did: command, shown, exit code."""
    parts = re.split(r"<\d+>\n", shown)[1:]
    assert len(parts) == len(commands), shown
    codes = [int(re.search(r"<exit (\d)>\n$", part)[1]) for part in parts]
    return list(zip(commands, parts, codes, strict=True))


@pytest.fixture
def hostile(charlm, tmp_path):
    """A folder with a run and a text of hostile names, whose model has learnt controls."""
    write_checkpoint(tmp_path / "checkpoints" / NAME / "best.npz", HOSTILE)
    (tmp_path / f"{NAME}.txt").write_text("ab\n\x1b[2J漢é" * 300, encoding="utf-8", newline="")
    return tmp_path


SAMPLE = ["sample", "--seed", "3", "--temp", "9", "--length", "400", "--start", "ab\x1b[2J\x07"]
ESCAPES = (r"\x1b", r"\x00", r"\x07", r"\r", r"\x9b", r"\x7f", r"\x85", r"\u202e", r"\u2066")


def test_what_was_learned_never_reaches_a_terminal_raw(hostile):
    commands = [[*SAMPLE, *more] for more in ([], ["--count", "2"], ["--best-of", "3"])]
    for _, shown, _ in each_of(on_a_terminal(hostile, *commands), commands):
        assert RAW.findall(shown) == []
        assert [escape for escape in ESCAPES if escape not in shown] == []
        assert {"漢", "é"} <= set(shown)


@pytest.mark.slow
def test_a_pipe_gets_texts_raw_and_names_escaped(hostile):
    _, out, err = finish(hostile, *SAMPLE)
    assert set(HOSTILE.symbols) == set(out.decode())
    assert RAW.findall(err) == []
    assert out.startswith(b"ab\x1b[2J\x07")
    assert RAW.findall(on_a_terminal(hostile, [*SAMPLE, "--json"])) == []
    text = json.loads(finish(hostile, *SAMPLE, "--json")[1])["text"]
    assert text.startswith("ab\x1b[2J\x07")
    for arguments in (["eval", TEXT, "--run", NAME], ["info", NAME], ["info"]):
        code, out, err = finish(hostile, *arguments)
        assert code == 0, err
        assert RAW.findall(out.decode()) == [], arguments


def test_bytes_never_reach_a_terminal_raw(tmp_path, charlm):
    write_checkpoint(tmp_path / "checkpoints" / "bytes" / "best.npz", ByteVocabulary())
    start = os.fsdecode(b"\x9b2J\xff")
    shown = on_a_terminal(tmp_path, ["sample", "--seed", 1, "--temp", 5, "--start", start])
    assert RAW.findall(shown) == []
    assert r"\x9b2J\xff" in shown
    options = ["--seed", 1, "--length", 0, "--start", "-"]
    assert finish(tmp_path, "sample", *options, given=b"\x9b\xff")[1] == b"\x9b\xff"


def test_a_training_shows_no_text_raw(hostile):
    """Its samples, its names, its bar; all that is raw is what the bar itself moves with."""
    text = hostile / f"{NAME}.txt"
    text.write_text((VERSE + "\x1b[31mred\x1b]0;title\u202e") * 30, encoding="utf-8", newline="")
    more = ["--set", "train.sample_length=400", "--lr", "0.3"]
    commands = [["train", text.name, *SMALL, *more], ["train", "--resume"]]
    shown = each_of(on_a_terminal(hostile, *commands), commands)
    trained, resumed = (part for _, part, _ in shown)
    assert "30/30" in trained
    assert r"\x1b" in trained
    assert "write with: charlm sample $'checkpoints/a\\x1b]0;title" in trained
    # The bar goes to a line's beginning, and up to where it was.
    assert set(RAW.findall(trained.replace("\x1b[A", ""))) <= {"\r"}
    assert RAW.findall(resumed) == []


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("one two\nthree\nfour fi", "one two\nthree"), ("one\ntwo three fo", "one\ntwo three"),
        ("one two three fo", "one two three"), ("a bcdefghi", "a bcdefghi"), ("", ""),
        ("one\u2028two th", "one\u2028two"), ("子曰學而時習之", "子曰學而時習之"), ("one two\n", "one two"),
    ],
)  # fmt: skip
def test_a_sample_ends_with_a_line_or_a_word(text, kept):
    assert whole_words(text) == kept


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one two three four", ["one two ", "three four"]), ("a\n\nb\u2028c", ["a", "", "b\u2028c"]),
        ("강물이 늙은 사공", ["강물이 ", "늙은 사공"]), ("子曰學而時習之", ["子曰學而時", "習之"]),
        ("  a word", ["  a word"]),
    ],
)  # fmt: skip
def test_lines_are_wrapped_between_words_by_the_columns_they_take(text, lines):
    assert wrap(text, 10) == lines


def test_samples_fit_the_terminal(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(korean(4_000).replace(". ", ".\u2028"), encoding="utf-8")
    options = [*SMALL, "--lr", "0.02", "--set", "train.sample_length=300"]
    shown = shown_on_a_terminal(tmp_path, "train", text, *options, columns=50, NO_COLOR="1")
    samples = [line for line in shown.split("\n") if line.startswith("    ")]
    assert "\u2028" in "".join(samples)
    assert 40 < max(map(cell_len, samples)) <= 50


TEXT = f"{NAME}.txt"
COMMANDS = [
    ["info"], ["info", NAME], ["info", NAME, "--json"], ["info", NAME, NAME], ["eval", TEXT, "--run", NAME],
    ["eval", TEXT, "--run", NAME, "--json"], ["fetch"], ["export", NAME, "--to", "safetensors"],
    ["import", f"{NAME}.safetensors"], ["sample", NAME, "--length", "3"], ["info", "--json"],
]  # fmt: skip
ERRORS = [
    ["sample", "\x1b[2J"], ["sample", NAME, "--start", "\x1b[3J€"], ["info", "\x9b2J"],
    ["eval", "\x1b[2J", "--run", "\x1b[2J"], ["eval", "\x1b[2J.txt", "--run", NAME], ["import", "\x1b[2J.pt"],
    ["import", "\x1b[2J"], ["fetch", "\x1b[2J"], ["fetch", "tinyshakespeare", "--url", "\x1b[2J"],
    ["train", "\x1b[2J.txt"], ["train", TEXT, "--set", "\x1b[2J=3"],
    ["train", TEXT, "--set", "train.steps=\x1b[2J"], ["train", TEXT, "--encoding", "\x1b[2J"],
    ["train", TEXT, "--preset", "\x1b[2J"], ["train", TEXT, "--config", "\x1b[2J"],
    ["train", TEXT, "--name", "/\x1b[2J"], ["train", "--resume", "--name", NAME],
    ["train", "--resume", "--name", "\x1b[2J"], ["train", ".", "--glob", "/\x1b[2J"],
    ["train", TEXT, "--init-from", "\x1b[2J"], ["export", NAME, "--out", "\x1b[2J"],
    ["export", "\x1b[2J", "--to", "onnx"], ["\x1b[2J"], ["sample", NAME, "\x1b[2J"],
    ["sample", "--\x1b[2J"], ["sample", "--count", "\x1b[2J"], ["sample", "--on-unknown", "\x1b[2J"],
    ["export", "--to", "\x1b[2J"], ["info", "--checkpoints", "\x1b[2J"],
]  # fmt: skip


def test_no_name_reaches_a_terminal_raw(hostile):
    """Every command, and every error that names something."""
    pytest.importorskip("safetensors")
    commands = COMMANDS + ERRORS
    for arguments, part, code in each_of(on_a_terminal(hostile, *commands), commands):
        assert len(part) > 30, arguments
        # The bar of a download goes to its line's beginning.
        bar = {"\r"} if "--url" in arguments else set()
        assert set(RAW.findall(part)) <= bar, (arguments, part)
        assert "Traceback" not in part, (arguments, part)
        assert (code == 0) == (arguments in COMMANDS), (arguments, part)


# What charlm itself colours with.
PAINT = re.compile("\x1b\\[(?:0|38;5;231;48;5;\\d+|38;5;231;48;2;\\d+;\\d+;\\d+)m")
LOOKING = [
    ["eval", TEXT, "--run", NAME, "--heat"], ["eval", TEXT, "--run", NAME, "--heat", "--out", f"{NAME}.html"],
    ["eval", TEXT, "--run", NAME, "--dynamic"], ["cells", TEXT, "--run", NAME, "--unit", "0.1"],
    ["cells", TEXT, "--run", NAME, "--unit", "0.1", "--gates"], ["cells", TEXT, "--run", NAME, "--find"], ["sample", NAME, "--color", "--temp", "9", "--start", "b\x1b[2J"],
    ["sample", NAME, "--temp", "0", "--check-copy", "--start", "ab\n\x1b[2J"],
    ["gradients", "--run", NAME, "--lags", "4"], ["info", NAME, "--check"], ["info", "--check"],
]  # fmt: skip


@pytest.fixture
def learned(hostile):
    """The same, with a run that has learned such a text, and has it beside it."""
    shutil.rmtree(hostile / "checkpoints")
    library.train(
        hostile / TEXT, name=NAME, checkpoints=hostile / "checkpoints", hidden=8, layers=1,
        batch_size=4, seq_len=8, steps=30, learning_rate=0.05,
    )  # fmt: skip
    return hostile


@pytest.mark.parametrize("colours", [{"NO_COLOR": "1"}, {"NO_COLOR": "", "COLORTERM": "truecolor"}])
def test_nothing_that_is_looked_at_reaches_a_terminal_raw(learned, colours):
    """Texts in colours, copies, names of runs; all that is raw is what charlm colours with."""
    parts = each_of(on_a_terminal(learned, *LOOKING, **colours), LOOKING)
    for arguments, part, code in parts:
        assert RAW.findall(PAINT.sub("", part)) == [], (arguments, part)
        assert code == 0, (arguments, part)
        coloured = {"--unit", "--find", "--heat", "--color"} & set(arguments)
        expected = coloured and not colours["NO_COLOR"] and "--out" not in arguments
        assert bool(PAINT.findall(part)) == bool(expected)
    assert r"\x1b" in parts[0][1]
    assert "copy: " in parts[7][1]


@pytest.mark.slow
def test_a_page_of_hostile_names_shows_them(learned):
    pytest.importorskip("matplotlib")
    assert RAW.findall(on_a_terminal(learned, ["report", NAME])) == []
    page = (learned / "checkpoints" / NAME / "report.html").read_text(encoding="utf-8")
    assert RAW.findall(page) == []
    assert r"a\x1b]0;title\x07\x1b[31mb\x9b2J" in page


CONSOLES = {
    "ascii": ({"PYTHONIOENCODING": "ascii"}, "ascii"),
    "strict ascii": ({"PYTHONIOENCODING": "ascii:strict"}, "ascii"),
    "cp1252": ({"PYTHONIOENCODING": "cp1252"}, "cp1252"),
    "C": ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "ascii"),
}


@pytest.mark.slow
@pytest.mark.parametrize("console", list(CONSOLES))
def test_narrow_consoles_are_no_error(learned, console):
    """Neither on a terminal nor in a pipe: what cannot be encoded is replaced."""
    more, encoding = CONSOLES[console]
    shutil.copytree(learned / "checkpoints" / NAME, learned / "checkpoints" / "漢")
    good = [
        ["eval", TEXT, "--run", "漢", "--heat"], ["cells", TEXT, "--run", "漢", "--unit", "0.1"],
        ["cells", TEXT, "--run", "漢", "--find"], ["gradients", "--run", "漢", "--lags", "4"], ["info", "漢", "--check"],
        ["sample", "漢", "--color", "--seed", "1", "--temp", "9"],
        ["sample", "漢", "--check-copy", "--temp", "0"],
        ["info"], ["info", "漢"], ["eval", TEXT, "--run", "漢"], ["sample", "漢", "--seed", "1", "--temp", "9"],
        ["sample", "漢", "--seed", "1", "--count", "2", "--json"],
        ["train", TEXT, *SMALL, "--name", "漢é", "--resume-or-start"],
    ]  # fmt: skip
    bad = [["eval", "한.txt", "--run", "漢"], ["sample", "한"], ["sample", "漢", "--start", "한"]]
    commands = good + bad
    shown = on_a_terminal(learned, *commands, encoding=encoding, **more)
    done = subprocess.run(
        command(commands), cwd=learned, env=environment(NO_COLOR="1", **more), capture_output=True,
        check=True,
    )  # fmt: skip
    piped = done.stdout.decode(encoding, "replace")
    for arguments, part, code in each_of(shown, commands) + each_of(piped, commands):
        assert code == (1 if arguments in bad else 0), (arguments, part, done.stderr)
        assert "Traceback" not in part
    assert b"Traceback" not in done.stderr
    assert done.stderr.count(b"\ncharlm: ") == len(bad)
