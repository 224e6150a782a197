"""charlm fetch: download a known text into the folder of texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from charlm.commands.console import say, show, size
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
    from charlm.storage.fetch import KNOWN_TEXTS
    from charlm.storage.fetch import fetch as download

    if name is None:
        if url is not None:
            raise typer.BadParameter("--url needs the NAME of the text that lies there")
        for known, text in KNOWN_TEXTS.items():
            show(f"{known}, {size(text.nbytes)}\n  {text.about}\n  {text.url}")
        return

    import sys

    from tqdm import tqdm

    total = KNOWN_TEXTS[name].nbytes if name in KNOWN_TEXTS else None
    with tqdm(
        total=total,
        unit="B",
        unit_scale=True,
        dynamic_ncols=True,
        file=sys.stderr,
        disable=total is None or not sys.stderr.isatty(),
    ) as bar:
        path = download(name, to, url, bar.update)
    say(
        f"{path}: {path.stat().st_size:,} bytes with the right SHA-256; learn it with: "
        f"charlm train {argument(path)}"
    )
