"""ids -> (T, B) inputs and targets: B parallel streams through the training part.

One text is read as a ring of N characters. Stream b of an epoch begins at offset + b N / B and
moves T characters a step:

    step n:     epoch = n // chunks,   k = n % chunks,   chunks = (N / B) // T
    stream b:   inputs   ids[offset + b N / B + k T ...]     T of them
                targets  the same, one further

The offset is drawn from (seed, epoch).

Independent items, each ended by the boundary symbol, are shuffled by (seed, epoch) and then read as
such a ring. Stream b begins with the item that holds position b N / B, so the longest item is added
to the length of an epoch, in which every item is read:

    inputs      # a n n a # b o b # ...         # is the boundary
    targets     a n n a # b o b # ...
    keep        0 1 1 1 1 0 1 1 1 0             the state is zero where an item begins

What step n reads is a pure function of the seed, n, the text, B and T, and no position is saved.
Several processes each read a range of the streams, whose columns their chunks have.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np

from charlm import randomness
from charlm.text.items import ends
from charlm.types import Array, Ids


class Chunk(NamedTuple):
    """The input and targets of one step; the arrays are valid until the next chunk is read."""

    inputs: Ids  # (T, B)
    targets: Ids  # (T, B)
    fresh: bool  # an epoch begins: the state starts at zero
    keep: Array | None = None  # (T, B) 0 where an item begins, else 1; None for one text


class Streams(ABC):
    """B parallel streams, in chunks of T time steps, through the ids that are trained on.

    `own` selects the streams that are read; None selects all.
    """

    def __init__(self, ids: Ids, B: int, T: int, seed: int, own: slice | None = None) -> None:
        # Slices of a plain array take a third of the time of a memmap's.
        self.ids, self.B, self.T, self.seed = np.asarray(ids), B, T, seed
        # Steps that read as many symbols as there are.
        self.steps_per_pass = max(1, ids.size // B // T)
        self.own = range(B)[own or slice(None)]
        self._columns = np.empty((T + 1, len(self.own)), np.intp)

    @abstractmethod
    def chunk(self, n: int) -> Chunk:
        """Return what step n reads."""


class TextStreams(Streams):
    """Streams through one text."""

    def __init__(self, ids: Ids, B: int, T: int, seed: int, own: slice | None = None) -> None:
        super().__init__(ids, B, T, seed, own)
        self.stride, self.chunks = ids.size // B, self.steps_per_pass
        assert self.stride >= T, "B and T must fit the text; see settings.resolve"
        self._rows = np.empty((len(self.own), T + 1), ids.dtype)

    def chunk(self, n: int) -> Chunk:
        """Return what step n reads."""
        epoch, k = divmod(n, self.chunks)
        N = self.ids.size
        offset = int(randomness.generator(self.seed, randomness.STREAM_OFFSETS, epoch).integers(N))
        for b, row in zip(self.own, self._rows, strict=True):
            begin = (offset + b * self.stride + k * self.T) % N
            if begin + self.T < N:
                row[:] = self.ids[begin : begin + self.T + 1]
            else:
                row[: N - begin] = self.ids[begin:]
                row[N - begin :] = self.ids[: self.T + 1 - (N - begin)]
        np.copyto(self._columns, self._rows.T)
        return Chunk(self._columns[:-1], self._columns[1:], k == 0)


class ItemStreams(Streams):
    """Streams of independent items; the ids of each end with the `boundary`, and so do all."""

    def __init__(
        self, ids: Ids, B: int, T: int, seed: int, boundary: int, own: slice | None = None
    ) -> None:
        super().__init__(ids, B, T, seed, own)
        self.boundary = boundary
        self._ends = ends(self.ids, boundary)  # (M,)
        longest = int(np.diff(self._ends, prepend=0).max())
        self.chunks = -(-(-(-ids.size // B) + longest) // T)  # an epoch's steps, rounded up
        self._keep = np.empty((T, len(self.own)), np.float32)
        self._shuffled = -1  # the epoch whose order is at hand

    def chunk(self, n: int) -> Chunk:
        """Return what step n reads."""
        epoch, k = divmod(n, self.chunks)
        if epoch != self._shuffled:
            self._shuffle(epoch)
        # Before the first symbol of a stream is the boundary that ends the item before.
        steps = np.arange(k * self.T - 1, (k + 1) * self.T)[:, None]
        positions = (self._begins + steps) % self.ids.size  # (T+1, B)
        items = np.searchsorted(self._stops, positions, "right")
        self._columns[...] = self.ids[positions + self._shifts[items]]
        inputs = self._columns[:-1]
        np.not_equal(inputs, self.boundary, out=self._keep, casting="unsafe")
        return Chunk(inputs, self._columns[1:], fresh=False, keep=self._keep)

    def _shuffle(self, epoch: int) -> None:
        """Draw an epoch's order of the items, and find where its streams begin."""
        rng = randomness.generator(self.seed, randomness.ITEM_ORDER, epoch)
        order = rng.permutation(self._ends.size)
        # Where each item ends in that order, and how far from there its ids are.
        self._stops = np.cumsum(np.diff(self._ends, prepend=0)[order])
        self._shifts = self._ends[order] - self._stops
        streams = np.array(self.own)
        first = np.searchsorted(self._stops, streams * self.ids.size // self.B, "right")
        self._begins = np.append(0, self._stops)[first]
        self._shuffled = epoch
