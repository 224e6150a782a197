"""charlm sample: stream text from a trained model to stdout, or draw several texts."""

import codecs
import io
import math
import sys
import unicodedata
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

import charlm
from charlm.commands.console import closable, reading_bar, say, say_unknown, to_json
from charlm.commands.drawing import by_surprise, colour_system, shorten
from charlm.commands.options import (
    CHECKPOINTS,
    ON_UNKNOWN,
    Checkpoints,
    OnUnknown,
    RunArgument,
    Threads,
    real,
    renamed,
    whole,
)
from charlm.errors import CharlmError, ConfigError, UnknownCharacter
from charlm.terminal import argument, visible

if TYPE_CHECKING:
    from rich.color import ColorSystem

    from charlm import Copy, LanguageModel, Sample, Sampler

_drawing = partial(typer.Option, rich_help_panel="Drawing")
_written = partial(typer.Option, rich_help_panel="What is written")

# The options that are not called as the library's arguments are.
_OPTIONS = {
    "start": "--start", "temperature": "--temp", "top_k": "--top-k", "top_p": "--top-p",
    "min_p": "--min-p",
}  # fmt: skip
# No start text is longer: what never ends, such as /dev/zero, is not read on.
_MOST_BYTES = 1 << 24
# A longer start text is read behind a bar.
_LONG = 10_000
# So many copies are named, and the rest is counted.
_NAMED = 8
# Columns of a copy that are shown.
_QUOTED = 60


def sample(
    checkpoint: RunArgument = None,
    temp: Annotated[
        float,
        _drawing(
            "--temp",
            "--temperature",
            "-t",
            **real(),
            help="Temperature: 0 is greedy, 1 the model's probabilities.",
        ),
    ] = 0.8,
    top_k: Annotated[
        int | None, _drawing(**whole(), help="Draw from the k most probable characters only.")
    ] = None,
    top_p: Annotated[
        float | None,
        _drawing(
            **real(), help="Draw from the most probable characters that make up this probability."
        ),
    ] = None,
    min_p: Annotated[
        float | None,
        _drawing(
            **real(),
            help="Leave out what is less probable than this fraction of the most probable.",
        ),
    ] = None,
    best_of: Annotated[
        int,
        _drawing(
            **whole(1), help="Draw so many for each text; keep the most probable, per character."
        ),
    ] = 1,
    seed: Annotated[
        int | None,
        _drawing(
            **whole(0), help="The same seed gives the same text.", show_default="another each time"
        ),
    ] = None,
    start: Annotated[
        str, _written(help="What the text begins with; - reads it from stdin.", show_default=False)
    ] = "",
    on_unknown: Annotated[
        OnUnknown,
        _written(
            **ON_UNKNOWN,
            help="What becomes of the start's characters that the model does not know.",
        ),
    ] = "error",
    length: Annotated[
        int, _written("--length", "-n", **whole(0), help="Characters to write, at most, or bytes.")
    ] = 500,
    stop: Annotated[
        list[str] | None, _written(help="End after this was written; several may be given.")
    ] = None,
    count: Annotated[int, _written(**whole(1), help="Texts to write, drawn side by side.")] = 1,
    color: Annotated[
        bool, _written("--color", help="Colour each character by its surprise, on a terminal.")
    ] = False,
    json: Annotated[
        bool,
        _written(
            "--json",
            help="Print a JSON object a text: the text with its start, the log-probability in "
            "nats of what was drawn, and more.",
        ),
    ] = False,
    check_copy: Annotated[
        bool,
        _written("--check-copy", help="Report on stderr what was copied from the training text."),
    ] = False,
    checkpoints: Checkpoints = CHECKPOINTS,
    threads: Threads = None,
) -> None:
    """Write text, each character as it is drawn.

    Only text goes to stdout, several texts one after the other.

    Example: charlm sample --temp 0.8 --start "KING "

    Example: charlm sample my-text --count 5 --best-of 8 --stop . --json
    """
    if color and (json or count > 1 or best_of > 1):
        raise typer.BadParameter("--color is for one text that is shown while it is drawn")
    out = _stdout()
    colours = colour_system(out) if color else None
    if color and not colours:
        say("stdout shows no colours; FORCE_COLOR=1 writes them all the same")
    model = charlm.load(checkpoint, checkpoints=checkpoints, on_unknown=on_unknown)
    start = _read_start(model, start)
    if check_copy:
        # Where it is missing, nothing is drawn.
        _ = model.training_text
    drawing: charlm.Drawing = {
        "start": start, "temperature": temp, "top_k": top_k, "top_p": top_p, "min_p": min_p,
        "stop": stop or (), "seed": seed,
    }  # fmt: skip
    several = count > 1 or best_of > 1 or json
    with reading_bar("") if len(start) > _LONG else nullcontext() as reading:
        drawing["reading"] = reading
        try:
            # With a length of 0 it only checks what it is given.
            sampler = model.sampler(**drawing, scored=bool(colours))
            drawing["seed"] = sampler.seed
            samples = model.samples(count, length, best_of=best_of, **drawing) if several else None
        except CharlmError as error:
            unknown = isinstance(error, UnknownCharacter)
            advice = "leave it out, or pass --on-unknown skip or --on-unknown replace"
            raise renamed(error, _OPTIONS, advice if unknown else "") from None
        say(f"{model.path}, seed {sampler.seed}")
        _say_what_was_asked(model, sampler, start, count)

        escaped = out.isatty() and not colours

        def put(text: str) -> None:
            out.write(visible(text) if escaped else text)
            out.flush()

        with closable(out):
            if samples is None:
                texts = [sampler.start + _stream(put, sampler, length, colours)]
                if out.isatty() and not texts[0].endswith("\n"):
                    put("\n")
            else:
                texts = [_print(put, one, json) for one in samples]
    if check_copy:
        _report_copies(model, sampler.start, texts)


def _say_what_was_asked(model: "LanguageModel", sampler: "Sampler", start: str, count: int) -> None:
    """Say on stderr what becomes of the start text, and which options have no effect."""
    if sampler.start != start:
        form = "NFC" if unicodedata.is_normalized("NFC", sampler.start) else "NFD"
        say(f"--start: converted to Unicode's {form}, of which the model knows more")
    say_unknown(model, sampler.start, "--start")
    for text in sampler.stop:
        if unknown := model.vocabulary.unknown(text):
            line = f"--stop {argument(text)} has no effect"
            line += f": the model does not know {' '.join(unknown)}"
            say(line + ", a newline is $'\\n' in the shell" * ("\\n" in text))
    greedy = sampler.filters.temperature == 0 or sampler.filters.top_k == 1
    if count > 1 and greedy:
        say(f"the {count} texts are the same, since the most probable character is always drawn")


def _stream(
    put: Callable[[str], None], sampler: "Sampler", length: int, colours: "ColorSystem | None"
) -> str:
    """Write one text, each character as it is drawn, and return it without its start."""
    put("".join(by_surprise(c, 0, colours) for c in sampler.start) if colours else sampler.start)
    written, nats = [], 0.0
    for character in sampler.characters(length):
        shown = character
        if colours:
            before, nats = nats, -float(sampler.log_probs[0])
            shown = by_surprise(character, (nats - before) / math.log(2), colours)
        put(shown)
        written.append(character)
    return "".join(written)


def _print(put: Callable[[str], None], one: "Sample", json: bool) -> str:
    """Write one of several texts, and return it."""
    if json:
        report = {
            "text": one.text,
            "start": one.start,
            "seed": one.seed,
            "index": one.index,
            "symbols": one.symbols,
            "log_probability": one.log_prob,
            "nats_per_character": -one.log_prob / len(one.written) if one.written else None,
        }
        put(to_json(report) + "\n")
    else:
        if one.index:
            say("-" * 40)
        put(one.text if one.text.endswith("\n") else f"{one.text}\n")
    return one.text


def _report_copies(model: "LanguageModel", start: str, texts: list[str]) -> None:
    """Name on stderr what the texts have copied, the longest first, and count copied lines."""
    written = [text[len(start) :] for text in texts]
    found: list[tuple[Copy, int]] = [
        (copy, k) for k, copies in enumerate(model.copies_in(written)) for copy in copies
    ]
    for copy, k in sorted(found, key=lambda pair: -pair[0].length)[:_NAMED]:
        ids = model.vocabulary.encode(written[k])[copy.begin : copy.begin + copy.length]
        which = f" of text {k + 1}" if len(written) > 1 else ""
        say(
            f"copy: {copy.length:,} characters from {copy.begin:,}{which} on stand in the training "
            f"text, from {copy.place:,} on: {shorten(model.vocabulary.decode(ids), _QUOTED)}"
        )
    if len(found) > _NAMED:
        say(f"and {len(found) - _NAMED:,} more")
    # The line that the start text began counts with what was written, those before it do not.
    whole = "".join(text[start.rfind("\n") + 1 : text.rfind("\n") + 1] for text in texts)
    count, known = sum(map(bool, whole.split("\n"))), len(model.copied_lines(whole))
    if known:
        say(f"copy: {known:,} of {count:,} whole lines are lines of the training text")
    if not found:
        no_line = ", and no whole line," * (count > 0 and not known)
        say(f"no copy: nothing of {charlm.AT_LEAST} characters or more{no_line} stands in the "
            "training text")  # fmt: skip


def _read_start(model: "LanguageModel", start: str) -> str:
    """Return the start text, from stdin where it is "-", as training reads a text."""
    if start == "-":
        start = _stdin()
    if isinstance(model.vocabulary, charlm.ByteVocabulary):
        return start
    return start.removeprefix("\ufeff").replace("\r\n", "\n")


def _stdin() -> str:
    """Read a start text; bytes that are not UTF-8 stay what they are."""
    if sys.stdin is None:
        raise ConfigError("--start", "stdin is closed", "pipe a text into it")
    content = sys.stdin.buffer.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        problem = f"stdin gives more than {_MOST_BYTES:,} bytes"
        raise ConfigError("--start", problem, "pass its end alone, such as with tail -c 10000")
    return content.decode("utf-8", "surrogateescape")


def _stdout() -> TextIO:
    """Return stdout, made to take any character."""
    if sys.stdout is None:
        raise ConfigError("stdout", "is closed", "let the text go to a terminal, a file or a pipe")
    if isinstance(sys.stdout, io.TextIOWrapper):
        codecs.register_error("charlm", _replace)
        sys.stdout.reconfigure(errors="charlm", newline="\n")
    return sys.stdout


def _replace(error: UnicodeError) -> tuple[str | bytes, int]:
    """Write a start text's bytes that are no UTF-8 as they came, and ? for other characters."""
    assert isinstance(error, UnicodeEncodeError)
    byte = ord(error.object[error.start]) - 0xDC00
    as_it_came = 0x80 <= byte <= 0xFF and not error.encoding.startswith(("utf-16", "utf-32"))
    return bytes((byte,)) if as_it_came else "?", error.start + 1
