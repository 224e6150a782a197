"""What the figures show, measured with charlm's own layers; every function returns numbers.

Everything is in float64 and follows from fixed seeds, but for `timing`.
"""

import math
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import charlm
from charlm.insight.comparison import CELLS
from charlm.insight.gradients import (
    STREAMS,
    SYMBOLS,
    in_float64,
    measure,
    random_ids,
    rate,
    symbols_read,
    untrained,
)
from charlm.nn.model import Model
from charlm.optim.clipping import clip, global_norm
from charlm.settings.schema import ModelConfig
from charlm.types import States

TEXT = Path(__file__).parent.parent / "data" / "shakespeare.txt"
BIASES = (-2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
LENGTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
LAGS = 64


def forget_bias() -> dict[str, Any]:
    """Return by what a step multiplies the gradient, for each forget bias of a fresh LSTM."""
    found = [charlm.gradients("lstm", lags=LAGS, forget_bias=bias) for bias in BIASES]
    quiet = [charlm.gradients("lstm", lags=LAGS, forget_bias=b, scale=0.01) for b in BIASES]
    return {
        "bias": BIASES,
        "h": [gradients.per_step for gradients in found],
        "c_alone": [rate(part.dc[1:, 0]) for part in quiet if part.dc is not None],
    }


def squashing() -> dict[str, Any]:
    """Compare a tanh hidden layer with a logistic one of the same weights.

    A logistic layer is a tanh layer: h = (1 + s) / 2 with s = tanh(a / 2), so that
    a / 2 = (Wx / 2) x + (Wh / 4) s + (b + Wh 1 / 2) / 2. charlm's RNN runs both.
    """
    ids = random_ids(symbols_read(LAGS), STREAMS)
    config, found = ModelConfig(cell="rnn", layers=1, hidden=64), {}
    for name in ("tanh", "logistic"):
        model = untrained(config, SYMBOLS)
        if name == "logistic":
            views = model.parameters.views
            Wh = views["rnn.0.Wh"].copy()
            views["rnn.0.Wx"][...] /= 2
            views["rnn.0.Wh"][...] = Wh / 4
            views["rnn.0.b"][...] = (views["rnn.0.b"] + Wh.sum(axis=1) / 2) / 2
            model.refresh()
        cache = model.cache(len(ids) - 1, STREAMS)
        model.forward(ids[:-1], model.zero_state(STREAMS), cache)
        h = cache.layers[0].h[LAGS:]
        h = h if name == "tanh" else (1 + h) / 2
        counts, edges = np.histogram(h, bins=40, range=(-1, 1), density=True)
        # A row of dW is a number times h: how many of its entries have the sign of most of them?
        positive = (h > 0).mean(axis=1)
        found[name] = {
            "mean": float(h.mean()),
            "histogram": counts,
            "edges": edges,
            "same_sign": float(np.maximum(positive, 1 - positive).mean()),
            "dh": measure(model, ids, LAGS).dh[:, 0],
        }
    return found


def truncation() -> dict[str, Any]:
    """Compare the gradient of truncated BPTT with that of the whole, for briefly trained networks.

    It is the gradient of Wh: the output layer's own would be the same whatever T is.
    """
    N, found = LENGTHS[-1], {"T": LENGTHS}
    for cell in CELLS:
        with tempfile.TemporaryDirectory() as folder:
            trained = charlm.train(
                TEXT, cell=cell, hidden=64, layers=1, steps=300, batch_size=32, seq_len=64,
                dropout=0.0, checkpoints=folder, sample_length=0, optimizer="adam",
                learning_rate=0.008, schedule="cosine", final_rate=0.02, weight_decay=0.1,
            )  # fmt: skip
        V = trained.vocabulary.size
        text = TEXT.read_text(encoding="utf-8")
        ids = trained.vocabulary.encode(text[: STREAMS * (N + 1)], "text").astype(np.intp)
        ids = ids.reshape(STREAMS, N + 1).T
        weights = Model(trained.config.model, V)
        for name, view in weights.parameters.views.items():
            view[...] = trained.parameters[name]
        model = in_float64(weights)
        whole = _gradient(model, ids, N)
        parts = [_gradient(model, ids, T) for T in LENGTHS]
        lengths = [float(np.linalg.norm(part)) for part in parts]
        here = measure(model, ids[: symbols_read(LAGS)], LAGS)
        found[cell] = {
            "radius": list(here.radius.values()),
            "per_step": here.per_step,
            "cosine": [
                float(part @ whole) / n / lengths[-1]
                for part, n in zip(parts, lengths, strict=True)
            ],
            "ratio": [n / lengths[-1] for n in lengths],
        }
        if cell == "rnn":
            cache = model.cache(N, STREAMS)
            model.forward(ids[:-1], model.zero_state(STREAMS), cache)
            found[cell]["slope"] = float((1 - cache.layers[0].h[1:] ** 2).mean())
    return found


def _gradient(model: Model, ids: np.ndarray, T: int) -> np.ndarray:
    """Return dWh of the mean loss over all of ids, cut every T steps, the state carried."""
    assert model.gradient is not None
    N, B = len(ids) - 1, ids.shape[1]
    cache, state = model.cache(T, B), model.zero_state(B)
    dWh = model.gradient.views[f"{model.layers[0].name}.Wh"]
    total = np.zeros(dWh.size)
    for begin in range(0, N, T):
        inputs, targets = ids[begin : begin + T], ids[begin + 1 : begin + T + 1]
        state = _copy(model.loss_and_gradient(inputs, targets, state, cache)[1])
        total += dWh.ravel() * (T / N)
    return total


def clipping() -> dict[str, Any]:
    """Train a tanh RNN of large recurrent weights by plain descent, with clipping and without."""
    text = TEXT.read_text(encoding="utf-8")[:400_000]
    symbols = sorted(set(text))
    flat = np.array([symbols.index(c) for c in text])
    B, T, updates, rate_ = 16, 64, 300, 1.0
    columns = flat[: B * (flat.size // B)].reshape(B, -1).T
    found: dict[str, Any] = {"longest": 1.0, "rate": rate_}
    for name, longest in (("clipped", 1.0), ("not clipped", 0.0)):
        model = untrained(ModelConfig(cell="rnn", layers=1, hidden=64), len(symbols), scale=1.7)
        assert model.gradient is not None
        cache, state = model.cache(T, B), model.zero_state(B)
        norms, losses = [], []
        for n in range(updates):
            here = columns[n * T : (n + 1) * T + 1]
            loss, state = model.loss_and_gradient(here[:-1], here[1:], state, cache)
            state = _copy(state)
            norms.append(global_norm(model.gradient.flat))
            losses.append(loss)
            clip(model.gradient.flat, norms[-1], longest)
            model.parameters.flat -= rate_ * model.gradient.flat
            model.refresh()
        found[name] = {"norm": norms, "loss": losses}
    return found


def memory() -> dict[str, Any]:
    """Return the bytes of a cache against T: 2 LSTM layers of 128, 32 streams, 65 symbols."""
    model = _benchmark()
    itemsize, sizes = model.parameters.flat.itemsize, []
    for T in LENGTHS:
        caches = [part.cache_shapes(T, 32, training=True) for part in (*model.layers, model.output)]
        numbers = sum(math.prod(shape) for cache in caches for shape in cache.values())
        sizes.append(itemsize * numbers)
    return {"T": LENGTHS, "bytes": sizes}


def timing() -> dict[str, Any]:
    """Return the seconds of one core that a gradient takes, against T; the best of several.

    It is processor time, which others on the machine disturb least.
    """
    model, found = _benchmark(), []
    rng = np.random.default_rng(0)
    for T in LENGTHS:
        cache, state = model.cache(T, 32), model.zero_state(32)
        inputs, targets = rng.integers(0, 65, (2, T, 32))
        best = np.inf
        for _ in range(max(3, 200 // T)):
            begin = time.process_time()
            model.loss_and_gradient(inputs, targets, state, cache)
            best = min(best, time.process_time() - begin)
        found.append(best)
    return {"T": LENGTHS, "seconds": found}


def _benchmark() -> Model:
    model = Model(ModelConfig(cell="lstm", layers=2, hidden=128), 65)
    model.initialize(0)
    return model


def _copy(state: States) -> States:
    return [tuple(part.copy() for part in layer) for layer in state]
