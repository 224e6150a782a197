"""charlm eval: score a text."""

import math
from pathlib import Path
from typing import Annotated, Any

import typer


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
    checkpoints: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("checkpoints"),
) -> None:
    """Say how well a model predicts a text, in nats and bits per character.

    Example: charlm eval checkpoints/shakespeare chapter.txt
    """
    import tempfile

    from charlm.storage.runs import weights

    if len(arguments) > 2:
        raise typer.BadParameter(f"expected [CHECKPOINT] TEXT, got {len(arguments)} arguments")
    if lr is not None and not dynamic:
        raise typer.BadParameter("--lr goes with --dynamic; the other scores learn nothing")
    text = Path(arguments[-1])
    path = weights(arguments[0] if len(arguments) == 2 else None, checkpoints)

    from charlm.errors import TextError
    from charlm.evaluation.dynamic import RATE
    from charlm.evaluation.dynamic import dynamic as learning
    from charlm.evaluation.score import carried, cold
    from charlm.storage.learned import learned_text
    from charlm.storage.weights import load_model
    from charlm.text.corpus import IdFile, Share, encode
    from charlm.text.source import Source, find

    trained = load_model(path)
    model, vocabulary, config, _ = trained
    learned = learned_text(trained, path) if dynamic else None
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
        rate = RATE if lr is None else lr
        if learned is not None:
            scores["dynamic"] = learning(model, learned, ids, share, vocabulary.start_id, rate)
        ids.close()
    if json:
        import json as encoder

        report: dict[str, Any] = {
            "checkpoint": str(path),
            "text": str(text),
            "characters": info.characters,
        }
        for name, score in scores.items():
            units = {"nats": score.nats, "bits": score.bits, "perplexity": score.perplexity}
            # JSON knows no infinity.
            report[name] = {unit: q if math.isfinite(q) else None for unit, q in units.items()}
        if dynamic:
            report["dynamic"]["learning_rate"] = rate
        print(encoder.dumps(report))
        return
    print(f"{text}: {info.characters:,} characters, scored by {path}")
    labels = {
        "carried": "carried state",
        "cold": "cold windows of 256",
        "dynamic": "dynamic evaluation",
    }
    for name, score in scores.items():
        print(
            f"  {labels[name]:<20} {score.nats:.4f} nats  {score.bits:.4f} bits  "
            f"perplexity {score.perplexity:.3f}"
        )
    if dynamic:
        print(
            f"  dynamic evaluation learned at a rate of {rate:g} from what it had scored, so it "
            "compares with its like only"
        )
