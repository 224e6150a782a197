r"""A text of independent items, such as names: where each ends, and what is unusual about them.

    items         an item ends                               boundary symbol
    line          at each newline                            newline
    blank-line    at blank lines                             U+001E, the record separator
    file          with its file                              U+001E
    other text    at that text, such as <|end|>              U+001E

An item ends with its file and at a boundary symbol too. Newlines around an item that is not a line,
and items of blanks alone, are left out; trailing blanks are kept.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np

from charlm import randomness
from charlm.settings.schema import Config
from charlm.terminal import brief
from charlm.types import Array, Ids

LINE, BLANK_LINE, FILE = WORDS = ("line", "blank-line", "file")
TRAINING, VALIDATION, TEST = PARTS = range(3)
# Items that are looked through for repeats, 8 bytes each.
_MOST_COMPARED = 10_000_000
# Ids that are looked through at a time.
_BLOCK = 1 << 24
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n)+")
_AROUND = re.compile(r"\A(?:[ \t]*\n)+|(?:\n[ \t]*)+\Z")


def boundary(items: str | None) -> str:
    """Return the symbol that ends each item."""
    return "\n" if items in (None, LINE) else "\x1e"


def split(pieces: Iterable[str], items: str) -> Iterator[list[str]]:
    """Yield the items of a file's pieces, some at a time; those to leave out are empty."""
    separator = {LINE: "\n", BLANK_LINE: _BLANK_LINES.pattern, FILE: "\x1e"}.get(items)
    pattern = re.compile(separator or f"{re.escape(items)}|\x1e")
    # What is known of an item that goes on, and its end, which may belong to a separator.
    held, tail = list[str](), ""
    for piece in pieces:
        first, *others = pattern.split(tail + piece)
        if others:
            last = others.pop()
            yield [_trimmed(item, items) for item in ("".join([*held, first]), *others)]
            held.clear()
        else:
            last = first
        cut = len(last)
        if items == BLANK_LINE:
            cut = len(last.rstrip(" \t\n"))
        elif items not in WORDS:
            cut = max(0, cut - len(items) + 1)
        held.append(last[:cut])
        tail = last[cut:]
    if last := "".join([*held, tail]):
        yield [_trimmed(last, items)]


def _trimmed(item: str, items: str) -> str:
    if item.isspace():
        return ""
    if items == LINE:
        return item
    return _AROUND.sub("", item) if items == BLANK_LINE else item.strip("\n")


def ends(ids: Ids, boundary: int) -> Ids:
    """Return the places in ids behind each boundary symbol."""
    begins = range(0, ids.size, _BLOCK)
    found = [np.flatnonzero(ids[k : k + _BLOCK] == boundary) + (k + 1) for k in begins]
    return np.concatenate([np.empty(0, np.intp), *found])


def draw_parts(count: int, config: Config) -> Ids:
    """Return the part of each of some items, drawn by the seed; one at least is trained on."""
    tested = min(round(count * config.data.test), count - 1)
    validated = min(round(count * config.data.validation), count - 1 - tested)
    rng = randomness.generator(config.train.seed, randomness.HELD_OUT)
    parts, order = np.full(count, TRAINING, np.uint8), rng.permutation(count)
    parts[order[:validated]] = VALIDATION
    parts[order[validated : validated + tested]] = TEST
    return parts


def notes(blocks: Callable[[], Iterator[list[str]]], parts: Ids) -> list[str]:
    """Return what is unusual about the first ten million items, one line each.

    Args:
        blocks: reads the items, empty ones too.
        parts: of those that are not empty.
    """
    hashes, count, empty, blanks = list[Array](), 0, 0, 0
    for block in blocks():
        items = [item for item in block if item]
        # Repeats are found by 64 bits of each item.
        hashes.append(np.fromiter(map(hash, items), np.int64, len(items)))
        count += len(items)
        empty += len(block) - len(items)
        blanks += sum(item[-1].isspace() for item in items)
        if count > _MOST_COMPARED:
            break
    found, said = np.concatenate(hashes), []
    parts = parts[: found.size]
    repeats = found.size - np.unique(found).size
    shared = np.flatnonzero((parts == VALIDATION) & np.isin(found, found[parts == TRAINING]))
    if empty:
        said.append(f"items: {empty:,} empty ones are left out")
    if blanks:
        said.append(f"items: {blanks:,} end in blanks, which are learned as they are")
    if repeats:
        said.append(f"items: {repeats:,} are exact repeats of another")
    if shared.size:
        each = (item for block in blocks() for item in block if item)
        one = brief(next(islice(each, int(shared[0]), None)))
        of = int((parts == VALIDATION).sum())
        said.append(
            f"items: {shared.size:,} of the {of:,} to validate are learned too, such as {one}"
        )
    return said
