"""charlm gradients: the gradient back in time, through fresh cells or trained runs."""

import shutil
import textwrap
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import charlm
from charlm.commands.console import say_unknown, show, to_json
from charlm.commands.drawing import table
from charlm.commands.options import (
    CHECKPOINTS,
    Checkpoints,
    Json,
    OnUnknownOption,
    Threads,
    real,
    text_path,
    whole,
)
from charlm.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charlm import Network

_fresh = partial(typer.Option, rich_help_panel="Fresh cells")
# The table leaves its last columns out below this.
_NARROW = 60


def gradients(
    text: Annotated[
        Path | None,
        typer.Argument(
            metavar="TEXT",
            parser=text_path,
            help="What the runs read: a file, or a folder, with the run's glob.",
            show_default="their validation text",
        ),
    ] = None,
    run: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RUN",
            help="A run's name or folder, or an .npz file; may be given several times. Without "
            "any, fresh cells are compared.",
        ),
    ] = None,
    lags: Annotated[int, typer.Option(help="Time steps to go back.", **whole(2, 1000))] = 64,
    scale: Annotated[
        list[float] | None,
        _fresh(
            **real(0, 100),
            show_default="0.5, 1 and 2",
            help="Factor of the orthogonal recurrent matrices; may be given several times.",
        ),
    ] = None,
    forget_bias: Annotated[
        list[float] | None,
        _fresh(**real(-100, 100), show_default="0, 1 and 3", help="Of an LSTM; likewise."),
    ] = None,
    hidden: Annotated[int, _fresh(**whole(1, 4096), help="Hidden units.")] = 64,
    seed: Annotated[int, _fresh(**whole(0), help="Seed of the weights.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Draw it: a .png or .svg file, replaced if there.")
    ] = None,
    json: Json = False,
    on_unknown: OnUnknownOption = "error",
    checkpoints: Checkpoints = CHECKPOINTS,
    threads: Threads = None,
) -> None:
    """Measure the gradient back in time, and see where it vanishes or explodes.

    Example: charlm gradients --out gradients.svg, then charlm gradients --run shakespeare
    """
    if run and (scale or forget_bias):
        raise typer.BadParameter("--scale and --forget-bias are for fresh cells; name no run")
    if text is not None and not run:
        raise typer.BadParameter("TEXT is for runs, name one; fresh cells read random symbols")
    if out:
        charlm.check_figure(out)
    if run:
        networks = []
        for name in run:
            model = charlm.load(name, checkpoints=checkpoints, on_unknown=on_unknown)
            if text:
                say_unknown(model, text, text)
            measured = model.gradients(text, lags=lags)
            networks.append(charlm.Network(printable(name), printable(name), "", {}, measured))
    else:
        scales, biases = scale or (0.5, 1.0, 2.0), forget_bias or (0.0, 1.0, 3.0)
        networks = charlm.compare_cells(scales, biases, lags=lags, hidden=hidden, seed=seed)
    if out:
        charlm.draw_gradients(networks, out)
    if json:
        show(to_json({"lags": lags, "networks": [_document(network) for network in networks]}))
        return
    columns = shutil.get_terminal_size((80, 24)).columns
    clip = charlm.Config().train.clip_norm
    heading = (
        f"||dL_t / dh_(t-k)||: the gradient of one character's loss with respect to the hidden "
        f"state k time steps before, for k from 0 to {lags}; the mean of {charlm.STREAMS} streams"
    )
    notes = (
        "radius: the spectral radius of the recurrent matrices, from the smallest gate's to the "
        "largest. a step: the factor per lag, on average. "
        f"lag {lags}: the gradient there as a fraction of that at lag 0. c closed: an LSTM without "
        "the path along its cell state. norm: of the gradient of all parameters, and the factor "
        f"that clipping to {clip:g} multiplies it by, alike for every lag."
    )
    rows = _rows(networks, lags, clip, columns)
    shown = table(rows, "lLrrrrr"[: len(rows[0])], columns)
    lines = [*textwrap.wrap(heading, columns), "", *shown, "", *textwrap.wrap(notes, columns)]
    show("\n".join(lines))


def _rows(networks: "Sequence[Network]", lags: int, clip: float, columns: int) -> list[list[str]]:
    rows: list[list[str]] = []
    panel = ""
    for network in networks:
        if network.panel != panel:
            panel = network.panel
            rows += [[""] * 7] * bool(rows)
            rows.append(["", panel, "radius", "a step", f"lag {lags}", "norm", "clipped"])
        measured = network.gradients
        factor = clip / max(clip, measured.update_norm)
        norm = [_number(measured.update_norm), f"x {factor:.2g}"]
        for k, (mark, label, dh) in enumerate(network.curves):
            radii = [r for name, r in measured.radius.items() if name.split(".")[1] == str(k)]
            low, high = (f"{pick(radii, default=0):.2f}" for pick in (min, max))
            radius = "" if not radii else low if low == high else f"{low}-{high}"
            # A model that is certain, and right, has no gradient.
            curve = [f"x {charlm.rate(dh):.3f}", _number(dh[-1] / dh[0])] if dh[0] else ["-", "-"]
            rows.append([mark, label, radius, *curve, *(norm if k == 0 else ("", ""))])
    return [row[:5] for row in rows] if columns < _NARROW else rows


def _number(value: float) -> str:
    return f"{value:.3f}" if 0.01 <= value < 1000 or not value else f"{value:.0e}"


def _document(network: "Network") -> dict[str, Any]:
    measured = network.gradients
    norms = {key: getattr(measured, key) for key in ("dh", "dc", "dh_without_c")}
    return {
        "name": network.name,
        **network.settings,
        "radius": measured.radius,
        "update_norm": measured.update_norm,
        # A list a layer, lag 0 first.
        **{key: None if dh is None else dh.T.tolist() for key, dh in norms.items()},
    }
