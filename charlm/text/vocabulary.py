"""Characters <-> ids. An id is a rank by code point: it never depends on the process.

code points  --table-->  ids            one lookup in an array a character, whatever V is
ids  --symbols-->  characters
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlm.errors import CheckpointError, UnknownCharacter

Ids = NDArray[Any]


class Vocabulary:
    """Hold the characters that a model knows.

    Args:
        symbols: the characters, sorted by code point, each once.
        start: what stands before a text's first character: a newline where the text has one, else
            its commonest character.

    Attributes:
        size: V.
        dtype: the smallest unsigned integers that hold an id.
        start_id: the id of `start`.
    """

    def __init__(self, symbols: str, start: str) -> None:
        self.symbols, self.start = symbols, start
        self.size = len(symbols)
        self.dtype = np.min_scalar_type(max(1, self.size - 1))
        codes = code_points(symbols)
        self._table = np.full(int(codes[-1]) + 2, self.size, np.uint32)
        self._table[codes] = np.arange(self.size)
        self.start_id = symbols.index(start)

    @classmethod
    def of_counts(cls, counts: Ids) -> "Vocabulary":
        """Make the vocabulary of a text.

        Args:
            counts: how often each code point occurs; at least one does.
        """
        codes = np.flatnonzero(counts)
        symbols = "".join(map(chr, codes))
        start = "\n" if "\n" in symbols else chr(int(counts.argmax()))
        return cls(symbols, start)

    def encode(self, text: str, where: str, position: int = 0) -> Ids:
        """Turn characters into ids.

        Args:
            text: what to encode.
            where: what the text is called in an error.
            position: characters of it that came before this piece.

        Raises:
            UnknownCharacter: a character is not in the vocabulary; names the first.
        """
        codes = code_points(text)
        ids = self._table[np.minimum(codes, self._table.size - 1)]
        unknown = np.flatnonzero(ids == self.size)
        if unknown.size:
            first = int(unknown[0])
            raise UnknownCharacter(
                f"{where}: character {text[first]!r} (U+{ord(text[first]):04X}) at position "
                f"{position + first} is not in this checkpoint's {self.size}-character vocabulary; "
                "leave it out, or train on a text that has it"
            )
        return ids.astype(self.dtype)

    def decode(self, ids: Ids) -> str:
        """Turn ids into characters."""
        return "".join(self.symbols[k] for k in ids)

    def as_dict(self) -> dict[str, str]:
        """Return what a checkpoint holds."""
        return {"symbols": self.symbols, "start": self.start}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], where: str) -> "Vocabulary":
        """Rebuild a checkpoint's vocabulary.

        Raises:
            CheckpointError: it is not one that charlm wrote.
        """
        symbols, start = content.get("symbols"), content.get("start")
        if (
            not isinstance(symbols, str)
            or not isinstance(start, str)
            or len(start) != 1
            or start not in symbols
            or list(symbols) != sorted(set(symbols))
        ):
            raise CheckpointError(f"{where}: holds no valid vocabulary; the file is damaged")
        return cls(symbols, start)


def code_points(text: str) -> NDArray[np.uint32]:
    """Return the code points of a text; lone surrogates pass, to be reported as unknown."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
