"""charlm eval: score a text."""

import math
from pathlib import Path
from typing import Annotated

import typer

from charlm.commands.console import show
from charlm.terminal import printable


def evaluate(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="[CHECKPOINT] TEXT",
            help="An .npz file, a run's folder or name, and the text.",
            show_default="the newest run",
        ),
    ],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    checkpoints: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("checkpoints"),
) -> None:
    """Say how well a model predicts a text, in nats and bits per character.

    Example: charlm eval checkpoints/shakespeare chapter.txt
    """
    import tempfile

    from charlm.storage.runs import weights

    if len(arguments) > 2:
        raise typer.BadParameter(f"expected [CHECKPOINT] TEXT, got {len(arguments)} arguments")
    text = Path(arguments[-1])
    path = weights(arguments[0] if len(arguments) == 2 else None, checkpoints)

    from charlm.errors import TextError
    from charlm.evaluation.score import carried, cold
    from charlm.storage.weights import load_model
    from charlm.text.corpus import IdFile, Share, encode
    from charlm.text.source import Source, find

    model, vocabulary, config, _ = load_model(path)
    with tempfile.TemporaryDirectory() as folder:
        flat = Path(folder) / "ids.bin"
        source = Source(find([text], "*.txt"), config.data.encoding, config.data.level)
        info = encode(source, vocabulary, flat)
        if not info.characters:
            raise TextError(f"{text}: is empty; name a text to score")
        ids = IdFile(flat, vocabulary.dtype)
        share = Share(0, info.characters)
        scores = {
            "carried": carried(model, ids, share, vocabulary.start_id),
            "cold": cold(model, ids, share, vocabulary.start_id),
        }
        ids.close()
    if json:
        import json as encoder

        report = {"checkpoint": str(path), "text": str(text), "characters": info.characters}
        for name, score in scores.items():
            units = {"nats": score.nats, "bits": score.bits, "perplexity": score.perplexity}
            # JSON knows no infinity.
            report[name] = {unit: q if math.isfinite(q) else None for unit, q in units.items()}
        show(encoder.dumps(report))
        return
    lines = [printable(f"{text}: {info.characters:,} characters, scored by {path}")]
    labels = {"carried": "carried state", "cold": "cold windows of 256"}
    lines += [
        f"  {labels[name]:<20} {score.nats:.4f} nats  {score.bits:.4f} bits  "
        f"perplexity {score.perplexity:.3f}"
        for name, score in scores.items()
    ]
    show("\n".join(lines))
