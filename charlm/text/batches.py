"""ids -> (T, B) inputs and targets: B parallel streams through the text.

The training part is read as a ring of N characters. Stream b of an epoch begins at
offset + b N / B and moves T characters a step:

    step n:     epoch = n // chunks,   k = n % chunks,   chunks = (N / B) // T
    stream b:   inputs   ids[offset + b N / B + k T ...]     T of them
                targets  the same, one further

The offset is drawn from (seed, epoch), so what step n reads is a pure function of the seed, n, the
text, B and T, and no position is saved.
"""

from typing import NamedTuple

import numpy as np

from charlm import randomness
from charlm.types import Ids


class Chunk(NamedTuple):
    """The input and targets of one step; the arrays are valid until the next chunk is read."""

    inputs: Ids  # (T, B)
    targets: Ids  # (T, B)
    fresh: bool  # an epoch begins: the state starts at zero


class Streams:
    """B parallel streams, in chunks of T time steps, through the training part of a text."""

    def __init__(self, ids: Ids, B: int, T: int, seed: int) -> None:
        # Slices of a plain array take a third of the time of a memmap's.
        self.ids, self.B, self.T, self.seed = np.asarray(ids), B, T, seed
        self.stride = ids.size // B
        self.chunks = self.stride // T  # an epoch's steps
        assert self.chunks >= 1, "B and T must fit the text; see settings.resolve"
        self._rows = np.empty((B, T + 1), ids.dtype)
        self._columns = np.empty((T + 1, B), np.intp)

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
