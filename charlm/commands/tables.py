"""Plain tables of printable texts, and a vocabulary told character by character."""

import unicodedata
from collections.abc import Sequence

from charlm.terminal import symbol

# A column is not made narrower than this.
_NARROWEST = 8


def symbols(characters: str, columns: int, lines: int) -> list[str]:
    """Return a vocabulary in lines: the quoted ones apart, the others side by side.

    Args:
        characters: the vocabulary.
        columns: how wide a line may be.
        lines: how many there may be; the last one then says how many characters are left out.
    """
    written, line, quoted = [], "", False
    for k, character in enumerate(characters):
        piece = symbol(character)
        apart = bool(line) and (quoted or len(piece) > 1)
        if line and width(line) + apart + width(piece) > columns:
            written.append(line)
            if len(written) == lines:
                return [*written, f"and {len(characters) - k:,} more"]
            line, apart = "", False
        line += " " * apart + piece
        quoted = len(piece) > 1
    return [*written, line] if line else written


def width(text: str) -> int:
    """Return the columns that a printable text takes up on a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def shorten(text: str, columns: int) -> str:
    """Return a text that fits, with its middle left out where it is too long."""
    if width(text) <= columns:
        return text
    head, tail = text[: len(text) // 2], text[len(text) // 2 :]
    while width(head) + width(tail) + 1 > columns and (head or tail):
        if width(head) > width(tail):
            head = head[:-1]
        else:
            tail = tail[1:]
    return f"{head}…{tail}"


def table(rows: Sequence[Sequence[str]], layout: str, columns: int | None = None) -> list[str]:
    """Lay rows out in columns, two spaces between them.

    Args:
        rows: printable texts. A row may be shorter than the others; its last cell then takes what
            room it needs.
        layout: a letter a column: l or r for the side it is aligned on, L or R where its texts may
            be shortened as well.
        columns: how wide a line may be, as far as shortening can do it; None for any width.
    """
    count = len(layout)
    widths = [0] * count
    for row in rows:
        for k, cell in enumerate(row if len(row) == count else row[:-1]):
            widths[k] = max(widths[k], width(cell))
    while columns is not None and sum(widths) + 2 * (count - 1) > columns:
        yielding = [(widths[k], k) for k in range(count) if layout[k].isupper()]
        widest, k = max(yielding, default=(0, 0))
        if widest <= _NARROWEST:
            break
        widths[k] -= 1
    lines = []
    for row in rows:
        cells = []
        for k, cell in enumerate(row):
            if len(row) < count and k == len(row) - 1:
                cells.append(cell)
                continue
            text = shorten(cell, widths[k])
            room = " " * (widths[k] - width(text))
            cells.append(room + text if layout[k] in "rR" else text + room)
        lines.append("  ".join(cells).rstrip())
    return lines
