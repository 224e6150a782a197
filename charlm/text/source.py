r"""One file, several, or a folder of them -> the pieces of one text, in a fixed order.

    paths --folders through `glob`, sorted--> files --decoder--> pieces of text, or of bytes

A byte order mark is skipped; `\r\n` becomes `\n` and a lone `\r` stays; a file whose last line is
not ended gets a newline before the next file. At byte level nothing is changed.
"""

import codecs
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal, TypeAlias

from charlm.errors import TextError
from charlm.settings.schema import DataConfig
from charlm.terminal import brief
from charlm.text.encodings import guess

PIECE_BYTES = 1 << 20

Level: TypeAlias = Literal["char", "byte"]
Watch: TypeAlias = Callable[[bytes], object]


@dataclass(frozen=True)
class Source:
    """The files of a text, in order, and how they are decoded."""

    files: tuple[Path, ...]
    encoding: str = "utf-8"
    level: Level = "char"  # byte takes them as they are

    @classmethod
    def find(cls, paths: Sequence[Path], data: DataConfig) -> "Source":
        """Find the files at paths, and those of folders that match the glob: each once, sorted.

        Raises:
            TextError: a path does not exist, or a folder holds no such file.
        """
        try:
            files = {file for path in paths for file in _files(path, data.glob)}
        except OSError as error:
            raise TextError(str(error.filename), f"cannot be read ({error.strerror})") from None
        return cls(tuple(sorted(files)), data.encoding, data.level)

    @property
    def name(self) -> str:
        """Return the text's name in messages."""
        first, more = self.files[0], len(self.files) - 1
        return f"{first} and {more:,} more" if more else str(first)

    @property
    def nbytes(self) -> int:
        """Return the size of all files together."""
        return sum(path.stat().st_size for path in self.files if path.exists())

    def sha256(self) -> str:
        """Return the digest of all bytes; raises TextError where a file cannot be read."""
        digest = hashlib.sha256()
        for path in self.files:
            for piece in _read(path):
                digest.update(piece)
        return digest.hexdigest()

    def pieces(self, *watches: Watch) -> Iterator[str | bytes]:
        """Read the text piece by piece; each watch is called with every piece of bytes.

        Raises:
            TextError: a file cannot be read or decoded; names the byte.
        """
        if self.level == "byte":
            for path in self.files:
                yield from _read(path, *watches)
            return
        open_line = False
        for path in self.files:
            begins = True
            for piece in self._decode(path, *watches):
                if begins and open_line:
                    yield "\n"
                yield piece
                begins, open_line = False, not piece.endswith("\n")

    def _decode(self, path: Path, *watches: Watch) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder(self.encoding)()
        held, offset, first = "", 0, True
        for piece in chain(_read(path, *watches), [b""]):
            waiting = decoder.getstate()[0]
            try:
                text = decoder.decode(piece, final=not piece)
            except UnicodeError as error:
                raise self._undecodable(path, error, offset - len(waiting)) from None
            offset += len(piece)
            if first and text:
                text, first = text.removeprefix("\ufeff"), False
            # The \n of a \r\n may be the first character of the next piece.
            text = held + text
            held = "\r" if text.endswith("\r") and piece else ""
            text = text.removesuffix(held)
            # Looking for one character first is a hundred times as fast.
            if text := text.replace("\r\n", "\n") if "\r" in text else text:
                yield text

    def _undecodable(self, path: Path, error: UnicodeError, offset: int) -> TextError:
        """Return the error of a file that is not of the encoding, with advice."""
        problem = f"is not {self.encoding} ({error})"
        if isinstance(error, UnicodeDecodeError):
            byte = f"byte 0x{error.object[error.start]:02X} at offset {offset + error.start}"
            problem = f"is not {self.encoding.upper()}, got {byte} ({error.reason})"
        others = len(self.files) - 1
        apart = f"leave it out where the {others:,} others can be read, or: " if others else ""
        with path.open("rb") as file:
            return TextError(path, problem, apart + guess(file.read(PIECE_BYTES)))


def _files(path: Path, glob: str) -> set[Path]:
    """Return the file, or the matching files of the folder, that a path names."""
    if path.is_dir():
        try:
            inside = {file for file in path.rglob(glob) if file.is_file()}
        except (ValueError, NotImplementedError) as error:
            problem = f"must be a pattern of file names such as *.txt, got {brief(glob)} ({error})"
            raise TextError("--glob", problem) from None
        if not inside:
            problem = f"is a folder without any file {glob}"
            raise TextError(path, problem, "name another pattern with --glob")
        return inside
    if not path.exists():
        raise TextError(path, "no such file", "name a text to learn from")
    if not path.is_file():
        raise TextError(path, "is no ordinary file", "copy its text into one first")
    return {path}


def _read(path: Path, *watches: Watch) -> Iterator[bytes]:
    try:
        with path.open("rb", buffering=0) as file:
            while piece := file.read(PIECE_BYTES):
                for watch in watches:
                    watch(piece)
                yield piece
    except OSError as error:
        raise TextError(path, f"cannot be read ({error.strerror or error})") from None
