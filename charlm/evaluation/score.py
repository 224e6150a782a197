"""How well a model predicts a text: nats per character, in two protocols.

    carried   the text in 16 equal pieces side by side, each warmed up on the 300 characters before
              it, then read to its end with the state carried; every character counts
    cold      consecutive windows of 256 characters, each from the zero state

The first character of the text is predicted from the vocabulary's `start` in the zero state, as
sampling begins. Carried is the loss of a reader of the whole text; cold is what models with a
fixed context report.

    bits = nats / ln 2          perplexity = exp(nats)
"""

import math
from dataclasses import dataclass

import numpy as np

from charlm.nn.functions import cross_entropy
from charlm.nn.model import Model
from charlm.nn.stepper import Stepper
from charlm.types import Ids

PIECES = 16
WARM = 300
WINDOW = 256
_WINDOWS_AT_ONCE = 64
_READ = 256


@dataclass(frozen=True)
class Score:
    """A text's mean cross-entropy per character."""

    nats: float
    characters: int  # scored

    @property
    def bits(self) -> float:
        """Return bits per character."""
        return self.nats / math.log(2)

    @property
    def perplexity(self) -> float:
        """Return exp(nats); infinite from 710 nats on."""
        try:
            return math.exp(self.nats)
        except OverflowError:
            return math.inf


def layout(size: int, pieces: int = PIECES) -> tuple[int, int]:
    """Return how many pieces `carried` reads side by side, and in how many time steps."""
    if pieces == 1 or size < pieces * WARM:
        return 1, size
    return pieces, WARM + math.ceil(size / pieces)


def carried(model: Model, ids: Ids, start_id: int, pieces: int = PIECES) -> Score:
    """Score (N,) ids, not empty, with the state carried; `start_id` is before the first one."""
    pieces, _ = layout(ids.size, pieces)
    bounds = np.arange(pieces + 1) * ids.size // pieces
    stepper = Stepper(model, pieces)
    if pieces > 1:
        # Nothing precedes the first piece: it warms up on its own beginning and is reset.
        warm = np.maximum(bounds[:-1] - WARM, 0)
        _read(stepper, ids, start_id, warm, warm + WARM)
        for layer in stepper.state:
            for part in layer:
                part[:, 0] = 0
    nats = _read(stepper, ids, start_id, bounds[:-1], bounds[1:])
    return Score(nats / ids.size, ids.size)


def cold(model: Model, ids: Ids, start_id: int) -> Score:
    """Score (N,) ids, not empty, window by window, each from the zero state."""
    begins = np.arange(0, ids.size, WINDOW)
    stepper, nats = Stepper(model, _WINDOWS_AT_ONCE), 0.0
    for first in range(0, begins.size, _WINDOWS_AT_ONCE):
        some = begins[first : first + _WINDOWS_AT_ONCE]
        # The stepper's width is fixed: the last windows are padded with empty ones.
        some = np.pad(some, (0, _WINDOWS_AT_ONCE - some.size), constant_values=ids.size)
        stepper.reset()
        nats += _read(stepper, ids, start_id, some, np.minimum(some + WINDOW, ids.size))
    return Score(nats / ids.size, ids.size)


def _read(stepper: Stepper, ids: Ids, start_id: int, begins: Ids, ends: Ids) -> float:
    """Read from begins to ends side by side, and return the sum of all characters' nats."""
    ids, time_steps, total = np.asarray(ids), int((ends - begins).max()), 0.0
    for done in range(0, time_steps, _READ):
        T = min(_READ, time_steps - done)
        # One character more than is predicted, the predecessor of the first. What lies beyond a
        # stream's end is read and not counted.
        places = begins + np.arange(done - 1, done + T)[:, None]  # (T+1, B)
        columns = ids[np.clip(places, 0, ids.size - 1)].astype(np.intp)
        columns[places < 0] = start_id
        for t in range(T):
            z = stepper.step(columns[t])
            nats = cross_entropy(z, columns[t + 1])
            total += float(nats[begins + done + t < ends].sum(dtype=np.float64))
    return total
