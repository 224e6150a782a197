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
RECORD = "\x1e"
TRAINING, VALIDATION, TEST = PARTS = range(3)
# Measured fractions: in verse, plays and source code a tenth and more of the lines are blank, and
# half and more end in punctuation; in lists of names, of words and of /etc/services 0.02 and 0.09.
_LEAST_LINES, _SHORT_LINE, _LONG_LINE = 200, 40, 200
_FILLED, _ENDED, _INDENTED = 0.95, 0.2, 0.1
# Items that are looked through for repeats, 8 bytes each.
_MOST_COMPARED = 10_000_000
# Ids that are looked through at a time.
_BLOCK = 1 << 24
# Blank lines before and after an item.
_AROUND = re.compile(r"\A(?:[ \t]*\n)+|(?:\n[ \t]*)+\Z")


def boundary(items: str | None) -> str:
    """Return the symbol that ends each item."""
    return "\n" if items in (None, LINE) else RECORD


def split(pieces: Iterable[str], items: str) -> Iterator[list[str]]:
    """Yield the items of a file's pieces, some at a time; empty ones are to be left out."""
    separators = {LINE: "\n", BLANK_LINE: rf"\n(?:[ \t]*\n)+|{RECORD}", FILE: RECORD}
    pattern = re.compile(separators.get(items, f"{re.escape(items)}|{RECORD}"))
    # What is known of an item that goes on, and its end, which may belong to a separator.
    held, tail = list[str](), ""
    for piece in pieces:
        first, *others = pattern.split(tail + piece)
        if others:
            last = others.pop()
            yield _finished(["".join([*held, first]), *others], items)
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
        yield _finished([last], items)


def _finished(found: list[str], items: str) -> list[str]:
    """Return items as they are learned; more blank lines than one are no empty items."""
    if items == BLANK_LINE:
        return [item for text in found if (item := _AROUND.sub("", text)) and not item.isspace()]
    trimmed = found if items == LINE else [text.strip("\n") for text in found]
    return ["" if item.isspace() else item for item in trimmed]


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


def looks_like_list(text: str) -> bool:
    """Return whether the beginning of a text looks like a list of items, one a line.

    Verse and plays have blank lines, and lines that end in punctuation; source code is indented.
    """
    every = text.split("\n")[:-1]
    lines = [line for line in every if line.strip()]
    if len(lines) < _LEAST_LINES or len(lines) < _FILLED * len(every):
        return False
    lengths = sorted(map(len, lines))
    ended = sum(line.rstrip()[-1] in ",;:.!?{" for line in lines)
    indented = sum(line[0].isspace() for line in lines)
    is_short = lengths[len(lengths) // 2] <= _SHORT_LINE and lengths[-1] <= _LONG_LINE
    return is_short and ended < _ENDED * len(lines) and indented < _INDENTED * len(lines)


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
    found, said = np.concatenate(hashes)[: parts.size], []
    parts = parts[: found.size]
    repeats = found.size - np.unique(found).size
    shared = np.flatnonzero((parts == VALIDATION) & np.isin(found, found[parts == TRAINING]))
    if empty:
        said.append(f"empty items are left out: {empty:,}")
    if blanks:
        said.append(f"items that end in blanks, which are learned: {blanks:,}")
    if repeats:
        said.append(f"items that repeat an earlier one: {repeats:,}")
    if shared.size:
        each = (item for block in blocks() for item in block if item)
        one = brief(next(islice(each, int(shared[0]), None)))
        of = int((parts == VALIDATION).sum())
        said.append(f"items to validate that are learned too: {shared.size:,} of {of:,}, as {one}")
    return said
