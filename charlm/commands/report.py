"""charlm report: a run as one page, to be opened in a browser."""

from pathlib import Path
from typing import Annotated

import typer

import charlm
from charlm.commands.console import say
from charlm.commands.options import (
    CHECKPOINTS,
    Checkpoints,
    OnUnknownOption,
    RunArgument,
    Threads,
    text_path,
)


def report(
    run: RunArgument = None,
    out: Annotated[
        Path | None, typer.Option(help="The page.", show_default="report.html in the run's folder")
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option(
            parser=text_path,
            metavar="<path>",
            help="What it reads.",
            show_default="the run's own validation text",
        ),
    ] = None,
    on_unknown: OnUnknownOption = "error",
    checkpoints: Checkpoints = CHECKPOINTS,
    threads: Threads = None,
) -> None:
    """Write one page of how a run learned, what it wrote and what is inside.

    Needs matplotlib. The page needs nothing but a browser, no network either.

    Example: charlm report shakespeare --out shakespeare.html
    """
    checkpoint = charlm.find_checkpoint(run, checkpoints)
    out = out or charlm.page_path(checkpoint)
    page = charlm.report(checkpoint, text=text, out=out, on_unknown=on_unknown)
    charlm.save_page(out, page)
    say(f"{out}: {len(page) / 1e3:,.0f} kB; open it in a browser")
