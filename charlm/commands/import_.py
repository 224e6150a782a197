"""charlm import: make a run of a file that charlm exported, perhaps trained further since."""

from pathlib import Path
from typing import Annotated

import typer

import charlm
from charlm.commands.console import say
from charlm.commands.options import CHECKPOINTS, Checkpoints
from charlm.terminal import argument


def import_(
    file: Annotated[Path, typer.Argument(help="A .pt or .safetensors file of charlm export.")],
    name: Annotated[
        str | None, typer.Option(help="The run's name.", show_default="the file's stem")
    ] = None,
    checkpoints: Checkpoints = CHECKPOINTS,
) -> None:
    """Make a run of an exported file, to sample from, score and export.

    Example: charlm import further.safetensors --name further
    """
    path = charlm.import_(file, name, checkpoints=checkpoints).path
    say(f"imported: {path}; write with: charlm sample {argument(path.parent)}")
