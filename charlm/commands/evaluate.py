"""charlm eval: score a text, and show where it surprises."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import charlm
from charlm.commands.console import say, say_unknown, show, to_json
from charlm.commands.drawing import NO_COLOURS, by_surprise, colour_system
from charlm.commands.options import (
    CHECKPOINTS,
    NGRAM_WEIGHT,
    Checkpoints,
    Json,
    OnUnknownOption,
    Page,
    RunOption,
    TextArgument,
    Threads,
    real,
    renamed,
)
from charlm.errors import ConfigError
from charlm.terminal import printable

if TYPE_CHECKING:
    from charlm import LanguageModel, Score

_DEFAULT_RATE = 0.001
_LABELS = {
    "carried": "carried state",
    "cold": "cold windows of 256",
    "dynamic": "dynamic evaluation",
}


def evaluate(
    text: TextArgument,
    run: RunOption = None,
    dynamic: Annotated[
        bool,
        typer.Option(
            "--dynamic",
            help="Also score a copy of the model that is trained on what it has read; the "
            "checkpoint stays as it is.",
        ),
    ] = False,
    lr: Annotated[
        float | None,
        typer.Option(
            "--lr",
            "--learning-rate",
            **real(),
            help="Learning rate of --dynamic; at 0 nothing is learned.",
            show_default=str(_DEFAULT_RATE),
        ),
    ] = None,
    ngram_weight: Annotated[float, typer.Option(**NGRAM_WEIGHT)] = 0.0,
    json: Json = False,
    heat: Annotated[
        bool,
        typer.Option(
            "--heat", help="Show the text coloured by surprise as well, and its oddest places."
        ),
    ] = False,
    out: Page = None,
    on_unknown: OnUnknownOption = "error",
    checkpoints: Checkpoints = CHECKPOINTS,
    threads: Threads = None,
) -> None:
    """Report how well a model predicts a text, in nats and bits per character.

    Example: charlm eval chapter.txt --run shakespeare

    Example: charlm eval chapter.txt --heat --out chapter.html
    """
    if (json and heat) or (out and not heat):
        raise typer.BadParameter("--json excludes --heat" if json else "--out belongs to --heat")
    if lr is not None and not dynamic:
        raise typer.BadParameter("--lr goes with --dynamic; the other scores learn nothing")
    if ngram_weight and (dynamic or heat):
        raise typer.BadParameter("--ngram-weight excludes --dynamic and --heat")
    rate = _DEFAULT_RATE if lr is None else lr
    model = charlm.load(run, checkpoints=checkpoints, on_unknown=on_unknown)
    learned = {}
    try:
        if dynamic:
            learned["dynamic"] = model.evaluate_dynamic(text, learning_rate=rate)
        scored = model.evaluate(text, ngram_weight=ngram_weight)
    except ConfigError as error:
        options = {"learning rate": "--lr", "ngram_weight": "--ngram-weight"}
        raise renamed(error, options) from None
    scores: dict[str, Score] = scored._asdict() | learned
    characters, items = scores["carried"].characters, scores["carried"].items
    if json:
        report: dict[str, Any] = {
            name: {"nats": score.nats, "bits": score.bits, "perplexity": score.perplexity}
            | ({} if items is None else {"nats_per_item": score.nats_per_item})
            for name, score in scores.items()
        }
        if dynamic:
            report["dynamic"]["learning_rate"] = rate
        about = {
            "checkpoint": str(model.path),
            "text": str(text),
            "characters": characters,
            **({} if items is None else {"items": items}),
            "unknown": model.unknown(text),
            "ngram_weight": ngram_weight,
        }
        show(to_json(about | report))
        return
    say_unknown(model, text, text)
    counted = f"{characters:,} characters" if items is None else f"{items:,} items"
    mixed = f", mixed with n-grams of weight {ngram_weight:g}" if ngram_weight else ""
    show(printable(f"{text}: {counted}, scored by {model.path}{mixed}"))
    for name, score in scores.items():
        per_item = "" if items is None else f"  {score.nats_per_item:.3f} nats per item"
        show(
            f"  {_LABELS[name]:<20} {score.nats:.4f} nats  {score.bits:.4f} bits  "
            f"perplexity {score.perplexity:.3f}{per_item}"
        )
    if dynamic:
        show(
            f"  dynamic evaluation was trained at a rate of {rate:g} on what it had scored: "
            "compare it with other dynamic scores only"
        )
    if heat:
        _heat(model, text, out)


def _heat(model: "LanguageModel", text: Path, out: Path | None) -> None:
    """Show a text's surprises, on the terminal as they are read."""
    colours = None if out else colour_system(sys.stdout)
    heat = model.heat(text)
    if colours:
        show("")
    for characters, bits in heat:
        if colours:
            pairs = zip(characters, bits.tolist(), strict=True)
            show("".join(by_surprise(*pair, colours) for pair in pairs), end="", painted=True)
    show("\noddest places, in bits" if heat.oddities else "\nno place of it is surprising")
    for odd in heat.oddities:
        place = f"{odd.line}:{odd.column}"
        show(
            f"  {place:<10} {odd.bits:5.1f}  {odd.before}[{odd.character}]{odd.after}  "
            f"expected {odd.expected} {100 * odd.probability:.0f} %"
        )
    if out:
        charlm.save_page(out, model.heat_page(heat, text.name))
        say(f"{out}: open it in a browser")
    elif not colours:
        say(NO_COLOURS)
