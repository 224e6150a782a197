"""charlm fetch: download a known text into the folder of texts."""

from pathlib import Path
from typing import Annotated

import typer

import charlm
from charlm.commands.console import bar, say, show, size
from charlm.terminal import argument


def fetch(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Which text; without one, the known ones are listed."),
    ] = None,
    to: Annotated[Path, typer.Option(metavar="FOLDER", help="Where to put it.")] = Path("data"),
    url: Annotated[
        str | None, typer.Option(help="Another address of the same text; it is checked as well.")
    ] = None,
) -> None:
    """Download a known text, and check that it is the right one.

    Example: charlm fetch tinyshakespeare
    """
    if name is None:
        if url is not None:
            raise typer.BadParameter("--url needs the NAME of the text that lies there")
        for known, text in charlm.KNOWN_TEXTS.items():
            show(f"{known}, {size(text.nbytes)}\n  {text.about}\n  {text.url}")
        return
    known_text = charlm.KNOWN_TEXTS.get(name)
    total, disable = (known_text.nbytes, None) if known_text else (None, True)
    with bar(total=total, unit="B", unit_scale=True, disable=disable) as shown:
        path = charlm.fetch(name, to, url, shown.update)
    say(
        f"{path}: {path.stat().st_size:,} bytes with the right SHA-256; learn it with: "
        f"charlm train {argument(path)}"
    )
