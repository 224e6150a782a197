"""charlm export: write a trained model for PyTorch, safetensors or an ONNX runtime."""

from pathlib import Path
from typing import Annotated

import typer

from charlm.commands.console import say
from charlm.exchange.formats import Format, format_of


def export(
    checkpoint: Annotated[
        str | None,
        typer.Argument(help="An .npz file, a run's folder or name.", show_default="the newest run"),
    ] = None,
    to: Annotated[
        Format | None, typer.Option(help="The format.", show_default="what --out ends in")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The file.", show_default="the run's name, here")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    checkpoints: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("checkpoints"),
) -> None:
    """Write a model to a file that other programs read.

    Example: charlm export shakespeare --to safetensors
    """
    from charlm.runs.folder import Run, find_checkpoint

    format_ = to or (format_of(out) if out else None)
    if format_ is None:
        raise typer.BadParameter(
            "give --to pytorch, safetensors or onnx, or an --out that ends in .pt, .safetensors "
            "or .onnx"
        )
    path = find_checkpoint(checkpoint, checkpoints)
    if out is None:
        run = Run(path.resolve().parent)
        stem = run.folder.name if path.name in (run.best.name, run.last.name) else path.stem
        out = Path(stem + format_.suffix)

    from charlm.exchange.transfer import export_model
    from charlm.runs.loading import load_model

    trained = load_model(path)
    export_model(trained, format_, out, force=force)
    say(
        f"{out}: {trained.config.model.summary}, "
        f"{trained.model.parameters.size:,} parameters, from {path}"
    )
