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
    from charlm.text.known import KNOWN

    if name is None:
        if url is not None:
            raise typer.BadParameter("--url needs the NAME of the text that lies there")
        for text in KNOWN.values():
            show(f"{text.name}, {size(text.nbytes)}, {text.licence}\n  {text.about}\n  {text.url}")
        return

    import signal
    import sys
    from contextlib import closing

    from tqdm import tqdm

    from charlm.storage.fetch import fetch as download
    from charlm.storage.fetch import is_there, known

    # Ends by way of what cleans up.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    text = known(name)
    path = to / f"{text.name}.txt"
    if is_there(text, path):
        say(f"{path}: is there already, {text.nbytes:,} bytes with the right SHA-256")
        return
    bar = tqdm(
        total=text.nbytes,
        unit="B",
        unit_scale=True,
        dynamic_ncols=True,
        file=sys.stderr,
        disable=not sys.stderr.isatty(),
    )
    with bar, closing(download(text, path, url)) as pieces:
        for count in pieces:
            bar.update(count)
    say(
        f"{path}: {text.nbytes:,} bytes with the right SHA-256; learn it with: "
        f"charlm train {argument(path)}"
    )
