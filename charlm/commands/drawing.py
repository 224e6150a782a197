"""Drawing with rich: styled words, tables, and characters in colours.

Colours range from grey to a hue: they differ in saturation, not in lightness, so they are visible
on a light and on a dark terminal, and none needs red to be distinguished from green. rich is
imported where something is drawn, since that takes 80 ms. Model output is escaped before it is
styled.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TextIO

from charlm.terminal import printable, symbol

if TYPE_CHECKING:
    from rich.color import ColorSystem

_GREY, _ORANGE, _BLUE = (112, 112, 112), (200, 70, 0), (0, 100, 180)
_LEVELS = 32
# Bits of surprise at which colours begin, and at which they are strongest.
_FROM, _DEEPEST = 3, 8
# A state closer to 0 has no colour.
_FAINT = 0.15
# A column is not shortened to less.
_NARROWEST = 8
NO_COLOURS = "stdout shows no colours; --out makes a page, FORCE_COLOR=1 writes them all the same"


def colour_system(stream: TextIO | None) -> "ColorSystem | None":
    """Return the colours that a stream shows and its user wants; None for none."""
    if stream is None or os.environ.get("NO_COLOR"):
        return None
    if not (stream.isatty() or os.environ.get("FORCE_COLOR")):
        return None
    from rich.console import COLOR_SYSTEMS, Console

    name = Console(file=stream).color_system
    return COLOR_SYSTEMS[name] if name else None


def styled(text: str, style: str, stream: TextIO) -> str:
    """Return printable text in a style such as `bold` or `dim`, where the stream shows styles."""
    system = colour_system(stream)
    if system is None:
        return text
    return str(_style(system, **{style: True}).render(text, color_system=system))


def by_surprise(character: str, bits: float, system: "ColorSystem | None") -> str:
    """Colour a character by its surprise."""
    return _painted(character, _ORANGE, (bits - _FROM) / (_DEEPEST - _FROM), system)


def by_state(character: str, value: float, system: "ColorSystem | None") -> str:
    """Colour a character by a unit's state, from -1 (blue) to 1 (orange)."""
    strength = abs(value) if abs(value) >= _FAINT else -1.0
    return _painted(character, _ORANGE if value > 0 else _BLUE, strength, system)


def _painted(
    character: str, hue: tuple[int, int, int], strength: float, system: "ColorSystem | None"
) -> str:
    """Return a character on a background from grey (0) to a hue (1); on none below 0."""
    shown = character if character in ("\n", "\t") else printable(character)
    if strength < 0 or system is None:
        return shown
    strength = round(min(strength, 1.0) * _LEVELS) / _LEVELS
    r, g, b = (round(low + strength * (high - low)) for low, high in zip(_GREY, hue, strict=True))
    ground = _style(system, color="color(231)", bgcolor=f"rgb({r},{g},{b})")
    # A line's end is drawn as a blank of its colour.
    if character == "\n":
        return f"{ground.render(' ', color_system=system)}\n"
    return str(ground.render(shown, color_system=system))


@cache
def _style(_: "ColorSystem", **attributes: Any) -> Any:
    """Return a style of one colour system: it keeps the codes that it was first drawn in."""
    from rich.style import Style

    return Style(**attributes)


def table(rows: Sequence[Sequence[str]], layout: str, columns: int | None = None) -> list[str]:
    """Lay rows of texts, escaped, out in columns, two spaces between them.

    A layout has a letter a column: l or r for the side it is aligned on, L or R where it may be
    shortened, so that the table fits into a terminal of `columns`.
    """
    import io

    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = [[printable(cell) for cell in row] for row in rows]
    grid = Table.grid(padding=(0, 2), pad_edge=False)
    least = 2 * (len(layout) - 1)
    for letter, *cells in zip(layout, *rows, strict=True):
        yields, widest = letter.isupper(), max(map(cell_len, cells))
        # Of columns that do not wrap, rich shortens none.
        grid.add_column(justify="right" if letter in "rR" else "left", no_wrap=not yields)
        least += min(widest, _NARROWEST) if yields else widest
    for row in rows:
        grid.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in row))
    console = Console(file=io.StringIO(), width=max(least, columns or 10_000), color_system=None)
    with console.capture() as shown:
        console.print(grid)
    return [line.rstrip() for line in shown.get().splitlines()]


def shorten(text: str, columns: int) -> str:
    """Return a text, escaped, that fits: its end is left out where it is too long."""
    from rich.text import Text

    shown = Text(printable(text))
    shown.truncate(columns, overflow="ellipsis")
    return shown.plain


def wrap(text: str, columns: int) -> list[str]:
    """Return the lines of a text, escaped, wrapped between words; a wide character takes 2 columns.

    Only a newline ends a line, and only a word that is too long is divided.
    """
    from rich.console import Console
    from rich.text import Text

    return [line.plain for line in Text(text).wrap(Console(), columns, overflow="fold")]


def over_time(
    text: str, rows: Mapping[str, Sequence[float]], columns: int, system: "ColorSystem | None"
) -> str:
    """Return a text, escaped, in lines that fit, and named rows of cells under each of them.

    A row has a value from -1 to 1 for each character, coloured as by `by_state`. Without colours it
    is the first decimal, and where a row has values below 0, their signs stand in a row above it.
    Empty lines have no rows of their own: their ends stand behind that of the line before.
    """
    from rich.cells import cell_len

    margin = max(map(len, rows)) + 2
    # A line's end is a blank.
    shown = [" " if c == "\n" else printable(c) for c in text]
    widths = [cell_len(piece) for piece in shown]
    written = []
    for part in _parts(text, widths, max(columns - margin, _NARROWEST)):
        written.append(" " * margin + "".join(shown[part]))
        for name, values in rows.items():
            cells = list(zip(values[part], widths[part], strict=True))
            if system:
                drawn = "".join(by_state(" " * width, value, system) for value, width in cells)
            else:
                if min(values) < 0:
                    signs = ("-"[: value < 0].ljust(width)[:width] for value, width in cells)
                    written.append(" " * margin + "".join(signs))
                digits = ((min(9, int(10 * abs(value))), width) for value, width in cells)
                drawn = "".join(str(digit).ljust(width)[:width] for digit, width in digits)
            written.append(name.ljust(margin) + drawn)
        written.append("")
    return "\n".join(line.rstrip(" ") for line in written).rstrip("\n")


def _parts(text: str, widths: Sequence[int], columns: int) -> Iterator[slice]:
    """Yield the lines that a text is divided into, at newlines and between words."""
    begin = used = gap = 0
    for k, (c, width) in enumerate(zip(text, widths, strict=True)):
        while used + width > columns and k > begin:
            end = gap if gap > begin else k
            yield slice(begin, end)
            begin, used = end, sum(widths[end:k])
        used += width
        if c == " ":
            gap = k + 1
        elif c == "\n" != text[k + 1 : k + 2]:
            yield slice(begin, k + 1)
            begin, used = k + 1, 0
    if begin < len(text):
        yield slice(begin, len(text))


def symbols(characters: str, columns: int, lines: int) -> list[str]:
    """Return a vocabulary in lines: the quoted ones apart, the others side by side.

    Where there would be more lines, one more says how many characters are left out.
    """
    from rich.cells import cell_len

    written, line, quoted = [], "", False
    for k, character in enumerate(characters):
        piece = symbol(character)
        apart = bool(line) and (quoted or len(piece) > 1)
        if line and cell_len(line) + apart + cell_len(piece) > columns:
            written.append(line)
            if len(written) == lines:
                return [*written, f"and {len(characters) - k:,} more"]
            line, apart = "", False
        line += " " * apart + piece
        quoted = len(piece) > 1
    return [*written, line] if line else written
