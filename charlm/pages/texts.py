"""Pages of one text: its surprises, a unit's state, the units that tell most of it."""

from collections.abc import Mapping, Sequence

from charlm.insight.characters import characters
from charlm.insight.oddities import Oddity
from charlm.insight.reading import Reader
from charlm.insight.units import UnitFinding, held_out, most_varying
from charlm.pages.coloured import by_state, by_surprise, legend_of_states, legend_of_surprise
from charlm.pages.page import page, safe
from charlm.runs.loading import Trained
from charlm.types import Array, Ids

# Symbols that a page of surprises shows, at the most: browsers slow down with more.
MOST = 50_000
TOP = 5
_CELL = 360
HINT = (
    "Point at a character, tap it, or walk with the arrow keys, to see the five that the model "
    "held for likeliest."
)


def heat(name: str, trained: Trained, shown: Ids, size: int, odd: Sequence[Oddity]) -> str:
    """Make the page of a text coloured by surprise.

    Args:
        name: the text's.
        trained: the model that reads it.
        shown: its first symbols, `MOST` at the most.
        size: symbols of the whole text.
        odd: its oddest places, to be listed.
    """
    vocabulary = trained.vocabulary
    spelled = characters(vocabulary, shown)
    seen = Reader(trained.model, vocabulary.start_id).read(shown, top=TOP).surprise
    bits = seen.bits.sum() / max(1, len(spelled.text))
    cut = f" These are the first {MOST:,} of {size:,} symbols." if size > MOST else ""
    rows = "".join(
        f"<tr><td>{q.line}:{q.column}</td><td>{q.bits:.1f}</td><td><code>{safe(q.before)}"
        f'<b class="s6">{safe(q.character)}</b>{safe(q.after)}</code></td>'
        f"<td><code>{safe(q.expected)}</code> {100 * q.probability:.0f} %</td></tr>"
        for q in odd
    )
    table = (
        '<section><h2>The oddest places</h2><div class="scroll"><table><tr><th>line</th>'
        f"<th>bits</th><th></th><th>expected</th></tr>{rows}</table></div></section>"
    )
    lead = f"{bits:.2f} bits a character on average.{cut} {HINT}"
    text = by_surprise("text", spelled, seen, vocabulary, shown)
    return _of_one(name, lead, legend_of_surprise() + text, table if rows else "")


def unit(name: str, text: str, states: Array, layer: int, number: int) -> str:
    """Make the page of a text coloured by one unit's state.

    Args:
        name: the text's.
        text: its characters.
        states: (len(text),) the unit's state after each.
        layer: the unit's.
        number: the unit's in its layer.
    """
    lead = f"Layer {layer}, unit {number}: its state after it has read each character."
    return _of_one(name, lead, legend_of_states() + by_state(text, states))


def best(
    name: str,
    text: str,
    states: Array,
    told: Mapping[str, Array],
    found: Sequence[UnitFinding],
) -> str:
    """Make the page of the units that tell most of a text; arguments as in `gallery`."""
    return _of_one(name, chosen(text), legend_of_states() + gallery(text, states, told, found))


def chosen(text: str) -> str:
    """Say how units were chosen, and what was measured, as markup."""
    cut = held_out(len(text))
    return (
        "Single units, each coloured by its state after it has read a character, with the property "
        f"of the text that it tells. The units were chosen on {cut:,} characters; <i>r</i> is the "
        f"correlation on the {len(text) - cut:,} after them."
    )


def gallery(
    text: str, states: Array, told: Mapping[str, Array], found: Sequence[UnitFinding]
) -> str:
    """Draw units on the part of a text where their property changes most, as markup.

    Args:
        text: its characters.
        states: (len(text), L, H) every unit's state.
        told: property -> (len(text),) values.
        found: the units.
    """
    drawn = []
    for q in found:
        begin, end = most_varying(text, told[q.property], _CELL)
        r = f"{q.correlation:+.2f}".replace("-", "&minus;")
        drawn.append(
            f'<figure class="cell"><h3>{safe(q.property)}<span>layer {q.layer}, unit {q.unit}, '
            f"r = {r}</span></h3>"
            f"{by_state(text[begin:end], states[begin:end, q.layer, q.unit])}</figure>"
        )
    return f'<div class="cells">{"".join(drawn)}</div>'


def _of_one(name: str, lead: str, text: str, more: str = "") -> str:
    head = f'<header><h1>{safe(name)}</h1><p class="lead">{lead}</p></header>'
    return page(name, f"{head}<main><section>{text}</section>{more}</main>")
