"""A text -> ids in a flat file, encoded once, read piece by piece.

    source --scan--> counts -> vocabulary
           --encode--> ids.bin, 1, 2 or 4 bytes a symbol

The text is cut into shares by position: training first, then validation, then test. Nothing here
holds a whole text in memory.
"""

import codecs
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from charlm.errors import TextError
from charlm.text import encodings
from charlm.text.source import Source, Watch
from charlm.text.vocabulary import ByteVocabulary, OnUnknown, Vocabulary, code_points
from charlm.types import Ids

_CODE_POINTS = 0x110000
_IDS_AT_ONCE = 1 << 18


class Split(NamedTuple):
    """Name a part of the text: characters `begin` to `end`, `end` excluded."""

    begin: int
    end: int

    @property
    def size(self) -> int:
        """Return the number of characters."""
        return self.end - self.begin


@dataclass(frozen=True)
class TextInfo:
    """Identify a text.

    Attributes:
        path: what it is called, a file or the first of several.
        characters: how many it has, or bytes at byte level.
        sha256: the digest of its bytes.
        ids_sha256: the digest of its ids.
        paths: where it was, as it was named: files and folders.
    """

    path: str
    characters: int
    sha256: str
    ids_sha256: str
    paths: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        return asdict(self)

    @staticmethod
    def from_dict(content: Mapping[str, Any]) -> "TextInfo":
        """Rebuild what a checkpoint holds; raises ValueError, or TypeError, where it is damaged."""
        text = TextInfo(**content)
        words = [text.path, text.sha256, text.ids_sha256, *text.paths]
        paths = isinstance(text.paths, list | tuple)
        if not paths or not all(isinstance(q, str) and "\0" not in q for q in words):
            raise ValueError("its paths and digests are no texts")
        if not isinstance(text.characters, int):
            raise ValueError("its length is no number")
        return replace(text, paths=tuple(text.paths))


class _Utf8Watch:
    """Find out whether bytes that are read in an 8-bit encoding are valid UTF-8 all along."""

    def __init__(self) -> None:
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.valid, self.beyond_ascii = True, False

    def __call__(self, piece: bytes) -> None:
        self.beyond_ascii = self.beyond_ascii or not piece.isascii()
        try:
            self.decoder.decode(piece)
        except UnicodeDecodeError:
            self.valid = False


def scan(source: Source, min_count: int = 1, *watches: Watch) -> tuple[Vocabulary, Ids, str]:
    """Read a text once: count its symbols, and make its vocabulary.

    Args:
        source: the text.
        min_count: characters that occur less often are folded into one unknown symbol.
        *watches: are shown every byte as it is read.

    Returns:
        The vocabulary, how often each code point or byte occurs, and the SHA-256 of all bytes.

    Raises:
        TextError: it cannot be read, is empty, looks binary or wrongly decoded.
        ConfigError: no character is as frequent as `min_count` asks.
    """
    digest, watch = hashlib.sha256(), _Utf8Watch()
    look = None if codecs.lookup(source.encoding).name == "utf-8" else watch
    counts = np.zeros(256 if source.level == "byte" else _CODE_POINTS, np.int64)
    for piece in source.pieces(digest, *watches, *([look] if look else [])):
        codes = np.frombuffer(piece, np.uint8) if isinstance(piece, bytes) else code_points(piece)
        found = np.bincount(codes)
        counts[: found.size] += found
    if not counts.any():
        raise TextError(source.name, "is empty", "name a text to learn from")
    if source.level == "byte":
        return ByteVocabulary(), counts, digest.hexdigest()
    vocabulary = Vocabulary.of_counts(counts, min_count)
    wrong = look is not None and watch.valid and watch.beyond_ascii
    encodings.check(counts, source.name, vocabulary.size, valid_utf8=wrong)
    return vocabulary, counts, digest.hexdigest()


def encode(
    source: Source,
    vocabulary: Vocabulary,
    target: Path,
    paths: tuple[str, ...] = (),
    *watches: Watch,
) -> TextInfo:
    """Write a text's ids to a flat file.

    Args:
        source: the text.
        vocabulary: knows each of its characters, or has an unknown symbol.
        target: the file of ids; written anew.
        paths: how the text was named.
        *watches: are shown every byte as it is read.

    Raises:
        TextError: it cannot be read.
        UnknownCharacter: it holds a character that the vocabulary lacks.
    """
    digest, ids_digest, characters = hashlib.sha256(), hashlib.sha256(), 0
    policy: OnUnknown = "error" if vocabulary.unknown_id is None else "replace"
    with target.open("wb") as file:
        for piece in source.pieces(digest, *watches):
            ids = vocabulary.encode(piece, source.name, characters, policy)
            ids_digest.update(ids.data)
            file.write(ids.data)
            characters += ids.size
    return TextInfo(
        source.name,
        characters,
        digest.hexdigest(),
        ids_digest.hexdigest(),
        paths or tuple(map(str, source.files)),
    )


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class IdFile:
    """Read parts of a flat file of ids.

    Args:
        path: the file.
        dtype: the ids' type.

    Attributes:
        size: the number of ids.
    """

    def __init__(self, path: Path, dtype: "np.dtype[Any]") -> None:
        self.dtype = np.dtype(dtype)
        self._file = path.open("rb", buffering=0)
        self.size = path.stat().st_size // self.dtype.itemsize

    def read_into(self, begin: int, ids: Ids) -> None:
        """Fill a contiguous array of the file's type with the ids from `begin` on.

        Raises:
            TextError: the file cannot be read, or ends before.
        """
        try:
            self._file.seek(begin * self.dtype.itemsize)
            got = self._file.readinto(ids.data)
        except OSError as error:
            why = error.strerror or error
            raise TextError(self._file.name, f"cannot be read ({why})") from None
        if got != ids.nbytes:
            raise TextError(self._file.name, "ends early", "it was cut while in use")

    def largest(self) -> int:
        """Return the largest id; 0 of no text."""
        found, room = 0, np.empty(_IDS_AT_ONCE, self.dtype)
        for begin in range(0, self.size, _IDS_AT_ONCE):
            some = room[: self.size - begin]
            self.read_into(begin, some)
            found = max(found, int(some.max()))
        return found

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self.close()


def split(characters: int, validation: float, test: float) -> tuple[Split, Split, Split]:
    """Cut a text into training, validation and test."""
    end_of_training = int(characters * (1 - validation - test))
    end_of_validation = int(characters * (1 - test))
    return (
        Split(0, end_of_training),
        Split(end_of_training, end_of_validation),
        Split(end_of_validation, characters),
    )
