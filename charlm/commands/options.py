"""Arguments and options that several commands share, each declared once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import typer

import charlm

CHECKPOINTS = Path("checkpoints")
_RUN: dict[str, Any] = {
    "metavar": "RUN",
    "help": "A run's name or folder, or an .npz file.",
    "show_default": "the newest run",
}

Checkpoints = Annotated[Path, typer.Option(help="Folder of all runs.")]
RunArgument = Annotated[str | None, typer.Argument(**_RUN)]
RunOption = Annotated[str | None, typer.Option("--run", **_RUN)]
TextArgument = Annotated[
    Path, typer.Argument(metavar="TEXT", help="A file, or a folder: read with the run's glob.")
]
OnUnknown: TypeAlias = Literal["error", "skip", "replace"]
OnUnknownOption = Annotated[
    OnUnknown, typer.Option(help="What becomes of characters that the model does not know.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Page = Annotated[
    Path | None, typer.Option("--out", help="Write a page for a browser instead of the terminal's.")
]


def threads(default: str, **more: Any) -> Any:
    """Return the option for the number of the BLAS's threads."""
    return typer.Option(min=1, help="Threads of the BLAS.", show_default=default, **more)


def setting(name: str, panel: str, help: str = "", default: str = "") -> Any:  # noqa: A002
    """Return the option for a setting; its help is the setting's meaning."""
    meaning: str = charlm.FIELDS[charlm.KEYS[name]].metadata["meaning"]
    help = help or f"{meaning[0].upper()}{meaning[1:]}."  # noqa: A001
    return typer.Option(help=help, show_default=default or False, rich_help_panel=panel)


def renamed(error: charlm.CharlmError, options: Mapping[str, str], advice: str = "") -> Exception:
    """Return an error about a library's argument as one about the option that it came from."""
    where = options.get(error.where, error.where)
    return type(error)(where, error.problem, advice or error.advice)
