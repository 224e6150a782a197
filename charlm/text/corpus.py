"""A text file -> ids in a flat file, encoded once, read piece by piece.

    text file --read_pieces--> characters --scan--> counts -> vocabulary
                                          --encode--> ids.bin, 1, 2 or 4 bytes a character

The text is cut into shares by position: training first, then validation, then test. Nothing here
holds a whole text in memory.
"""

import codecs
import hashlib
import io
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from charlm.errors import TextError
from charlm.text.vocabulary import Ids, Vocabulary, code_points

_PIECE_BYTES = 1 << 20
_CODE_POINTS = 0x110000


class Share(NamedTuple):
    """Name a part of the text: characters `begin` to `end`, `end` excluded."""

    begin: int
    end: int

    @property
    def size(self) -> int:
        """Return the number of characters."""
        return self.end - self.begin


@dataclass(frozen=True)
class TextInfo:
    """Identify a text: where it was, its characters, and the digests of it and of its ids."""

    path: str
    characters: int
    sha256: str
    ids_sha256: str

    def as_dict(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        return asdict(self)


def read_pieces(path: Path, digest: "hashlib._Hash") -> Iterator[str]:
    r"""Read a text a piece at a time.

    A byte order mark is skipped; `\r\n` becomes `\n` and a lone `\r` stays.

    Args:
        path: a UTF-8 file.
        digest: is fed every byte of it.

    Raises:
        TextError: it is no readable UTF-8 file; names the byte where it stops being one.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    held, offset, first = "", 0, True
    try:
        with _open(path) as file:
            while piece := file.read(_PIECE_BYTES):
                digest.update(piece)
                pending = len(decoder.getstate()[0])
                try:
                    text = decoder.decode(piece)
                except UnicodeDecodeError as error:
                    raise _not_utf8(path, error, offset - pending) from None
                offset += len(piece)
                if first and text:
                    text, first = text.removeprefix("\ufeff"), False
                text = held + text
                # The \n of a \r\n may open the next piece.
                held = "\r" if text.endswith("\r") else ""
                yield text.removesuffix("\r").replace("\r\n", "\n")
        pending = len(decoder.getstate()[0])
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            raise _not_utf8(path, error, offset - pending) from None
    except OSError as error:
        raise TextError(f"{path}: cannot be read ({error.strerror or error})") from None
    if held:
        yield held


def scan(path: Path) -> tuple[Ids, str]:
    """Count a text's characters.

    Returns:
        How often each code point occurs, and the SHA-256 of the file.

    Raises:
        TextError: it cannot be read, or is empty.
    """
    counts = np.zeros(_CODE_POINTS, np.int64)
    digest = hashlib.sha256()
    for piece in read_pieces(path, digest):
        found = np.bincount(code_points(piece))
        counts[: found.size] += found
    if not counts.any():
        raise TextError(f"{path}: is empty; name a text to learn from")
    return counts, digest.hexdigest()


def encode(path: Path, vocabulary: Vocabulary, target: Path) -> TextInfo:
    """Write a text's ids to a flat file.

    Args:
        path: the text.
        vocabulary: knows each of its characters.
        target: the file of ids; written anew.

    Raises:
        TextError: it cannot be read.
        UnknownCharacter: it holds a character that the vocabulary lacks.
    """
    digest, ids_digest, characters = hashlib.sha256(), hashlib.sha256(), 0
    with target.open("wb") as file:
        for piece in read_pieces(path, digest):
            ids = vocabulary.encode(piece, str(path), characters).tobytes()
            ids_digest.update(ids)
            file.write(ids)
            characters += len(piece)
    return TextInfo(str(path), characters, digest.hexdigest(), ids_digest.hexdigest())


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
        """Fill a contiguous array of the file's type with the ids from `begin` on."""
        self._file.seek(begin * self.dtype.itemsize)
        got = self._file.readinto(ids.data)
        if got != ids.nbytes:
            raise TextError(f"{self._file.name}: ends early; it was cut while in use")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self.close()


def shares(characters: int, validation: float, test: float) -> tuple[Share, Share, Share]:
    """Cut a text into training, validation and test."""
    end_of_training = int(characters * (1 - validation - test))
    end_of_validation = int(characters * (1 - test))
    return (
        Share(0, end_of_training),
        Share(end_of_training, end_of_validation),
        Share(end_of_validation, characters),
    )


def _open(path: Path) -> io.FileIO:
    if not path.exists():
        raise TextError(f"{path}: no such file; name a text to learn from")
    if path.is_dir():
        raise TextError(f"{path}: is a folder; name a file in it")
    if not path.is_file():
        raise TextError(f"{path}: is no ordinary file; copy its text into one first")
    return path.open("rb", buffering=0)


def _not_utf8(path: Path, error: UnicodeDecodeError, offset: int) -> TextError:
    at = offset + error.start
    byte = error.object[error.start]
    return TextError(
        f"{path}: is not UTF-8, got byte 0x{byte:02X} at offset {at} ({error.reason}); "
        "convert it first, for example with iconv -f latin1 -t utf-8"
    )
