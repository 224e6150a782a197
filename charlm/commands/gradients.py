"""charlm gradients: how the gradient travels back in time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from charlm.commands.console import show
from charlm.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charlm.insight.comparison import Network
    from charlm.types import Array

# The table leaves its last columns out below this.
_NARROW = 60


def gradients(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN",
            help="An .npz file, a run's folder or name; without any, fresh cells are compared.",
        ),
    ] = None,
    lags: Annotated[int, typer.Option(help="Steps to go back.", min=2, max=1000)] = 64,
    scale: Annotated[
        list[float] | None,
        typer.Option(
            help="Fresh cells: what their orthogonal recurrent matrices are multiplied by; may be "
            "given several times.",
            min=0,
            max=100,
            show_default="0.5, 1 and 2",
        ),
    ] = None,
    forget_bias: Annotated[
        list[float] | None,
        typer.Option(
            help="Fresh LSTM: its forget bias; likewise.",
            min=-100,
            max=100,
            show_default="0, 1 and 3",
        ),
    ] = None,
    hidden: Annotated[int, typer.Option(help="Fresh cells: their units.", min=1, max=4096)] = 64,
    seed: Annotated[int, typer.Option(help="Fresh cells: of their weights.", min=0)] = 0,
    text: Annotated[
        Path | None,
        typer.Option(help="Runs: what they read.", show_default="their validation share"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Draw it: a .png or .svg file, replaced if there.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    checkpoints: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("checkpoints"),
) -> None:
    """Follow the gradient back in time, and see where it vanishes or explodes.

    Example: charlm gradients --out gradients.svg, then charlm gradients shakespeare
    """
    if runs and (scale or forget_bias):
        raise typer.BadParameter("--scale and --forget-bias are for fresh cells; name no run")
    if text and not runs:
        raise typer.BadParameter(
            "--text is for runs, and none is named; fresh cells read symbols drawn at random"
        )
    from charlm.insight.comparison import compare_cells
    from charlm.pages import gradient_figure

    if out:
        gradient_figure.check_path(out)
    if runs:
        networks = [_trained(where, text, lags, checkpoints) for where in runs]
    else:
        networks = compare_cells(
            scale or (0.5, 1.0, 2.0),
            forget_bias or (0.0, 1.0, 3.0),
            lags=lags,
            hidden=hidden,
            seed=seed,
        )
    if out:
        gradient_figure.draw(networks, out)
    if json:
        show(_json(networks, lags))
        return
    show("\n".join(_shown(networks, lags)))


def _trained(where: str, text: Path | None, lags: int, checkpoints: Path) -> Network:
    """Measure a run as it reads a text, or the share of its own that it was validated on."""
    from charlm.errors import CheckpointError, TextError
    from charlm.insight import gradients
    from charlm.insight.comparison import Network
    from charlm.insight.excerpt import of_file, validation_text
    from charlm.runs.folder import find_checkpoint
    from charlm.runs.loading import load_model

    path = find_checkpoint(where, checkpoints)
    trained = load_model(path)
    if text:
        _, ids = of_file(text, trained, None)
    else:
        try:
            ids = validation_text(path, trained, gradients.symbols_read(lags))
        except CheckpointError:
            raise TextError(
                where, "the text that it learned is not beside it", "name one with --text"
            ) from None
    name = printable(where)
    found = gradients.of_text(trained.model, ids, lags, str(text or where))
    return Network(name, name, "", {}, found)


def _shown(networks: Sequence[Network], lags: int) -> list[str]:
    import shutil
    import textwrap

    from charlm.commands.tables import table
    from charlm.insight.gradients import STREAMS
    from charlm.settings.schema import TrainConfig

    columns, clip = shutil.get_terminal_size((80, 24)).columns, TrainConfig.clip_norm
    heading = (
        f"||dL_t / dh_(t-k)||: what the hidden state k steps ago counts in the loss of one "
        f"character, for k from 0 to {lags}; the mean of {STREAMS} streams"
    )
    rows: list[tuple[str, ...]] = []
    under = ""
    for network in networks:
        if network.panel != under:
            under = network.panel
            rows += [
                ("",),
                ("", under, "radius", "a step", f"lag {lags}", "update", "clipped"),
            ]
        g = network.gradients
        update = _number(g.update_norm), f"x {min(1.0, clip / g.update_norm):.2g}"
        for k, dh in enumerate(g.dh.T):
            mark, name = (network.mark, network.name) if network.mark else (str(k), f"layer {k}")
            radii = [q for matrix, q in g.radius.items() if matrix.split(".")[1] == str(k)]
            low, high = f"{min(radii):.2f}", f"{max(radii):.2f}"
            radius = low if low == high else f"{low}-{high}"
            rows.append((mark, name, radius, *_travelled(dh), *(update if k == 0 else ("", ""))))
        closed = network.without_c
        if closed is not None:
            rows.append(("x", "c closed", "", *_travelled(closed), "", ""))
    if columns < _NARROW:
        rows = [row[:5] for row in rows]
    notes = (
        "radius: the spectral radius of the recurrent matrices, from the smallest gate's to the "
        "largest. a step: what a lag more multiplies the gradient by, on average. "
        f"lag {lags}: what is left there of the gradient at lag 0. c closed: an LSTM through whose "
        "cell state nothing goes back. update: the length of the gradient of all parameters, and "
        f"what clipping to {clip:g} multiplies it by, alike for every lag."
    )
    return [
        *textwrap.wrap(heading, columns),
        "",
        *table(rows, "lLrrrrr"[: len(rows[1])], columns)[1:],
        "",
        *textwrap.wrap(notes, columns),
    ]


def _travelled(dh: Array) -> tuple[str, str]:
    from charlm.insight.gradients import rate

    return f"x {rate(dh):.3f}", _number(dh[-1] / dh[0])


def _number(q: float) -> str:
    return f"{q:.3f}" if 0.01 <= q < 1000 or not q else f"{q:.0e}"


def _json(networks: Sequence[Network], lags: int) -> str:
    import json

    document = {
        "lags": lags,
        "networks": [
            {
                "name": network.name,
                **network.settings,
                "radius": network.gradients.radius,
                "update_norm": _finite(network.gradients.update_norm),
                "dh": _layers(network.gradients.dh),
                "dc": _layers(network.gradients.dc),
                "dh_without_c": _layers(network.gradients.dh_without_c),
            }
            for network in networks
        ],
    }
    return json.dumps(document, allow_nan=False)


def _layers(norms: Array | None) -> list[list[float | None]] | None:
    """Return a list a layer, lag 0 first; JSON knows no infinity."""
    if norms is None:
        return None
    return [[_finite(q) for q in layer] for layer in norms.T.tolist()]


def _finite(q: float) -> float | None:
    return q if math.isfinite(q) else None
