"""Ids -> characters, and the ids that each character consists of.

characters   one id each
bytes        h 0x68 -> "h";  0xed 0x95 0x9c -> "한";  invalid UTF-8 -> U+FFFD
"""

from typing import NamedTuple

import numpy as np

from charlm.terminal import symbol
from charlm.text.items import RECORD
from charlm.text.vocabulary import UNKNOWN, ByteVocabulary, Vocabulary
from charlm.types import Array, Ids


class Characters(NamedTuple):
    """A text's characters, and where the ids of each begin and end."""

    text: str
    begins: Array  # (len(text),)
    ends: Array  # (len(text),)

    def sums(self, values: Array) -> Array:
        """Return (len(text),) sums of values by id, such as nats."""
        total: Array = np.concatenate([[0.0], np.cumsum(values)])
        return total[self.ends] - total[self.begins]

    def lasts(self, values: Array) -> Array:
        """Return (len(text), ...) values by id at each character's last id."""
        lasts: Array = values[self.ends - 1]
        return lasts


def characters(vocabulary: Vocabulary, ids: Ids) -> Characters:
    """Return the characters of a text; items that U+001E ends are lines."""
    decode, text, ends = vocabulary.decoder(), "", [0]
    for end, symbol_id in enumerate(ids.tolist(), 1):
        decoded = decode(symbol_id)
        # A byte that ends an invalid sequence may be a character itself: the last id is its own.
        ends += range(end - len(decoded) + 1, end + 1)
        text += decoded
    if ends[-1] < ids.size:
        ends.append(ids.size)
        text += UNKNOWN
    if vocabulary.start == RECORD:
        text = text.replace(RECORD, "\n")
    borders = np.array(ends)
    return Characters(text, borders[:-1], borders[1:])


def names(vocabulary: Vocabulary) -> list[str]:
    """Return a distinct printable name of each symbol, by its id."""
    if isinstance(vocabulary, ByteVocabulary):
        return [symbol(chr(k)) if k < 0x80 else f"0x{k:02x}" for k in range(vocabulary.size)]
    return [symbol(c) for c in vocabulary.symbols] + ["rare"] * (vocabulary.unknown_id is not None)
