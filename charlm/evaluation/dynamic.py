"""Dynamic evaluation: the model is trained further on the text that it is scored on.

    score a chunk of T characters -> one small step along its gradient -> the next chunk

No character is learned from before it was scored, so the score is fair, but it is not that of
fixed weights: it measures the model together with the text before. The text is read once, as one
stream, with the state carried.

Sources: Graves 2013, Generating sequences with recurrent neural networks, section 3; Krause,
Kahembwe, Murray & Renals 2018; see optim/adaptation.py for the rule.
"""

import math

import numpy as np

from charlm.errors import ConfigError, Diverged
from charlm.evaluation.score import Score, count_items
from charlm.nn.model import Model
from charlm.optim.adaptation import Adaptation
from charlm.types import Array, Ids

# Measured; see docs/results.md.
RATE = 0.001
DECAY = 0.005
EPSILON = 0.3
CHUNK = 32
# Chunks of the training text that the statistics are taken over.
_STATISTICS = 200


# An overflow is reported once, as Diverged.
@np.errstate(all="ignore")
def dynamic(
    model: Model,
    learned: Ids,
    ids: Ids,
    start_id: int,
    learning_rate: float = RATE,
    *,
    items: bool = False,
) -> Score:
    """Score (N,) ids, not empty, with a copy of the model that learns from them.

    `learned` are the ids of the text that the model was trained on, `start_id` is the symbol before
    the first one; at a learning rate of 0 the score is that of fixed weights. With independent
    `items`, `start_id` also ends each of them, and the state is zero after it.

    Raises:
        ConfigError: the learning rate is out of range.
        Diverged: the loss is no longer finite.
    """
    if not 0 <= learning_rate < math.inf:
        raise ConfigError("learning rate", f"must be at least 0, got {learning_rate}")
    learner = Model(model.config, model.V, model.parameters.flat.dtype)
    assert learner.gradient is not None
    weights, gradient = learner.parameters.flat, learner.gradient.flat
    np.copyto(weights, model.parameters.flat)
    learner.refresh()
    boundary = start_id if items else None
    squares = _squares(learner, learned, boundary)
    optimizer = Adaptation(weights, gradient, squares, DECAY, EPSILON)
    cache, state, total = learner.cache(CHUNK, 1), learner.zero_state(1), 0.0
    column = np.full((CHUNK + 1, 1), start_id, np.intp)
    for begin in range(0, ids.size, CHUNK):
        T = min(CHUNK, ids.size - begin)
        if T < CHUNK:
            cache = learner.cache(T, 1)
        column[0] = column[-1]
        column[1 : T + 1, 0] = ids[begin : begin + T]
        given, targets = column[:T], column[1 : T + 1]
        keep = None if boundary is None else given != boundary
        loss, state = learner.loss_and_gradient(given, targets, state, cache, keep)
        if not math.isfinite(loss):
            place = f"character {begin + 1:,}, got {loss:.4g} at learning rate {learning_rate:g}"
            problem = f"the loss is no longer finite at {place}"
            raise Diverged("eval", problem, "use a lower --lr")
        total += loss * T
        optimizer.step(learning_rate)
        learner.refresh()
    return Score(total / ids.size, ids.size, count_items(ids, start_id) if items else None)


def _squares(model: Model, learned: Ids, boundary: int | None = None) -> Array:
    """Return the mean squared gradient over chunks spread evenly over the training text."""
    assert model.gradient is not None
    gradient = model.gradient.flat
    squares, T = np.zeros_like(gradient), min(CHUNK, learned.size - 1)
    cache, zero = model.cache(T, 1), model.zero_state(1)
    count = min(_STATISTICS, learned.size // (T + 1))
    for n in range(count):
        begin = n * (learned.size - T - 1) // max(1, count - 1)
        column = np.asarray(learned[begin : begin + T + 1]).astype(np.intp).reshape(-1, 1)
        keep = None if boundary is None else column[:-1] != boundary
        model.loss_and_gradient(column[:-1], column[1:], zero, cache, keep)
        squares += gradient * gradient / np.float32(count)
    return squares
