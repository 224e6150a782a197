"""charlm eval: score a text, and show where it surprises."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charlm.commands.console import say, show
from charlm.terminal import printable

if TYPE_CHECKING:
    from charlm.evaluation.score import Score
    from charlm.runs.loading import Trained
    from charlm.types import Ids


def evaluate(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="[CHECKPOINT] TEXT",
            help="An .npz file, a run's folder or name, and the text.",
            show_default="the newest run",
        ),
    ],
    dynamic: Annotated[
        bool,
        typer.Option(
            "--dynamic",
            help="Also say how well it does when it goes on learning from what it has read; the "
            "checkpoint stays as it is.",
        ),
    ] = False,
    lr: Annotated[
        float | None,
        typer.Option(
            help="Learning rate of --dynamic; at 0 nothing is learned.", show_default="0.001"
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    heat: Annotated[
        bool,
        typer.Option(
            "--heat", help="Show the text coloured by surprise as well, and its oddest places."
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="With --heat: write a page for a browser instead of the terminal's."),
    ] = None,
    checkpoints: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("checkpoints"),
) -> None:
    """Say how well a model predicts a text, in nats and bits per character.

    Example: charlm eval checkpoints/shakespeare chapter.txt

    Example: charlm eval chapter.txt --heat --out chapter.html
    """
    from charlm.runs.folder import find_checkpoint

    if len(arguments) > 2:
        raise typer.BadParameter(f"expected [CHECKPOINT] TEXT, got {len(arguments)} arguments")
    if (json and heat) or (out and not heat):
        raise typer.BadParameter("--json excludes --heat" if json else "--out belongs to --heat")
    if lr is not None and not dynamic:
        raise typer.BadParameter("--lr goes with --dynamic; the other scores learn nothing")
    text = Path(arguments[-1])
    path = find_checkpoint(arguments[0] if len(arguments) == 2 else None, checkpoints)

    from charlm.errors import TextError
    from charlm.evaluation.dynamic import RATE
    from charlm.evaluation.dynamic import dynamic as learning
    from charlm.evaluation.score import carried, cold
    from charlm.runs.loading import load_model
    from charlm.runs.training_text import learned_text
    from charlm.text.corpus import encode_source
    from charlm.text.source import Source

    trained = load_model(path)
    model, vocabulary, config, _ = trained
    learned = learned_text(trained, path) if dynamic else None
    data = config.data
    source = Source.find([text], data.glob, data.encoding, data.level)
    ids = encode_source(source, vocabulary)
    if not ids.size:
        raise TextError(text, "is empty", "name a text to score")
    scores = {
        "carried": carried(model, ids, vocabulary.start_id),
        "cold": cold(model, ids, vocabulary.start_id),
    }
    rate = RATE if lr is None else lr
    if learned is not None:
        scores["dynamic"] = learning(model, learned, ids, vocabulary.start_id, rate)
    if heat:
        _print(text, path, ids.size, scores, rate)
        _heat(source.name, trained, ids, out)
    if json:
        import json as encoder

        report: dict[str, Any] = {
            "checkpoint": str(path),
            "text": str(text),
            "characters": ids.size,
        }
        for name, score in scores.items():
            units = {"nats": score.nats, "bits": score.bits, "perplexity": score.perplexity}
            # JSON knows no infinity.
            report[name] = {unit: q if math.isfinite(q) else None for unit, q in units.items()}
        if dynamic:
            report["dynamic"]["learning_rate"] = rate
        show(encoder.dumps(report))
    elif not heat:
        _print(text, path, ids.size, scores, rate)


def _print(
    text: Path, path: Path, characters: int, scores: Mapping[str, Score], rate: float
) -> None:
    lines = [printable(f"{text}: {characters:,} characters, scored by {path}")]
    labels = {
        "carried": "carried state",
        "cold": "cold windows of 256",
        "dynamic": "dynamic evaluation",
    }
    lines += [
        f"  {labels[name]:<20} {score.nats:.4f} nats  {score.bits:.4f} bits  "
        f"perplexity {score.perplexity:.3f}"
        for name, score in scores.items()
    ]
    if "dynamic" in scores:
        lines.append(
            f"  dynamic evaluation learned at a rate of {rate:g} from what it had scored, so it "
            "compares with its like only"
        )
    show("\n".join(lines))


def _heat(name: str, trained: Trained, ids: Ids, out: Path | None) -> None:
    """Show a text's surprises, on the terminal as they are read."""
    import sys

    from charlm.commands.paint import depth, surprise
    from charlm.insight.oddities import OddityFinder
    from charlm.pages.page import write_page
    from charlm.pages.texts import MOST, surprise_page

    colours = depth(sys.stdout)
    finder = OddityFinder(trained.model, trained.vocabulary)
    if colours and out is None:
        show("")
    for text, text_bits in finder.read(ids):
        if colours and out is None:
            pairs = zip(text, text_bits.tolist(), strict=True)
            show("".join(surprise(c, bits, colours) for c, bits in pairs), end="", painted=True)
    show("\noddest places, in bits")
    for q in finder.oddities:
        place, expected = f"{q.line}:{q.column}", f"{q.expected} {100 * q.probability:.0f} %"
        show(
            f"  {place:<10} {q.bits:5.1f}  {q.before}[{q.character}]{q.after}  expected {expected}"
        )
    if out is not None:
        write_page(
            out, surprise_page(Path(name).name, trained, ids[:MOST], ids.size, finder.oddities)
        )
        say(f"{out}: open it in a browser")
    elif not colours:
        say("stdout shows no colours; --out names a page that does, FORCE_COLOR=1 insists")
