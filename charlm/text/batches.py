"""ids -> (T, B) inputs and targets: B parallel streams through the text.

The training share is taken as a ring of N characters. Stream b of an epoch begins at
offset + b N / B and moves T characters an update:

    update n:   epoch = n // chunks,   k = n % chunks,   chunks = (N / B) // T
    stream b:   inputs   ids[offset + b N / B + k T ...]     T of them
                targets  the same, one further

The offset is drawn from (seed, epoch), so what update n reads is a pure function of the seed, n,
the text, B and T: there is no position to save, and none to lose.
"""

from typing import NamedTuple

import numpy as np

from charlm import randomness
from charlm.text.corpus import IdFile, Split
from charlm.types import Ids

# Fewer chunks than this a stream would leave little of the carried state.
_CHUNKS_AT_LEAST = 4


class Chunk(NamedTuple):
    """What one update reads; the arrays are valid until the next chunk is."""

    inputs: Ids  # (T, B)
    targets: Ids  # (T, B)
    fresh: bool  # an epoch begins: the state starts at zero


class Streams:
    """Deal the training share out to B streams.

    Args:
        ids: the text.
        share: the part to learn from.
        B: streams.
        T: steps a chunk.
        seed: the run's.

    Attributes:
        chunks: updates an epoch.
    """

    def __init__(self, ids: IdFile, share: Split, B: int, T: int, seed: int) -> None:
        self.ids, self.share, self.B, self.T, self.seed = ids, share, B, T, seed
        self.stride = share.size // B
        self.chunks = self.stride // T
        assert self.chunks >= 1, "B and T must fit the share; see `fit`"
        self._rows = np.empty((B, T + 1), ids.dtype)
        self._columns = np.empty((T + 1, B), np.intp)

    def chunk(self, n: int) -> Chunk:
        """Read what update n learns from."""
        epoch, k = divmod(n, self.chunks)
        N = self.share.size
        offset = int(randomness.generator(self.seed, randomness.STREAM_OFFSETS, epoch).integers(N))
        for b in range(self.B):
            begin = (offset + b * self.stride + k * self.T) % N
            before_end = min(N - begin, self.T + 1)
            self.ids.read_into(self.share.begin + begin, self._rows[b, :before_end])
            if before_end <= self.T:
                self.ids.read_into(self.share.begin, self._rows[b, before_end:])
        np.copyto(self._columns, self._rows.T)
        return Chunk(self._columns[:-1], self._columns[1:], k == 0)


def fit(N: int, B: int, T: int, *, B_may_shrink: bool, T_may_shrink: bool) -> tuple[int, int]:
    """Shrink the number of streams, then the steps a chunk, until a short text fills some chunks.

    Args:
        N: characters to learn from.
        B: streams wished for.
        T: steps wished for.
        B_may_shrink: nobody asked for this B.
        T_may_shrink: nobody asked for this T.

    Returns:
        B and T, each halved as often as needed and allowed.
    """
    while B_may_shrink and B > 1 and N // B < _CHUNKS_AT_LEAST * T:
        B //= 2
    while T_may_shrink and T > 1 and N // B < _CHUNKS_AT_LEAST * T:
        T //= 2
    return B, T
