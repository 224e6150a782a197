"""Arguments and options that several commands share, each declared once."""

import math
from collections.abc import Mapping
from copy import copy
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args, get_origin

import typer

import charlm
from charlm.terminal import brief

CHECKPOINTS = Path("checkpoints")
_INF = math.inf


def whole(least: float = -_INF, most: float = _INF) -> dict[str, Any]:
    """Return what makes an option take a whole number within bounds."""
    return _numeric(int, "a whole number", least, most)


def real(least: float = -_INF, most: float = _INF) -> dict[str, Any]:
    """Return what makes an option take a number within bounds."""
    return _numeric(float, "a number", least, most)


def _numeric(kind: type, expected: str, least: float, most: float) -> dict[str, Any]:
    words = {"of at least": least, "and at most": most}
    expected += "".join(f" {word} {bound:g}" for word, bound in words.items() if abs(bound) < _INF)

    def parse(text: str) -> Any:
        try:
            number = kind(text)
        except ValueError:
            number = math.nan
        if least <= number <= most:
            return number
        raise typer.BadParameter(f"must be {expected}, got {brief(text)}")

    return {"parser": parse, "metavar": f"<{kind.__name__}>"}


def one_of(*words: str) -> dict[str, Any]:
    """Return what makes an option take one of some words."""

    def parse(text: str) -> str:
        if text in words:
            return text
        nearest = "".join(f"; did you mean {word}?" for word in get_close_matches(text, words, n=1))
        raise typer.BadParameter(f"must be {', '.join(words)}, got {brief(text)}{nearest}")

    return {"parser": parse, "metavar": f"<{'|'.join(words)}>"}


def text_path(text: str) -> Path:
    """Return the path of a text; an empty one, as of an unset variable, is no current folder."""
    if not text:
        raise typer.BadParameter("must be a file or a folder, got an empty name")
    return Path(text)


_RUN: dict[str, Any] = {
    "metavar": "RUN",
    "help": "A run's name or folder, or an .npz file.",
    "show_default": "the newest run",
}

Checkpoints = Annotated[Path, typer.Option(help="Folder of all runs.")]
RunArgument = Annotated[str | None, typer.Argument(**_RUN)]
RunOption = Annotated[str | None, typer.Option("--run", **_RUN)]
TextArgument = Annotated[
    Path,
    typer.Argument(
        metavar="TEXT", parser=text_path, help="A file, or a folder: read with the run's glob."
    ),
]
OnUnknown: TypeAlias = Literal["error", "skip", "replace"]
ON_UNKNOWN = one_of(*get_args(OnUnknown))
OnUnknownOption = Annotated[
    OnUnknown,
    typer.Option(**ON_UNKNOWN, help="What becomes of characters that the model does not know."),
]
NGRAM_WEIGHT = {
    **real(),
    "help": "Weight of the n-grams of the training text, mixed with the model's probabilities, "
    "such as 0.3.",
}
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Page = Annotated[
    Path | None, typer.Option("--out", help="Write a page for a browser instead of the terminal's.")
]


def threads(default: str, text: str = "Threads of the BLAS.", **more: Any) -> Any:
    """Return the option for the number of threads."""
    return typer.Option(**whole(1), help=text, show_default=default, **more)


def _set_threads(count: int | None) -> int | None:
    charlm.set_threads(count or charlm.chosen_threads() or 1)
    return count


# Set where it is parsed, before NumPy is loaded. A second thread shortens these commands by a half
# at best; where other programs run, each of their many short products may have to wait for it.
Threads = Annotated[int | None, threads("1", callback=_set_threads)]


def setting(name: str, panel: str, *names: str, help: str = "", default: str = "") -> Any:  # noqa: A002
    """Return the option for a setting; its help is the setting's meaning.

    `names` are the option's, where they are not the parameter's.
    """
    field = charlm.FIELDS[charlm.KEYS[name]]
    meaning: str = field.metadata["meaning"]
    help = help or f"{meaning[0].upper()}{meaning[1:]}."  # noqa: A001
    number: dict[str, Any] = {}
    kinds = get_args(field.type) or (field.type,)
    # Bounds are checked where settings from all sources are resolved; `seq_len` may be a word.
    if not any(get_origin(kind) is Literal for kind in kinds):
        number = whole() if int in kinds else real() if float in kinds else {}
    more = {"rich_help_panel": panel, "show_default": default or False, **number}
    return typer.Option(*names, help=help, **more)


def renamed(error: charlm.CharlmError, options: Mapping[str, str], advice: str = "") -> Exception:
    """Return an error about a library's argument as one about the option that it came from."""
    error = copy(error)
    error.where = options.get(error.where, error.where)
    error.advice = advice or error.advice
    return error
