"""Texts in colours, as markup: by surprise, and by a unit's state."""

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from charlm.insight.characters import Characters, names
from charlm.insight.reading import Surprise
from charlm.pages.page import data, safe
from charlm.text.vocabulary import Vocabulary
from charlm.types import Array

# Bits at which the colour is deepest; page.css has so many shades.
DEEPEST = 8
_SHADES = 5
_END = '<i class="end">↵</i>\n'


def legend_of_surprise() -> str:
    """Return what the colours of surprise mean."""
    shades = "".join(f'<i class="s{k}"></i>' for k in range(DEEPEST + 1))
    return f'<div class="legend">0 bits <span>{shades}</span> {DEEPEST} and more</div>'


def legend_of_states() -> str:
    """Return what the colours of a unit's state mean."""
    shades = "".join(f'<i class="{_shade(k)}"></i>' for k in range(-_SHADES, _SHADES + 1))
    return f'<div class="legend">state &minus;1 <span>{shades}</span> +1</div>'


def by_surprise(
    name: str, spelled: Characters, surprise: Surprise, vocabulary: Vocabulary, ids: Array
) -> str:
    """Colour a text by surprise; the page's script tells what was expected.

    Args:
        name: an id that nothing else on the page has.
        spelled: the text's characters.
        surprise: of its ids, with the likeliest ones.
        vocabulary: the model's.
        ids: the text. What was expected in a character's place is told of its first id.
    """
    bits = spelled.sums(surprise.bits)
    levels = np.minimum(bits, DEEPEST).astype(int).tolist()
    spans = [
        f"<span{f' class=s{level}' if level else ''}>{_glyph(c)}</span>"
        for c, level in zip(spelled.text, levels, strict=True)
    ]
    told = []
    for b, bit in zip(spelled.begins.tolist(), bits.tolist(), strict=True):
        shares = np.rint(surprise.probabilities[b] * 1000).astype(int).tolist()
        pairs = zip(surprise.likeliest[b].tolist(), shares, strict=True)
        told.append([int(ids[b]), round(bit, 2), *(q for pair in pairs for q in pair)])
    return (
        f'<div class="text" id="{name}" tabindex="0" role="group" data-told="{name}-told" '
        'aria-label="text coloured by surprise; the arrow keys tell what was expected">'
        f"{''.join(spans)}</div>"
        + data(f"{name}-told", {"names": names(vocabulary), "characters": told})
    )


def by_state(text: str, states: Array) -> str:
    """Colour a text by a unit's state.

    Args:
        text: its characters.
        states: (len(text),) from -1 to 1.
    """
    shades = np.rint(np.clip(states, -1, 1) * _SHADES).astype(int).tolist()
    return f'<div class="text">{"".join(_runs(text, shades))}</div>'


def _runs(text: str, shades: Sequence[int]) -> Iterator[str]:
    """Put neighbours of one shade together."""
    for level, run in groupby(zip(text, shades, strict=True), key=lambda q: q[1]):
        inside = "".join(_glyph(c) for c, _ in run)
        yield f"<span class={_shade(level)}>{inside}</span>" if level else inside


def _shade(level: int) -> str:
    return f"p{level}" if level > 0 else f"n{-level}"


def _glyph(character: str) -> str:
    if character == "\n":
        return _END
    return "\t" if character == "\t" else safe(character)
