"""What the commands share: plain lines on stderr, with a little emphasis on a terminal.

Only what a command was asked for goes to stdout: the text that a model wrote, a score, a table.
No control character of a name or a text reaches a terminal raw; a pipe or a file gets the text as
it is.
"""

import io
import os
import sys
from typing import Any, TextIO

from charlm.terminal import printable, visible

_LABEL = 8


class _Stderr:
    """Pass on to stderr; once its reader has left, such as `head`, the program goes on unseen."""

    def write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
        except OSError:
            _point_at_nothing(sys.stderr)

    def flush(self) -> None:
        try:
            sys.stderr.flush()
        except OSError:
            _point_at_nothing(sys.stderr)

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


stderr = _Stderr()


def say(line: str, label: str = "") -> None:
    """Print one line on stderr, behind a label that stands out."""
    head = bold(label) + " " * (_LABEL - len(label)) if label else ""
    print(head + printable(line), file=stderr, flush=True)


def show(text: str, end: str = "\n", *, painted: bool = False) -> None:
    """Print what was asked for on stdout, whatever its encoding lacks; `head` may close it.

    Args:
        text: a line or several.
        end: what follows it.
        painted: it has colours, and of what they are laid on, no character is a control.
    """
    if not painted and sys.stdout and sys.stdout.isatty():
        text = visible(text)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        _point_at_nothing(sys.stdout)


class Screen:
    """Pass on to a terminal what is visible, and what it would obey as escapes.

    Args:
        stream: the terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> None:
        """Write a text, escapes in place of controls."""
        self.stream.write(visible(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _point_at_nothing(stream: TextIO) -> None:
    """Let what is still in the stream's buffer, and all that follows, go nowhere."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, stream.fileno())
    os.close(nothing)


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


def size(count: float) -> str:
    """Return bytes as `61 MB`."""
    if count < 1e7:
        return f"{count / 1e6:.1f} MB"
    return f"{count / 1e6:,.0f} MB" if count < 1e9 else f"{count / 1e9:,.1f} GB"
