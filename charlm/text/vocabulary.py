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
        start: the symbol before a text's first one: newline, or the text's commonest character; of
            independent items, the one that ends each.
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
        # The last entry is for all unknown characters: look-ups beyond the end are clipped to it.
        self._table = np.full(int(codes[-1]) + 2, len(symbols), np.min_scalar_type(len(symbols)))
        self._table[codes] = np.arange(len(symbols))
        self.start_id = symbols.index(start)

    def union(self, other: "Vocabulary") -> "Vocabulary":
        """Return a vocabulary of the symbols of both; its start is this one's."""
        symbols = "".join(sorted({*self.symbols, *other.symbols}))
        unknown = self.unknown_id is not None or other.unknown_id is not None
        return Vocabulary(symbols, self.start, unknown=unknown)

    @classmethod
    def of_counts(
        cls, counts: Ids, min_count: int = 1, boundary: str | None = None
    ) -> "Vocabulary":
        """Build the vocabulary of a text from the counts of its code points, not all 0.

        Characters that occur less than `min_count` times are folded into the unknown symbol, all
        but the `boundary` of independent items.

        Raises:
            ConfigError: no character occurs that often.
        """
        is_known = counts >= max(1, min_count)
        if not is_known.any():
            most = f"{int(counts.max())}, how often the commonest character occurs"
            raise ConfigError("data.min_count", f"must be at most {most}, got {min_count}")
        if boundary is not None:
            is_known[ord(boundary)] = True
        codes = np.flatnonzero(is_known)
        symbols = "".join(map(chr, codes))
        start = boundary or ("\n" if "\n" in symbols else chr(int(counts.argmax())))
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
            on_unknown: what becomes of a character that the vocabulary lacks; `replace` puts in the
                unknown symbol, else the first known of: base letter, other case, space, `start`.
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
        if on_unknown == "error" and unknown.size:
            raise self._unknown_error(text, int(unknown[0]), where, position)
        if on_unknown == "skip":
            ids = np.delete(ids, unknown)
        elif on_unknown == "replace" and self.unknown_id is None:
            ids[unknown] = [self.symbols.index(self._like(text[k])) for k in unknown]
        return ids.astype(self.dtype, copy=False)

    def _unknown_error(self, text: str, k: int, where: str, position: int) -> UnknownCharacter:
        """Return the error of a text's k-th character; it says where a normal form is known."""
        character, better = text[k], self.normal_form(text)
        named = f"{character!r} (U+{ord(character):04X}) at position {position + k}"
        problem = f"character {named} is not in this checkpoint's {self.size}-character vocabulary"
        advice = "leave it out, or choose on_unknown (--on-unknown): skip or replace"
        if self._count_unknown(better) < self._count_unknown(text):
            form = "NFC" if unicodedata.is_normalized("NFC", better) else "NFD"
            advice = f"convert the text to Unicode's {form}, of which the model knows more"
        elif unicodedata.combining(character) or not unicodedata.is_normalized("NFD", character):
            problem += ", neither composed (NFC) nor decomposed (NFD)"
        return UnknownCharacter(where, problem, advice)

    def unknown(self, text: str) -> dict[str, int]:
        """Return how often each character occurs in a text that the vocabulary lacks."""
        codes = code_points(text)
        lacking = np.take(self._table, codes, mode="clip") == len(self.symbols)
        found, counts = np.unique(codes[lacking], return_counts=True)
        return dict(zip(map(chr, found.tolist()), counts.tolist(), strict=True))

    def normal_form(self, text: str) -> str:
        """Return a text itself or, where it has unknown characters, its form with the fewest.

        The forms are Unicode's NFC, in which an accented letter is one character, and NFD, in which
        it is a letter and a mark.
        """
        if not self.unknown(text):
            return text
        forms = (unicodedata.normalize("NFC", text), text, unicodedata.normalize("NFD", text))
        return min(forms, key=self._count_unknown)

    def _count_unknown(self, text: str) -> int:
        return sum(self.unknown(text).values())

    def replacements(self, text: str) -> dict[str, str]:
        """Return the symbol that "replace" puts in place of each unknown character of a text."""
        return {c: self.decode(self.encode(c, on_unknown="replace")) for c in self.unknown(text)}

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
        """Rebuild a checkpoint's vocabulary; raises CheckpointError where it is not valid."""
        match {"level": "char", "unknown": False, **content}:
            case {"level": "byte", "start": str(start)} if len(start) == 1 and ord(start) < 256:
                return ByteVocabulary(start)
            case {"level": "byte"} if "start" not in content:
                return ByteVocabulary()
            case {
                "level": "char",
                "symbols": str(symbols),
                "start": str(start),
                "unknown": bool(unknown),
            }:
                characters = not any("\ud800" <= symbol <= "\udfff" for symbol in symbols)
                in_order = list(symbols) == sorted(set(symbols))
                if characters and in_order and len(start) == 1 and start in symbols:
                    return Vocabulary(symbols, start, unknown=unknown)
        raise CheckpointError(where, "holds no valid vocabulary", "the file is damaged")


class ByteVocabulary(Vocabulary):
    """All 256 bytes: a vocabulary for any file and any text."""

    def __init__(self, start: str = "\n") -> None:
        super().__init__("".join(map(chr, range(256))), start)

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
            code, place = ord(text[error.start]), position + error.start
            problem = f"character U+{code:04X} at position {place} is a lone surrogate"
            raise UnknownCharacter(where, problem, "it has no bytes, leave it out") from None

    def unknown(self, text: str) -> dict[str, int]:
        """Return nothing: every text has bytes."""
        return {}

    def decoder(self) -> Callable[[int], str]:
        """Return a function that decodes a stream of bytes, one a call.

        Before a character's last byte it returns nothing; what is not UTF-8 becomes U+FFFD.
        """
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        return lambda drawn: decoder.decode(bytes((drawn,)))

    def as_dict(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        return {"level": "byte"} | ({"start": self.start} if self.start != "\n" else {})


def code_points(text: str) -> NDArray[np.uint32]:
    """Return the code points of a text; lone surrogates are kept, and found unknown later."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
