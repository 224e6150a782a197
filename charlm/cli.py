"""The command line: names the commands, and turns errors into one line and an exit code.

0    well
1    a CharlmError, or an error of the system's: one line on stderr
2    wrong usage
130  Ctrl-C, 143 SIGTERM: training has saved first
"""

import sys

import typer

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
    try:
        app(prog_name="charlm")
    except CharlmError as error:
        print(f"charlm: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"charlm: {where}{error.strerror or error}", file=sys.stderr)
        sys.exit(1)
