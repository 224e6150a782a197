"""Texts as markup, coloured by surprise or by a unit's state."""

from collections.abc import Mapping
from itertools import groupby

import numpy as np

from charlm.insight.characters import Characters, names
from charlm.insight.reading import Surprise
from charlm.pages.page import Markup, data, fill, safe
from charlm.text.vocabulary import Vocabulary
from charlm.types import Array, Ids

# Bits of the deepest colour; page.css has so many shades.
DEEPEST = 8
_SHADES = 5
_END = '<i class="end">↵</i>\n'


def legend_of_states() -> Markup:
    """Return a legend for the colours of `by_state`."""
    shades = [fill("shade", name=_shade(k)) for k in range(-_SHADES, _SHADES + 1)]
    return fill("state legend", shades=shades)


def by_surprise(
    name: str, spelled: Characters, surprise: Surprise, vocabulary: Vocabulary, ids: Ids
) -> Markup:
    """Colour a text by surprise, with a legend; the page's script shows what was expected.

    Of a character of several ids, the likeliest symbols of the first one are shown. `name` is an
    element id, unique in the page.
    """
    bits = spelled.sums(surprise.bits)
    levels = np.minimum(bits, DEEPEST).astype(int).tolist()
    spans = [
        f"<span{f' class=s{level}' if level else ''}>{_glyph(c)}</span>"
        for c, level in zip(spelled.text, levels, strict=True)
    ]
    permille = np.rint(surprise.probabilities * 1000).astype(int)
    pairs = np.stack([surprise.likeliest, permille], axis=2).reshape(ids.size, -1)
    entries = [
        [int(ids[begin]), round(bit, 2), *pairs[begin].tolist()]
        for begin, bit in zip(spelled.begins, bits.tolist(), strict=True)
    ]
    return fill(
        "surprise",
        id=name,
        shades=[fill("shade", name=f"s{k}") for k in range(DEEPEST + 1)],
        deepest=DEEPEST,
        spans=Markup("".join(spans)),
        data=data(f"{name}-data", {"names": names(vocabulary), "characters": entries}),
    )


def by_state(text: str, states: Array) -> Markup:
    """Colour a text by the (len(text),) states of a unit."""
    shades = np.rint(np.clip(states, -1, 1) * _SHADES).astype(int).tolist()
    spans = ""
    for level, run in groupby(zip(text, shades, strict=True), key=lambda pair: pair[1]):
        inside = "".join(_glyph(c) for c, _ in run)
        spans += f"<span class={_shade(level)}>{inside}</span>" if level else inside
    return fill("text", spans=Markup(spans))


def over_time(text: str, values: Mapping[str, Array]) -> Markup:
    """Colour a row of cells below a text for each of its (len(text),) values, from -1 to 1.

    Each character is a column; columns wrap with the page's width. Empty lines have no rows of
    their own: their ends stand behind that of the line before.
    """
    shades = [
        np.rint(np.clip(row, -1, 1) * _SHADES).astype(int).tolist() for row in values.values()
    ]
    numbers = [[f"{name} {value:.2f}" for value in row.tolist()] for name, row in values.items()]
    heads = "".join(f"<i>{safe(name)}</i>" for name in values)
    head, markup = f"<div><b><u></u>{heads}</b>", ""
    for k, (c, *levels) in enumerate(zip(text, *shades, strict=True)):
        if not k or text[k - 1] == "\n" != c:
            markup += "</div>" * bool(k) + head
        cells = "".join(f"<i class={_shade(level)}></i>" for level in levels)
        glyph = "<u class=end>↵</u>" if c == "\n" else f"<u>{safe(c)}</u>"
        markup += f'<b title="{", ".join(row[k] for row in numbers)}">{glyph}{cells}</b>'
    return fill("over time", lines=Markup(markup + "</div>"))


def _shade(level: int) -> str:
    return f"p{level}" if level > 0 else f"n{-level}"


def _glyph(character: str) -> str:
    if character == "\n":
        return _END
    return "\t" if character == "\t" else safe(character)
