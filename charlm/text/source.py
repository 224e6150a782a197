r"""One file, several, or a folder of them -> the pieces of one text, in a fixed order.

    paths --folders through `glob`--> files --decoder--> pieces of text, or of bytes

What is named keeps its order, and a folder's files are sorted as people count, chapter2 before
chapter10; hidden ones are left out.

A byte order mark is skipped; `\r\n` becomes `\n` and a lone `\r` stays; a file whose last line is
not ended gets a newline before the next file. At byte level nothing is changed.

A text of independent items becomes these, each with the boundary symbol behind it: see items.py.
"""

import codecs
import errno
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Literal, TypeAlias

from charlm.errors import TextError
from charlm.settings.schema import DataConfig
from charlm.terminal import brief
from charlm.text import items
from charlm.text.encodings import PART_BYTES, advise

PIECE_BYTES = 1 << 20
# Of files that are listed.
_MOST_NAMES = 8
# Of file systems on Linux, macOS and Windows.
_LONGEST_NAME = 255

# The name of a text that is a string.
STRING = "<string>"

Level: TypeAlias = Literal["char", "byte"]
Watch: TypeAlias = Callable[[bytes], object]


@dataclass(frozen=True)
class Source:
    """The files of a text, in order, and how they are decoded."""

    files: tuple[Path, ...]
    encoding: str = "utf-8"
    level: Level = "char"  # byte takes them as they are
    items: str | None = None  # what ends an independent item; None for one text
    string: str | None = None  # the text itself; there are no files then
    is_fixed: bool = False  # a model reads it, in the encoding of the text that it was trained on

    @classmethod
    def find(cls, paths: Sequence[Path], data: DataConfig) -> "Source":
        """Find the files at paths, in their order, and those of folders that match the glob.

        Raises:
            TextError: a path does not exist, or a folder holds no such file.
        """
        files = [file for path in paths for file in _files(path, data.glob)]
        return cls(tuple(files), data.encoding, data.level, data.items)

    @classmethod
    def find_by_path(cls, paths: Sequence[Path], data: DataConfig) -> "Source":
        """Find files as it was done before `find` kept an order, for runs that were saved then.

        Each is read once, sorted by its whole path, hidden ones too; raises as `find`.
        """
        files = {file for path in paths for file in _files(path, data.glob, as_before=True)}
        return cls(tuple(sorted(files)), data.encoding, data.level, data.items)

    @classmethod
    def of_string(cls, string: str, data: DataConfig) -> "Source":
        """Return a string as a source; it is read as a file of UTF-8 is."""
        if not isinstance(string, str):
            raise TypeError(f"string: must be a str, got {type(string).__name__}")
        return cls((), level=data.level, items=data.items, string=string)

    @property
    def notes(self) -> list[str]:
        """Return which files are read, and which of them more than once; nothing for one file."""
        if len(self.files) <= 1:
            return []
        names = [file.name for file in self.files]
        if len(set(names)) < len(set(self.files)):
            names = [*map(str, self.files)]
        listed = names if len(names) <= _MOST_NAMES else [*names[:4], "...", *names[-2:]]
        notes = [f"{len(names):,} files: {', '.join(listed)}"]
        if twice := [name for name, number in Counter(names).items() if number > 1]:
            notes.append(f"named more than once, and read as often: {', '.join(twice[:4])}")
        return notes

    @property
    def name(self) -> str:
        """Return the text's name in messages."""
        if self.string is not None:
            return STRING
        first, more = self.files[0], len(self.files) - 1
        return f"{first} and {more:,} more" if more else str(first)

    @property
    def nbytes(self) -> int:
        """Return the size of all files together."""
        files = sum(path.stat().st_size for path in self.files if path.exists())
        return files + len(self._content)

    def sha256(self) -> str:
        """Return the digest of all bytes; raises TextError where a file cannot be read."""
        digest = hashlib.sha256()
        for pieces in self._bytes():
            for piece in pieces:
                digest.update(piece)
        return digest.hexdigest()

    def pieces(self, *watches: Watch) -> Iterator[str | bytes]:
        """Read the text piece by piece; each watch is called with every piece of bytes.

        Raises:
            TextError: a file cannot be read or decoded; names the byte.
        """
        if self.items is not None:
            end = items.boundary(self.items)
            for block in self.item_blocks(*watches):
                if text := "".join(f"{item}{end}" for item in block if item):
                    yield text.encode("latin-1") if self.level == "byte" else text
            return
        if self.level == "byte":
            yield from chain.from_iterable(self._bytes(*watches))
            return
        open_line = False
        for k, read in enumerate(self._bytes(*watches)):
            begins = True
            for piece in self._decode(k, read):
                if begins and open_line:
                    yield "\n"
                yield piece
                begins, open_line = False, not piece.endswith("\n")

    def item_blocks(self, *watches: Watch) -> Iterator[list[str]]:
        """Read independent items, some at a time; those to leave out are empty.

        At byte level a character stands for a byte. Raises as `pieces`.
        """
        assert self.items is not None
        is_byte, separator = self.level == "byte", self.items
        if is_byte:
            separator = separator.encode().decode("latin-1")
        for k, read in enumerate(self._bytes(*watches)):
            pieces = (
                (piece.decode("latin-1") for piece in read) if is_byte else self._decode(k, read)
            )
            yield from items.split(pieces, separator)

    def _bytes(self, *watches: Watch) -> Iterator[Iterator[bytes]]:
        """Yield the pieces of each file's bytes, or of the string's."""
        for path in self.files:
            yield _watched(_read(path), *watches)
        if self.string is not None:
            content = self._content
            pieces = (content[k : k + PIECE_BYTES] for k in range(0, len(content), PIECE_BYTES))
            yield _watched(pieces, *watches)

    @cached_property
    def _content(self) -> bytes:
        # A lone surrogate is refused where it is decoded.
        return (self.string or "").encode("utf-8", "surrogatepass")

    def _decode(self, k: int, read: Iterator[bytes]) -> Iterator[str]:
        """Decode the pieces of the k-th file."""
        decoder = codecs.getincrementaldecoder(self.encoding)()
        held, offset, first = "", 0, True
        for piece in chain(read, [b""]):
            waiting = decoder.getstate()[0]
            try:
                text = decoder.decode(piece, final=not piece)
            except UnicodeError as error:
                raise self._undecodable(k, error, offset - len(waiting)) from None
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

    def _undecodable(self, k: int, error: UnicodeError, offset: int) -> TextError:
        """Return the error of the k-th file, which is not of the encoding, with advice."""
        if self.string is not None:
            return TextError(STRING, "holds lone surrogates, which are not characters")
        path = self.files[k]
        problem = f"is not {self.encoding} ({error})"
        if isinstance(error, UnicodeDecodeError):
            byte = f"byte 0x{error.object[error.start]:02X} at offset {offset + error.start}"
            problem = f"is not {self.encoding.upper()}, got {byte} ({error.reason})"
            offset += error.start
        if self.is_fixed:
            name = self.encoding.upper()
            return TextError(path, problem, f"convert it to {name}, as the model's own text")
        others = len(set(self.files)) - 1
        apart = f"; or leave it out, where the {others:,} others can be read" if others else ""
        with path.open("rb") as file:
            content = file.read(PART_BYTES)
            if offset > PART_BYTES // 2:
                # The first lines say which encoding it is, those around the byte what is wrong.
                file.seek(max(PART_BYTES, offset - PART_BYTES // 2))
                content += file.read(PART_BYTES).partition(b"\n")[2]
        return TextError(path, problem, advise(content, self.encoding, offset) + apart)


def _files(path: Path, glob: str, *, as_before: bool = False) -> list[Path]:
    """Return the file, or the matching files of the folder, that a path names."""
    try:
        if path.is_dir():
            return _inside(path, glob, as_before)
        if path.is_file():
            return [path]
        there = path.exists()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise TextError(str(error.filename), f"cannot be read ({error.strerror})") from None
        there = False
    if there:
        raise TextError(path, "is no ordinary file", "copy its text into one first")
    if "\n" in str(path) or any(len(part) > _LONGEST_NAME for part in path.parts):
        advice = "it looks like a text, save it to a file, or call charlm.train(string=...)"
        raise TextError(brief(str(path)), "is no path to a file", advice)
    raise TextError(path, "no such file", "check its name")


def _inside(folder: Path, glob: str, as_before: bool) -> list[Path]:
    """Return a folder's matching files; links to folders are not followed."""
    try:
        files = [file for file in folder.rglob(glob) if file.is_file()]
    except (ValueError, NotImplementedError) as error:
        problem = f"must be a pattern of file names such as *.txt, got {brief(glob)} ({error})"
        raise TextError("--glob", problem) from None
    if not as_before:
        if not _is_hidden(Path(glob)):
            files = [file for file in files if not _is_hidden(file.relative_to(folder))]
        files.sort(key=lambda file: _natural(file.relative_to(folder)))
        # A link and what it leads to are one file.
        once: dict[tuple[int, int], Path] = {}
        for file in files:
            found = file.stat()
            once.setdefault((found.st_dev, found.st_ino), file)
        files = list(once.values())
    if not files:
        problem = f"is a folder without any file {glob}"
        raise TextError(folder, problem, "name another pattern with --glob")
    return files


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _natural(path: Path) -> list[list[str | int]]:
    """Return a key that sorts paths as people count: runs of digits as numbers."""
    parts = (re.split(r"(\d+)", part) for part in path.parts)
    return [[int(piece) if k % 2 else piece for k, piece in enumerate(part)] for part in parts]


def _watched(pieces: Iterator[bytes], *watches: Watch) -> Iterator[bytes]:
    for piece in pieces:
        for watch in watches:
            watch(piece)
        yield piece


def _read(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb", buffering=0) as file:
            while piece := file.read(PIECE_BYTES):
                yield piece
    except OSError as error:
        raise TextError(path, f"cannot be read ({error.strerror or error})") from None
