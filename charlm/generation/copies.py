"""Verbatim copies: the parts of a text that stand in the training text, symbol by symbol.

Every run of k equal symbols holds a window of w = k - s + 1 of them that begins at a multiple of s
in the training text. These windows are looked up among those of the texts; where one is found, the
text is compared with the training text along that diagonal, place - position = d.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from charlm.errors import ConfigError
from charlm.types import Ids

# Held-out text of the same author agrees over at most 31 characters; see docs/results.md.
AT_LEAST = 32
# Symbols of the training text that are split into its items at a time.
_PIECE = 1 << 20


class Copy(NamedTuple):
    """A part of a text and its place in the training text, in characters (bytes at byte level)."""

    begin: int
    length: int
    place: int


def find_copies(learned: Ids, texts: Sequence[Ids], at_least: int = AT_LEAST) -> list[list[Copy]]:
    """Return each text's copies of `at_least` symbols or more, longest first, without overlaps."""
    if at_least < 1:
        raise ConfigError("at_least", f"must be at least 1, got {at_least}")
    learned, s = np.asarray(learned), (at_least + 2) // 3
    w, reach = at_least - s + 1, max((text.size for text in texts), default=0)
    windows: dict[bytes, list[tuple[int, int]]] = {}
    for n, text in enumerate(texts):
        for t in range(text.size - w + 1):
            windows.setdefault(text[t : t + w].tobytes(), []).append((n, t))
    # Places with the same symbols around them are one: a ruled line may occur a thousand times.
    places: dict[tuple[int, int], int] = {}
    for place in range(0, learned.size - w + 1, s):
        if learned[place : place + w].tobytes() in windows:
            first = max(0, place - reach)
            around = learned[first : place + w + reach].tobytes()
            places.setdefault((place - first, hash(around)), place)
    hits = ((place, windows[learned[place : place + w].tobytes()]) for place in places.values())
    longest: dict[tuple[int, int], tuple[int, int]] = {}
    for n, d in {(n, place - t) for place, found in hits for n, t in found}:
        begin, end = max(0, -d), min(texts[n].size, learned.size - d)
        equal = np.pad(texts[n][begin:end] == learned[begin + d : end + d], 1)
        runs = np.flatnonzero(np.diff(equal)).reshape(-1, 2) + begin
        for begin, end in runs[runs[:, 1] - runs[:, 0] >= at_least].tolist():
            longest[n, begin] = max(longest.get((n, begin), (0, 0)), (end - begin, -begin - d))
    copies: list[list[Copy]] = [[] for _ in texts]
    free = [np.ones(text.size, bool) for text in texts]
    for (n, begin), (length, place) in sorted(longest.items(), key=lambda c: (-c[1][0], c[0])):
        part = free[n][begin : begin + length]
        if part.all():
            copies[n].append(Copy(begin, length, -place))
            part.fill(False)
    return copies


def find_items(learned: Ids, boundary: int, items: Sequence[Ids]) -> list[bool]:
    """Return which items stand as a whole in the training text, between two boundaries."""
    texts = [_as_text(item) for item in items]
    wanted, found, rest = set(texts), set[str](), ""
    longest = max(map(len, texts), default=0)
    for begin in range(0, learned.size, _PIECE):
        parts = (rest + _as_text(learned[begin : begin + _PIECE])).split(chr(boundary))
        # What is longer than all that is looked for stays so without its beginning.
        rest = parts.pop()[-longest - 1 :]
        found |= wanted.intersection(parts)
        if len(found) == len(wanted):
            break
    # The last one may lack its boundary.
    if rest:
        found |= wanted & {rest}
    return [text in found for text in texts]


def _as_text(ids: Ids) -> str:
    """Return ids as the characters of these code points, of which Python splits a text fast."""
    return np.asarray(ids).astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
