"""Dynamic evaluation: the model goes on learning from the text that it is scored on.

    a chunk of T characters is scored; then its gradient is followed, a little; then the next chunk

No character is learned from before it was scored, so this is a fair figure, but another one than
that of fixed weights: it says what the model and the text before are worth together. The text is
read once, as one stream, with the state carried. The rule is RMSprop with a mean of the squares
that is not biased at the beginning, and decay to the weights that were trained:

    v = mean of the squared gradients so far, recent ones weighing more
    p = p - rate dp / (sqrt(v) + epsilon)
    p = p + decay (p_0 - p)

Sources: Graves 2013, Generating sequences with recurrent neural networks, section 3.2 (gradient
steps while testing); Krause, Kahembwe, Murray & Renals 2018, Dynamic evaluation of neural sequence
models, equations 6 to 9 (gradient statistics, decay). Theirs come from the training text, ours
from the text itself: a checkpoint needs nothing beside it.
"""

import math

import numpy as np

from charlm.errors import ConfigError, Diverged
from charlm.evaluation.score import Score
from charlm.nn.model import Model
from charlm.optim.optimizers import Adam
from charlm.text.corpus import IdFile, Share

# Measured; see docs/results.md.
RATE = 3e-4
DECAY = 0.003
CHUNK = 32
_MEMORY = 0.999


def dynamic(
    model: Model, ids: IdFile, share: Share, start_id: int, learning_rate: float = RATE
) -> Score:
    """Score a text with a copy of the model that learns from it.

    Args:
        model: prepared weights; they stay as they are.
        ids: the text.
        share: the part to score; nothing before it is read.
        start_id: what stands before the first character.
        learning_rate: of the steps; at 0 the score is that of fixed weights.

    Raises:
        ConfigError: the learning rate is no number of at least 0.
        Diverged: the loss is no longer finite.
    """
    if not 0 <= learning_rate < math.inf:
        raise ConfigError(f"learning rate: must be at least 0, got {learning_rate}")
    learner = Model(model.config, model.V, model.parameters.flat.dtype)
    weights, trained = learner.parameters.flat, model.parameters.flat
    np.copyto(weights, trained)
    learner.prepare()
    assert learner.gradient is not None
    # Without its first moment Adam is the unbiased RMSprop.
    optimizer = Adam(weights, learner.gradient.flat, beta1=0.0, beta2=_MEMORY)
    back = np.empty_like(weights)
    tape, state = learner.tape(CHUNK, 1), learner.zero_state(1)
    row, total = np.empty(CHUNK + 1, ids.dtype), 0.0
    row[-1] = start_id
    for begin in range(0, share.size, CHUNK):
        T = min(CHUNK, share.size - begin)
        if T < CHUNK:
            tape = learner.tape(T, 1)
        row[0] = row[-1]
        ids.read_into(share.begin + begin, row[1 : T + 1])
        columns = row[: T + 1].astype(np.intp).reshape(-1, 1)
        loss, state = learner.loss_and_gradient(columns[:-1], columns[1:], state, tape)
        if not math.isfinite(loss):
            raise Diverged(
                f"eval: the loss is no longer finite at character {begin + 1:,}, got {loss:.4g} at "
                f"learning rate {learning_rate:g}; use a lower --lr"
            )
        total += loss * T
        optimizer.step(learning_rate)
        np.subtract(trained, weights, out=back)
        back *= DECAY
        weights += back
        learner.prepare()
    return Score(total / share.size, share.size)
