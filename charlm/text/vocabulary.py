"""Symbols <-> ids. An id is a rank by code point: it never depends on the process.

    characters    code points --table--> ids            one look-up a character, whatever V is
                  ids --symbols--> characters
    bytes         a byte is its own id, V = 256         decoded as a stream of UTF-8

A vocabulary of characters may end in one unknown symbol that stands for all rare characters. It is
trained like any other, and never drawn.
"""

import codecs
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from charlm.errors import CheckpointError, ConfigError, UnknownCharacter
from charlm.types import Ids

OnUnknown: TypeAlias = Literal["error", "skip", "replace"]

# How the unknown symbol is shown.
UNKNOWN = "\ufffd"


class Vocabulary:
    """The characters that a model knows.

    Args:
        symbols: the characters, sorted by code point, each once.
        start: the symbol read before a text's first one: a newline where the text has one, else
            its commonest character.
        unknown: add one symbol for every other character.

    Attributes:
        size: V.
        dtype: the smallest unsigned integers that hold an id.
        start_id: the id of `start`.
        unknown_id: the id of the unknown symbol; None where there is none.
    """

    def __init__(self, symbols: str, start: str, *, unknown: bool = False) -> None:
        self.symbols, self.start = symbols, start
        self.size = len(symbols) + unknown
        self.dtype = np.min_scalar_type(max(1, self.size - 1))
        self.unknown_id = len(symbols) if unknown else None
        codes = code_points(symbols)
        # The last entry stands for all unknown characters: look-ups beyond the end are clipped
        # to it.
        self._table = np.full(int(codes[-1]) + 2, len(symbols), np.min_scalar_type(len(symbols)))
        self._table[codes] = np.arange(len(symbols))
        self.start_id = symbols.index(start)

    @classmethod
    def of_counts(cls, counts: Ids, min_count: int = 1) -> "Vocabulary":
        """Build the vocabulary of a text.

        Args:
            counts: the count of each code point; at least one is not 0.
            min_count: characters that occur less often are folded into the unknown symbol.

        Raises:
            ConfigError: no character occurs that often.
        """
        codes = np.flatnonzero(counts >= max(1, min_count))
        if not codes.size:
            raise ConfigError(
                "data.min_count",
                f"must be at most {int(counts.max())}, how often the commonest character occurs, "
                f"got {min_count}",
            )
        symbols = "".join(map(chr, codes))
        start = "\n" if "\n" in symbols else chr(int(counts.argmax()))
        return cls(symbols, start, unknown=codes.size < int(np.count_nonzero(counts)))

    def encode(
        self,
        text: str | bytes,
        *,
        on_unknown: OnUnknown = "error",
        where: str = "text",
        position: int = 0,
    ) -> Ids:
        """Return a text's ids, one a character; `decode` inverts it.

        Args:
            text: what to encode.
            on_unknown: what becomes of a character that is not in the vocabulary: an error,
                nothing, or its replacement: the unknown symbol where there is one, else its base
                letter, its other case, a space, or `start`, the first of these that is known.
            where: the text's name in an error.
            position: the number of its characters before this piece.

        Raises:
            UnknownCharacter: a character is not in the vocabulary; names the first.
        """
        if not isinstance(text, str):
            raise TypeError(f"{where}: must be a text, got {type(text).__name__}")
        codes = code_points(text)
        ids = np.take(self._table, codes, mode="clip")
        unknown = np.flatnonzero(ids == len(self.symbols))
        if not unknown.size:
            return ids.astype(self.dtype, copy=False)
        match on_unknown:
            case "skip":
                ids = np.delete(ids, unknown)
            case "replace" if self.unknown_id is None:
                ids[unknown] = [self.symbols.index(self._like(text[k])) for k in unknown]
            case "replace":
                pass
            case "error":
                first = int(unknown[0])
                raise UnknownCharacter(
                    where,
                    f"character {text[first]!r} (U+{ord(text[first]):04X}) at position "
                    f"{position + first} is not in this checkpoint's "
                    f"{self.size}-character vocabulary",
                    "leave it out, or train on a text that has it",
                )
        return ids.astype(self.dtype, copy=False)

    def replacements(self, text: str) -> dict[str, str]:
        """Return the symbol that "replace" puts in place of each unknown character of a text."""
        unknown = (c for c in dict.fromkeys(text) if not self.encode(c, on_unknown="skip").size)
        return {c: self.decode(self.encode(c, on_unknown="replace")) for c in unknown}

    def _like(self, character: str) -> str:
        """Return the known character closest to an unknown one."""
        base = unicodedata.normalize("NFKD", character)[0]
        candidates = (base, character.swapcase(), base.swapcase(), " ")
        return next((c for c in candidates if len(c) == 1 and c in self.symbols), self.start)

    def decode(self, ids: Ids) -> str:
        """Return the text of (N,) ids; what has no character of its own becomes U+FFFD."""
        return "".join(map(self.decoder(), np.asarray(ids).tolist()))

    def decoder(self) -> Callable[[int], str]:
        """Return a function that decodes a stream of ids, one a call."""
        return (self.symbols + UNKNOWN).__getitem__

    def as_dict(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        unknown = self.unknown_id is not None
        return {"level": "char", "symbols": self.symbols, "start": self.start, "unknown": unknown}

    @staticmethod
    def from_dict(content: Mapping[str, Any], where: str) -> "Vocabulary":
        """Rebuild a checkpoint's vocabulary.

        Raises:
            CheckpointError: it is not one that charlm wrote.
        """
        if content.get("level", "char") == "byte":
            return ByteVocabulary()
        symbols, start = content.get("symbols"), content.get("start")
        unknown = content.get("unknown", False)
        if (
            not isinstance(symbols, str)
            or not isinstance(start, str)
            or not isinstance(unknown, bool)
            or content.get("level", "char") != "char"
            or len(start) != 1
            or start not in symbols
            or list(symbols) != sorted(set(symbols))
            or any("\ud800" <= symbol <= "\udfff" for symbol in symbols)
        ):
            raise CheckpointError(where, "holds no valid vocabulary", "the file is damaged")
        return Vocabulary(symbols, start, unknown=unknown)


class ByteVocabulary(Vocabulary):
    """All 256 bytes: a vocabulary for any file and any text."""

    def __init__(self) -> None:
        super().__init__("".join(map(chr, range(256))), "\n")

    def encode(
        self,
        text: str | bytes,
        *,
        on_unknown: OnUnknown = "error",
        where: str = "text",
        position: int = 0,
    ) -> Ids:
        """Return bytes, or a text's UTF-8 bytes, as ids; escaped bytes (PEP 383) are restored."""
        if isinstance(text, bytes):
            return np.frombuffer(text, np.uint8)
        if not isinstance(text, str):
            raise TypeError(f"{where}: must be a text or bytes, got {type(text).__name__}")
        try:
            return np.frombuffer(text.encode("utf-8", "surrogateescape"), np.uint8)
        except UnicodeEncodeError as error:
            raise UnknownCharacter(
                where,
                f"character U+{ord(text[error.start]):04X} at position {position + error.start} is "
                "a lone surrogate and has no bytes",
                "leave it out",
            ) from None

    def decoder(self) -> Callable[[int], str]:
        """Return a function that decodes a stream of ids, one a call.

        A character is returned at its last byte, and an empty string before; what is not UTF-8
        becomes U+FFFD.
        """
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        return lambda drawn: decoder.decode(bytes((drawn,)))

    def as_dict(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        return {"level": "byte"}


def code_points(text: str) -> NDArray[np.uint32]:
    """Return the code points of a text; lone surrogates are kept, and found unknown later."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
