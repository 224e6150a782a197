r"""Text for a terminal: names, values and model output, with control characters escaped.

    printable   one line; whatever does not print is an escape      a name, a path, a message
    symbol      one character, distinct from all others              a vocabulary
    visible     many lines; only what a terminal acts on is         a text that a model wrote
    whole_words a part of a text, not cut inside a line or word     a sample
    brief       a value as Python writes it, shortened              an invalid setting
    argument    quoted for the shell                                a path in a command to copy
    option      an option and its value, quoted likewise            a name in a command to copy
    setting     a value as config.yaml has it                       a table of settings
    duration    a number and a unit                                 seconds of training

A name may contain an escape sequence, a damaged file any character, and a model writes what its
text contained.
"""

import json
import os
import reprlib
import shlex
import unicodedata
from functools import cache

_HUGE = 10**400


def printable(text: str) -> str:
    """Return a text in one line, with escapes for what does not print, such as a newline."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def symbol(character: str) -> str:
    r"""Return a character of a vocabulary so that it differs from all others.

    Whitespace, controls, combining marks and what Unicode leaves open are quoted: `' '`, `'\n'`,
    `'\u0301'`.
    """
    mark = unicodedata.category(character).startswith("M")
    plain = character.isprintable() and not character.isspace() and not mark
    return character if plain else ascii(character)


def visible(text: str) -> str:
    """Return a text with escapes for what a terminal would act on.

    These are the controls of C0 and C1 but for newline and tab, what reorders a line, and lone
    surrogates, of which those that stand for a byte are written as that byte.
    """
    return text.translate(_escapes())


@cache
def _escapes() -> dict[int, str]:
    controls = {*range(0x20), *range(0x7F, 0xA0)} - {ord("\n"), ord("\t")}
    reordering = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}
    escapes = {k: ascii(chr(k))[1:-1] for k in (*controls, *reordering, *range(0xD800, 0xE000))}
    return escapes | {0xDC00 + byte: f"\\x{byte:02x}" for byte in range(0x80, 0x100)}


def whole_words(text: str) -> str:
    """Return a text up to its last newline or, where that is in its first half, its last space."""
    for mark in ("\n", " "):
        if (end := text.rfind(mark, len(text) // 2)) >= 0:
            return text[:end]
    return text


class _Brief(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother, self.maxlong = 3, 80, 80, 80

    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to write down more than some thousand digits.
        return super().repr_int(x, level) if abs(x) < _HUGE else "a huge number"


_BRIEF = _Brief()


def brief(value: object) -> str:
    """Return the repr of a value, with the middle left out where it is long."""
    return _BRIEF.repr(value)


def argument(path: object) -> str:
    r"""Return an argument quoted for the shell, as `$'\x1b'` where it does not print."""
    text = str(path)
    if text.isprintable():
        return shlex.quote(text)
    plain = {"'": "\\'", "\\": "\\\\"}
    pieces = (
        plain.get(c, c) if c.isprintable() else "".join(f"\\x{byte:02x}" for byte in os.fsencode(c))
        for c in text
    )
    return f"$'{''.join(pieces)}'"


def option(name: str, value: object) -> str:
    """Return `--name value`, or `--name=value` where the value begins as an option does."""
    return f"{name}{'=' if str(value).startswith('-') else ' '}{argument(value)}"


def setting(value: object) -> str:
    """Return a setting as config.yaml has it, in one line; a list of one item as the item."""
    if isinstance(value, list | tuple) and len(value) == 1:
        (value,) = value
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def duration(seconds: float) -> str:
    """Return `40 s`, `3.2 min`, `1.5 h` or `2.5 days`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:,.1f} days"
