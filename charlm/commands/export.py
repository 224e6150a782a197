"""charlm export: write a model for PyTorch, safetensors or an ONNX runtime, or as a page."""

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
    one_of,
    text_path,
)


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
    text: Annotated[
        Path | None,
        typer.Option(
            parser=text_path,
            metavar="<path>",
            help="With html: what the page begins with, and is searched for units.",
            show_default="the run's own validation text",
        ),
    ] = None,
    float32: Annotated[
        bool, typer.Option("--float32", help="With html: weights in float32, twice the size.")
    ] = False,
    on_unknown: OnUnknownOption = "error",
    checkpoints: Checkpoints = CHECKPOINTS,
    threads: Threads = None,
) -> None:
    """Write a model to a file that other programs read, or to a page that runs it.

    A page (html) opens in a browser from disk, and needs no network.

    Example: charlm export shakespeare --to safetensors

    Example: charlm export shakespeare --to html --out page.html
    """
    written_as = to or (out and charlm.format_of(out))
    if written_as is None:
        raise typer.BadParameter(
            "give --to pytorch, safetensors, onnx or html, or an --out that ends in .pt, "
            ".safetensors, .onnx or .html"
        )
    if written_as != charlm.Format.HTML and (text or float32):
        raise typer.BadParameter(f"--text and --float32 are for html, got {written_as}")
    model = charlm.load(checkpoint, checkpoints=checkpoints, on_unknown=on_unknown)
    written = charlm.export(model, to, out, force=force, text=text, float32=float32)
    parameters = sum(array.size for array in model.parameters.values())
    say(f"{written}: {model.config.model.summary}, {parameters:,} parameters, from {model.path}")
