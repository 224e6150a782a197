"""Text -> ids: in memory, or encoded once into a flat file that is memory-mapped afterwards.

    source --scan--> counts -> vocabulary
           --encode_source--> ids in memory
           --encode_to_file--> ids.bin --open_ids--> np.memmap, 1, 2 or 4 bytes a symbol

The ids are those to train on, then those to validate on, then those to test on: of one text by
position, of independent items by a draw. Only `encode_source` holds a whole text in memory.
"""

import hashlib
import os
import tempfile
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from charlm.errors import TextError
from charlm.settings.schema import DataConfig, split_ends
from charlm.storage.atomic import replacing
from charlm.storage.files import open_file
from charlm.text import encodings, items
from charlm.text.source import PIECE_BYTES, Source, Watch
from charlm.text.vocabulary import ByteVocabulary, OnUnknown, Vocabulary, code_points
from charlm.types import Ids

_CODE_POINTS = 0x110000


@dataclass(frozen=True)
class TextInfo:
    """The identity of a text."""

    path: str  # its name, a file or the first of several
    characters: int  # bytes at byte level
    sha256: str  # of its bytes
    ids_sha256: str  # of its ids
    paths: tuple[str, ...] = ()  # the files and folders it was read from, as they were named
    # Of independent items, those to train, validate and test on: how many there are, and where
    # their ids end.
    items: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()

    @property
    def locations(self) -> list[Path]:
        """Return the files and folders that it was read from."""
        return [Path(path) for path in self.paths or (self.path,)]

    def as_dict(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        content = asdict(self)
        if not self.items:
            # An older charlm reads this too.
            del content["items"], content["ends"]
        return content

    @staticmethod
    def from_dict(content: Mapping[str, Any]) -> "TextInfo":
        """Rebuild what a checkpoint holds; raises ValueError, or TypeError, where it is damaged."""
        text = TextInfo(**content)
        names = [text.path, text.sha256, text.ids_sha256, *text.paths]
        valid = isinstance(text.paths, list | tuple) and isinstance(text.characters, int)
        if not valid or not all(isinstance(name, str) and "\0" not in name for name in names):
            raise ValueError("a field is of another type")
        counts, ends = tuple(text.items), tuple(text.ends)
        if counts or ends:
            sizes = [end - begin for begin, end in pairwise((0, *ends))]
            whole = all(type(number) is int for number in (*counts, *ends))
            # An item has a symbol and the boundary at least.
            fits = all(0 <= 2 * count <= size for count, size in zip(counts, sizes, strict=True))
            complete = len(ends) == len(items.PARTS) and ends[-1] == text.characters
            if not (whole and fits and complete and counts[items.TRAINING]):
                raise ValueError("the items do not fit")
        return replace(text, paths=tuple(text.paths), items=counts, ends=ends)


def scan(source: Source, min_count: int = 1, *watches: Watch) -> tuple[Vocabulary, Ids, str]:
    """Return a text's vocabulary, the count of each code point or byte, and its SHA-256.

    Characters that occur less than `min_count` times are folded into one unknown symbol.

    Raises:
        TextError: it cannot be read, is empty, looks binary or wrongly decoded.
        ConfigError: no character occurs `min_count` times.
    """
    digest, beginning = hashlib.sha256(), bytearray()
    counts = np.zeros(256 if source.level == "byte" else _CODE_POINTS, np.int64)

    def begin(piece: bytes) -> None:
        beginning.extend(piece[: encodings.PART_BYTES - len(beginning)])

    for piece in source.pieces(digest.update, begin, *watches):
        codes = np.frombuffer(piece, np.uint8) if isinstance(piece, bytes) else code_points(piece)
        found = np.bincount(codes)
        counts[: found.size] += found
    if not counts.any():
        raise TextError(source.name, "is empty", "name a text to learn from")
    boundary = None if source.items is None else items.boundary(source.items)
    if source.level == "byte":
        return ByteVocabulary(boundary or "\n"), counts, digest.hexdigest()
    vocabulary = Vocabulary.of_counts(counts, min_count, boundary)
    encodings.check(
        _without_boundary(source, counts),
        source.name,
        vocabulary.size,
        source.encoding,
        bytes(beginning),
        valid_utf8=_was_utf8(source),
    )
    return vocabulary, counts, digest.hexdigest()


def text_notes(source: Source, counts: Ids) -> list[str]:
    """Return what is unusual about a text's files and characters, one line each.

    Args:
        source: the text; it is read once more where it may mix NFC and NFD.
        counts: of each code point, as `scan` returns them.
    """
    if source.level == "byte":
        return source.notes
    notes = source.notes + encodings.unusual(_without_boundary(source, counts))
    if encodings.has_both_forms(counts):
        joined = 0
        for piece in map(str, source.pieces()):
            whole = unicodedata.normalize("NFC", piece)
            marks, left = (len(encodings.COMBINING.findall(form)) for form in (piece, whole))
            joined += marks - left
        if joined:
            notes.append(
                f"the text mixes NFC and NFD, at least {joined:,} marks or jamo stand apart from "
                'letters that exist whole; make it one by unicodedata.normalize("NFC", text)'
            )
    return notes


def _without_boundary(source: Source, counts: Ids) -> Ids:
    """Return the counts of a text's own characters."""
    if source.items is None:
        return counts
    counts = counts.copy()
    counts[ord(items.boundary(source.items))] = 0
    return counts


def _was_utf8(source: Source) -> bool:
    """Return whether a text that was read in another encoding is valid UTF-8 beyond ASCII."""
    if encodings.same(source.encoding, "utf-8"):
        return False
    ascii_pieces: list[bool] = []
    try:
        for _ in Source(source.files).pieces(lambda piece: ascii_pieces.append(piece.isascii())):
            pass
    except TextError:
        return False
    return not all(ascii_pieces)


def encode_to_file(
    source: Source,
    vocabulary: Vocabulary,
    path: Path | None,
    paths: Sequence[str] = (),
    *watches: Watch,
    parts: Ids | None = None,
) -> TextInfo:
    """Write a text's ids to a flat file, or nowhere; `paths` are its files as they were named.

    `parts` says of each independent item which part it belongs to, as `items.draw_parts` does.

    Raises:
        TextError: it cannot be read, or has another number of items.
        UnknownCharacter: it holds a character that the vocabulary lacks.
    """
    digest, ids_digest, characters = hashlib.sha256(), hashlib.sha256(), 0
    encoded = _encoded(source, vocabulary, None, "error", digest.update, *watches)
    sizes = [0] * len(items.PARTS)
    if parts is not None:
        folder = path.parent if path else None
        encoded = _by_part(encoded, source.name, vocabulary.start_id, parts, sizes, folder)
    with replacing(path) if path else nullcontext() as file:
        for ids in encoded:
            ids_digest.update(ids.data)
            if file:
                file.write(ids.data)
            characters += ids.size
    paths = tuple(paths or map(str, source.files))
    text = TextInfo(source.name, characters, digest.hexdigest(), ids_digest.hexdigest(), paths)
    if parts is None:
        return text
    counts = np.bincount(parts, minlength=len(sizes)).tolist()
    return replace(text, items=tuple(counts), ends=tuple(accumulate(sizes)))


def _by_part(
    encoded: Iterator[Ids],
    name: str,
    boundary: int,
    parts: Ids,
    sizes: list[int],
    folder: Path | None,
) -> Iterator[Ids]:
    """Yield the ids of items part by part, and count each part's.

    Those held out wait in temporary files, which have no names.
    """
    with (
        tempfile.TemporaryFile(dir=folder) as validation,
        tempfile.TemporaryFile(dir=folder) as test,
    ):
        files, done = {items.VALIDATION: validation, items.TEST: test}, 0
        for ids in encoded:
            lengths = np.diff(items.ends(ids, boundary), prepend=0)
            of_items = parts[done : done + lengths.size]
            done += lengths.size
            if of_items.size < lengths.size:
                break
            of_ids = np.repeat(of_items, lengths)
            for part, file in files.items():
                sizes[part] += file.write(ids[of_ids == part].data) // ids.itemsize
            learned = ids[of_ids == items.TRAINING]
            sizes[items.TRAINING] += learned.size
            yield learned
        if done != parts.size:
            raise TextError(name, "changed while it was being read", "start again")
        for file in files.values():
            file.seek(0)
            while content := file.read(PIECE_BYTES):
                yield np.frombuffer(content, ids.dtype)


def encode_source(
    source: Source,
    vocabulary: Vocabulary,
    most: int | None = None,
    on_unknown: OnUnknown = "error",
) -> Ids:
    """Return a text's ids, or the first `most` of them; raises as `encode_to_file`.

    `on_unknown` is what becomes of characters that the vocabulary lacks, as in `encode`.
    """
    parts = list(_encoded(source, vocabulary, most, on_unknown))
    return np.concatenate([np.empty(0, vocabulary.dtype), *parts])


def _encoded(
    source: Source,
    vocabulary: Vocabulary,
    most: int | None,
    on_unknown: OnUnknown,
    *watches: Watch,
) -> Iterator[Ids]:
    """Encode a text piece by piece, until `most` symbols are reached."""
    # Where there is an unknown symbol, it stands for such characters in the text as it is.
    normalize = on_unknown != "error"
    if vocabulary.unknown_id is not None and not normalize:
        on_unknown = "replace"
    read, found = 0, 0
    for piece in source.pieces(*watches):
        some = piece if most is None else piece[: most - found]
        if normalize and isinstance(some, str):
            some = vocabulary.normal_form(some)
        ids = vocabulary.encode(some, on_unknown=on_unknown, where=source.name, position=read)
        yield ids
        read += len(some)
        found += ids.size
        if found == most:
            return


def open_ids(path: Path, dtype: "np.dtype[Any]") -> Ids:
    """Memory-map a flat file of ids, read-only; raises TextError where it cannot be read."""
    # The size is read here, once. A file that is cut later, while it is mapped, ends the process
    # with SIGBUS; only charlm writes to a run's folder, and it maps the ids after writing them.
    try:
        with open_file(path) as file:
            size = os.fstat(file.fileno()).st_size // dtype.itemsize
            return np.memmap(file, dtype, "r", shape=(size,)) if size else np.empty(0, dtype)
    except OSError as error:
        raise TextError(path, f"cannot be read ({error.strerror or error})") from None


def split(ids: Ids, data: DataConfig, text: TextInfo | None = None) -> tuple[Ids, Ids, Ids]:
    """Return the parts of a text for training, validation and test, as views.

    `text` says where those of independent items end.
    """
    ends = text.ends[:2] if text and text.ends else None
    first, second = ends or split_ends(ids.size, data.validation, data.test)
    return ids[:first], ids[first:second], ids[second:]
