"""Every gradient against central differences, and every planted bug caught by that."""

import inspect
import textwrap

import numpy as np
import pytest
from checks import GATE, LAYERS, layer_errors, network_errors

from charlm.nn import output
from charlm.nn.recurrent import RecurrentLayer

CELLS = list(LAYERS)


@pytest.mark.parametrize("T", [1, 2, 5])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("seed", [0, 1])
def test_cell_alone(cell, T, seed):
    errors = layer_errors(cell, T, np.random.default_rng(seed))
    assert max(errors.values()) < GATE, errors


# An embedding with dropout is looked up; without it, one of 6 channels is folded into the weights.
INPUTS = [(4, True), (4, False), (6, False), ("one-hot", False)]


@pytest.mark.parametrize("T", [1, 2, 5])
@pytest.mark.parametrize(("embedding", "masked_input"), INPUTS)
@pytest.mark.parametrize("cell", CELLS)
def test_whole_network(cell, embedding, masked_input, T):
    errors = network_errors(cell, T, np.random.default_rng(T), embedding, masked_input)
    assert max(errors.values()) < GATE, errors


@pytest.mark.parametrize("columns", [1, 6, 9])
def test_output_takes_some_steps_at_a_time(columns, monkeypatch):
    """One, two and three of five steps, three streams each."""
    monkeypatch.setattr(output, "COLUMNS", columns)
    errors = network_errors("lstm", 5, np.random.default_rng(0), 4, False)
    assert max(errors.values()) < GATE, errors


# A line of a backward pass, and a mistake in its place. Several keep the loss falling.
BUGS = [
    ("lstm", "step_backward", "u *= s.o", "pass", "the output gate is missing in dc"),
    ("lstm", "step_backward", "dc += u", "dc[...] = u", "dc of the next time step is dropped"),
    ("lstm", "step_backward", "dc *= s.f", "pass", "dc passes the forget gate unchanged"),
    ("lstm", "step_backward", "np.multiply(dc, s.c, out=da_f)", "np.multiply(dc, s.c_next, out=da_f)", "df takes the new c"),
    ("lstm", "step_backward", "np.multiply(dc, s.g, out=da_i)", "np.multiply(dc, s.i, out=da_i)", "di takes i for g"),
    ("lstm", "step_backward", "np.multiply(dc, s.i, out=da_g)\n    dc *= s.f", "dc *= s.f\n    np.multiply(dc, s.i, out=da_g)", "dg takes dc after the forget gate"),
    ("lstm", "step_backward", "np.multiply(dh, s.tanh_c, out=da_o)", "np.multiply(dh, s.c_next, out=da_o)", "tanh is missing in do"),
    ("lstm", "step_backward", "np.subtract(_ONE, u, out=u)\n    da_g", "da_g", "tanh' is g^2"),
    ("lstm", "step_backward", "v *= s.sigmoids", "pass", "sigmoid' is 1 - s"),
    ("gru", "step_backward", "np.multiply(dax_n, s.r, out=cache.dah_n)", "np.copyto(cache.dah_n, dax_n)", "r is missing"),
    ("gru", "step_backward", "dh_in += cache.dh_direct", "pass", "the direct connection of dh is missing"),
    ("gru", "step_backward", "np.multiply(dax_n, s.ah_n,", "np.multiply(dax_n, s.n,", "dr takes n for Wh h"),
    ("rnn", "step_backward", "np.subtract(_ONE, da, out=da)", "pass", "tanh' is h^2"),
    ("lstm", "backward", "np.add(dh[t], dh_next,", "np.add(dh[t], 0,", "dh of the next time step is dropped"),
    ("rnn", "backward", "dh_next = cache.dh_in[t]", "dh_next = cache.dh_in[t].copy() if t % 2 else dh_next", "dh is a time step late"),
    ("gru", "backward", "cache.steps[t]", "cache.steps[0]", "every time step uses the first one's values"),
    ("lstm", "backward", "linear.flush_grad(buffer)", "pass", "columns are left in the buffer"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("cell", "method", "line", "bug", "what"), BUGS, ids=[bug[4] for bug in BUGS]
)
def test_planted_bug_is_caught(cell, method, line, bug, what):
    layer_class = LAYERS[cell]
    original = getattr(layer_class, method)
    source = textwrap.dedent(inspect.getsource(original))
    assert source.count(line) >= 1, f"the line is gone: {line}"
    module = inspect.getmodule(original)
    namespace = dict(vars(module))
    exec(source.replace(line, bug), namespace)
    broken = type("Broken", (layer_class,), {method: namespace[method]})
    worst = {
        T: max(layer_errors(cell, T, np.random.default_rng(0), broken).values()) for T in (2, 5)
    }
    assert max(worst.values()) > 1e-3, f"{what}: passes the gradient check, {worst}"


def test_unmutated_source_passes():
    """The mutation machinery itself breaks nothing."""
    source = textwrap.dedent(inspect.getsource(RecurrentLayer.backward))
    namespace = dict(vars(inspect.getmodule(RecurrentLayer)))
    exec(source, namespace)
    same = type("Same", (LAYERS["lstm"],), {"backward": namespace["backward"]})
    assert max(layer_errors("lstm", 5, np.random.default_rng(0), same).values()) < GATE
