"""charlm import: make a run of a file that charlm exported, perhaps trained further since."""

from pathlib import Path
from typing import Annotated

import typer

from charlm.commands.console import say
from charlm.terminal import argument


def import_(
    file: Annotated[Path, typer.Argument(help="A .pt or .safetensors file of charlm export.")],
    name: Annotated[
        str | None, typer.Option(help="The run's name.", show_default="the file's stem")
    ] = None,
    checkpoints: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("checkpoints"),
) -> None:
    """Make a run of an exported file, to sample from, score and export.

    Example: charlm import further.safetensors --name further
    """
    from charlm.exchange.transfer import import_run

    run = import_run(file, checkpoints, name)
    say(f"imported: {run.best}; write with: charlm sample {argument(run.folder)}")
