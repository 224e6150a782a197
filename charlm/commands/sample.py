"""charlm sample: stream text from a trained model to stdout, or draw several side by side."""

from __future__ import annotations

import codecs
import io
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TextIO, cast

import typer

from charlm.commands.console import Screen, say
from charlm.commands.paint import Depth, depth, surprise
from charlm.errors import ConfigError
from charlm.terminal import printable

if TYPE_CHECKING:
    from charlm.generation.sampler import Sampler
    from charlm.text.vocabulary import Vocabulary
    from charlm.types import Ids

_DRAWING = "Drawing"
_WRITTEN = "What is written"

# The options that are not called as a sampler's arguments are.
_OPTIONS = {"temperature": "--temp", "top_k": "--top-k", "top_p": "--top-p", "min_p": "--min-p"}
# More streams than these are drawn one group after the other: memory grows with them.
_AT_ONCE = 64
# No start text is longer; what never ends, such as /dev/zero, is.
_MOST_BYTES = 1 << 24
# So many unknown characters, or copies, are named, and the rest is counted.
_NAMED = 8
# Columns of a copy that are shown.
_QUOTED = 60


class OnUnknown(StrEnum):
    """What becomes of characters in the start text that the model does not know."""

    ERROR = "error"
    SKIP = "skip"
    REPLACE = "replace"


def sample(
    checkpoint: Annotated[
        str | None,
        typer.Argument(help="An .npz file, a run's folder or name.", show_default="the newest run"),
    ] = None,
    temp: Annotated[
        float,
        typer.Option(
            "--temp",
            "-t",
            help="0 is greedy, 1 the model's own, above is wilder.",
            rich_help_panel=_DRAWING,
        ),
    ] = 0.8,
    top_k: Annotated[
        int | None,
        typer.Option(help="Draw from the k likeliest only.", rich_help_panel=_DRAWING),
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(
            help="Draw from the likeliest that make up this share.", rich_help_panel=_DRAWING
        ),
    ] = None,
    min_p: Annotated[
        float | None,
        typer.Option(
            help="Leave out what is less likely than this share of the top.",
            rich_help_panel=_DRAWING,
        ),
    ] = None,
    best_of: Annotated[
        int,
        typer.Option(
            min=1,
            help="Draw so many for each text, and keep the likeliest by the model's own "
            "probabilities, per symbol.",
            rich_help_panel=_DRAWING,
        ),
    ] = 1,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="The same seed gives the same text.",
            show_default="another each time",
            rich_help_panel=_DRAWING,
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            help="What the text begins with; - reads it from stdin.", rich_help_panel=_WRITTEN
        ),
    ] = None,
    on_unknown: Annotated[
        OnUnknown,
        typer.Option(
            help="What becomes of the start's characters that the model does not know.",
            rich_help_panel=_WRITTEN,
        ),
    ] = OnUnknown.ERROR,
    length: Annotated[
        int,
        typer.Option(
            "--length",
            "-n",
            min=0,
            help="Characters to write, at the most; bytes, where the model is one of bytes.",
            rich_help_panel=_WRITTEN,
        ),
    ] = 500,
    stop: Annotated[
        list[str] | None,
        typer.Option(
            help="End after this was written; several may be given.", rich_help_panel=_WRITTEN
        ),
    ] = None,
    count: Annotated[
        int,
        typer.Option(min=1, help="Texts to write, drawn side by side.", rich_help_panel=_WRITTEN),
    ] = 1,
    color: Annotated[
        bool,
        typer.Option(
            "--color",
            help="Colour each character by how unlikely the model held it, on a terminal.",
            rich_help_panel=_WRITTEN,
        ),
    ] = False,
    json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print a JSON object a text: the text with its start, the log-probability in "
            "nats of what was drawn, and more.",
            rich_help_panel=_WRITTEN,
        ),
    ] = False,
    check_copy: Annotated[
        bool,
        typer.Option(
            "--check-copy",
            help="Say on stderr what was copied from the text that the model learned.",
            rich_help_panel=_WRITTEN,
        ),
    ] = False,
    checkpoints: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("checkpoints"),
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of the BLAS.", show_default="1")
    ] = None,
) -> None:
    """Write text, each character as it is drawn.

    Only text goes to stdout, several texts one after the other.

    Example: charlm sample --temp 0.8 --start "KING "

    Example: charlm sample my-text --count 5 --best-of 8 --stop . --json
    """
    import secrets

    from charlm import environment
    from charlm.runs.folder import find_checkpoint

    if color and (json or count > 1 or best_of > 1):
        raise typer.BadParameter("--color is for one text that is shown while it is drawn")
    # Before anything imports NumPy. One step's products are too small to be worth a second thread's
    # waking up, and on a busy machine it is waited for.
    environment.set_threads(threads or environment.chosen_threads() or 1)
    path = find_checkpoint(checkpoint, checkpoints)
    out = _stdout()
    colours = depth(out) if color else Depth.NONE
    if out.isatty() and not colours:
        out = cast(TextIO, Screen(out))
    if color and not colours:
        say("stdout shows no colours; FORCE_COLOR=1 insists")
    given = _stdin() if start == "-" else None

    from charlm.errors import UnknownCharacter
    from charlm.generation.filters import Filters
    from charlm.generation.sampler import Sampler
    from charlm.runs.loading import load_model
    from charlm.runs.training_text import learned_text

    try:
        filters = Filters(temp, top_k, top_p, min_p)
    except ConfigError as error:
        raise ConfigError(_OPTIONS[error.where], error.problem, error.advice) from None
    trained = load_model(path)
    model, vocabulary = trained.model, trained.vocabulary
    learned = learned_text(trained, path) if check_copy else None
    begins_with = (start or "") if given is None else _text(given, vocabulary)
    drawn_from = secrets.randbelow(2**32) if seed is None else seed
    say(f"{path}, seed {drawn_from}")

    def sampler(streams: int, n: int) -> Sampler:
        return Sampler(
            model,
            vocabulary,
            filters,
            start=begins_with,
            on_unknown=cast(Any, on_unknown.value),
            streams=streams,
            stop=stop or (),
            seed=drawn_from,
            n=n,
            scored=json or best_of > 1 or bool(colours),
        )

    try:
        first = sampler(next(_groups(count, best_of)), 0)
    except UnknownCharacter as error:
        raise UnknownCharacter(
            "--start",
            error.problem,
            "leave it out, or pass --on-unknown skip or --on-unknown replace",
        ) from None
    _note_unknown(begins_with, vocabulary, on_unknown)
    written: list[str] = []
    with _may_close(out):
        if count == best_of == 1 and not json:
            written.append(_stream(out, first, length, colours))
        else:
            rest = enumerate(_groups(count, best_of))
            drawings = (sampler(streams, n) if n else first for n, streams in rest)
            drawn = (text for drawing in drawings for text in _drawn(drawing, length))
            for index in range(count):
                text = max(islice(drawn, best_of), key=_likelihood)
                _print(out, text, index, json)
                written.append(text.written)
    if learned is not None:
        _tell_copies(learned, written, vocabulary)


def _stream(out: TextIO, sampler: Sampler, length: int, colours: Depth) -> str:
    """Write one text, each character as it is drawn, and return it without its start."""
    begin = sampler.start
    out.write("".join(surprise(c, 0, colours) for c in begin) if colours else begin)
    out.flush()
    written, nats = [], 0.0
    for character in sampler.characters(length):
        if colours:
            before, nats = nats, -float(sampler.log_probs[0])
            out.write(surprise(character, (nats - before) / math.log(2), colours))
        else:
            out.write(character)
        out.flush()
        written.append(character)
    if out.isatty() and not (written or [sampler.start])[-1].endswith("\n"):
        out.write("\n")
    return "".join(written)


class _Drawn(NamedTuple):
    """A text that was drawn, as stream b of a sampler."""

    sampler: Sampler
    b: int
    written: str


def _groups(count: int, best_of: int) -> Iterator[int]:
    """Yield how many streams are drawn side by side: for some texts, or a part of those for one."""
    if best_of > _AT_ONCE:
        for _ in range(count):
            yield from (min(best_of - k, _AT_ONCE) for k in range(0, best_of, _AT_ONCE))
        return
    together = _AT_ONCE // best_of
    yield from (min(count - k, together) * best_of for k in range(0, count, together))


def _drawn(sampler: Sampler, length: int) -> Iterator[_Drawn]:
    for b, written in enumerate(sampler.write(length)):
        yield _Drawn(sampler, b, written)


def _likelihood(text: _Drawn) -> float:
    """Return the mean log-probability of a text's symbols."""
    return float(text.sampler.log_probs[text.b]) / max(1, text.sampler.counts[text.b])


def _print(out: TextIO, text: _Drawn, index: int, json: bool) -> None:
    """Write one of several texts."""
    if json:
        out.write(_line(text, index))
    else:
        if index:
            out.flush()
            say("-" * 40)
        whole = text.sampler.start + text.written
        out.write(whole if whole.endswith("\n") else f"{whole}\n")
    out.flush()


def _tell_copies(learned: Ids, written: list[str], vocabulary: Vocabulary) -> None:
    """Name on stderr what the texts have copied, the longest first."""
    from charlm.commands.tables import shorten
    from charlm.generation.copies import AT_LEAST, find_copies

    ids = [vocabulary.encode(text) for text in written]
    found = [(copy, k) for k, copies in enumerate(find_copies(learned, ids)) for copy in copies]
    if not found:
        say(f"no copy: nothing of {AT_LEAST} characters or more stands in the learned text")
    for copy, k in sorted(found, key=lambda q: -q[0].length)[:_NAMED]:
        quoted = vocabulary.decode(ids[k][copy.begin : copy.begin + copy.length])
        which = f" of text {k + 1}" if len(written) > 1 else ""
        say(
            f"copy: {copy.length:,} characters from {copy.begin:,}{which} on stand in the learned "
            f"text, from {copy.place:,} on: {shorten(printable(quoted), _QUOTED)}"
        )
    if len(found) > _NAMED:
        say(f"and {len(found) - _NAMED:,} more")


def _line(text: _Drawn, index: int) -> str:
    import json

    sampler, b, written = text
    log_prob = float(sampler.log_probs[b])
    report = {
        "text": sampler.start + written,
        "start": sampler.start,
        "seed": sampler.seed,
        "index": index,
        "symbols": sampler.counts[b],
        "log_probability": log_prob,
        "nats_per_character": -log_prob / len(written) if written else None,
    }
    return json.dumps(report) + "\n"


def _note_unknown(start: str, vocabulary: Vocabulary, on_unknown: OnUnknown) -> None:
    """Say what was done to the start text's unknown characters."""
    from charlm.text.vocabulary import UNKNOWN

    replacements = vocabulary.replacements(start) if on_unknown is not OnUnknown.ERROR else {}
    if not replacements:
        return
    named = [f"{c!r} (U+{ord(c):04X})" for c in replacements][:_NAMED]
    if on_unknown is OnUnknown.REPLACE:
        shown = ["the unknown symbol" if c == UNKNOWN else repr(c) for c in replacements.values()]
        named = [f"{name} by {symbol}" for name, symbol in zip(named, shown, strict=False)]
    if more := len(replacements) - len(named):
        named.append(f"and {more:,} more")
    done = "skipped" if on_unknown is OnUnknown.SKIP else "replaced"
    say(f"--start: {done} {', '.join(named)}, which the model does not know")


def _stdin() -> bytes:
    if sys.stdin is None:
        raise ConfigError(
            "--start", "stdin is closed", "pipe a text into it, or give it in place of -"
        )
    content = sys.stdin.buffer.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ConfigError(
            "--start",
            f"stdin gives more than {_MOST_BYTES:,} bytes",
            "pass the end of it alone, such as with tail -c 10000",
        )
    return content


def _text(content: bytes, vocabulary: Vocabulary) -> str:
    """Decode a start text as training decodes a text; bytes stay what they are."""
    from charlm.text.vocabulary import ByteVocabulary

    text = content.decode("utf-8", "surrogateescape")
    if isinstance(vocabulary, ByteVocabulary):
        return text
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def _stdout() -> TextIO:
    """Return stdout, made to take any character."""
    if sys.stdout is None:
        raise ConfigError("stdout", "is closed", "let the text go to a terminal, a file or a pipe")
    if isinstance(sys.stdout, io.TextIOWrapper):
        codecs.register_error("charlm", _replace)
        sys.stdout.reconfigure(errors="charlm", newline="\n")
    return sys.stdout


@contextmanager
def _may_close(out: TextIO) -> Iterator[None]:
    """Let the reader of stdout, such as head, leave before the end."""
    try:
        yield
        out.flush()
    except OSError as error:
        # What Python would flush at its end goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
        if not isinstance(error, BrokenPipeError):
            raise OSError(error.errno, error.strerror, "stdout") from None


def _replace(error: UnicodeError) -> tuple[str | bytes, int]:
    """Write a start text's bytes that are no UTF-8 as they came, and ? for other characters."""
    assert isinstance(error, UnicodeEncodeError)
    byte = ord(error.object[error.start]) - 0xDC00
    as_it_came = 0x80 <= byte <= 0xFF and not error.encoding.startswith(("utf-16", "utf-32"))
    return bytes((byte,)) if as_it_came else "?", error.start + 1
