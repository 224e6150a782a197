"""How well a model predicts a text: nats per character, in two protocols.

    carried   the text in at most 64 equal pieces side by side, each of 300 characters or more and
              warmed up on the 300 before it, then read to its end with the state carried; every
              character counts
    cold      consecutive windows of 256 characters, each from the zero state

The first character of the text is predicted from the vocabulary's `start` in the zero state, as
sampling begins. Carried is the loss of a reader of the whole text; cold is what models with a
fixed context report.

Independent items are scored each on its own: the state is zero where one begins, pieces begin with
an item and are not warmed up, and a window ends with its item.

    bits = nats / ln 2          perplexity = exp(nats)
"""

import math
from dataclasses import dataclass

import numpy as np

from charlm.nn.functions import cross_entropy
from charlm.nn.model import Model
from charlm.nn.stepper import Mixture, Stepper
from charlm.text.items import ends as item_ends
from charlm.types import Ids

PIECES = 64
WARM = 300
WINDOW = 256
_WINDOWS_AT_ONCE = 64
_READ = 256


@dataclass(frozen=True)
class Score:
    """A text's mean cross-entropy per character."""

    nats: float
    characters: int  # scored; of items with the symbol that ends each
    items: int | None = None  # independent items; None for one text

    @property
    def bits(self) -> float:
        """Return bits per character."""
        return self.nats / math.log(2)

    @property
    def nats_per_item(self) -> float | None:
        """Return nats per item; None for one text."""
        return self.nats * self.characters / self.items if self.items else None

    @property
    def perplexity(self) -> float:
        """Return exp(nats); infinite from 710 nats on."""
        try:
            return math.exp(self.nats)
        except OverflowError:
            return math.inf


def layout(size: int, pieces: int = PIECES, *, items: bool = False) -> tuple[int, int]:
    """Return how many pieces `carried` reads side by side, and in about how many time steps."""
    pieces = max(1, min(pieces, size // WARM))
    warm = 0 if items or pieces == 1 else WARM
    return pieces, warm + math.ceil(size / pieces)


def carried(
    model: Model,
    ids: Ids,
    start_id: int,
    pieces: int = PIECES,
    *,
    items: bool = False,
    mixture: Mixture | None = None,
) -> Score:
    """Score (N,) ids, not empty, with the state carried; `start_id` is before the first one.

    With independent `items`, `start_id` also ends each of them, and the state is zero after it.
    With a `mixture`, that is scored.
    """
    nats = carried_nats(model, ids, start_id, pieces, items=items, mixture=mixture)
    return Score(nats / ids.size, ids.size, count_items(ids, start_id) if items else None)


def carried_nats(
    model: Model,
    ids: Ids,
    start_id: int,
    pieces: int = PIECES,
    rank: int = 0,
    of: int = 1,
    *,
    items: bool = False,
    mixture: Mixture | None = None,
) -> float:
    """Return the sum of nats that `carried` scores, or part `rank` `of` several of it."""
    pieces, _ = layout(ids.size, pieces)
    bounds = np.arange(pieces + 1) * ids.size // pieces
    if items:
        begins = _begins(ids, start_id)
        bounds = np.append(begins, ids.size)[np.searchsorted(begins, bounds)]
    begins, ends = bounds[:-1][rank::of], bounds[1:][rank::of]
    if not begins.size:
        return 0.0
    stepper = Stepper(model, begins.size, mixture)
    if pieces > 1 and not items:
        warm = np.maximum(begins - WARM, 0)
        _read(stepper, ids, start_id, warm, warm + WARM)
        # Nothing precedes the first piece, which warmed up on its own beginning.
        stepper.keep(begins > 0)
    return _read(stepper, ids, start_id, begins, ends, items=items)


def cold(
    model: Model,
    ids: Ids,
    start_id: int,
    *,
    items: bool = False,
    mixture: Mixture | None = None,
) -> Score:
    """Score (N,) ids, not empty, window by window, each from the zero state; as `carried`."""
    firsts = _begins(ids, start_id) if items else np.zeros(1, np.intp)
    sizes = np.diff(firsts, append=ids.size)
    counts = -(-sizes // WINDOW)
    ends = np.repeat(firsts + sizes, counts)
    within = np.arange(ends.size) - np.repeat(np.cumsum(counts) - counts, counts)
    begins = np.repeat(firsts, counts) + WINDOW * within
    stepper, nats = Stepper(model, _WINDOWS_AT_ONCE, mixture), 0.0
    for first in range(0, begins.size, _WINDOWS_AT_ONCE):
        some = slice(first, first + _WINDOWS_AT_ONCE)
        # The stepper's width is fixed: the last windows are padded with empty ones.
        padding = (0, _WINDOWS_AT_ONCE - begins[some].size)
        places = [np.pad(each[some], padding, constant_values=ids.size) for each in (begins, ends)]
        stepper.reset()
        nats += _read(stepper, ids, start_id, places[0], np.minimum(places[0] + WINDOW, places[1]))
    return Score(nats / ids.size, ids.size, firsts.size if items else None)


def count_items(ids: Ids, boundary: int) -> int:
    """Return the number of items, of which the last may be cut."""
    return int(_begins(ids, boundary).size)


def _begins(ids: Ids, boundary: int) -> Ids:
    """Return where items begin."""
    ends = item_ends(ids, boundary)
    return np.append(0, ends[ends < ids.size])


def _read(
    stepper: Stepper, ids: Ids, start_id: int, begins: Ids, ends: Ids, *, items: bool = False
) -> float:
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
            if items:
                stepper.keep(columns[t] != start_id)
            z = stepper.step(columns[t])
            nats = cross_entropy(z, columns[t + 1])
            total += float(nats[begins + done + t < ends].sum(dtype=np.float64))
    return total
