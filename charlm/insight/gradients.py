"""Gradients through time: how far back the loss of one character reaches.

    L_t  ->  h_t  ->  h_{t-1}  ->  ...  ->  h_{t-K}         ||dL_t / dh_{t-k}|| against the lag k

Each time step has a cache of its own, so the layers' `backward` runs over one time step at a time,
and the `dstate` it returns is the input of the call for the time step before.

An LSTM's state is (h, c), and the gradient has two paths back. Passing zeros for c at every time
step closes the path along the cell state; what still arrives came through h alone.

Sources: Pascanu, Mikolov & Bengio 2013, section 2; Hochreiter & Schmidhuber 1997, section 3.1.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from charlm import randomness
from charlm.errors import ConfigError, TextError
from charlm.nn.model import Model
from charlm.optim.clipping import global_norm
from charlm.settings.schema import ModelConfig
from charlm.types import Array, Ids, States

# Networks read this many streams side by side; untrained ones read this many symbols at random.
STREAMS, SYMBOLS = 16, 64
# Training begins with an embedding that is large for the first layer: it learns faster, and keeps
# many units where their slope is small. Untrained cells get a smaller one, to show the recurrence.
_EMBEDDING_SCALE = 0.3


class Gradients(NamedTuple):
    """Norms of the gradient over K lags, means over the streams; inf or nan beyond float64.

    Lag 0 is the time step whose loss it is.
    """

    dh: Array  # (K+1, L) ||dL_t / dh_{t-k}||
    # (K+1, L) the same of the cell state that enters time step t-k+1, h held fixed; of an LSTM
    dc: Array | None
    dh_without_c: Array | None  # (K+1, L) dh with the path along c closed; of an LSTM
    radius: Mapping[str, float]  # the recurrent matrix of a gate, `lstm.0.f` -> spectral radius
    # Of all parameters, for the mean loss over these K+1 time steps: what training would clip.
    update_norm: float

    @property
    def per_step(self) -> float:
        """Return the factor per time step of the top layer's dh, the geometric mean."""
        return rate(self.dh[:, -1])


def rate(norms: Array) -> float:
    """Return the factor per lag, the geometric mean, of norms from lag 0 on.

    They are read up to the first that is not a number above 0; it is 0 where lag 1 is already.
    """
    numbers = np.isfinite(norms) & (norms > 0)
    last = norms.size - 1 if numbers.all() else int(numbers.argmin()) - 1
    return float(norms[last] / norms[0]) ** (1 / last) if last > 0 else 0.0


def of_untrained(config: ModelConfig, lags: int, *, scale: float = 1.0, seed: int = 0) -> Gradients:
    """Measure an untrained network that reads random symbols; arguments as for `untrained`."""
    model = untrained(config, SYMBOLS, scale=scale, seed=seed)
    return measure(model, random_ids(symbols_read(lags), STREAMS, seed), lags)


def of_text(model: Model, ids: Ids, lags: int, where: str = "text") -> Gradients:
    """Measure a float64 copy of a network that reads (N,) ids at 16 places, evenly spread."""
    need = symbols_read(lags)
    if ids.size < need:
        problem = f"{ids.size:,} characters is too short, {lags} lags need {need:,}"
        raise TextError(where, problem, "lower the lags or name a longer text")
    begins = np.arange(STREAMS) * (ids.size - need) // (STREAMS - 1)
    columns = ids[begins + np.arange(need)[:, None]].astype(np.intp)  # (T+1, B)
    return measure(in_float64(model), columns, lags)


def symbols_read(lags: int) -> int:
    """Return T+1, the symbols that a stream reads: K of its T = 2 K + 1 time steps warm up."""
    if lags < 2:
        raise ConfigError("lags", f"must be at least 2, got {lags}")
    return 2 * lags + 2


def untrained(config: ModelConfig, V: int, *, scale: float = 1.0, seed: int = 0) -> Model:
    """Make an untrained network in float64, initialized as for training but for its embedding.

    `scale` is a factor of the recurrent matrices. They are drawn orthogonal, so it is the spectral
    radius of each gate's.
    """
    model = Model(config, V, np.float64)
    model.initialize(seed)
    for name, view in model.parameters.views.items():
        if name.endswith(".Wh"):
            view *= scale
        elif name == "embedding.W":
            view *= _EMBEDDING_SCALE
    model.refresh()
    return model


def in_float64(model: Model) -> Model:
    """Return a copy of a network in float64, with a gradient."""
    copy = Model(model.config, model.V, np.float64)
    for name, view in copy.parameters.views.items():
        view[...] = model.parameters.views[name]
    copy.refresh()
    return copy


def random_ids(T: int, B: int, seed: int = 0) -> Array:
    """Draw (T, B) symbols for untrained networks to read."""
    return randomness.generator(seed, randomness.SAMPLES).integers(SYMBOLS, size=(T, B))


def measure(model: Model, ids: Array, lags: int) -> Gradients:
    """Follow the gradient of the last character's loss back in time, over 1 <= lags < T time steps.

    The model is in float64, to resolve vanishing gradients. Of the (T+1, B) ids the last row is
    only predicted, and those before the last lags + 2 warm the state up.
    """
    T, B = len(ids) - 1, ids.shape[1]
    assert model.gradient is not None
    assert 1 <= lags < T
    state, warm = model.zero_state(B), T - lags - 1
    if warm:
        state = model.forward(ids[:warm], state, model.cache(warm, B))
    ids = ids[warm:]
    has_c = "c" in model.layers[0].STATES
    # What explodes for long enough exceeds float64 too, and is inf or nan then.
    with np.errstate(over="ignore", invalid="ignore"):
        dh, dc = _norms(model, ids, state)
        without_c = _norms(model, ids, state, along_c=False)[0] if has_c else None
        model.loss_and_gradient(ids[:-1], ids[1:], state, model.cache(lags + 1, B))
        update_norm = global_norm(model.gradient.flat)
        return Gradients(dh, dc if has_c else None, without_c, _radius(model), update_norm)


def _norms(model: Model, ids: Array, state: States, *, along_c: bool = True) -> tuple[Array, Array]:
    """Run forward and backward with a cache a time step; return (K+1, L) norms of dh and dc."""
    (T, B), L = ids[:-1].shape, len(model.layers)
    caches = [model.cache(1, B) for _ in range(T)]
    for t, cache in enumerate(caches):
        state = model.forward(ids[t : t + 1], state, cache)
    model.output.loss_and_gradient(ids[-1:], caches[-1].output)
    # The loss is the mean over the streams; the norms are those of each stream's own.
    from_output = caches[-1].output.dy * B
    zeros = np.zeros_like(from_output)
    dstates = model.zero_state(B)
    norms = np.zeros((2, T, L))
    for lag, cache in enumerate(reversed(caches)):
        dh = from_output if lag == 0 else zeros
        for k in reversed(range(L)):
            dh_next, *dc = dstates[k]
            if not along_c:
                dc = [np.zeros_like(part) for part in dc]
            for kind, gradient in enumerate((dh[0] + dh_next, *dc)):
                norms[kind, lag, k] = np.linalg.norm(gradient, axis=0).mean()
            dh, dstates[k] = model.layers[k].backward(dh, (dh_next, *dc), cache.layers[k])
    return norms[0], norms[1]


def _radius(model: Model) -> dict[str, float]:
    """Return the spectral radius of each gate's recurrent matrix."""
    radius = {}
    for layer in model.layers:
        Wh = model.parameters.views[f"{layer.name}.Wh"]
        for gate, W in zip(layer.GATES, np.split(Wh, len(layer.GATES)), strict=True):
            radius[f"{layer.name}.{gate}"] = float(np.abs(np.linalg.eigvals(W)).max())
    return radius
