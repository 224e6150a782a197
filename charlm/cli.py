"""The command line: names the commands, and turns errors into one line and an exit code.

0    well
1    a CharlmError, or an error of the system's: one line on stderr
2    wrong usage
130  Ctrl-C, 143 SIGTERM: training has saved first
"""

import os
import sys

import typer

from charlm.commands.console import say
from charlm.commands.evaluate import evaluate
from charlm.commands.export import export
from charlm.commands.fetch import fetch
from charlm.commands.import_ import import_
from charlm.commands.info import info
from charlm.commands.sample import sample
from charlm.commands.train import train
from charlm.errors import CharlmError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Learn a text character by character, and write more of it.",
)
app.command()(train)
app.command()(sample)
app.command("eval")(evaluate)
app.command()(export)
app.command("import")(import_)
app.command()(info)
app.command()(fetch)


def main() -> None:
    """Run the program."""
    if sys.stderr is None:
        # Started with stderr closed: print would take stdout instead.
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    try:
        app(prog_name="charlm")
    except CharlmError as error:
        say(f"charlm: {error}")
        sys.exit(1)
    except MemoryError as error:
        say(
            f"charlm: there is not enough memory ({error or 'it is full'}); lower model.hidden, "
            "model.layers, train.batch_size or train.seq_len"
        )
        sys.exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        say(f"charlm: {where}{error.strerror or error}")
        sys.exit(1)
