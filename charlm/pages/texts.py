"""Pages of one text: its surprise, a unit's state, the units that correlate with its properties."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from charlm.insight.characters import characters
from charlm.insight.oddities import Oddity
from charlm.insight.reading import Reader
from charlm.insight.units import UnitFinding, held_out, most_varying
from charlm.pages.coloured import by_state, by_surprise, legend_of_states, legend_of_surprise
from charlm.pages.page import Markup, fill, page
from charlm.runs.loading import Trained
from charlm.types import Array, Ids

# Symbols that a page of surprise shows, at most: browsers slow down with more.
MOST = 50_000
TOP = 5
_CELL = 360
Properties: TypeAlias = Mapping[str, Array]


def surprise_page(
    name: str, trained: Trained, ids: Ids, size: int, oddities: Sequence[Oddity]
) -> str:
    """Return the page of a text coloured by surprise, with a list of its oddest places.

    Args:
        name: the text's.
        trained: the model that reads it.
        ids: its first symbols, `MOST` at most.
        size: symbols of the whole text.
        oddities: its oddest places.
    """
    vocabulary = trained.vocabulary
    spelled = characters(vocabulary, ids)
    surprise = Reader(trained.model, vocabulary.start_id).read(ids, top=TOP).surprise
    bits = surprise.bits.sum() / max(1, len(spelled.text))
    cut = f" These are the first {MOST:,} of {size:,} symbols." if size > MOST else ""
    rows = []
    for odd in oddities:
        numbers = {"bits": f"{odd.bits:.1f}", "percent": f"{100 * odd.probability:.0f}"}
        rows.append(fill("oddity", **odd._asdict() | numbers))
    lead = Markup(f"{bits:.2f} bits a character on average.{cut} {fill('hint')}")
    text = by_surprise("text", spelled, surprise, vocabulary, ids)
    more = fill("oddities", rows=rows) if rows else ""
    return _page(name, lead, [legend_of_surprise(), text], more)


def unit_page(name: str, text: str, states: Array, layer: int, unit: int) -> str:
    """Return the page of a text coloured by (len(text),) states of one unit."""
    lead = f"Layer {layer}, unit {unit}: its state after it has read each character."
    return _page(name, lead, [legend_of_states(), by_state(text, states)])


def units_page(
    name: str, text: str, states: Array, properties: Properties, findings: Sequence[UnitFinding]
) -> str:
    """Return the page of units that correlate with a text; arguments as in `gallery`."""
    shown = gallery(text, states, properties, findings)
    return _page(name, selection(text), [legend_of_states(), shown])


def selection(text: str) -> Markup:
    """Return how units were selected on a text, and what was measured."""
    cut = held_out(len(text))
    return fill("selection", selected=f"{cut:,}", held_out=f"{len(text) - cut:,}")


def gallery(
    text: str, states: Array, properties: Properties, findings: Sequence[UnitFinding]
) -> Markup:
    """Draw units on the part of a text where their property varies most.

    Args:
        text: its characters.
        states: (len(text), L, H) every unit's state.
        properties: name -> (len(text),) values.
        findings: the units.
    """
    figures = []
    for name, layer, unit, correlation in findings:
        begin, end = most_varying(text, properties[name], _CELL)
        part = by_state(text[begin:end], states[begin:end, layer, unit])
        r = f"{correlation:+.2f}".replace("-", "\N{MINUS SIGN}")
        figures.append(fill("unit", property=name, layer=layer, unit=unit, r=r, text=part))
    return fill("units", figures=figures)


def _page(name: str, lead: str, content: list[Markup], more: str = "") -> str:
    section = fill("section", id="content", body=content)
    return page(name, lead, Markup(section + more))
