"""Layers against the reference, chunks against the whole, single steps against chunks."""

import numpy as np
import pytest
from checks import LAYERS, random_layer, refresh, relative_error

from charlm.nn import reference
from charlm.nn.model import Model
from charlm.nn.stepper import Stepper
from charlm.settings.schema import ModelConfig

CELLS = list(LAYERS)
ROUNDING = 1e-12


def weights(layer, parameters):
    return {name.rpartition(".")[2]: view.copy() for name, view in parameters.views.items()}


@pytest.mark.parametrize("B", [1, 3, 200])  # 200: the gradient is gathered over two steps at a time
@pytest.mark.parametrize("cell", CELLS)
def test_fast_equals_reference(cell, B):
    rng, T, D, H = np.random.default_rng(1), 7, 4, 6
    layer, parameters, gradient = random_layer(cell, D, H, rng)
    cache = layer.cache(T, B)
    x, on_h = rng.normal(0, 1, (T, D, B)), rng.normal(0, 1, (T, H, B))
    state = tuple(rng.normal(0, 0.5, (H, B)) for _ in layer.STATES)
    on_state = tuple(rng.normal(0, 1, (H, B)) for _ in layer.STATES)

    hs, leaving, backward = reference.CELLS[cell](x, *state, **weights(layer, parameters))
    dx, dstate, dweights = backward(on_h, *on_state)

    cache.x[...] = x
    fast_leaving = [part.copy() for part in layer.forward(state, cache)]
    assert relative_error(cache.h[1:], hs) < ROUNDING
    assert all(relative_error(a, b) < ROUNDING for a, b in zip(fast_leaving, leaving, strict=True))
    fast_dx, fast_dstate = layer.backward(on_h.copy(), on_state, cache)
    assert relative_error(fast_dx, dx) < ROUNDING
    assert all(relative_error(a, b) < ROUNDING for a, b in zip(fast_dstate, dstate, strict=True))
    for part, expected in dweights.items():
        assert relative_error(gradient.views[f"{layer.name}.{part}"], expected) < ROUNDING, part


@pytest.mark.parametrize("cell", CELLS)
def test_chunks_equal_the_whole(cell):
    """Carried state forward, chained `dstate` backward: the result does not depend on where the text is cut."""
    rng, T, B, D, H = np.random.default_rng(2), 9, 3, 4, 5
    layer, _, gradient = random_layer(cell, D, H, rng)
    x, on_h = rng.normal(0, 1, (T, D, B)), rng.normal(0, 1, (T, H, B))
    state, zeros = layer.zero_state(B), layer.zero_state(B)

    whole = layer.cache(T, B)
    whole.x[...] = x
    leaving = [part.copy() for part in layer.forward(state, whole)]
    hs = whole.h[1:].copy()
    dx = layer.backward(on_h.copy(), zeros, whole)[0].copy()
    d_whole = gradient.flat.copy()

    gradient.flat[:] = 0
    cuts, caches, parts = [(0, 2), (2, 3), (3, 9)], [], []
    for begin, end in cuts:
        cache = layer.cache(end - begin, B)
        cache.x[...] = x[begin:end]
        state = layer.forward(state, cache)
        parts.append(cache.h[1:].copy())
        caches.append(cache)
    assert relative_error(np.concatenate(parts), hs) < ROUNDING
    assert all(relative_error(a, b) < ROUNDING for a, b in zip(state, leaving, strict=True))
    dstate, dxs = zeros, []
    for (begin, end), cache in zip(reversed(cuts), reversed(caches), strict=True):
        dx_part, dstate = layer.backward(on_h[begin:end].copy(), dstate, cache)
        dxs.insert(0, dx_part.copy())
    assert relative_error(np.concatenate(dxs), dx) < ROUNDING
    assert relative_error(gradient.flat, d_whole) < ROUNDING


@pytest.mark.parametrize("embedding", [3, 5, "one-hot"])
@pytest.mark.parametrize("cell", CELLS)
def test_stepping_equals_chunks(cell, embedding):
    """A rolling one-slot cache gives the logits of the training's cache."""
    rng, T, B, V = np.random.default_rng(3), 6, 2, 7
    config = ModelConfig(cell=cell, layers=2, hidden=5, embedding=embedding)
    model = Model(config, V, np.float64)
    model.initialize(0)
    ids = rng.integers(0, V, (T, B))
    cache, stepper = model.cache(T, B), Stepper(model, B)
    leaving = model.forward(ids, model.zero_state(B), cache)
    for t in range(T):
        stepped = stepper.step(ids[t]).copy()
        assert relative_error(stepped, model.output.forward(cache.output, t)) < ROUNDING
    for layer, other in zip(leaving, stepper.state, strict=True):
        assert all(relative_error(a, b) < ROUNDING for a, b in zip(layer, other, strict=True))
    stepper.reset()
    assert not any(part.any() for layer in stepper.state for part in layer)


@pytest.mark.parametrize("cell", CELLS)
def test_cache_can_be_used_again(cell):
    """A chunk leaves nothing in the cache that changes the next."""
    rng, T, B, D, H = np.random.default_rng(4), 3, 2, 4, 5
    layer, _, gradient = random_layer(cell, D, H, rng)
    x, on_h, zeros = rng.normal(0, 1, (T, D, B)), rng.normal(0, 1, (T, H, B)), layer.zero_state(B)
    cache, seen = layer.cache(T, B), []
    for _ in range(2):
        gradient.flat[:] = 0
        cache.x[...] = x
        layer.forward(zeros, cache)
        dx, _ = layer.backward(on_h.copy(), zeros, cache)
        seen.append((dx.copy(), gradient.flat.copy()))
    assert np.array_equal(seen[0][0], seen[1][0])
    assert np.array_equal(seen[0][1], seen[1][1])


def test_lstm_starts_with_an_open_forget_gate():
    layer = LAYERS["lstm"]("lstm.0", 3, 4, forget_bias=1.5)
    views = {
        "lstm.0.Wx": np.empty((16, 3)),
        "lstm.0.Wh": np.empty((16, 4)),
        "lstm.0.b": np.ones(16),
    }
    layer.initialize(views, np.random.default_rng(0))
    assert views["lstm.0.b"].tolist() == [0] * 4 + [1.5] * 4 + [0] * 8
    for gate in range(4):
        block = views["lstm.0.Wh"][4 * gate : 4 * gate + 4]
        assert np.allclose(block @ block.T, np.eye(4))


def test_changed_weights_need_a_refresh():
    rng = np.random.default_rng(5)
    layer, parameters, _ = random_layer("lstm", 3, 4, rng)
    cache = layer.cache(1, 2)
    cache.x[...] = 1
    before = layer.forward(layer.zero_state(2), cache)[0].copy()
    parameters.flat[:] *= 2
    assert np.array_equal(layer.forward(layer.zero_state(2), cache)[0], before)
    refresh(layer)
    assert not np.array_equal(layer.forward(layer.zero_state(2), cache)[0], before)


@pytest.mark.parametrize("cell", CELLS)
def test_folded_embedding_equals_looked_up(cell):
    """Both give the same loss, state and gradients."""
    rng, T, B, V = np.random.default_rng(5), 5, 3, 7
    config = ModelConfig(cell=cell, layers=2, hidden=6, embedding=5)
    results = []
    ids, targets = rng.integers(0, V, (2, T, B))
    for masked_input in (True, False):
        model = Model(config, V, np.float64, masked_input=masked_input)
        model.initialize(0)
        cache, state = model.cache(T, B), model.zero_state(B)
        for _ in range(2):
            loss, state = model.loss_and_gradient(ids, targets, state, cache)
        results.append((model, loss, [part.copy() for layer in state for part in layer]))
    (one, loss, state), (other, other_loss, other_state) = results
    assert type(one.input) is not type(other.input)
    assert one.layers[0].X == 5
    assert other.layers[0].X == V
    assert loss == pytest.approx(other_loss, rel=ROUNDING)
    assert all(relative_error(a, b) < ROUNDING for a, b in zip(state, other_state, strict=True))
    for name, gradient in one.gradient.views.items():
        assert relative_error(gradient, other.gradient.views[name]) < ROUNDING, name
