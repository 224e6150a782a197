"""Characters as they can be shown: no name, path or learned text reaches a screen raw.

A text may hold an escape sequence, which a terminal would obey, or a mark that turns the direction
of what follows.
"""

import unicodedata


def printable(text: str) -> str:
    """Return a text with what does not print written as an escape, such as a newline's."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def symbol(character: str) -> str:
    r"""Return a character of a vocabulary so that it can be told from all others.

    Whitespace, controls, combining marks and what Unicode leaves open are quoted: `' '`, `'\n'`,
    `'\u0301'`.
    """
    mark = unicodedata.category(character).startswith("M")
    plain = character.isprintable() and not character.isspace() and not mark
    return character if plain else ascii(character)
