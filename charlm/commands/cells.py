"""charlm cells: a text coloured by what single units do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from charlm.commands.console import say, show

if TYPE_CHECKING:
    from charlm.commands.paint import Depth
    from charlm.types import Array

# Of a text: what is drawn of each unit that was found.
_EXCERPT = 240


def cells(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="[RUN] TEXT",
            help="A run's name or folder or an .npz file, and the text.",
            show_default="the newest run",
        ),
    ],
    unit: Annotated[
        str | None,
        typer.Option(metavar="LAYER.UNIT", help="Colour the text by this unit, such as 1.26."),
    ] = None,
    find: Annotated[
        bool,
        typer.Option(
            "--find",
            help="Find the units that tell most: of a speaker's name, a colon, upper case, the "
            "place in the line, its length, quotes, brackets, a vowel to come.",
        ),
    ] = False,
    length: Annotated[
        int,
        typer.Option("--length", "-n", min=1, help="With --unit: characters to colour."),
    ] = 1000,
    out: Annotated[
        Path | None, typer.Option(help="Write a page for a browser instead of the terminal's.")
    ] = None,
    checkpoints: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("checkpoints"),
) -> None:
    """Colour a text by the state of single units, blue for -1 and orange for 1.

    A unit's state is the tanh of an LSTM's cell, or another cell's hidden state. --find chooses
    units on the first two thirds of up to 20,000 characters, and tells the correlations of the
    last third.

    Example: charlm cells chapter.txt --find

    Example: charlm cells chapter.txt --unit 1.26 --out unit.html
    """
    import sys

    from charlm.runs.folder import find_checkpoint

    if len(arguments) > 2:
        raise typer.BadParameter(f"expected [RUN] TEXT, got {len(arguments)} arguments")
    if (unit is None) == (not find):
        raise typer.BadParameter("give either --unit LAYER.UNIT or --find")
    path = find_checkpoint(arguments[0] if len(arguments) == 2 else None, checkpoints)

    from charlm.commands.paint import depth
    from charlm.insight.characters import characters
    from charlm.insight.excerpt import of_file
    from charlm.insight.properties import properties
    from charlm.insight.reading import Reader
    from charlm.insight.units import CHARACTERS, find_units, most_varying
    from charlm.pages import texts
    from charlm.pages.page import write_page
    from charlm.runs.loading import load_model

    trained = load_model(path)
    layer, number = _numbers(unit, trained.config.model.layers, trained.config.model.hidden)
    text = Path(arguments[-1])
    name, ids = of_file(text, trained, CHARACTERS if find else length)
    title = Path(name).name
    spelled = characters(trained.vocabulary, ids)
    states = spelled.lasts(
        Reader(trained.model, trained.vocabulary.start_id).read(ids, states=True).states
    )
    colours = depth(sys.stdout)
    if out is None and not colours:
        say("stdout shows no colours; --out names a page that does, FORCE_COLOR=1 insists")
    if not find:
        mine = states[:, layer, number]
        if out is None:
            show(_coloured(spelled.text, mine, colours).removesuffix("\n"), painted=True)
            return
        write_page(out, texts.unit_page(title, spelled.text, mine, layer, number))
    else:
        told = properties(spelled.text)
        found = find_units(states, told)
        if not found:
            say(f"{text}: nothing can be measured in it; name a longer text, or one less uniform")
            raise typer.Exit(1)
        for q in found:
            show(f"{q.correlation:+.3f}  layer {q.layer}, unit {q.unit:<4}  {q.property}")
            if colours and out is None:
                begin, end = most_varying(spelled.text, told[q.property], _EXCERPT)
                mine = states[begin:end, q.layer, q.unit]
                excerpt = _coloured(spelled.text[begin:end], mine, colours)
                show(excerpt.rstrip("\n") + "\n", painted=True)
        if out is None:
            return
        write_page(out, texts.units_page(title, spelled.text, states, told, found))
    say(f"{out}: open it in a browser")


def _numbers(unit: str | None, layers: int, hidden: int) -> tuple[int, int]:
    """Return a unit's layer and its number in it."""
    if unit is None:
        return 0, 0
    layer, _, number = unit.partition(".")
    if not (layer.isdecimal() and number.isdecimal()):
        raise typer.BadParameter(f"--unit must be LAYER.UNIT, such as 0.17, got {unit!r}")
    if int(layer) >= layers or int(number) >= hidden:
        raise typer.BadParameter(
            f"--unit must be from 0.0 to {layers - 1}.{hidden - 1} in this model, got {unit}"
        )
    return int(layer), int(number)


def _coloured(text: str, states: Array, colours: Depth) -> str:
    from charlm.commands.paint import state

    return "".join(state(c, v, colours) for c, v in zip(text, states.tolist(), strict=True))
