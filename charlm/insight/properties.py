"""Properties of each character of a text, to correlate units with.

All are numbers, one a character; yes is 1 and no is 0. From left to right, `line length`,
`vowel next` and the inside of a name cannot be known for certain: a unit that correlates with them
anticipates.
"""

import re
import unicodedata

import numpy as np

from charlm.types import Array

# A speaker's name stands alone on its line, as in a play: at the text's beginning or after an
# empty line.
_NAME = re.compile(r"(?:\A|(?<=\n\n))[^\s:][^\n:]{0,39}:(?=\n| *\n)")
_LINE = re.compile(r".*\n|.+")
_BRACKETS = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}
_QUOTES = {"“": 1, "„": 1, "«": 1, "”": -1, "»": -1}
_VOWELS = frozenset("aeiouæœø")


def properties(text: str) -> dict[str, Array]:
    """Return the (len(text),) values of each property, by its name."""
    lines = _LINE.findall(text)
    return {
        "inside a speaker's name": _marked(text, [name.span() for name in _NAME.finditer(text)]),
        "after a colon": _marked(text, [(k + 1, k + 11) for k, c in enumerate(text) if c == ":"]),
        "upper case": np.array([c.isupper() for c in text], float),
        "position in the line": np.array([k for line in lines for k in range(len(line))], float),
        "line length": np.array([len(line.rstrip("\n")) for line in lines for _ in line], float),
        "quotation depth": _quotation_depth(text),
        "bracket depth": _bracket_depth(text),
        "vowel next": np.array([_is_vowel(c) for c in (text + " ")[1:]], float),
    }


def _marked(text: str, spans: list[tuple[int, int]]) -> Array:
    """Return 1 inside the spans."""
    marked = np.zeros(len(text))
    for begin, end in spans:
        marked[begin:end] = 1
    return marked


def _quotation_depth(text: str) -> Array:
    """Return 1 inside quotation marks; an empty line ends what was left open."""
    depths, depth, before = [], 0, ""
    for c in text:
        if c == '"':
            depth = 0 if depth else 1
        elif c == before == "\n":
            depth = 0
        else:
            depth = max(0, depth + _QUOTES.get(c, 0))
        depths.append(depth)
        before = c
    return np.array(depths, float)


def _bracket_depth(text: str) -> Array:
    depths, depth = [], 0
    for c in text:
        depth = max(0, depth + _BRACKETS.get(c, 0))
        depths.append(depth)
    return np.array(depths, float)


def _is_vowel(character: str) -> bool:
    """Return whether a character is a vowel, with or without an accent."""
    return unicodedata.normalize("NFD", character)[0].lower() in _VOWELS
