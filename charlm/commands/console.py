"""What the commands share: plain lines on stderr, with a little emphasis on a terminal.

Only what a command was asked for goes to stdout: the text that a model wrote, a score, a table.
"""

import io
import os
import sys


def say(line: str = "") -> None:
    """Print a line on stderr."""
    print(line, file=sys.stderr, flush=True)


def show(text: str) -> None:
    """Print what was asked for on stdout, whatever its encoding lacks; `head` may close it."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # What Python would flush at its end goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def dim(text: str) -> str:
    """Return text that steps back, on a terminal that shows colours and whose user wants them."""
    return f"\033[2m{text}\033[0m" if _colours() else text


def bold(text: str) -> str:
    """Return text that stands out, likewise."""
    return f"\033[1m{text}\033[0m" if _colours() else text


def _colours() -> bool:
    return (
        sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )


def duration(seconds: float) -> str:
    """Return `40 s`, `3.2 min` or `1.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Return bytes as `61 MB`."""
    if count < 1e7:
        return f"{count / 1e6:.1f} MB"
    return f"{count / 1e6:,.0f} MB" if count < 1e9 else f"{count / 1e9:,.1f} GB"
