"""ids -> (T, B) inputs and targets: B parallel streams through the training part.

One text is read as a ring of N characters. Stream b of an epoch begins at offset + b N / B and
moves T characters a step:

    step n:     epoch = n // chunks,   k = n % chunks,   chunks = (N / B) // T
    stream b:   inputs   ids[offset + b N / B + k T ...]     T of them
                targets  the same, one further

The offset is drawn from (seed, epoch).

Of independent items, each ended by the boundary symbol, an epoch has an order that is drawn from
(seed, epoch), and the ordered list is a ring of M items. Stream b begins with item b M / B of it,
and reads one item after the other:

    inputs      # a n n a # b o b # ...         # is the boundary
    targets     a n n a # b o b # ...
    keep        0 1 1 1 1 0 1 1 1 0             the state is zero where an item begins

So what step n reads is a pure function of the seed, n, the text, B and T, and no position is saved.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np

from charlm import randomness
from charlm.types import Array, Ids


class Chunk(NamedTuple):
    """The input and targets of one step; the arrays are valid until the next chunk is read."""

    inputs: Ids  # (T, B)
    targets: Ids  # (T, B)
    fresh: bool  # an epoch begins: the state starts at zero
    keep: Array | None = None  # (T, B) 0 where an item begins, else 1; None for one text


class Streams(ABC):
    """B parallel streams, in chunks of T time steps, through the ids that are trained on."""

    def __init__(self, ids: Ids, B: int, T: int, seed: int) -> None:
        # Slices of a plain array take a third of the time of a memmap's.
        self.ids, self.B, self.T, self.seed = np.asarray(ids), B, T, seed
        self.chunks = max(1, ids.size // B // T)  # an epoch's steps
        self._rows = np.empty((B, T + 1), ids.dtype)
        self._columns = np.empty((T + 1, B), np.intp)

    @abstractmethod
    def chunk(self, n: int) -> Chunk:
        """Return what step n reads."""


class TextStreams(Streams):
    """Streams through one text."""

    def __init__(self, ids: Ids, B: int, T: int, seed: int) -> None:
        super().__init__(ids, B, T, seed)
        self.stride = ids.size // B
        assert self.stride >= T, "B and T must fit the text; see settings.resolve"

    def chunk(self, n: int) -> Chunk:
        """Return what step n reads."""
        epoch, k = divmod(n, self.chunks)
        N = self.ids.size
        offset = int(randomness.generator(self.seed, randomness.STREAM_OFFSETS, epoch).integers(N))
        for b, row in enumerate(self._rows):
            begin = (offset + b * self.stride + k * self.T) % N
            if begin + self.T < N:
                row[:] = self.ids[begin : begin + self.T + 1]
            else:
                row[: N - begin] = self.ids[begin:]
                row[N - begin :] = self.ids[: self.T + 1 - (N - begin)]
        np.copyto(self._columns, self._rows.T)
        return Chunk(self._columns[:-1], self._columns[1:], k == 0)


class ItemStreams(Streams):
    """Streams of independent items, each of which ends with the `boundary` symbol in the ids."""

    def __init__(self, ids: Ids, B: int, T: int, seed: int, boundary: int) -> None:
        super().__init__(ids, B, T, seed)
        self.boundary = boundary
        self._ends = np.flatnonzero(self.ids == boundary) + 1  # (M,) behind each boundary
        self._begins = np.append(0, self._ends[:-1])
        self._keep = np.empty((T, B), np.float32)
        # What was read last, (epoch, k); each stream's place in the order, and in its item.
        self._read = (-1, 0)
        self._items, self._places = np.zeros(B, np.intp), np.zeros(B, np.intp)

    def chunk(self, n: int) -> Chunk:
        """Return what step n reads."""
        epoch, k = divmod(n, self.chunks)
        if self._read != (epoch, k - 1):
            self._go_to(epoch, k)
        self._read = (epoch, k)
        for b, row in enumerate(self._rows):
            self._fill(b, row)
        np.copyto(self._columns, self._rows.T)
        inputs = self._columns[:-1]
        np.not_equal(inputs, self.boundary, out=self._keep, casting="unsafe")
        return Chunk(inputs, self._columns[1:], fresh=False, keep=self._keep)

    def _fill(self, b: int, row: Ids) -> None:
        """Read T more symbols of a stream, behind the last one of the chunk before."""
        row[0], filled, M = row[-1], 1, self._order.size
        item, place = int(self._items[b]), int(self._places[b])
        while filled <= self.T:
            which = self._order[item]
            begin = self._begins[which] + place
            some = self.ids[begin : min(self._ends[which], begin + self.T + 1 - filled)]
            row[filled : filled + some.size] = some
            filled += some.size
            place += some.size
            if begin + some.size == self._ends[which]:
                item, place = (item + 1) % M, 0
        self._items[b], self._places[b] = item, place

    def _go_to(self, epoch: int, k: int) -> None:
        """Find where each stream is before chunk k of an epoch."""
        M = self._ends.size
        rng = randomness.generator(self.seed, randomness.ITEM_ORDER, epoch)
        self._order = rng.permutation(M)
        self._items[:], self._places[:] = np.arange(self.B) * M // self.B, 0
        self._rows[:, -1] = self.boundary
        sizes = (self._ends - self._begins)[self._order]
        # Whole rounds through the list change nothing.
        ends, N = np.cumsum(sizes), self.ids.size
        for b, first in enumerate(self._items):
            before = int(ends[first - 1]) if first else 0
            position = (before + k * self.T) % N
            self._items[b] = item = int(np.searchsorted(ends, position, "right"))
            self._places[b] = position - (int(ends[item - 1]) if item else 0)
            if k:
                last = position - 1 if position else N - 1
                at = int(np.searchsorted(ends, last, "right"))
                which = self._order[at]
                self._rows[b, -1] = self.ids[self._ends[which] - (int(ends[at]) - last)]
