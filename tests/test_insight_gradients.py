"""Gradients through time: against differences and the reference; the course's claims; figures."""

import json
import re
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from checks import relative_error
from helpers import OPTIONS

import charlm as library
from charlm.errors import ConfigError, TextError
from charlm.insight.attribution import attribution
from charlm.insight.gradients import STREAMS, measure, of_text, random_ids, rate, untrained
from charlm.nn import reference
from charlm.nn.functions import cross_entropy
from charlm.settings.schema import ModelConfig

CELLS = ["rnn", "gru", "lstm"]


def by_differences(model, ids, lag, k, kind):
    """Return the mean norm of dL_t / d state of layer k at a lag, by central differences."""
    T, B = len(ids) - 1, ids.shape[1]

    def losses(nudge):
        state = model.zero_state(B)
        for t in range(T):
            cache = model.cache(1, B)
            # The top layer's h of the last step feeds the output alone, and is nudged there.
            leaving = model.forward(ids[t : t + 1], state, cache)
            state = [tuple(part.copy() for part in layer) for layer in leaving]
            if t == T - 1 - lag:
                state[k][kind][...] += nudge
                if lag == 0:
                    cache.inputs[-1][0] += nudge
        z = model.output.forward(cache.output, 0).copy()
        return cross_entropy(z, ids[-1])

    H, epsilon = model.layers[k].H, 1e-6
    gradient = np.empty((H, B))
    for unit in range(H):
        nudge = np.zeros((H, B))
        nudge[unit] = epsilon
        gradient[unit] = (losses(nudge) - losses(-nudge)) / (2 * epsilon)
    return np.linalg.norm(gradient, axis=0).mean()


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_norms_of_the_top_layer_are_the_derivatives(cell, layers):
    config = ModelConfig(cell=cell, layers=layers, hidden=5)
    model, ids = untrained(config, 64, scale=1.3, seed=3), random_ids(9, 3, seed=1)
    found, top = measure(model, ids, lags=5), layers - 1
    assert found.dh.shape == (6, layers)
    for lag in (0, 1, 2, 5):
        expected = by_differences(model, ids, lag, top, 0)
        assert relative_error(found.dh[lag, top], expected) < 1e-7, lag
        if cell == "lstm" and lag:
            expected = by_differences(model, ids, lag, top, 1)
            assert relative_error(found.dc[lag, top], expected) < 1e-7, lag
    assert (found.dc is None) == (found.dh_without_c is None) == (cell != "lstm")


@pytest.mark.parametrize("along_c", [True, False])
def test_reference_loop_gives_the_same_with_and_without_c(along_c):
    config = ModelConfig(cell="lstm", layers=1, hidden=5, embedding="one-hot")
    model, ids = untrained(config, 64, scale=1.5), random_ids(8, 3)
    views = model.parameters.views
    weights = [views[f"lstm.0.{part}"] for part in ("Wx", "Wh", "b")]
    h = c = np.zeros((5, 3))
    backwards = []
    for row in ids[:-1]:
        _, (h, c), backward = reference.lstm(np.eye(64)[row].T[None], h, c, *weights)
        backwards.append(backward)
    z = views["output.W"] @ h + views["output.b"][:, None]
    p = np.exp(z) / np.exp(z).sum(axis=0)
    dh, dc = views["output.W"].T @ (p - np.eye(64)[ids[-1]].T), np.zeros((5, 3))
    norms = []
    for backward in backwards[::-1]:
        norms.append(np.linalg.norm(dh, axis=0).mean())
        _, (dh, dc), _ = backward(np.zeros((1, 5, 3)), dh, dc if along_c else 0 * dc)
    found = measure(model, ids, lags=6)
    dh = found.dh if along_c else found.dh_without_c
    assert relative_error(dh[:, 0], np.array(norms)) < 1e-12


def test_lower_layers_have_both_paths():
    """Layer 0's gradient at a lag comes back in time and down from the layer above."""
    model = untrained(ModelConfig(cell="gru", layers=2, hidden=4), 64)
    ids = random_ids(5, 2)
    dh = measure(model, ids, lags=3).dh
    views = model.parameters.views
    views["gru.0.Wh"][...] = 0
    views["gru.0.bh"][8:] = 0
    model.refresh()
    closed = measure(model, ids, lags=3).dh
    assert (closed[1:, 0] > 0).all()
    assert relative_error(closed[1:, 0], dh[1:, 0]) > 1e-3


@pytest.mark.parametrize("embedding", [4, "one-hot"])
@pytest.mark.parametrize("cell", CELLS)
def test_attribution_is_the_derivative(cell, embedding):
    """Against central differences of the reference cells, with an item that ends at symbol 2."""
    V, ids, k = 7, np.array([3, 5, 0, 6, 2, 6, 4]), 5
    config = ModelConfig(cell=cell, layers=2, hidden=5, embedding=embedding)
    model = untrained(config, V, scale=1.3, seed=2)
    views = model.parameters.views
    E = views.get("embedding.W", np.eye(V))
    parts = ("Wx", "bx", "Wh", "bh") if cell == "gru" else ("Wx", "Wh", "b")
    begins = {False: 0, True: 3}  # the symbol before which the state is zero

    def log_prob(x, items):
        for layer in range(2):
            state = [np.zeros((5, 1))] * (2 if cell == "lstm" else 1)
            weights = [views[f"{cell}.{layer}.{part}"] for part in parts]
            x, _, _ = reference.CELLS[cell](x, *state, *weights)
        z = (views["output.W"] @ x[-1])[:, 0] + views["output.b"]
        return z[ids[k]] - np.log(np.exp(z).sum())

    for items, begin in begins.items():
        # The start symbol, 0, is also the boundary: it is what an item is read behind.
        x = E.T[[0, *ids[begin:k]], :, None]
        expected, epsilon = np.zeros(k), 1e-6
        for j, d in np.ndindex(*x.shape[:2]):
            nudge = np.zeros_like(x)
            nudge[j, d] = epsilon
            slope = (log_prob(x + nudge, items) - log_prob(x - nudge, items)) / (2 * epsilon)
            if begin + j:
                expected[begin + j - 1] += slope**2
        expected = np.sqrt(expected)
        for most in (200, 3, 1):
            found = attribution(model, ids, k, 0, most, items=items)
            assert relative_error(found, expected[-most:]) < 1e-7, (items, most)
    assert attribution(model, ids, 0, 0, 200).size == 0


def test_update_norm_is_what_training_would_clip():
    model = untrained(ModelConfig(cell="rnn", layers=1, hidden=8), 64, scale=2)
    ids = random_ids(7, 3)
    norm = measure(model, ids, lags=4).update_norm
    settled = model.forward(ids[:1], model.zero_state(3), model.cache(1, 3))
    model.loss_and_gradient(ids[1:-1], ids[2:], settled, model.cache(5, 3))
    assert relative_error(norm, np.linalg.norm(model.gradient.flat)) < 1e-12


def test_radius_is_the_scale_of_fresh_cells():
    for cell, names in {"rnn": "h", "gru": "rzn", "lstm": "ifog"}.items():
        radius = library.gradients(cell, lags=2, hidden=16, scale=1.7, layers=2).radius
        assert list(radius) == [f"{cell}.{k}.{gate}" for k in (0, 1) for gate in names]
        assert radius == pytest.approx(dict.fromkeys(radius, 1.7))


def test_radius_is_the_largest_eigenvalue():
    model = untrained(ModelConfig(cell="gru", layers=1, hidden=3), 64)
    matrices = np.split(model.parameters.views["gru.0.Wh"], 3)
    for W, largest in zip(matrices, (0.9, 0.3, 2.0), strict=True):
        # A triangular matrix has its eigenvalues on the diagonal, whatever stands above it.
        W[...] = np.triu(np.full((3, 3), 5.0), 1) + np.diag([0.1, -largest, 0.2])
    model.refresh()
    radius = measure(model, random_ids(4, 2), lags=2).radius
    assert radius == pytest.approx({"gru.0.r": 0.9, "gru.0.z": 0.3, "gru.0.n": 2.0})


@pytest.mark.slow
def test_what_the_course_says():
    """Vanishing, exploding, the second path and the forget bias, at the sizes shown by default."""

    def rates(cell, **options):
        return library.gradients(cell, **options).per_step

    for cell in CELLS:
        small, usual, large = (rates(cell, scale=scale) for scale in (0.5, 1, 2))
        assert small < usual < large, cell
    assert rates("rnn", scale=0.5) < 0.5  # below the radius: tanh' shortens as well
    assert rates("rnn", scale=2) > 1.1
    lstm = library.gradients("lstm")
    assert lstm.per_step > rates("rnn") > rate(lstm.dh_without_c[:, 0])
    assert rates("lstm", forget_bias=0) < rates("lstm") < rates("lstm", forget_bias=3) < 1
    assert library.gradients("rnn", scale=2).update_norm > 50
    # Along c alone a step multiplies by f, which is near sigmoid(bias) while all is small.
    along_c = rate(library.gradients("lstm", forget_bias=2, scale=0.01).dc[1:, 0])
    assert along_c == pytest.approx(1 / (1 + np.exp(-2)), rel=0.02)


def test_same_seed_same_numbers():
    one, two, other = (library.gradients("lstm", lags=8, seed=seed) for seed in (4, 4, 5))
    assert np.array_equal(one.dh, two.dh)
    assert not np.array_equal(one.dh, other.dh)
    with pytest.raises(ConfigError, match="cell"):
        library.gradients("elman")


def test_trained_models(charlm, text_file):
    assert charlm("train", text_file, *OPTIONS, "--quiet")[0] == 0
    model, text = library.load("verse"), text_file.read_text()

    def printed(*arguments):
        out = charlm("gradients", *arguments, "--run", "verse", "--json")[1]
        (network,) = json.loads(out)["networks"]
        return network

    found = model.gradients(text, lags=6)
    assert found.dh.shape == found.dc.shape == (7, 2)
    assert set(found.radius) == {f"lstm.{k}.{gate}" for k in (0, 1) for gate in "ifog"}
    with pytest.raises(TextError, match="text: 13 characters is too short, 6 lags need 14; lower"):
        model.gradients(text[:13], lags=6)
    # The shell says the same of the same text.
    network = printed(text_file, "--lags", 6)
    assert network["name"] == "verse"
    assert np.array_equal(network["dh"], found.dh.T)
    assert np.array_equal(network["dh_without_c"], found.dh_without_c.T)
    assert network["radius"] == found.radius
    # Without a text, it is the validation part of its own; where that is too short, all of it.
    dh = model.gradients(text[3600:], lags=6).dh
    assert np.array_equal(printed("--lags", 6)["dh"], dh.T)
    assert np.array_equal(printed("--lags", 300)["dh"], model.gradients(text, lags=300).dh.T)


def test_a_runs_name_is_no_command_to_the_picture(charlm, text_file):
    pytest.importorskip("matplotlib")
    name = "a\x1b[31m$x_$한글"
    assert charlm("train", text_file, *OPTIONS, "--quiet", "--name", name)[0] == 0
    out = charlm.output("gradients", "--run", name, "--lags", 4, "--out", "a.svg")
    assert r"a\x1b[31m$x_$한글" in out
    ElementTree.parse("a.svg")


def test_runs_beside_one_another(charlm, text_file):
    for cell in ("rnn", "lstm"):
        charlm.output("train", text_file, *OPTIONS, "--quiet", "--cell", cell, "--name", cell)
    out = charlm.output("gradients", "--run", "rnn", "--run", "lstm", "--lags", 8)
    assert re.search(r"^ +rnn +radius[\s\S]+^ +lstm +radius", out, re.M), out
    assert re.findall(r"^(\w) +(?:layer|c closed)", out, re.M) == ["0", "1", "0", "1", "x"]


def test_errors_are_one_line(charlm, text_file, tmp_path):
    assert charlm("train", text_file, *OPTIONS, "--quiet")[0] == 0
    short = tmp_path / "short.txt"
    short.write_text("The river rose")
    table = [
        ([short, "--run", "verse"], "short.txt: 14 characters is too short, 64 lags need 130"),
        (["--run", "nope"], "nope: no such checkpoint"),
        (["--out", "a.pdf"], "a.pdf: must end in .png or .svg, got '.pdf'"),
        (["--out", "a"], "a: must end in .png or .svg, got 'no suffix'"),
        (["--out", "nowhere/a.svg"], "nowhere/a.svg: No such file or directory"),
    ]
    for arguments, message in table:
        code, out, err = charlm("gradients", *arguments)
        assert (code, out, err.count("\n")) == (1, "", 1), err
        assert message in err
    ids = tmp_path / "checkpoints/verse/ids.bin"
    for change in (lambda: ids.write_bytes(b"\0" * 4000), ids.unlink):
        change()
        code, _, err = charlm("gradients", "--run", "verse")
        assert code == 1
        assert "checkpoints/verse/best.npz: needs the text that it" in err


def test_needs_matplotlib_only_to_draw(charlm, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert charlm("gradients", "--lags", 4)[0] == 0
    code, _, err = charlm("gradients", "--lags", 4, "--out", "a.svg")
    assert code == 1
    assert err.startswith("charlm: a.svg: needs matplotlib, which is not installed; /")


def test_fresh_cells_are_shown(charlm, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out = charlm.output("gradients")
    assert max(map(len, out.splitlines())) <= 80
    assert re.findall(r"^ +(scale [\d.]+|lstm, scale 1) +radius", out, re.M) == [
        "scale 0.5", "scale 1", "scale 2", "lstm, scale 1"
    ]  # fmt: skip
    row = re.search(r"^r  rnn +2\.00  x 1\.\d{3} +\de\+03 +\d+\.\d+ +x 0\.0\d+$", out, re.M)
    assert row, out
    monkeypatch.setenv("COLUMNS", "40")
    _, out, _ = charlm("gradients", "--lags", 16, "--scale", 1, "--forget-bias", 1)
    assert max(map(len, out.splitlines())) <= 42
    assert "norm:" in out


def test_json_holds_every_number(charlm):
    _, out, _ = charlm("gradients", "--lags", 4, "--scale", 1.5, "--forget-bias", 2, "--json")
    document = json.loads(out)
    assert document["lags"] == 4
    assert [(n["name"], n["scale"], n.get("forget_bias")) for n in document["networks"]] == [
        ("rnn", 1.5, None), ("gru", 1.5, None), ("lstm", 1.5, 1.0), ("forget bias 2", 1.0, 2.0)
    ]  # fmt: skip
    expected = library.gradients("lstm", lags=4, scale=1.5)
    assert np.array_equal(document["networks"][2]["dc"], expected.dc.T)
    assert document["networks"][0]["dc"] is None


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_pictures(charlm, tmp_path, suffix):
    pytest.importorskip("matplotlib")
    for name in ("a", "b"):
        charlm.output("gradients", "--lags", 5, "--hidden", 8, "--out", f"{name}{suffix}")
    one, two = ((tmp_path / f"{name}{suffix}").read_bytes() for name in ("a", "b"))
    assert one == two
    assert one.startswith(b"<?xml" if suffix == ".svg" else b"\x89PNG")
    assert len(one) > 10_000


def test_what_exceeds_float64_is_left_out(charlm):
    """Scale 0 stops the gradient at once, scale 100 sends it beyond what float64 holds."""
    pytest.importorskip("matplotlib")
    options = ["--lags", 200, "--hidden", 4, "--scale", 0, "--scale", 100, "--forget-bias", 1]
    charlm.output("gradients", *options, "--out", "a.png")
    out = charlm.output("gradients", *options, "--json")
    stopped, _, _, exploding, *_ = json.loads(out)["networks"]
    assert stopped["dh"][0][0] > 0
    assert set(stopped["dh"][0][1:]) == {0}
    assert exploding["dh"][0][0] > 0
    # The factor per lag, as far as there are numbers.
    assert rate(np.array([8.0, 4.0, 2.0, 0.0, 0.0])) == 0.5
    assert rate(np.array([1.0, 3.0, np.inf, np.nan])) == 3
    assert rate(np.array([1.0, 0.0])) == 0


@pytest.mark.slow
@pytest.mark.parametrize("text", ["a" * 3_000, "ab" * 1_500])
def test_models_of_one_and_two_symbols(charlm, tmp_path, text):
    """One symbol is certain: its loss and its gradient are 0."""
    pytest.importorskip("matplotlib")
    (tmp_path / "a.txt").write_text(text)
    assert charlm("train", "a.txt", *OPTIONS, "--quiet")[0] == 0
    out = charlm.output("gradients", "--run", "a", "--lags", 4, "--out", "a.svg")
    certain = re.search(r"^1  layer 1 +(0\.\d\d(-\d\.\d\d)?) +- +-", out, re.M)
    assert bool(certain) == ("b" not in text), out
    ElementTree.parse("a.svg")
    for command in (
        ["gradients", "--run", "a", "--json"], ["eval", "a.txt", "--dynamic"], ["report"],
        ["eval", "a.txt", "--heat", "--out", "heat.html"], ["sample", "--top-p", 0.5],
        ["cells", "a.txt", "--find", "--out", "cells.html"], ["sample", "--best-of", 2],
    ):  # fmt: skip
        code, out, err = charlm(*command)
        assert code == 0, err
        assert not {"nan", "inf"} & set(re.findall(r"[a-z]+", out)), out


def test_places_are_spread_over_the_text(monkeypatch):
    read = []
    monkeypatch.setattr("charlm.insight.gradients.measure", lambda *given: read.append(given[1]))
    of_text(untrained(ModelConfig(cell="rnn", layers=1, hidden=4), 1000), np.arange(1000), 10)
    assert read[0].shape == (22, STREAMS)
    begins = read[0][0]
    assert (begins[0], begins[-1]) == (0, 1000 - 22)
    assert set(np.diff(begins)) <= {65, 66}
    assert np.array_equal(read[0], begins + np.arange(22)[:, None])
