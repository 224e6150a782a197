"""charlm report: a run as one page, to be opened in a browser."""

from pathlib import Path
from typing import Annotated

import typer

from charlm.commands.console import say


def report(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help="A run's name or folder, or an .npz file.",
            show_default="the newest run",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The page.", show_default="report.html in the run's folder")
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option(help="What it reads.", show_default="the run's own validation text"),
    ] = None,
    checkpoints: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("checkpoints"),
) -> None:
    """Write one page of how a run learned, what it wrote and what is inside.

    Needs matplotlib. The page needs nothing but a browser, no network either.

    Example: charlm report shakespeare --out shakespeare.html
    """
    from charlm.pages.page import write_page
    from charlm.pages.report import report as make
    from charlm.runs.folder import find_checkpoint

    path = find_checkpoint(run, checkpoints)
    page = make(path, text)
    of_run = path.name in ("best.npz", "last.npz")
    out = out or (path.parent / "report.html" if of_run else path.with_suffix(".html"))
    write_page(out, page)
    say(f"{out}: {len(page) / 1e3:,.0f} kB; open it in a browser")
