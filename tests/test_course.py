"""The lesson, its exercises and the notebook: numbers are computed, commands and cells are run."""

import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from helpers import ROOT

from charlm.generation.filters import Filters
from charlm.nn import reference
from charlm.nn.functions import cross_entropy, cross_entropy_backward
from charlm.nn.model import Model
from charlm.settings.schema import ModelConfig

DOCS = ROOT / "docs"
PAGES = {name: (DOCS / name).read_text(encoding="utf-8") for name in ("course.md", "course.ko.md")}
NOTEBOOK = json.loads((DOCS / "course.ipynb").read_text(encoding="utf-8"))
TRACE = json.loads((DOCS / "figures" / "gates.json").read_text(encoding="utf-8"))
COMMANDS = re.findall(r"`(charlm [^`]+)`", PAGES["course.md"])
every_page = pytest.mark.parametrize("page", PAGES)

sys.path.insert(0, str(DOCS))


def shown(*numbers, digits=3):
    return [f"{number:.{digits}f}".replace("-", "\N{MINUS SIGN}") for number in numbers]


def sizes():
    """Parameters of one layer: of two layers, less those of one."""
    counts = []
    for cell in ("rnn", "gru", "lstm"):
        one, two = (
            Model(ModelConfig(cell=cell, layers=layers, hidden=256), 64).parameters.size
            for layers in (1, 2)
        )
        counts.append(f"{two - one:,}")
    return counts


def knows_nothing():
    return [*shown(math.log(64)), f"{math.log2(64):g}", *shown(1.36 / math.log(2)), *shown(math.exp(1.36), digits=2)]  # fmt: skip


def softmax():
    z, came = np.array([[1.0], [0], [-1]]), np.array([2])
    nats = cross_entropy(z, came)
    p = z[:, 0].copy()
    cross_entropy_backward(z, came, 1)
    return shown(*p, *nats, *z[:, 0])


def temperatures():
    found = []
    for temperature in (0.5, 2, 0):
        weights = Filters(temperature=temperature).weigh(np.log([0.5, 0.3, 0.2]))
        p = weights / weights.sum()
        found.append(", ".join(shown(*p) if temperature else (f"{each:g}" for each in p)))
    return found


def two_steps_back():
    one = np.ones((1, 1))
    hs, _, backward = reference.rnn(np.ones((2, 1, 1)), 0 * one, one, 0.5 * one, np.zeros(1))
    # Since Wx is 1, dx is da.
    dx, _, d = backward(np.array([[[0.0]], [[1.0]]]), 0 * one)
    (h1, h2), (da1, da2) = hs[:, 0, 0], dx[:, 0, 0]
    return shown(h1, h2, da2, 0.5 * da2, da1, d["Wh"].item(), d["Wx"].item(), digits=4)


def how_far_back():
    k = math.log(0.01) / math.log(0.9)
    left = [0.9 ** math.ceil(k), 0.99 ** math.ceil(k)]
    return [f"{k:.1f}", f"{math.ceil(k)}", *shown(left[1]), f"{left[1] / left[0]:.0f}"]


def a_hundred_characters():
    f = 0.5**0.01
    open_at_one = reference.sigmoid(1)
    left = f"{open_at_one**100:.1e}"
    return [*shown(f, digits=4), *shown(math.log(f / (1 - f)), digits=2), *shown(open_at_one), left]


def counter():
    """An LSTM whose saturated gates count: the inputs are an opening and a closing bracket."""
    Wx = np.array([[80.0, 80], [0, 0], [0, 0], [40, -40]])
    b = np.array([-40.0, 40, 40, 0])
    text = "(a(bc(d)e))"
    x = np.array([[[c == "("], [c == ")"]] for c in text], float)
    zero = np.zeros((1, 1))
    hs, (_, c), _ = reference.lstm(x, zero, zero, Wx, np.zeros((4, 1)), b)
    assert c.item() == pytest.approx(0)
    return [*shown(*(hs[text.index(mark), 0, 0] for mark in "abd"), digits=4), *shown(0.9**20)]


def derive_dc():
    """Two time steps of an LSTM whose gates have these values at the first, and f at the second."""
    logit = lambda p: math.log(p / (1 - p))  # noqa: E731
    Wx = np.array(
        [[logit(0.9), 0], [logit(0.7), logit(0.9)], [logit(0.8), 0], [math.atanh(0.4), 0]]
    )
    one, none = np.ones((1, 1)), np.zeros((4, 1))
    x = np.array([[[1.0], [0]], [[0.0], [1]]])
    _, (_, c), backward = reference.lstm(x[:1], 0 * one, 0.2 * one, Wx, none, np.zeros(4))
    assert c.item() == pytest.approx(0.5)
    # What comes from the next time step along the cell state is 0.4 times its forget gate.
    _, _, following = reference.lstm(x[1:], 0 * one, c, Wx, none, np.zeros(4))
    _, (_, dc), _ = following(np.zeros((1, 1, 1)), 0 * one, 0.4 * one)
    assert dc.item() == pytest.approx(0.36)
    _, (_, dc_before), d = backward(np.ones((1, 1, 1)), 0 * one, dc)
    i, f, g = 0.9, 0.7, 0.4
    di, df, _, dg = d["b"] / [i * (1 - i), f * (1 - f), 1, 1 - g**2]
    whole = dc_before.item() / f
    return [*shown(whole - 0.36), "0.36", *shown(whole, df, di, dg, dc_before.item())]


def to_the_gru():
    one = np.ones((1, 1))
    b = np.array([0, math.log(9), -40])
    # The candidate does not see h, so that nothing goes back through the weights but by z.
    hs, _, backward = reference.gru(0 * one[None], 0.5 * one, 0 * np.ones((3, 1)), b, np.zeros((3, 1)), 0 * b)  # fmt: skip
    _, (direct,), d = backward(one[None], 0 * one)
    return [f"{number:.4g}" for number in (hs.item(), d["bx"][1] / (0.9 * 0.1), direct.item())]


def chunks():
    size = len((ROOT / "data" / "shakespeare.txt").read_text(encoding="utf-8"))
    learned = int(size * 0.9)
    return [f"{learned:,}", f"{64 * 32:,}", f"{learned // (64 * 32)}"]


ANSWERS = [
    sizes, knows_nothing, softmax, temperatures, two_steps_back, how_far_back, a_hundred_characters,
    list, counter, derive_dc, to_the_gru, chunks,
]  # fmt: skip


@every_page
@pytest.mark.parametrize("k", range(len(ANSWERS)))
def test_answers(page, k):
    """Each number of an answer is there, in this order."""
    exercises = re.split(r"^### \d+\. .*$", PAGES[page], flags=re.M)[1:]
    assert len(exercises) == len(ANSWERS)
    _, folded = exercises[k].split("<details><summary>")
    assert folded.strip().endswith("</details>")
    at = 0
    for number in ANSWERS[k]():
        found = re.compile(rf"(?<![\d.]){re.escape(number)}(?!\d|[.,]\d)").search(folded, at)
        assert found, (number, folded[at:])
        at = found.end()


@every_page
def test_the_unit_of_the_figure(page):
    text, values = TRACE["text"], TRACE["values"]
    begin = text.index("\n") + 1
    end = text.index("\n", begin)
    forget, write, state = values["f"], values["i"], values["tanh(c)"]
    for number in (
        f"{min(forget[begin:end]):.3f}", f"{forget[end]:.3f}", f"{write[end]:.3f}",
        f"{np.mean(write[begin + 2 : end]):.2f}", *shown(state[begin], state[end - 1], digits=2),
        f"{TRACE['layer']}.{TRACE['unit']}",
    ):  # fmt: skip
        assert number in PAGES[page], number
    assert text.split("\n")[1] not in (ROOT / "data" / "shakespeare.txt").read_text()


def test_pages_have_the_same_content():
    english, korean = PAGES.values()
    for pattern in (
        r"`(charlm [^`]+|--[^`]+)`", r"```math\n(.*?)```", r"\$([^$\n]+)\$", r"^(#+ (?:\d+\.)?)",
        r"\d+[.,]\d+", r"\]\(([^)]+)\)", r"<(/?details|/?summary)>",
    ):  # fmt: skip
        one, two = (
            sorted(re.findall(pattern, page, re.M | re.S * ("math" in pattern)))
            for page in (english, korean.replace(".ko.md", ".md"))
        )
        # Each names the other.
        assert [each for each in one if each != "course.ko.md"] == [each for each in two if each != "course.md"], pattern  # fmt: skip
        assert one
    for page in PAGES.values():
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page):
            assert (DOCS / target).exists(), target
        for found in re.finditer(r"(^|.)\$([^$\n]+)\$(.|$)", page, re.M):
            before, inside, after = found.groups()
            assert before in ("", " ", "("), found[0]
            assert not re.match(r"[0-9A-Za-z]", after), found[0]
            assert not re.search(r"\\[^A-Za-z]|[<>|]|^ | $|\}_", inside), found[0]
    minutes = re.findall(r"^\| (\d+)–(\d+) \|", english, re.M)
    assert [begin for begin, _ in minutes] == ["0", *(end for _, end in minutes[:-1])]
    assert minutes[-1][1] == "90"


@pytest.mark.slow
def test_commands_of_the_lesson(charlm, tmp_path):
    pytest.importorskip("matplotlib")
    shutil.copytree(ROOT / "data", tmp_path / "data")
    train, *others = COMMANDS
    assert len(others) > 5
    assert charlm(*shlex.split(train)[1:], "--preset", "tiny", "--steps", 8)[0] == 0
    for command in others:
        arguments = shlex.split(command)[1:]
        # Those that stand in a sentence are shortened.
        if arguments not in (["cells", "--gates"], ["train", "data/shakespeare.txt"]):
            assert charlm(*arguments)[0] == 0, command
    assert {"live.html", "report.html"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.slow
def test_the_figure_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    import make_gates

    make_gates.draw(tmp_path / "gates.svg")
    assert (tmp_path / "gates.svg").read_bytes()[:5] == b"<?xml"


def test_the_notebook_is_well_formed():
    cells = NOTEBOOK["cells"]
    assert [cell["id"] for cell in cells] == [f"cell-{k:02}" for k in range(len(cells))]
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 5)
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    source = "\n".join("".join(cell["source"]) for cell in code)
    imported = {
        name.split(".")[0] for name in re.findall(r"^(?:import|from) ([\w.]+)", source, re.M)
    }
    assert imported == {"charlm", "matplotlib", "numpy", "pathlib", "tempfile"}
    assert TRACE["text"] in source.encode().decode("unicode_escape")
    assert (DOCS / "course.ipynb").stat().st_size < 300_000


@pytest.mark.slow
def test_the_notebook_runs(tmp_path):
    """From top to bottom, in a process of its own; the cells assert what the text says."""
    pytest.importorskip("matplotlib")
    before = {path.name for path in DOCS.iterdir()}
    subprocess.run(
        [sys.executable, str(DOCS / "make_notebook.py"), str(tmp_path / "run.ipynb")],
        check=True, env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    run = json.loads((tmp_path / "run.ipynb").read_text(encoding="utf-8"))
    kinds = [[output["output_type"] for output in cell.get("outputs", [])] for cell in run["cells"]]
    stored = [[output["output_type"] for output in cell.get("outputs", [])] for cell in NOTEBOOK["cells"]]  # fmt: skip
    assert kinds == stored
    assert sum(map(len, kinds)) > 12
    assert {path.name for path in DOCS.iterdir()} == before
