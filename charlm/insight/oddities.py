"""Where a text surprises most: typos, names, odd words."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from charlm.insight.characters import characters, names
from charlm.insight.surprise import Reader
from charlm.terminal import printable
from charlm.text.vocabulary import ByteVocabulary, Vocabulary
from charlm.types import Array, Ids

# What follows on an oddity surprises as well: within so many characters only the oddest counts.
_APART = 8
_CONTEXT = 12
# So much is read at a time; a terminal shows it about twice a second.
_PIECE = 4096


class Oddity(NamedTuple):
    """Tell of a character that nothing had led to expect.

    Attributes:
        line: from 1.
        column: from 1.
        bits: its surprise.
        before: what stands before it in its line, cut.
        character: itself, quoted where it does not print.
        after: what follows.
        expected: the likeliest symbol in its place.
        probability: of that one.
    """

    line: int
    column: int
    bits: float
    before: str
    character: str
    after: str
    expected: str
    probability: float


class Coloured(NamedTuple):
    """Hold a piece of a text with each character's surprise.

    Attributes:
        text: its characters.
        bits: (len(text),) their surprise.
    """

    text: str
    bits: Array


class Watch:
    """Read a text piece by piece, and keep its oddest places.

    Args:
        reader: reads with at least one of the likeliest symbols.
        vocabulary: the model's.
        count: places to keep.

    Attributes:
        oddities: those so far, the oddest first.
    """

    def __init__(self, reader: Reader, vocabulary: Vocabulary, count: int = 10) -> None:
        self.oddities: list[Oddity] = []
        self._reader, self._vocabulary, self._count = reader, vocabulary, count
        self._names = names(vocabulary)
        self._line, self._column = 1, 1

    def read(self, ids: Ids) -> Coloured:
        """Read the next piece; see `pieces` for where one may end."""
        seen, spelled = self._reader.read(ids), characters(self._vocabulary, ids)
        text, bits = spelled.text, spelled.sums(seen.bits)
        for k in _oddest(bits, self._count):
            first = int(spelled.begins[k])
            line_begin = text.rfind("\n", 0, k) + 1
            line_end = text.find("\n", k + 1)
            after = text[k + 1 : len(text) if line_end < 0 else line_end]
            self.oddities.append(
                Oddity(
                    line=self._line + text.count("\n", 0, k),
                    column=k - line_begin + (1 if line_begin else self._column),
                    bits=float(bits[k]),
                    before=printable(text[max(line_begin, k - _CONTEXT) : k]),
                    character=printable(text[k]),
                    after=printable(after[:_CONTEXT]) if text[k] != "\n" else "",
                    expected=self._names[int(seen.likeliest[first, 0])],
                    probability=float(seen.probabilities[first, 0]),
                )
            )
        self.oddities = sorted(self.oddities, key=lambda q: -q.bits)[: self._count]
        self._line += text.count("\n")
        last_line = text.rpartition("\n")[2]
        self._column = len(last_line) + (1 if "\n" in text else self._column)
        return Coloured(text, bits)


def pieces(ids: Ids, vocabulary: Vocabulary) -> Iterator[Ids]:
    """Read a text in pieces of whole lines, or at least of whole characters."""
    begin, newline = 0, vocabulary.symbols.find("\n")
    while begin < ids.size:
        some = ids[begin : begin + _PIECE]
        if begin + some.size < ids.size:
            ends = np.flatnonzero(some == newline) + 1
            some = some[: ends[-1] if ends.size else _whole(vocabulary, some)]
        yield some
        begin += some.size


def _whole(vocabulary: Vocabulary, ids: Ids) -> int:
    """Return how many of a piece's ids make up whole characters: bytes may end inside one."""
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
