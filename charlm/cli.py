"""The command line: names the commands, and turns errors into one line and an exit code.

0    success
1    a CharlmError or an OSError: one line on stderr
2    wrong usage
130  Ctrl-C, 143 SIGTERM: training has saved first
"""

import os
import sys
from typing import Annotated, Any

import typer

from charlm._version import __version__
from charlm.commands.cells import cells
from charlm.commands.console import say
from charlm.commands.evaluate import evaluate
from charlm.commands.export import export
from charlm.commands.fetch import fetch
from charlm.commands.gradients import gradients
from charlm.commands.help import Command, Group
from charlm.commands.import_ import import_
from charlm.commands.info import info
from charlm.commands.report import report
from charlm.commands.sample import sample
from charlm.commands.train import train
from charlm.environment import launched
from charlm.errors import CharlmError
from charlm.terminal import visible

app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# What typer raises where an option or an argument is wrong; it has no name of its own there.
_UsageError: Any = typer.BadParameter.__mro__[1]
_PANELS: dict[str, dict[str, Any]] = {
    "Learn and write": {"train": train, "sample": sample},
    "Look at what was learned": {
        "eval": evaluate, "info": info, "report": report, "cells": cells, "gradients": gradients,
    },
    "Bring in and take away": {"fetch": fetch, "export": export, "import": import_},
}  # fmt: skip
for _panel, _commands in _PANELS.items():
    for _name, _command in _commands.items():
        app.command(_name, cls=Command, rich_help_panel=_panel)(_command)


def _version(asked: bool) -> None:
    if asked:
        print(f"charlm {__version__}")
        raise typer.Exit


@app.callback()
def program(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show it and exit."),
    ] = False,
) -> None:
    """Learn a text character by character, and write more of it.

    Example: charlm train data/shakespeare.txt, then charlm sample --temp 0.8
    """


def _is_silent() -> bool:
    """Return whether another process, which trains the same run, reports the errors of all."""
    return sys.argv[1:2] == ["train"] and launched().rank > 0


def main() -> None:
    """Run the program."""
    if sys.stderr is None:
        # Started with stderr closed: print would take stdout instead.
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    try:
        code = app(prog_name="charlm", standalone_mode=False)
    except _UsageError as error:
        error.message = visible(error.message)
        if not _is_silent():
            error.show()
        sys.exit(2)
    except CharlmError as error:
        problem = str(error)
    except MemoryError as error:
        problem = (
            f"there is not enough memory ({error or 'it is full'}); lower model.hidden, "
            "model.layers, train.batch_size or train.seq_len"
        )
    except OSError as error:
        problem = f"{error.filename}: " * bool(error.filename) + (error.strerror or str(error))
    else:
        sys.exit(code or 0)
    if not _is_silent():
        say(f"charlm: {problem}")
    sys.exit(1)
