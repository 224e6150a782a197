"""Characters in colours on a terminal: by surprise, and by a unit's state.

The colours begin at grey and grow in strength, not in brightness: that is seen on a light and on a
dark terminal, and without telling red from green.
"""

import os
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple, TextIO, TypeAlias

from charlm.terminal import printable

_Colour: TypeAlias = tuple[int, int, int]

_GREY: _Colour = (112, 112, 112)


class _Hue(NamedTuple):
    """Hold the strongest of a hue, and the numbers of a terminal's 256 colours from grey to it."""

    strongest: _Colour
    steps: Sequence[int]


_ORANGE = _Hue((200, 70, 0), (242, 95, 130, 166))
_BLUE = _Hue((0, 100, 180), (242, 60, 25, 26))

# From so many bits on a character has a colour, and from so many the deepest.
_FROM, _DEEPEST = 3, 8
# A state nearer to 0 has no colour.
_FAINT = 0.15
_RESET = "\033[0m"


class Depth(IntEnum):
    """How many colours a terminal shows."""

    NONE = 0
    SOME = 256
    ALL = 1 << 24


def depth(out: TextIO | None) -> Depth:
    """Tell how many colours a stream shows, and its user wants.

    None where NO_COLOR is set, or where it is no terminal and FORCE_COLOR is not set, or closed.
    """
    environment, term = os.environ, os.environ.get("TERM", "")
    if out is None or environment.get("NO_COLOR"):
        return Depth.NONE
    if not (out.isatty() or environment.get("FORCE_COLOR")):
        return Depth.NONE
    if environment.get("COLORTERM") in ("truecolor", "24bit") or "WT_SESSION" in environment:
        return Depth.ALL
    forced = not out.isatty()
    return Depth.SOME if forced or "256" in term or "direct" in term else Depth.NONE


def surprise(character: str, bits: float, colours: Depth) -> str:
    """Colour a character by its surprise."""
    return _painted(character, _ORANGE, (bits - _FROM) / (_DEEPEST - _FROM), colours)


def state(character: str, value: float, colours: Depth) -> str:
    """Colour a character by a unit's state, from -1 (blue) to 1 (orange)."""
    share = abs(value) if abs(value) >= _FAINT else -1.0
    return _painted(character, _ORANGE if value > 0 else _BLUE, share, colours)


def _painted(character: str, hue: _Hue, share: float, colours: Depth) -> str:
    """Return a character on a ground between grey and a hue; without one where share is below 0."""
    shown = character if character in ("\n", "\t") else printable(character)
    if share < 0 or not colours:
        return shown
    share = min(share, 1.0)
    if colours is Depth.ALL:
        r, g, b = (round(k + share * (q - k)) for k, q in zip(_GREY, hue.strongest, strict=True))
        ground = f"\033[48;2;{r};{g};{b}m"
    else:
        ground = f"\033[48;5;{hue.steps[min(int(share * len(hue.steps)), len(hue.steps) - 1)]}m"
    white = "\033[38;5;231m"
    # A line's end is seen as a blank of its colour.
    inside = " " if character == "\n" else shown
    return f"{ground}{white}{inside}{_RESET}{character if character == chr(10) else ''}"
