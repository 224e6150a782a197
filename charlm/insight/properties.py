"""Properties of each character of a text, to correlate units with.

All are numbers, one a character; yes is 1 and no is 0. From left to right, `line length`,
`vowel next` and the inside of a name cannot be known for certain: a unit that correlates with them
anticipates.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping

import numpy as np

from charlm.types import Array

# A speaker's name stands alone on its line, as in a play: at the text's beginning or after an
# empty line.
_NAME = re.compile(r"(?:\A|(?<=\n\n))[^\s:][^\n:]{0,39}:(?=\n| *\n)")
_AFTER = 10
_BRACKETS = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}
_QUOTES = {"“": 1, "„": 1, "«": 1, "”": -1, "»": -1}
_VOWELS = frozenset("aeiouæœø")


def _inside_names(text: str) -> Array:
    inside = np.zeros(len(text))
    for name in _NAME.finditer(text):
        inside[name.start() : name.end()] = 1
    return inside


def _after_colon(text: str) -> Array:
    """Return 1 for the ten characters after a colon."""
    after = np.zeros(len(text))
    for colon in re.finditer(":", text):
        after[colon.end() : colon.end() + _AFTER] = 1
    return after


def _upper_case(text: str) -> Array:
    return np.array([c.isupper() for c in text], float)


def _position_in_line(text: str) -> Array:
    """Return how many characters of its line stand before each."""
    lines = re.findall(r".*\n|.+", text)
    return np.array([place for line in lines for place in range(len(line))], float)


def _line_length(text: str) -> Array:
    """Return the length of its line, without the newline, which belongs to the line."""
    lines = re.findall(r".*\n|.+", text)
    return np.array([len(line.rstrip("\n")) for line in lines for _ in line], float)


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


def _vowel_next(text: str) -> Array:
    """Return 1 where the next character is a vowel, with or without an accent."""
    bases = [unicodedata.normalize("NFD", c)[0].lower() for c in text[1:]]
    return np.array([base in _VOWELS for base in bases] + [False] * bool(text), float)


PROPERTIES: Mapping[str, Callable[[str], Array]] = {
    "inside a speaker's name": _inside_names,
    "after a colon": _after_colon,
    "upper case": _upper_case,
    "position in the line": _position_in_line,
    "line length": _line_length,
    "quotation depth": _quotation_depth,
    "bracket depth": _bracket_depth,
    "vowel next": _vowel_next,
}


def properties(text: str) -> dict[str, Array]:
    """Return the (len(text),) values of each property, by its name."""
    return {name: measure(text) for name, measure in PROPERTIES.items()}
