"""charlm bench: say what this machine does with each preset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from charlm.commands.console import say, show, size

if TYPE_CHECKING:
    from charlm.training.speed import Speed

_ROW = "{:<8}{:>9}{:>10}{:>12}{:>17}{:>14}{:>11}"


def bench(
    presets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PRESET", help="short, tiny, small, medium or large.", show_default="all five"
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of the BLAS.", show_default="its own")
    ] = None,
) -> None:
    """Say in about ten seconds how fast each preset trains here, and in what memory.

    Example: charlm bench small --threads 1
    """
    from charlm import environment

    # Before anything imports NumPy.
    environment.set_threads(threads or environment.threads())
    from charlm.config import PRESETS
    from charlm.training import speed

    measuring = speed.bench(presets or tuple(PRESETS))
    count, versions = environment.threads(), environment.versions()
    if not json:
        say(
            f"training of 2 LSTM layers, {speed.CHARACTERS} characters, {count} "
            f"thread{'s' * (count > 1)} of {versions['blas']}"
        )
        heads = ("units", "streams", "parameters", "chars/s", "a million", "memory")
        show(_ROW.format("preset", *heads))
    rows = []
    for measured in measuring:
        rows.append(measured)
        if not json:
            show(_line(measured))
    if json:
        import json as encoder

        report = {"threads": count, **versions, "presets": [_report(row) for row in rows]}
        show(encoder.dumps(report))


def _line(row: Speed) -> str:
    model, train = row.config.model, row.config.train
    return _ROW.format(
        row.preset,
        f"{model.layers} x {model.hidden}",
        f"{train.batch_size} x {train.seq_len}",
        f"{row.parameters:,}",
        f"{row.chars_per_s:,.0f}",
        f"{row.minutes_per_million:.1f} min",
        size(row.nbytes),
    )


def _report(row: Speed) -> dict[str, Any]:
    model, train = row.config.model, row.config.train
    return {
        "preset": row.preset,
        "layers": model.layers,
        "hidden": model.hidden,
        "batch_size": train.batch_size,
        "seq_len": train.seq_len,
        "parameters": row.parameters,
        "chars_per_s": row.chars_per_s,
        "minutes_per_million": row.minutes_per_million,
        "bytes": row.nbytes,
    }
