"""Ids -> characters, and the ids that each character consists of.

characters   one id each
bytes        h 0x68 -> "h";  0xed 0x95 0x9c -> "한";  invalid UTF-8 -> U+FFFD
"""

from typing import NamedTuple

import numpy as np

from charlm.terminal import symbol
from charlm.text.vocabulary import UNKNOWN, ByteVocabulary, Vocabulary
from charlm.types import Array, Ids


class Characters(NamedTuple):
    """A text's characters, and where the ids of each begin and end."""

    text: str
    begins: Array  # (len(text),)
    ends: Array  # (len(text),)

    def sums(self, values: Array) -> Array:
        """Return (len(text),) sums of values by id, such as nats."""
        total = np.concatenate([[0.0], np.cumsum(values)])
        sums: Array = total[self.ends] - total[self.begins]
        return sums

    def lasts(self, values: Array) -> Array:
        """Return (len(text), ...) values by id at each character's last id."""
        lasts: Array = values[self.ends - 1]
        return lasts


def characters(vocabulary: Vocabulary, ids: Ids) -> Characters:
    """Return the characters of a text."""
    decode, text, begins, ends, begin = vocabulary.decoder(), "", [], [], 0
    for end, drawn in enumerate(ids.tolist(), 1):
        decoded = decode(drawn)
        # A byte that ends an invalid sequence may be a character itself: the last id is its own.
        for k, character in enumerate(decoded, end - len(decoded) + 1):
            text += character
            begins.append(begin)
            ends.append(k)
            begin = k
    if begin < ids.size:
        text += UNKNOWN
        begins.append(begin)
        ends.append(ids.size)
    return Characters(text, np.array(begins, np.intp), np.array(ends, np.intp))


def names(vocabulary: Vocabulary) -> list[str]:
    """Return a distinct printable name of each symbol, by its id."""
    if isinstance(vocabulary, ByteVocabulary):
        return [symbol(chr(k)) if k < 0x80 else f"0x{k:02x}" for k in range(vocabulary.size)]
    return [symbol(c) for c in vocabulary.symbols] + ["rare"] * (vocabulary.unknown_id is not None)
