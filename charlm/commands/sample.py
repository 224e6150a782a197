"""charlm sample: stream text from a trained model to stdout, or draw several texts or items."""

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
    NGRAM_WEIGHT,
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

    from charlm import Copy, LanguageModel, Sample, Sampler, Samples

_drawing = partial(typer.Option, rich_help_panel="Drawing")
_written = partial(typer.Option, rich_help_panel="What is written")

# The options that are not called as the library's arguments are.
_OPTIONS = {
    "start": "--start", "temperature": "--temp", "top_k": "--top-k", "top_p": "--top-p",
    "min_p": "--min-p", "ngram_weight": "--ngram-weight",
}  # fmt: skip
# No start text is longer: what never ends, such as /dev/zero, is not read on.
_MOST_BYTES = 1 << 24
# A longer start text is read behind a bar.
_LONG = 10_000
# So many copies, or known items, are named, and the rest is counted.
_NAMED = 8
# Columns of a copy that are shown.
_QUOTED = 60
# What stands between two items, where it is not the text that was given.
_BETWEEN = {"line": "\n", "blank-line": "\n\n", "file": "\n\n"}


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
    ngram_weight: Annotated[float, _drawing(**NGRAM_WEIGHT)] = 0.0,
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
    min_length: Annotated[
        int, _written(**whole(0), help="Characters before which no --stop, and no item, ends.")
    ] = 0,
    stop: Annotated[
        list[str] | None, _written(help="End after this was written; several may be given.")
    ] = None,
    count: Annotated[
        int, _written(**whole(1), help="Texts or items to write, drawn side by side.")
    ] = 1,
    new: Annotated[
        bool, _written("--new", help="Leave out items that are in the learned list.")
    ] = False,
    unique: Annotated[
        bool, _written("--unique", help="Leave out items that were written before.")
    ] = False,
    color: Annotated[
        bool, _written("--color", help="Colour each character by its surprise, on a terminal.")
    ] = False,
    json: Annotated[
        bool,
        _written(
            "--json",
            help="Print a JSON object a text: the text with its start, the log-probability in "
            "nats of what was drawn, whether an item is in the learned list, and more.",
        ),
    ] = False,
    check_copy: Annotated[
        bool,
        _written(
            "--check-copy",
            help="Report on stderr what was copied from the training text, or which items.",
        ),
    ] = False,
    checkpoints: Checkpoints = CHECKPOINTS,
    threads: Threads = None,
) -> None:
    """Write text, each character as it is drawn.

    Only text goes to stdout, several texts one after the other. A model that has learned
    independent items (train --items) writes items, separated as in its list.

    Example: charlm sample --temp 0.8 --start "KING "

    Example: charlm sample my-text --count 5 --best-of 8 --stop . --json

    Example: charlm sample names --count 20 --start k --new --unique
    """
    if color and (json or count > 1 or best_of > 1 or new or unique):
        raise typer.BadParameter("--color is for one text that is shown while it is drawn")
    if min_length > length:
        raise typer.BadParameter(f"--min-length {min_length} is above --length {length}")
    out = _stdout()
    colours = colour_system(out) if color else None
    if color and not colours:
        say("stdout shows no colours; FORCE_COLOR=1 writes them all the same")
    model = charlm.load(checkpoint, checkpoints=checkpoints, on_unknown=on_unknown)
    items = model.config.data.items
    if (new or unique) and not items:
        raise typer.BadParameter("--new and --unique need a model of items, see train --items")
    start = _read_start(model, start)
    compare = items is not None and (json or check_copy)
    if compare or check_copy or new:
        # Where it is missing, nothing is drawn.
        try:
            _ = model.training_text
        except CharlmError as error:
            if check_copy or new:
                raise
            say(f"no item is looked up in the learned list: {error}")
            compare = False
    drawing: charlm.Drawing = {
        "start": start, "temperature": temp, "top_k": top_k, "top_p": top_p, "min_p": min_p,
        "stop": stop or (), "min_length": min_length, "seed": seed, "ngram_weight": ngram_weight,
    }  # fmt: skip
    several = count > 1 or best_of > 1 or json or new or unique
    with reading_bar("") if len(start) > _LONG else nullcontext() as reading:
        drawing["reading"] = reading
        try:
            # With a length of 0 it only checks what it is given.
            sampler = model.sampler(**drawing, scored=bool(colours))
            drawing["seed"], samples = sampler.seed, None
            if several:
                samples = model.samples(
                    count, length, best_of=best_of, new=new, unique=unique, compare=compare,
                    **drawing,
                )  # fmt: skip
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

        seen = _Seen(model, check_copy)
        with closable(out):
            if samples is None:
                text = _stream(put, sampler, length, colours, keep=check_copy)
                if items:
                    put(_separator(items))
                elif out.isatty() and not text.endswith("\n"):
                    put("\n")
                seen.add(text, sampler.ended[0], None)
            else:
                for one in samples:
                    _print(put, one, items, json)
                    seen.add(one.text, one.ended, one.known)
    if items:
        _report_items(seen, samples, length, new, unique)
    elif check_copy:
        _report_copies(model, sampler.start, seen.texts)


class _Seen:
    """What the reports at the end need of the texts that were written, and no more."""

    def __init__(self, model: "LanguageModel", check_copy: bool) -> None:
        self.model, self.check_copy = model, check_copy
        self.texts: list[str] = []  # known items of which a few are named, or all texts
        self.count = self.cut = self.known = 0  # items

    def add(self, text: str, ended: bool, known: bool | None) -> None:
        items = self.model.config.data.items
        self.count += 1
        self.cut += not ended
        if not self.check_copy:
            return
        if items and known is None:
            (known,) = self.model.known_items([text])
        self.known += bool(known)
        if not items or (known and len(self.texts) < _NAMED):
            self.texts.append(text)


def _report_items(
    seen: _Seen, samples: "Samples | None", length: int, new: bool, unique: bool
) -> None:
    """Say on stderr how many items were left out, cut, or known."""
    if samples:
        known, repeated = f"{samples.known:,} in the learned list", f"{samples.repeated:,} repeated"
        if left_out := [known] * new + [repeated] * unique:
            say(f"left out: {', '.join(left_out)}")
    if seen.cut:
        say(f"cut at {length:,} characters, before their end: {seen.cut:,} of {seen.count:,} items")
    if seen.known:
        named = ", ".join(shorten(text, _QUOTED) for text in seen.texts)
        more = f", and {seen.known - len(seen.texts):,} more" * (seen.known > len(seen.texts))
        say(
            f"copy: {seen.known:,} of {seen.count:,} items stand in the learned list: {named}{more}"
        )
    elif seen.check_copy:
        say(f"no copy: none of {seen.count:,} items stands in the learned list")


def _separator(items: str) -> str:
    """Return what a list of items has between two of them."""
    return _BETWEEN.get(items, f"\n{items}\n")


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
    put: Callable[[str], None],
    sampler: "Sampler",
    length: int,
    colours: "ColorSystem | None",
    *,
    keep: bool,
) -> str:
    """Write one text, each character as it is drawn; return it, or its end unless `keep`."""
    put("".join(by_surprise(c, 0, colours) for c in sampler.start) if colours else sampler.start)
    written, nats = [sampler.start], 0.0
    for character in sampler.characters(length):
        shown = character
        if colours:
            before, nats = nats, -float(sampler.log_probs[0])
            shown = by_surprise(character, (nats - before) / math.log(2), colours)
        put(shown)
        if not keep:
            written.clear()
        written.append(character)
    return "".join(written)


def _print(put: Callable[[str], None], one: "Sample", items: str | None, json: bool) -> None:
    """Write one of several texts."""
    if json:
        report = {
            "text": one.text,
            "start": one.start,
            "seed": one.seed,
            "index": one.index,
            "symbols": one.symbols,
            "log_probability": one.log_prob,
            "nats_per_character": -one.log_prob / one.characters if one.characters else None,
            "ended": one.ended,
        }
        put(to_json(report | ({"known": one.known} if items else {})) + "\n")
    elif items:
        put(one.text + _separator(items))
    else:
        if one.index:
            say("-" * 40)
        put(one.text if one.text.endswith("\n") else f"{one.text}\n")


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
