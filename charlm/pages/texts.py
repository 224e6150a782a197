"""Pages of one text: its surprise, a unit's state, the units that correlate with its properties."""

from charlm.insight.characters import characters
from charlm.insight.oddities import KEPT, Heat
from charlm.insight.units import TextStates, UnitFinding, UnitTrace
from charlm.pages.coloured import by_state, by_surprise, legend_of_states, over_time
from charlm.pages.page import Markup, fill, page

_CELL = 360


def surprise_page(title: str, heat: Heat) -> str:
    """Return the page of a text that was read, coloured by surprise, with its oddest places.

    It shows the first 50,000 symbols: browsers slow down with more.
    """
    ids, surprise = heat.ids[:KEPT], heat.surprise
    spelled = characters(heat.vocabulary, ids)
    bits = surprise.bits.sum() / max(1, len(spelled.text))
    cut = f" These are the first {KEPT:,} of {heat.ids.size:,} symbols." * (heat.ids.size > KEPT)
    rows = []
    for odd in heat.oddities:
        numbers = {"bits": f"{odd.bits:.1f}", "percent": f"{100 * odd.probability:.0f}"}
        rows.append(fill("oddity", **odd._asdict() | numbers))
    lead = Markup(f"{bits:.2f} bits a character on average.{cut} {fill('hint')}")
    text = by_surprise("text", spelled, surprise, heat.vocabulary, ids)
    return _page(title, lead, text, fill("oddities", rows=rows) if rows else "")


def states_page(title: str, read: TextStates, unit: tuple[int, int] | None = None) -> str:
    """Return the page of a text coloured by the state of a unit, as (layer, number).

    Without one, it shows the units that correlate most with the text's properties.
    """
    if unit is None:
        return _page(title, selection(read), gallery(read, read.find_units()))
    lead = f"Layer {unit[0]}, unit {unit[1]}: its state after it has read each character."
    text = by_state(read.text, read.states[(slice(None), *unit)])
    return _page(title, lead, [legend_of_states(), text])


def trace_page(title: str, trace: UnitTrace) -> str:
    """Return the page of a unit's gates and state, in rows below a text."""
    *gates, state = trace.values
    of_gates = f"{', '.join(gates)} from 0 (shut) to 1 (open), " * bool(gates)
    rows = f"{of_gates}{state} from \N{MINUS SIGN}1 to 1"
    lead = f"Layer {trace.layer}, unit {trace.unit}, after each character: {rows}."
    return _page(title, lead, [legend_of_states(), over_time(trace.text, trace.values)])


def selection(read: TextStates) -> Markup:
    """Return how units were selected on a text, and what was measured."""
    cut = read.held_out
    return fill("selection", selected=f"{cut:,}", held_out=f"{len(read.text) - cut:,}")


def gallery(read: TextStates, findings: list[UnitFinding]) -> Markup:
    """Draw units on the part of a text where their property varies most, with a legend."""
    figures = []
    for finding in findings:
        name, layer, unit, correlation = finding
        begin, end = read.excerpt(finding, _CELL)
        part = by_state(read.text[begin:end], read.states[begin:end, layer, unit])
        r = f"{correlation:+.2f}".replace("-", "\N{MINUS SIGN}")
        figures.append(fill("unit", property=name, layer=layer, unit=unit, r=r, text=part))
    return fill("units", legend=legend_of_states(), figures=figures)


def _page(name: str, lead: str, content: Markup | list[Markup], more: str = "") -> str:
    return page(name, lead, Markup(fill("section", id="content", body=content) + more))
