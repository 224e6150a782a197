"""The surprise of a text, and its most surprising places: typos, names, odd words."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from charlm.insight.characters import characters, names
from charlm.insight.reading import Reader, Surprise
from charlm.nn.model import Model
from charlm.terminal import printable
from charlm.text.vocabulary import ByteVocabulary, Vocabulary
from charlm.types import Array, Ids

# What follows an oddity is surprising as well: within so many characters only the oddest counts.
_APART = 8
_CONTEXT = 12
# The most probable symbols are kept, so many of them, for so many symbols of a text.
TOP, KEPT = 5, 50_000
# Symbols read at a time; a terminal shows them about twice a second.
_PIECE = 4096


class Oddity(NamedTuple):
    """A character that was surprising in its place, and some of its line around it."""

    line: int  # from 1
    column: int  # from 1
    bits: float
    before: str
    character: str  # as an escape where it does not print
    after: str
    expected: str  # the most probable symbol
    probability: float  # of that symbol


class Heat:
    """The surprise of each character of a text, and its oddest places; iterate over it once."""

    def __init__(
        self,
        model: Model,
        vocabulary: Vocabulary,
        ids: Ids,
        count: int = 10,
        *,
        items: bool = False,
    ) -> None:
        self.ids, self.vocabulary = ids, vocabulary
        self.oddities = list[Oddity]()  # up to `count` of what was read so far, the oddest first
        self._reader, self._count = Reader(model, vocabulary.start_id, items=items), count
        self._names, self._kept = names(vocabulary), list[Surprise]()
        self._line, self._column = 1, 1

    def __iter__(self) -> Iterator[tuple[str, Array]]:
        """Yield pieces of whole lines, or at least characters, and each character's bits."""
        ids, begin, newline = self.ids, 0, self.vocabulary.symbols.find("\n")
        while begin < ids.size:
            piece = ids[begin : begin + _PIECE]
            if begin + piece.size < ids.size:
                ends = np.flatnonzero(piece == newline) + 1
                piece = piece[: ends[-1] if ends.size else _whole(self.vocabulary, piece)]
            surprise = self._reader.read(piece, top=TOP).surprise
            if begin < KEPT:
                self._kept.append(surprise)
            yield self._read(piece, surprise)
            begin += piece.size

    @property
    def surprise(self) -> Surprise:
        """Return the surprise of the first 50,000 symbols of what was read."""
        return Surprise(*(np.concatenate(parts)[:KEPT] for parts in zip(*self._kept, strict=True)))

    def _read(self, ids: Ids, surprise: Surprise) -> tuple[str, Array]:
        spelled = characters(self.vocabulary, ids)
        text, bits = spelled.text, spelled.sums(surprise.bits)
        for k in _oddest(bits, self._count):
            first = int(spelled.begins[k])
            line_begin = text.rfind("\n", 0, k) + 1
            after = text[k + 1 : k + 1 + _CONTEXT].partition("\n")[0]
            self.oddities.append(
                Oddity(
                    line=self._line + text.count("\n", 0, k),
                    column=k - line_begin + (1 if line_begin else self._column),
                    bits=float(bits[k]),
                    before=printable(text[max(line_begin, k - _CONTEXT) : k]),
                    character=printable(text[k]),
                    after=printable(after) if text[k] != "\n" else "",
                    expected=self._names[int(surprise.likeliest[first, 0])],
                    probability=float(surprise.probabilities[first, 0]),
                )
            )
        self.oddities = sorted(self.oddities, key=lambda odd: -odd.bits)[: self._count]
        _, newline, last_line = text.rpartition("\n")
        self._line += text.count("\n")
        self._column = len(last_line) + (1 if newline else self._column)
        return text, bits


def _whole(vocabulary: Vocabulary, ids: Ids) -> int:
    """Return how many of a piece's ids are whole characters: bytes may end inside one."""
    if not isinstance(vocabulary, ByteVocabulary):
        return int(ids.size)
    # A character has up to three bytes after its first one, and these begin with the bits 10.
    begins = np.flatnonzero(ids[-4:] & 0xC0 != 0x80)
    return int(ids.size - 4 + begins[-1]) if begins.size else int(ids.size)


def _oddest(bits: Array, count: int) -> list[int]:
    """Return the most surprising places, the oddest first, none close to an odder one."""
    left = np.array(bits, float)
    places: list[int] = []
    while len(places) < count and left.size and left.max() > 0:
        k = int(left.argmax())
        places.append(k)
        left[max(0, k - _APART) : k + _APART + 1] = 0
    return places
