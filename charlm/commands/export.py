"""charlm export: write a trained model for PyTorch, safetensors or an ONNX runtime."""

from pathlib import Path
from typing import Annotated

import typer

import charlm
from charlm.commands.console import say
from charlm.commands.options import CHECKPOINTS, Checkpoints, RunArgument, one_of


def export(
    checkpoint: RunArgument = None,
    to: Annotated[
        charlm.Format | None,
        typer.Option(
            **one_of(*charlm.Format), help="The format.", show_default="what --out ends in"
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The file.", show_default="the run's name, here")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    checkpoints: Checkpoints = CHECKPOINTS,
) -> None:
    """Write a model to a file that other programs read.

    Example: charlm export shakespeare --to safetensors
    """
    if to is None and (out is None or charlm.format_of(out) is None):
        raise typer.BadParameter(
            "give --to pytorch, safetensors or onnx, or an --out that ends in .pt, .safetensors "
            "or .onnx"
        )
    model = charlm.load(checkpoint, checkpoints=checkpoints)
    written = charlm.export(model, to, out, force=force)
    parameters = sum(array.size for array in model.parameters.values())
    say(f"{written}: {model.config.model.summary}, {parameters:,} parameters, from {model.path}")
