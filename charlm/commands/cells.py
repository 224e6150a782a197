"""charlm cells: a text coloured by the state of single units."""

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

import charlm
from charlm.commands.console import say, say_unknown, show
from charlm.commands.drawing import NO_COLOURS, by_state, colour_system, over_time
from charlm.commands.options import (
    CHECKPOINTS,
    Checkpoints,
    OnUnknownOption,
    Page,
    RunOption,
    TextArgument,
    Threads,
    whole,
)

# Characters that are drawn of each unit that was found.
_EXCERPT = 240
_DIGITS = "a digit is the first one behind the decimal point, with its sign above it"


def cells(
    text: TextArgument,
    run: RunOption = None,
    unit: Annotated[
        str | None,
        typer.Option(metavar="LAYER.UNIT", help="Colour the text by this unit, such as 1.26."),
    ] = None,
    find: Annotated[
        bool,
        typer.Option(
            "--find",
            help="Find the units most correlated with a speaker's name, a colon, upper case, the "
            "place in the line, its length, quotes, brackets, a vowel to come.",
        ),
    ] = False,
    gates: Annotated[
        bool,
        typer.Option("--gates", help="With --unit: its gates and state in rows below the text."),
    ] = False,
    length: Annotated[
        int, typer.Option("--length", "-n", **whole(1), help="With --unit: characters to colour.")
    ] = 1000,
    out: Page = None,
    on_unknown: OnUnknownOption = "error",
    checkpoints: Checkpoints = CHECKPOINTS,
    threads: Threads = None,
) -> None:
    """Colour a text by the state of single units, blue for -1 and orange for 1.

    A unit's state is the tanh of an LSTM's cell, or another cell's hidden state. --find chooses
    units on the first two thirds of up to 20,000 characters, and reports the correlations on the
    last third. --gates draws f, i, o and tanh(c) of an LSTM's unit, r, z and h of a GRU's, h of a
    tanh RNN's.

    Example: charlm cells chapter.txt --find

    Example: charlm cells chapter.txt --unit 1.26 --out unit.html

    Example: charlm cells chapter.txt --unit 1.26 --gates -n 200
    """
    if (unit is None) == (not find):
        raise typer.BadParameter("give either --unit LAYER.UNIT or --find")
    if gates and find:
        raise typer.BadParameter("--gates goes with --unit")
    model = charlm.load(run, checkpoints=checkpoints, on_unknown=on_unknown)
    say_unknown(model, text, text)
    network, chosen = model.config.model, None
    if unit is not None:
        chosen = _numbers(unit, network.layers, network.hidden)
    colours = colour_system(sys.stdout)
    if not (out or colours):
        say(f"{NO_COLOURS}; {_DIGITS}" if gates else NO_COLOURS)
    if chosen and gates:
        trace = model.unit_trace(text, chosen, length)
        if out:
            _save(out, model.cells_page(trace, title=text.name))
        else:
            rows = {name: values.tolist() for name, values in trace.values.items()}
            columns = shutil.get_terminal_size().columns
            show(over_time(trace.text, rows, columns, colours), painted=True)
        return
    read = model.text_states(text) if chosen is None else model.text_states(text, length)

    def coloured(unit: tuple[int, int], begin: int = 0, end: int | None = None) -> str:
        states = read.states[(slice(begin, end), *unit)].tolist()
        pairs = zip(read.text[begin:end], states, strict=True)
        return "".join(by_state(*pair, colours) for pair in pairs)

    if chosen is None:
        found = read.find_units()
        if not found:
            say(f"{text}: nothing can be measured in it; name a longer text, or one less uniform")
            raise typer.Exit(1)
        for one in found:
            show(f"{one.correlation:+.3f}  layer {one.layer}, unit {one.unit:<4}  {one.property}")
            if colours and not out:
                excerpt = coloured((one.layer, one.unit), *read.excerpt(one, _EXCERPT))
                show(excerpt.rstrip("\n") + "\n", painted=True)
    elif not out:
        show(coloured(chosen).removesuffix("\n"), painted=True)
    if out:
        _save(out, model.cells_page(read, chosen, text.name))


def _save(out: Path, page: str) -> None:
    charlm.save_page(out, page)
    say(f"{out}: open it in a browser")


def _numbers(unit: str, layers: int, hidden: int) -> tuple[int, int]:
    """Return a unit's layer and its number in it."""
    layer, _, number = unit.partition(".")
    if not (layer.isdecimal() and number.isdecimal()):
        raise typer.BadParameter(f"--unit must be LAYER.UNIT, such as 0.17, got {unit!r}")
    if int(layer) >= layers or int(number) >= hidden:
        raise typer.BadParameter(
            f"--unit must be from 0.0 to {layers - 1}.{hidden - 1} in this model, got {unit}"
        )
    return int(layer), int(number)
