"""How the gradient travels back in time, through the layers' own chained `backward`.

    L_t  ->  h_t  ->  h_{t-1}  ->  ...  ->  h_{t-K}         ||dL_t / dh_{t-k}|| against the lag k

Every step has a cache of its own, so `backward` undoes one step at a time: what it hands back as
`dstate` is what the step before takes in. That is truncated BPTT's chain, with every link in sight.

An LSTM's state is (h, c), and the gradient has two ways back. Handing on zeros for c at every
step closes the one along the cell state; what still arrives came by h alone.

Sources: Pascanu, Mikolov & Bengio 2013, section 2; Hochreiter & Schmidhuber 1997, section 3.1.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from charlm import randomness
from charlm.nn.model import Model
from charlm.nn.parameters import Parameters
from charlm.optim.clipping import global_norm
from charlm.settings.schema import ModelConfig
from charlm.types import Array, States

# Symbols that fresh cells read where there is no text: drawn evenly.
SYMBOLS = 64
# Training begins with characters that look large to the first layer, which learns faster and keeps
# many units where their slope is small. What is to be seen of fresh cells is their recurrence.
_QUIET = 0.3


class Gradients(NamedTuple):
    """Hold what came back through K steps; k counts from 0, the step whose loss it is.

    Where it explodes beyond what float64 holds, norms are inf or nan.

    Attributes:
        dh: (K+1, L) ||dL_t / dh_{t-k}||, the mean over the streams.
        dc: (K+1, L) the same of the cell state that enters step t-k+1, h held fixed; None
            without one.
        dh_without_c: (K+1, L) what dh is with the way along the cell state closed; None likewise.
        radius: name of a recurrent matrix, such as `lstm.0.f`, -> its spectral radius.
        update_norm: length of the parameters' gradient of the mean loss over these K+1 steps:
            what training would clip.
    """

    dh: Array
    dc: Array | None
    dh_without_c: Array | None
    radius: Mapping[str, float]
    update_norm: float

    @property
    def per_step(self) -> float:
        """Return by what a step multiplies the top layer's dh, the geometric mean over all lags."""
        return rate(self.dh[:, -1])


def rate(norms: Array) -> float:
    """Return by what a step multiplies norms, lag 0 first: the geometric mean.

    It is taken as far as they are numbers above 0; 0 where the first lag is 0 already.
    """
    numbers = np.isfinite(norms) & (norms > 0)
    last = norms.size - 1 if numbers.all() else int(numbers.argmin()) - 1
    return float(norms[last] / norms[0]) ** (1 / last) if last > 0 else 0.0


def fresh(config: ModelConfig, V: int, *, scale: float = 1.0, seed: int = 0) -> Model:
    """Make an untrained network in float64, as training would begin with it but for quieter input.

    Args:
        config: cell, layers, hidden units, embedding and forget bias.
        V: size of the vocabulary.
        scale: what the recurrent matrices are multiplied by. They are drawn orthogonal, so this
            becomes the spectral radius of each gate's.
        seed: of the weights.
    """
    model = Model(config, V, np.float64)
    model.initialize(seed)
    for name, q in model.parameters.views.items():
        if name.endswith(".Wh"):
            q *= scale
        elif name == "embedding.W":
            q *= _QUIET
    model.refresh()
    return model


def in_float64(config: ModelConfig, V: int, parameters: Parameters) -> Model:
    """Make a network with these weights anew, in float64 and with room for its gradient."""
    model = Model(config, V, np.float64)
    for name, q in model.parameters.views.items():
        q[...] = parameters.views[name]
    model.refresh()
    return model


def random_ids(T: int, B: int, seed: int = 0) -> Array:
    """Draw (T, B) symbols for fresh cells to read."""
    return randomness.generator(seed, randomness.SAMPLES).integers(SYMBOLS, size=(T, B))


def measure(model: Model, ids: Array, lags: int) -> Gradients:
    """Follow the gradient of the last character's loss back in time.

    Args:
        model: in float64, so that what vanishes can be seen to.
        ids: (T+1, B) symbols; the last row is only predicted. Of the T steps the last lags + 1 are
            run back over, those before let the state settle.
        lags: K, how far back; at least 1 and below T.
    """
    assert model.gradient is not None
    T, B = len(ids) - 1, ids.shape[1]
    assert 1 <= lags < T
    state = model.zero_state(B)
    if lags + 1 < T:
        settling = model.cache(T - lags - 1, B)
        state = _copy(model.forward(ids[: T - lags - 1], state, settling))
    here = ids[T - lags - 1 :]
    two_ways = "c" in model.layers[0].STATES
    # What explodes for long enough leaves float64 too, and is inf or nan then.
    with np.errstate(over="ignore", invalid="ignore"):
        dh, dc = _chain(model, here, state)
        closed = _chain(model, here, state, along_c=False)[0] if two_ways else None
        return Gradients(dh, dc, closed, _radius(model), _update_norm(model, here, state))


def _chain(
    model: Model, ids: Array, state: States, *, along_c: bool = True
) -> tuple[Array, Array | None]:
    """Run forward and back with a cache a step; returns the norms, lag 0 first."""
    T, B = len(ids) - 1, ids.shape[1]
    L = len(model.layers)
    caches = [model.cache(1, B) for _ in range(T)]
    for t, cache in enumerate(caches):
        state = model.forward(ids[t : t + 1], state, cache)
    model.output.loss_and_gradient(ids[-1:], caches[-1].output)
    # The loss is the mean over the streams; each stream's own is wanted.
    from_output = caches[-1].output.y * B
    zeros = np.zeros_like(from_output)
    dstates = model.zero_state(B)
    norms = np.zeros((T, 2, L))
    for lag, cache in enumerate(reversed(caches)):
        dh = from_output if lag == 0 else zeros
        for k in reversed(range(L)):
            dh_next, *dc = dstates[k]
            if not along_c:
                dc = [np.zeros_like(q) for q in dc]
            if dc:
                norms[lag, 1, k] = _mean_norm(dc[0])
            norms[lag, 0, k] = _mean_norm(dh[0] + dh_next)
            dh, dstates[k] = model.layers[k].backward(dh, (dh_next, *dc), cache.layers[k])
    return norms[:, 0], norms[:, 1] if "c" in model.layers[0].STATES else None


def _update_norm(model: Model, ids: Array, state: States) -> float:
    cache = model.cache(len(ids) - 1, ids.shape[1])
    model.loss_and_gradient(ids[:-1], ids[1:], state, cache)
    assert model.gradient is not None
    return global_norm(model.gradient.flat)


def _mean_norm(dq: Array) -> float:
    return float(np.linalg.norm(dq, axis=0).mean())


def _radius(model: Model) -> dict[str, float]:
    found = {}
    for layer in model.layers:
        Wh = model.parameters.views[f"{layer.name}.Wh"]
        for gate, W in zip(layer.GATES, np.split(Wh, len(layer.GATES)), strict=True):
            found[f"{layer.name}.{gate}"] = float(np.abs(np.linalg.eigvals(W)).max())
    return found


def _copy(state: States) -> States:
    return [tuple(q.copy() for q in layer) for layer in state]
