"""Clipping, schedules, averaging and optimizers against their formulas, one number at a time."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.nn.parameters import Block, Parameters
from charlm.optim.averaging import EMA
from charlm.optim.clipping import clip, global_norm
from charlm.optim.optimizers import BASIS_EVERY, BLOCK, SGD, SOAP, Adagrad, Adam, RMSprop
from charlm.optim.schedules import Plateau, learning_rate
from charlm.settings.schema import TrainConfig


def row(flat):
    """Return parameters that are one row of numbers, those of `flat`."""
    return Parameters([Block("p", 1, {"W": flat.size})], flat.dtype, flat)


def test_clip_keeps_the_direction():
    gradient = np.array([3.0, 4.0])
    clip(gradient, global_norm(gradient), 1.0)
    assert gradient == pytest.approx([0.6, 0.8])
    clip(gradient, global_norm(gradient), 2.0)
    assert gradient == pytest.approx([0.6, 0.8])
    clip(gradient, global_norm(gradient), 0)
    assert gradient == pytest.approx([0.6, 0.8])


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_norm_of_what_is_not_finite_is_not(bad):
    assert not math.isfinite(global_norm(np.array([1.0, bad], np.float32)))


@given(steps=st.integers(1, 3000), warmup=st.integers(0, 500))
def test_cosine_with_warmup(steps, warmup):
    train = TrainConfig(
        steps=steps, warmup=warmup, learning_rate=0.5, final_rate=0.1, schedule="cosine"
    )
    rates = [learning_rate(n, train) for n in range(steps)]
    rise = min(warmup, steps // 5)
    assert all(0 < rate <= 0.5 for rate in rates)
    assert all(a < b for a, b in itertools.pairwise(rates[:rise]))
    assert all(a >= b for a, b in itertools.pairwise(rates[rise:]))
    if steps > rise + 1:
        assert rates[-1] == pytest.approx(0.05), "it ends at the final rate"


def test_cosine_half_way():
    train = TrainConfig(steps=101, warmup=0, learning_rate=1.0, final_rate=0.2, schedule="cosine")
    assert learning_rate(50, train) == pytest.approx(0.6)
    assert learning_rate(25, train) == pytest.approx(0.2 + 0.8 * (1 + math.cos(math.pi / 4)) / 2)


def test_constant():
    train = TrainConfig(steps=50, warmup=4, learning_rate=1.0, schedule="constant")
    assert [learning_rate(n, train) for n in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]


def test_linear():
    train = TrainConfig(steps=104, warmup=4, learning_rate=1.0, schedule="linear", final_rate=0.5)
    rates = [learning_rate(n, train) for n in range(104)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4] == 1.0
    assert rates[4 + 33] == pytest.approx(1 - 0.5 * 33 / 99)
    assert rates[-1] == pytest.approx(0.5)


def test_steps_down():
    train = TrainConfig(
        steps=50, warmup=2, learning_rate=1.0, schedule="step", decay=0.1, decay_every=3
    )
    assert [learning_rate(n, train) for n in range(2, 9)] == pytest.approx(
        [1, 1, 1, 0.1, 0.1, 0.1, 0.01]
    )
    eighths = TrainConfig(steps=80, warmup=0, learning_rate=1.0, schedule="step", decay=0.5)
    assert learning_rate(79, eighths) == pytest.approx(0.5**7)


def test_plateau_falls_when_nothing_gets_better():
    train = TrainConfig(
        steps=50, warmup=0, learning_rate=1.0, schedule="plateau", decay=0.5, plateau=1
    )
    plateau, decays = Plateau(), []
    for is_best in [1, 1, 0, 0, 1, 0, 0, 0, 0]:
        plateau.update(bool(is_best), train)
        decays.append(plateau.decays)
    assert decays == [0, 0, 0, 1, 1, 1, 2, 2, 3]
    assert plateau.bad_validations == 4
    assert learning_rate(10, train, plateau.decays) == 0.125
    other = Plateau()
    for is_best in [True, False, False, False]:
        other.update(is_best, TrainConfig())
    assert (other.decays, other.bad_validations) == (0, 3), "only the plateau schedule falls"


def test_average_of_a_few_updates():
    mean = np.zeros(3)
    average = EMA(mean, 0.5)
    expected = 0.0
    for n, value in enumerate([1.0, 4.0, 9.0, 2.0]):
        average.update(n, np.full(3, value))
        decay = min(0.5, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * value
    assert mean == pytest.approx([expected] * 3)


@pytest.mark.parametrize("size", [1, BLOCK, 2 * BLOCK + 5])
def test_adam_by_the_book(size):
    rng = np.random.default_rng(0)
    p, expected = np.ones(size), np.ones(size)
    dp, m, v = np.zeros(size), np.zeros(size), np.zeros(size)
    adam = Adam(row(p), row(dp), TrainConfig(beta1=0.8, beta2=0.9, epsilon=1e-3, weight_decay=0.1))
    for t in range(1, 4):
        dp[:] = rng.normal(size=size)
        adam.step(0.01)
        expected -= 0.01 * 0.1 * expected
        m = 0.8 * m + 0.2 * dp
        v = 0.9 * v + 0.1 * dp**2
        expected -= 0.01 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.9**t)) + 1e-3)
    assert p == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("decay", [None, 0.9])
def test_adagrad_and_rmsprop_by_the_book(decay):
    size = BLOCK + 5
    rng = np.random.default_rng(0)
    p, expected, dp, v = np.ones(size), np.ones(size), np.zeros(size), np.zeros(size)
    train = TrainConfig(beta2=decay or 0.5, epsilon=1e-3, weight_decay=0.1)
    made = (Adagrad if decay is None else RMSprop)(row(p), row(dp), train)
    for _ in range(3):
        dp[:] = rng.normal(size=size)
        g = dp + 0.1 * expected
        made.step(0.01)
        v = v + g**2 if decay is None else decay * v + (1 - decay) * g**2
        expected = expected - 0.01 * g / (np.sqrt(v) + 1e-3)
    assert p == pytest.approx(expected, rel=1e-12)


def test_nesterov_by_the_book():
    p, dp, v, expected = np.ones(3), np.array([1.0, 2.0, 3.0]), np.zeros(3), np.ones(3)
    sgd = SGD(row(p), row(dp), TrainConfig(momentum=0.5, nesterov=True, weight_decay=0))
    for _ in range(3):
        sgd.step(0.2)
        v = 0.5 * v + dp
        expected = expected - 0.2 * (dp + 0.5 * v)
    assert p == pytest.approx(expected)


def test_sgd_by_the_book():
    p, dp, v, expected = np.ones(3), np.zeros(3), np.zeros(3), np.ones(3)
    dp_kept = np.array([1.0, 2.0, 3.0])
    sgd = SGD(row(p), row(dp), TrainConfig(momentum=0.5, weight_decay=0.1))
    for _ in range(3):
        dp[:] = [1.0, 2.0, 3.0]  # the weight decay was added to it
        sgd.step(0.2)
        v = 0.5 * v + dp_kept + 0.1 * expected
        expected = expected - 0.2 * v
    assert p == pytest.approx(expected)


def test_soap_by_the_book():
    rng, blocks = np.random.default_rng(0), [Block("lstm.0", 8, {"Wx": 3, "Wh": 2, "b": 1})]
    p, dp = Parameters(blocks, np.float64), Parameters(blocks, np.float64)
    p.blocks[0][:] = rng.normal(size=(8, 6))
    soap = SOAP(p, dp, TrainConfig(beta1=0.8, beta2=0.9, epsilon=1e-3, weight_decay=0.1))
    W, C, Q, m, v = (dict(p.copies()), {}, {}, {}, {})
    for name, K in (("lstm.0.Wx", 3), ("lstm.0.Wh", 2)):
        C[name], Q[name] = np.zeros((K, K)), np.eye(K)
    for t in range(1, 2 * BASIS_EVERY + 3):
        dp.blocks[0][:] = rng.normal(size=(8, 6)) @ np.diag([5, 1, 0.2, 3, 0.1, 1])
        dW = dp.copies()
        soap.step(0.01)
        for name, g in dW.items():
            if name in Q:
                C[name] = 0.95 * C[name] + 0.05 * g.T @ g
                if t % BASIS_EVERY == 0:
                    Q[name], R = np.linalg.qr(C[name] @ Q[name])
                    Q[name] = Q[name] * np.sign(np.diag(R))
                g = g @ Q[name]
            m[name] = 0.8 * m.get(name, 0) + 0.2 * g
            v[name] = 0.9 * v.get(name, 0) + 0.1 * g**2
            P = 0.01 * (m[name] / (1 - 0.8**t)) / (np.sqrt(v[name] / (1 - 0.9**t)) + 1e-3)
            W[name] = W[name] * (1 - 0.01 * 0.1) - (P @ Q[name].T if name in Q else P)
    for name, view in p.views.items():
        assert view == pytest.approx(W[name], rel=1e-10), name
    turned = soap.matrices.views["lstm.0.Wx.Q"]
    assert turned.T @ turned == pytest.approx(np.eye(3), abs=1e-12)
    assert turned[0, 0] > 0.9, "the first vector is where the gradient is largest"


def test_soap_leaves_wide_blocks_to_adam():
    layout = [Block("lstm.0", 4, {"Wx": 5000, "Wh": 1, "b": 1}), Block("output", 9, {"W": 1})]
    assert {block.name for block in SOAP.matrix_blocks(layout)} == {"lstm.0.Wh"}
