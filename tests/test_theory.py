"""The course: its labels are the code's, its numbers charlm's, its pages one another's, its figures made."""

import json
import math
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from checks import refresh

import charlm
from charlm.insight.gradients import rate
from charlm.nn import reference
from charlm.nn.model import shapes
from charlm.nn.parameters import Parameters
from charlm.nn.rnn import RNN
from charlm.settings.schema import ModelConfig

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
FIGURES = DOCS / "figures"
PAGES = {name: (DOCS / name).read_text(encoding="utf-8") for name in ("theory.md", "theory.ko.md")}
MEASURED = json.loads((FIGURES / "measured.json").read_text(encoding="utf-8"))
CELLS = ("rnn", "gru", "lstm")
every_page = pytest.mark.parametrize("page", PAGES)

sys.path.insert(0, str(DOCS))
import cell_drawings
import memory_tasks


def plain(line):
    return " ".join(line.split())


def labels_of_the_code():
    """Return (file, label, what the step does) of every numbered comment."""
    found = []
    for name in (*CELLS, "output"):
        source = (ROOT / "charlm" / "nn" / f"{name}.py").read_text(encoding="utf-8")
        steps = re.findall(r"^ +# (\d[a-z](?:, \d[a-z])*)\. (.+)$", source, re.M)
        found += [(name, label, plain(text)) for label, text in steps]
    return found


def labels_of(page):
    found = re.findall(r"^> `(\w+) (\d[a-z](?:, \d[a-z])*)` `([^`]+)`", PAGES[page], re.M)
    return [(name, label, plain(text)) for name, label, text in found]


def table(page, first_cell):
    """Return the numbers from the row, or below the head, that begins with this cell, row by row."""
    lines = PAGES[page].replace("−", "-").splitlines()
    at = next(k for k, line in enumerate(lines) if line.startswith(f"| {first_cell} |"))
    rows = []
    for line in lines[at + 2 if lines[at + 1].startswith("|---") else at :]:
        if not line.startswith("|"):
            break
        rows.append([float(number) for number in line.strip("|").split("|")[1:] if number.strip()])
    return rows


def code_of(page):
    """Return the page's blocks of code: those that it quotes, and those to run."""
    blocks = re.findall(r"```python\n(.*?)```", PAGES[page], re.S)
    whole = [block for block in blocks if block.startswith("import")]
    return [block for block in blocks if block not in whole], whole


@every_page
def test_labels_are_those_of_the_code(page):
    """Both ways: every label and line of the page is the code's, and none of the code's is missing."""
    code = labels_of_the_code()
    assert len(code) == 24
    assert sorted(labels_of(page)) == sorted(code)


@every_page
def test_code_is_that_of_the_reference(page):
    source = (ROOT / "charlm" / "nn" / "reference.py").read_text(encoding="utf-8")
    blocks, _ = code_of(page)
    assert len(blocks) == 2
    # Indented less, lines break elsewhere.
    assert all("".join(block.split()) in "".join(source.split()) for block in blocks)


def test_pages_have_the_same_content():
    english, korean = PAGES.values()
    for pattern in (
        r"```math\n(.*?)```",  # equations
        r"^> (`.*)$",  # lines of code
        r"\]\((figures/.*?)\)",
        r"^(#+) ",  # headings
        r"^(\|.*\|)$",
        r"\d\.\d{2,}",  # measured numbers
        r"(?<!\d)(?:19|20)\d\d(?!\d)",  # years
    ):
        one, two = (
            re.findall(pattern, text, re.M | re.S if "math" in pattern else re.M)
            for text in (english, korean)
        )
        if pattern.startswith("^(\\|"):
            one, two = ([re.findall(r"-?\d[\d.]*", row) for row in rows] for rows in (one, two))
        if "\\d" in pattern:  # two languages name the same numbers in orders of their own
            one, two = sorted(one), sorted(two)
        assert one == two, pattern
        assert len(one) > 5
    inline = [sorted(set(re.findall(r"\$([^$\n]+)\$", text))) for text in (english, korean)]
    assert inline[0] == inline[1]


@every_page
def test_mathematics_is_written_as_github_reads_it(page):
    text = re.sub(r"```.*?```", "", PAGES[page], flags=re.S)
    text = re.sub(r"`[^`\n]*`", "", text)
    assert text.count("$") == 2 * len(re.findall(r"\$[^$\n]+\$", text))
    for found in re.finditer(r"(^|.)\$([^$\n]+)\$(.|$)", text, re.M):
        before, inside, after = found.groups()
        assert before in ("", " "), found[0]  # else it stays a dollar
        assert not re.match(r"[0-9A-Za-z]", after), found[0]
        assert not re.search(r"\\[^A-Za-z]|[<>|]|^ | $|\}_", inside), found[0]  # Markdown's own
    for equation in re.finditer(r"(\n?\n)```math\n(.+)\n```(\n\n)", PAGES[page]):
        assert equation[1] == "\n\n", "an equation stands apart"
        assert equation[2].count("{") == equation[2].count("}")
        sides = (len(re.findall(rf"\\{side}(?![a-z])", equation[2])) for side in ("left", "right"))
        assert len(set(sides)) == 1
    assert PAGES[page].count("```math") == len(re.findall(r"```math\n.+\n```\n\n", PAGES[page]))


@every_page
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", PAGES[page]):
        assert (DOCS / target).exists(), target
    for figure in FIGURES.glob("*.svg"):
        assert f"(figures/{figure.name})" in PAGES[page]
    for alt in re.findall(r"!\[(.*?)\]", PAGES[page]):
        assert len(alt) > 10, "a picture says in words what it shows"
    assert "docs/theory.md" in (ROOT / "README.md").read_text()
    assert "theory.md" in (DOCS / "architecture.md").read_text()


@pytest.mark.parametrize("name", cell_drawings.DRAWINGS)
def test_drawings_are_what_the_code_draws(name):
    drawn = cell_drawings.DRAWINGS[name]()
    assert (FIGURES / name).read_text(encoding="utf-8") == drawn
    root = ElementTree.fromstring(drawn)
    assert root.find("{*}title").text
    width, height = float(root.get("width")), float(root.get("height"))
    for text in root.iter("{http://www.w3.org/2000/svg}text"):
        assert 0 < float(text.get("x")) < width
        assert 0 < float(text.get("y")) < height
    steps = set(re.findall(r">(\d[a-z](?:, \d[a-z])*)</text>", drawn))
    cell = name.removesuffix("-cell.svg")
    if cell in CELLS:
        assert {label for step in steps for label in step.split(", ")} == {
            label for file, label, _ in labels_of_the_code() if file == cell
        }


@every_page
def test_worked_example(page):
    """One unit, three steps, through charlm's own layer."""
    layer = RNN("rnn.0", 1, 1)
    parameters = Parameters(layer.blocks(), np.float64)
    gradient = parameters.zeros_like()
    layer.bind(parameters.blocks, gradient.blocks)
    parameters.views["rnn.0.Wx"][...] = 1
    parameters.views["rnn.0.Wh"][...] = 0.5
    refresh(layer)
    hs, caches, state = [0.0], [], layer.zero_state(1)
    for x in (1.0, 0.0, 0.0):
        cache = layer.cache(1, 1)
        cache.x[...] = x
        state = tuple(part.copy() for part in layer.forward(state, cache))
        caches.append(cache)
        hs.append(state[0].item())
    dhs, das, shares, dstate = [], [], [], layer.zero_state(1)
    for t in (3, 2, 1):
        gradient.flat[:] = 0
        dh = np.full((1, 1, 1), float(t == 3))
        dhs.insert(0, (dh[0] + dstate[0]).item())
        _, dstate = layer.backward(dh, dstate, caches[t - 1])
        das.insert(0, gradient.views["rnn.0.b"].item())
        shares.insert(0, gradient.views["rnn.0.Wh"].item())
    lines = PAGES[page].splitlines()
    head = next(k for k, line in enumerate(lines) if re.match(r"\| \| [^|]* 1 \|", line))
    rows = [
        [float(number) for number in line.strip("|").split("|")[1:]]
        for line in lines[head + 2 : head + 6]
    ]
    for row, numbers in zip(rows, (hs[1:], dhs, das, shares), strict=True):
        assert row == [round(number, 4) for number in numbers]
    assert f"$dw_h = {sum(shares):.4f}$" in PAGES[page]


@every_page
def test_worked_lstm(page, capsys):
    """The page's code runs the reference, and prints the page's table."""
    (code,) = code_of(page)[1]
    exec(code, {})
    printed = np.array(re.findall(r"-?\d+\.\d*", capsys.readouterr().out), float).reshape(12, 3)
    assert table(page, "$i_t$") == printed.tolist()
    (dc_1, _, dc_3), (dh_1, _, dh_3) = printed[7], table(page, "$dh_t = 0.5 da_{t+1}$")[0]
    for share in (1 - dc_1 / dc_3, 1 - dh_1 / dh_3):
        assert f"{share:.0%}".replace("%", " %") in PAGES[page]


@every_page
def test_worked_gru(page):
    Wx, Wh, b, h = (
        np.array([[1.0], [0], [1]]),
        np.full((3, 1), 0.5),
        np.zeros(3),
        np.full((1, 1), 0.5),
    )
    hs, _, back = reference.gru(np.ones((1, 1, 1)), h, Wx, b, Wh, b)
    _, (dh,), gradients = back(np.ones((1, 1, 1)), np.zeros((1, 1)))
    r, z = reference.sigmoid(Wx + Wh * h)[:2, 0]
    values = np.array([r, z, np.tanh(1 + r * 0.25)])
    da = gradients["bx"]
    slopes = np.append((values * (1 - values))[:2], 1 - values[2] ** 2)
    rows = [[*values, hs.item()], [*(da / slopes), 1], da]
    assert table(page, "| $r$") == [[round(number, 4) for number in row] for row in rows]
    assert f"$dh_0 = {dh.item():.4f}$" in PAGES[page]
    assert f"{z:.4f}" in PAGES[page]


@every_page
def test_parameters_units_and_temperature(page):
    sizes = {
        cell: sum(
            math.prod(shape)
            for name, shape in shapes(ModelConfig(cell=cell, layers=1), 65).items()
            if name.startswith(cell)
        )
        for cell in CELLS
    }  # of one layer of 256 units, which reads an embedding of 256
    assert sizes["lstm"] == 4 * sizes["rnn"]
    assert sizes["gru"] == 3 * sizes["rnn"] + 3 * 256
    nats = (math.log(65), 1.5)
    for number in (
        *(f"{size:,}" for size in sizes.values()), *(f"{loss:.2f}" for loss in nats),
        *(f"{loss / math.log(2):.2f}" for loss in nats), f"{math.exp(1.5):.2f}",
    ):  # fmt: skip
        assert number in PAGES[page], number
    logits = np.array([2, 1, 0])
    expected = [np.exp(logits / tau) / np.exp(logits / tau).sum() for tau in (1, 0.5, 2)]
    assert table(page, r"$\tau = 1$") == np.round(expected, 3).tolist()


@pytest.fixture(scope="module")
def fresh_cells():
    return {
        (cell, scale): charlm.gradients(cell, scale=scale)
        for cell in CELLS
        for scale in (0.5, 1, 2)
    }


@every_page
def test_gradients_of_fresh_cells(page, fresh_cells):
    head = {
        "theory.md": "a time step multiplies the gradient by",
        "theory.ko.md": "한 시점마다 기울기에 곱해지는 수",
    }
    found = fresh_cells
    expected = [[found[cell, scale].per_step for scale in (0.5, 1, 2)] for cell in CELLS]
    expected.append([rate(found["lstm", scale].dh_without_c[:, 0]) for scale in (0.5, 1, 2)])
    assert table(page, head[page]) == np.round(expected, 3).tolist()


@every_page
def test_other_numbers(page):
    text = PAGES[page]
    truncation = MEASURED["truncation"]
    shown = [1, 4, 16, 64, 256]
    at = [truncation["T"].index(T) for T in shown]
    rows = [
        [truncation[cell][what][k] for k in at]
        for what in ("cosine", "ratio")
        for cell in ("rnn", "lstm")
    ]
    assert table(page, "T") == np.round(rows, 2).tolist()
    assert table(page, "$b_f$") == [
        pytest.approx([1 / (1 + np.exp(-b)), (1 / (1 + np.exp(-b))) ** 20], abs=tolerance)
        for b, tolerance in ((0, 5e-7), (1, 5e-4), (3, 5e-4), (5, 5e-4))
    ]
    squashing = {name: rate(np.array(of["dh"])) for name, of in MEASURED["squashing"].items()}
    same_sign = [MEASURED["squashing"][name]["same_sign"] for name in ("logistic", "tanh")]
    megabytes = dict(zip(MEASURED["memory"]["T"], MEASURED["memory"]["bytes"], strict=True))
    rnn, gru, clipping = truncation["rnn"], truncation["gru"], MEASURED["clipping"]["not clipped"]
    for number in (
        f"{squashing['tanh']:.3f}", f"{squashing['logistic']:.3f}", *(f"{part:.0%}".replace("%", " %") for part in same_sign),
        f"{MEASURED['squashing']['logistic']['mean']:.2f}", f"{rnn['radius'][0]:.2f}", f"{rnn['per_step']:.3f}", f"{rnn['slope']:.2f}",
        f"{rnn['radius'][0] * rnn['slope']:.2f}",
        f"{gru['per_step']:.3f}", f"{megabytes[64] / 1e6:.1f} MB", f"{megabytes[512] / 1e6:.0f} MB",
        f"{max(clipping['norm']):.1f}", f"{max(clipping['loss']):.1f}",
    ):  # fmt: skip
        assert number in text, number


@every_page
def test_numbers_of_the_memory_tasks(page):
    found = MEASURED["memory_tasks"]
    cells, alone = found["cells"], found["alone"]
    lags = {lag: k for k, lag in enumerate(found["lags"])}

    def means(rows, at=memory_tasks.ALONE):
        return [float(f"{np.mean(rows[lags[lag]]):.2f}") for lag in at]

    def means_alone(rows):
        return [float(f"{np.mean(row):.2f}") for row in rows]

    of_T = {"16": found["T"]["16"], "64": cells, "longest": found["T"]["longest"]}
    biases = {**found["forget bias"], "1": cells["three letters"]["lstm"]}
    alone_biases = {**alone["bias"], "5": alone["T"]["longest"][:2]}
    section = PAGES[page].split("\n## 10.")[1].split("\n## 11.")[0]
    tables = [
        [[float(number) for number in row.split("|")[2:-1]] for row in rows.splitlines()[2:]]
        for rows in re.findall(r"(?:^\|.*\|\n)+", section, re.M)[1:]
    ]
    assert tables == [
        [means(rows) for of in (*cells.values(), found["longer"]) for rows in of.values()],
        [
            [number for of in of_T.values() for number in means(of[task][cell], (50, 200))]
            for task in ("three letters", "brackets")
            for cell in CELLS
        ],
        [means_alone(rows) for rows in alone["T"].values()],
        [means(biases[b]) + means_alone(alone_biases[b]) for b in ("-1", "0", "1", "5")],
    ]
    unclipped = found["not clipped"]
    assert all(unclipped["three letters"][c] == cells["three letters"][c] for c in ("gru", "lstm"))
    kept = 1 / (1 + math.exp(-5))
    for number in (
        *(mean for of in (cells, unclipped) for mean in (*means(of["brackets"]["rnn"], (20,)), *means(of["brackets"]["lstm"], (200,)))),
        *(max(rows[1]) for rows in alone["T"].values()), *(mean for rows in alone["cell"].values() for mean in means_alone(rows)),
        *sorted(cells["one letter"]["rnn"][lags[200]])[-2:], max(alone["T"]["64"][2]),
        min(means(of["gru"], (400,))[0] for of in cells.values()), kept**50, kept**200,
    ):  # fmt: skip
        assert f"{number:.2f}" in section, number
    assert f"{kept:.3f}" in section
    sizes = [
        sum(map(math.prod, shapes(ModelConfig(cell, 1, sized["hidden"], "one-hot"), V).values()))
        for cell, sized in memory_tasks.CELLS.items()
        for V in (9, 10)  # with the newline: of brackets, of letters
    ]
    assert all(f"{size:,}" in section for size in (min(sizes), max(sizes)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["forget_bias", "squashing", "memory"])
def test_measured_numbers_can_be_measured_again(name):
    """Those that take no training; the others are `make_figures.py --measure`."""
    pytest.importorskip("matplotlib")
    import make_figures
    import measurements

    def close(one, two):
        if isinstance(one, dict):
            return one.keys() == two.keys() and all(close(one[key], two[key]) for key in one)
        return np.allclose(one, two, rtol=1e-4, atol=0)

    assert close(make_figures.plain(getattr(measurements, name)()), MEASURED[name])


@pytest.mark.slow
def test_every_figure_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    import make_figures

    make_figures.draw(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        path.name for path in FIGURES.glob("*.svg")
    }
    assert set(MEASURED) == {*make_figures.MEASURED, "timing", "memory_tasks"}


@pytest.mark.parametrize("lag", [2, 10, 200])
@pytest.mark.parametrize("task", memory_tasks.TASKS)
def test_lines_ask_for_what_is_a_lag_before(task, lag):
    _, answers, count = memory_tasks.TASKS[task]
    lines = memory_tasks.lines(task, (lag,), 50, 0)
    assert len({line[-count:] for line in lines}) > 3
    for line in lines:
        within = line[count : count + lag]
        if task == "brackets":
            assert memory_tasks.OPEN.index(line[0]) == memory_tasks.CLOSE.index(line[-1])
            for _ in range(memory_tasks.DEEPEST):
                within = re.sub(r"\(\)|\[\]|\{\}|<>", "", within)
            assert (within, len(line)) == ("", lag + 2)
        else:
            assert line[count + lag :] == "?" + line[:count]
            assert not set(within) & set(answers)


@pytest.mark.slow
def test_tasks_are_learned_by_the_library(monkeypatch):
    """Cells of the same size; a text of one lag is read line by line, whole."""
    assert memory_tasks.SEED_OF_NEW not in memory_tasks.SEEDS_ALONE
    monkeypatch.setattr(memory_tasks, "LINES", 600)
    models = [
        memory_tasks.learn("one letter", cell, 0, None, (2,), steps=300, validate_every=300)
        for cell in memory_tasks.CELLS
    ]
    sizes = [sum(view.size for view in model.parameters.values()) for model in models]
    assert max(sizes) < 1.02 * min(sizes)
    assert all(model.config.train.seq_len == 6 for model in models)
    assert memory_tasks.accuracy(models[-1], "one letter", 2) > 0.9
