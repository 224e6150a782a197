"""How well a model predicts a text: nats per character, in two protocols.

    carried   the text in 16 equal pieces side by side, each warmed on the 300 characters before
              it, then read to its end with the state carried; every character counts
    cold      consecutive windows of 256 characters, each from the zero state

The first character of the text is predicted from the vocabulary's `start` in the zero state, as
sampling begins. Carried is what a reader of a whole text sees; cold is what models with a fixed
context report.

    bits = nats / ln 2          perplexity = exp(nats)
"""

import math
from dataclasses import dataclass

import numpy as np

from charlm.nn.functions import cross_entropy
from charlm.nn.model import Model
from charlm.nn.stepper import Stepper
from charlm.text.corpus import IdFile, Split
from charlm.types import Ids

PIECES = 16
WARM = 300
WINDOW = 256
_WINDOWS_AT_ONCE = 64
_READ = 256


@dataclass(frozen=True)
class Score:
    """Hold a text's score.

    Attributes:
        nats: mean cross-entropy per character.
        characters: how many were counted.
    """

    nats: float
    characters: int

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
    """Say how `carried` reads a text: the pieces side by side, and the steps that each takes.

    Args:
        size: the text's characters.
        pieces: side by side; one where the text is too short to warm them up.
    """
    if pieces == 1 or size < pieces * WARM:
        return 1, size
    return pieces, WARM + math.ceil(size / pieces)


def carried(model: Model, ids: IdFile, share: Split, start_id: int, pieces: int = PIECES) -> Score:
    """Score a text with the state carried.

    Args:
        model: prepared weights.
        ids: the text.
        share: the part to score; nothing before it is read.
        start_id: what stands before the first character.
        pieces: read side by side; one where the text is too short to warm them up.
    """
    pieces, _ = layout(share.size, pieces)
    begins = np.arange(pieces + 1) * share.size // pieces
    stepper = Stepper(model, pieces)
    if pieces > 1:
        # The first piece has nothing before it: it reads its own beginning, and forgets it again.
        warming = np.maximum(begins[:-1] - WARM, 0)
        _read(stepper, ids, share, start_id, warming, warming + WARM)
        for layer in stepper.state:
            for q in layer:
                q[:, 0] = 0
    nats = _read(stepper, ids, share, start_id, begins[:-1], begins[1:])
    return Score(nats / share.size, share.size)


def cold(model: Model, ids: IdFile, share: Split, start_id: int) -> Score:
    """Score a text window by window, each from the zero state; arguments as in `carried`."""
    begins = np.arange(0, share.size, WINDOW)
    stepper, nats = Stepper(model, _WINDOWS_AT_ONCE), 0.0
    for first in range(0, begins.size, _WINDOWS_AT_ONCE):
        some = begins[first : first + _WINDOWS_AT_ONCE]
        # The stepper's width is fixed: the last windows are filled up with empty ones.
        some = np.pad(some, (0, _WINDOWS_AT_ONCE - some.size), constant_values=share.size)
        stepper.reset()
        nats += _read(stepper, ids, share, start_id, some, np.minimum(some + WINDOW, share.size))
    return Score(nats / share.size, share.size)


def _read(
    stepper: Stepper, ids: IdFile, share: Split, start_id: int, begins: Ids, ends: Ids
) -> float:
    """Read from begins to ends side by side, and return the nats of all characters together."""
    B, steps = begins.size, int((ends - begins).max())
    total = 0.0
    row = np.zeros((B, _READ + 1), ids.dtype)
    for done in range(0, steps, _READ):
        for b in range(B):
            # One character more than is predicted: the first one's predecessor.
            begin, end = int(begins[b]) + done - 1, min(int(begins[b]) + done + _READ, int(ends[b]))
            skip = 1 if begin < 0 else 0
            if end > begin + skip:
                ids.read_into(share.begin + begin + skip, row[b, skip : end - begin])
            if skip:
                row[b, 0] = start_id
        columns = row.T.astype(np.intp)
        for t in range(min(_READ, steps - done)):
            z = stepper.step(columns[t])
            nats = cross_entropy(z, columns[t + 1])
            total += float(nats[begins + done + t < ends].sum(dtype=np.float64))
    return total
