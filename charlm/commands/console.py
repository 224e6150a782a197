"""What the commands share: one line on stderr, results on stdout, and numbers as text.

Only what a command was asked for goes to stdout: the text that a model wrote, a score, a table. No
control character of a name or a text reaches a terminal raw; a pipe or a file gets the text as it
is.
"""

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from charlm.commands.drawing import styled
from charlm.terminal import printable, visible

if TYPE_CHECKING:
    from charlm import LanguageModel

_LABEL = 8
# A text that is read sooner needs no bar.
_SHORT_S = 0.5
# So many unknown characters are named, and the rest is counted.
_NAMED = 8


class _Stderr:
    """stderr, which is replaced by the null device once its reader, such as `head`, has left."""

    def write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
        except OSError:
            discard(sys.stderr)

    def flush(self) -> None:
        try:
            sys.stderr.flush()
        except OSError:
            discard(sys.stderr)

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


stderr: Any = _Stderr()


def say(line: str, label: str = "") -> None:
    """Print one line on stderr, behind a label in bold."""
    head = styled(label, "bold", stderr) + " " * (_LABEL - len(label)) if label else ""
    print(head + printable(line), file=stderr, flush=True)


def show(text: str, end: str = "\n", *, painted: bool = False) -> None:
    """Print a result on stdout, whatever its encoding lacks; `head` may close it.

    A `painted` text has colours, and no other control character.
    """
    if not painted and sys.stdout and sys.stdout.isatty():
        text = visible(text)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if sys.stdout:
        with closable(sys.stdout):
            print(text, end=end, flush=True)


def say_unknown(model: "LanguageModel", text: "str | Path", where: object) -> None:
    """Say what becomes of a text's characters that the model does not know."""
    found = {} if model.on_unknown == "error" else model.unknown(text)
    if not found:
        return
    replaced, named = model.on_unknown == "replace", []
    symbols = model.vocabulary.replacements("".join(found))
    for character, count in list(found.items())[:_NAMED]:
        symbol = symbols[character]
        by = " by the unknown symbol" if symbol == "\ufffd" else f" by {symbol!r}"
        named.append(f"{count:,} {character!r} (U+{ord(character):04X}){by * replaced}")
    if more := len(found) - len(named):
        named.append(f"and {more:,} more")
    done = "replaced" if replaced else "skipped"
    say(f"{where}: {done} what the model does not know: {', '.join(named)}")


@contextmanager
def closable(out: TextIO) -> Iterator[None]:
    """Let the reader of a stream, such as `head`, leave before the end."""
    try:
        yield
        out.flush()
    except OSError as error:
        discard(out)
        if not isinstance(error, BrokenPipeError):
            raise OSError(error.errno, error.strerror, "stdout") from None


def discard(stream: TextIO) -> None:
    """Redirect a stream, and what is still in its buffer, to the null device."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, stream.fileno())
    os.close(nothing)


def bar(**options: Any) -> Any:
    """Return a tqdm bar on stderr, which is shown on a terminal only."""
    from tqdm import tqdm

    return tqdm(**{"file": stderr, "dynamic_ncols": True, "disable": None} | options)


@contextmanager
def reading_bar(unit: str = "B", *, hidden: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Show how far a long text is read; gives a function of what is read, and of all."""
    options = {"unit": unit, "unit_scale": True, "leave": False, "disable": hidden or None}
    with bar(desc="reading", delay=_SHORT_S, **options) as shown:

        def show(done: int, total: int) -> None:
            shown.total = total
            shown.update(done - shown.n)
            if done == total:
                shown.close()

        yield show


def to_json(content: Any, indent: int | None = None) -> str:
    """Return a JSON document of records too; what is no finite number becomes null."""
    import json

    return json.dumps(_plain(content), indent=indent, allow_nan=False)


def _plain(content: Any) -> Any:
    for of_a_record in ("as_dict", "_asdict"):
        if hasattr(content, of_a_record):
            content = getattr(content, of_a_record)()
    if isinstance(content, dict):
        return {key: _plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    infinite = isinstance(content, float) and not abs(content) < float("inf")
    return None if infinite else content


def size(count: float) -> str:
    """Return bytes as `4.6 kB`, `6.1 MB` or `61 MB`."""
    if count < 1e6:
        return f"{count / 1e3:.1f} kB"
    if count < 1e7:
        return f"{count / 1e6:.1f} MB"
    return f"{count / 1e6:,.0f} MB" if count < 1e9 else f"{count / 1e9:,.1f} GB"
