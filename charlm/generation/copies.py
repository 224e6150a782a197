"""Where does a text quote the one that was learned? The longest verbatim copies, and their places.

    k-grams of the text --hash--> a table of bits
    the learned text, a piece at a time --hash--> bits --> hashes --> places where k ids agree
    places --> left-maximal pairs --> as far as both go on alike

A pair is left-maximal where what stands before it differs, so each copy is measured once, from its
beginning. The hash of 2k ids follows from two hashes of k: log2(k) passes over an array, whatever
the learned text's size; it stays on the disk.

Source: Karp & Rabin 1987, with the windows' hashes made by doubling instead of rolling.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from charlm.errors import ConfigError
from charlm.types import Ids

# Held-out text of the same author agrees with the learned text over 31 characters at the most, in
# each of two texts; see docs/results.md.
AT_LEAST = 32
_PIECE = 1 << 20
_BITS = 16
_BASE = np.uint64(0x9E3779B97F4A7C15)


class Copy(NamedTuple):
    """Name a part of a text that stands in the learned text, character by character.

    Attributes:
        begin: its first character in the text that was checked.
        length: characters; bytes at byte level.
        place: its first character in the learned text.
    """

    begin: int
    length: int
    place: int


class Learned:
    """Search the text that a run has learned from.

    Args:
        ids: that text; may be memory-mapped.
    """

    def __init__(self, ids: Ids) -> None:
        self.ids = ids

    def copies(self, texts: Sequence[Ids], at_least: int = AT_LEAST) -> list[list[Copy]]:
        """Find what several texts have copied, in one pass over the learned text.

        Args:
            texts: ids of the same vocabulary.
            at_least: how long a copy has to be.

        Returns:
            A list for each text: its copies, the longest first, none overlapping a longer one.

        Raises:
            ConfigError: `at_least` is below 1.
        """
        if at_least < 1:
            raise ConfigError("at_least", f"must be at least 1, got {at_least}")
        k = at_least
        windows = [_hashes(text, k) for text in texts]
        wanted = np.concatenate([np.empty(0, np.uint64), *windows])
        places = self._places(np.unique(wanted), k)
        return [
            _apart(self._of_text(text, hashes, places, k))
            for text, hashes in zip(texts, windows, strict=True)
        ]

    def _places(self, wanted: Ids, k: int) -> dict[int, Ids]:
        """Return where each hash occurs in the learned text."""
        if not wanted.size or self.ids.size < k:
            return {}
        bits = np.zeros(1 << _BITS, bool)
        bits[_few(wanted)] = True
        found: list[tuple[Ids, Ids]] = []
        seen: set[bytes] = set()
        for begin in range(0, self.ids.size - k + 1, _PIECE):
            piece = np.asarray(self.ids[begin : begin + _PIECE + k - 1])
            hashes = _hashes(piece, k)
            maybe = np.flatnonzero(bits[_few(hashes)])
            at = np.minimum(np.searchsorted(wanted, hashes[maybe]), wanted.size - 1)
            hits = maybe[wanted[at] == hashes[maybe]]
            for run in np.split(hits, np.flatnonzero(np.diff(hits) > 1) + 1):
                if not run.size:
                    continue
                # A ruled line that occurs a thousand times is kept once. What touches the piece's
                # edge goes on in the next one, perhaps otherwise.
                content = piece[run[0] : run[-1] + k].tobytes()
                inside = run[0] > 0 and run[-1] < hashes.size - 1
                if not inside or content not in seen:
                    found.append((hashes[run], begin + run))
                if inside:
                    seen.add(content)
        if not found:
            return {}
        hashes = np.concatenate([q for q, _ in found])
        where = np.concatenate([q for _, q in found])
        order = np.argsort(hashes, kind="stable")
        values, firsts = np.unique(hashes[order], return_index=True)
        groups = np.split(where[order], firsts[1:])
        return dict(zip(values.tolist(), groups, strict=True))

    def _of_text(self, text: Ids, hashes: Ids, places: dict[int, Ids], k: int) -> list[Copy]:
        """Return the longest copy that begins at each character, where there is one."""
        copies = []
        for begin, value in enumerate(hashes.tolist()):
            where = places.get(value)
            if where is None:
                continue
            if begin:
                where = where[self._at(where - 1) != text[begin - 1]]
            if (copy := self._extended(text, begin, where, k)) is not None:
                copies.append(copy)
        return copies

    def _extended(self, text: Ids, begin: int, where: Ids, k: int) -> Copy | None:
        """Go on from k agreeing ids for as long as any place does; hashes may have lied."""
        length, alive = 0, where
        while alive.size and begin + length < text.size:
            further = alive[self._at(alive + length) == text[begin + length]]
            if not further.size:
                break
            alive, length = further, length + 1
        return Copy(begin, length, int(alive[0])) if length >= k else None

    def _at(self, places: Ids) -> Ids:
        """Return the ids at some places; before the first and after the last stands none."""
        inside = (places >= 0) & (places < self.ids.size)
        found = np.full(places.size, -1, np.int64)
        found[inside] = self.ids[places[inside]]
        return found


def _hashes(ids: Ids, k: int) -> Ids:
    """Return the hash of every window of k ids, modulo 2^64."""
    if ids.size < k:
        return np.empty(0, np.uint64)
    # powers of two, joined from the left:  h(a b) = h(a) base^|b| + h(b)
    block, width, factor = ids.astype(np.uint64) + np.uint64(1), 1, _BASE
    whole: Ids | None = None
    done = 0
    with np.errstate(over="ignore"):
        while True:
            if k & width:
                # The blocks that are joined first lie furthest to the right.
                piece = block[: ids.size - width + 1]
                if whole is None:
                    whole = piece
                else:
                    left = piece[: ids.size - width - done + 1]
                    whole = left * np.uint64(pow(int(_BASE), done, 1 << 64)) + whole[width:]
                done += width
            if done == k and whole is not None:
                return whole
            block = block[:-width] * factor + block[width:]
            factor, width = factor * factor, width * 2


def _few(hashes: Ids) -> Ids:
    """Return the hashes' highest bits, which depend on all of their ids."""
    return (hashes >> np.uint64(64 - _BITS)).astype(np.intp)


def _apart(copies: list[Copy]) -> list[Copy]:
    """Keep the longest, and of the others those that overlap none that is kept."""
    kept: list[Copy] = []
    for copy in sorted(copies, key=lambda q: (-q.length, q.begin)):
        if all(
            copy.begin + copy.length <= q.begin or q.begin + q.length <= copy.begin for q in kept
        ):
            kept.append(copy)
    return kept
