"""Networks side by side: fresh cells drawn in several ways, or trained ones layer by layer.

Fresh cells answer what the architecture does before anything is learned. Their recurrent matrices
are drawn orthogonal, times a scale: below 1 each step shortens the gradient, well above 1 it
lengthens it. The LSTM has the forget bias that is taught, 1 (Jozefowicz et al. 2015), and comes
again with several, at scale 1.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from charlm.errors import ConfigError, TextError
from charlm.insight.gradients import SYMBOLS, Gradients, fresh, in_float64, measure, random_ids
from charlm.runs.loading import Trained
from charlm.settings.schema import ModelConfig
from charlm.types import Array

CELLS = ("rnn", "gru", "lstm")
STREAMS = 16
FORGET_BIAS = 1.0
_MARKS = "abcdefghijk"


class Curve(NamedTuple):
    """Name a curve and hold its (K+1,) norms; the mark is a letter to draw it with."""

    mark: str
    label: str
    norms: Array


class Panel(NamedTuple):
    """Hold the curves that share a pair of axes."""

    title: str
    curves: Sequence[Curve]


class Network(NamedTuple):
    """Hold what was measured of one network, and what sets it apart from those beside it.

    Attributes:
        name: a cell's, or a run's; printable.
        panel: the heading it is shown under.
        mark: a letter for its curve; digits for the layers where it is empty.
        settings: scale and forget bias, of fresh cells.
    """

    name: str
    panel: str
    mark: str
    settings: Mapping[str, float]
    gradients: Gradients


def fresh_cells(
    scales: Sequence[float],
    forget_biases: Sequence[float],
    *,
    lags: int,
    hidden: int,
    seed: int,
) -> list[Network]:
    """Measure one-layer cells that have learned nothing, reading symbols drawn at random."""
    ids = random_ids(steps(lags) + 1, STREAMS, seed)

    def gradients(cell: str, scale: float, forget_bias: float) -> Gradients:
        config = ModelConfig(cell=cell, layers=1, hidden=hidden, forget_bias=forget_bias)  # type: ignore[arg-type]
        return measure(fresh(config, SYMBOLS, scale=scale, seed=seed), ids, lags)

    networks = []
    for scale in scales:
        for cell in CELLS:
            settings = {"scale": scale} | ({"forget_bias": FORGET_BIAS} if cell == "lstm" else {})
            measured = gradients(cell, scale, FORGET_BIAS)
            networks.append(Network(cell, f"scale {scale:g}", cell[0], settings, measured))
    for k, bias in enumerate(forget_biases):
        settings, mark = {"scale": 1.0, "forget_bias": bias}, _MARKS[k % len(_MARKS)]
        measured = gradients("lstm", 1.0, bias)
        networks.append(Network(f"forget bias {bias:g}", "lstm, scale 1", mark, settings, measured))
    return networks


def steps(lags: int) -> int:
    """Return T, the steps that are read: as many as are gone back over let the state settle.

    Raises:
        ConfigError: there are too few lags for a curve.
    """
    if lags < 2:
        raise ConfigError("lags", f"must be at least 2, got {lags}")
    return 2 * lags + 1


def places(where: str, characters: int, lags: int) -> list[int]:
    """Say where in a text the streams begin, evenly spread; each reads T+1 symbols.

    Args:
        where: the text, for the message.
        characters: how long it is.
        lags: K.

    Raises:
        TextError: it is too short.
        ConfigError: there are too few lags for a curve.
    """
    need = steps(lags) + 1
    if characters < need:
        raise TextError(
            where,
            f"{characters:,} characters is too short, {lags} lags need {need:,}",
            "lower the lags or name a longer text",
        )
    return [k * (characters - need) // (STREAMS - 1) for k in range(STREAMS)]


def trained(name: str, found: Trained, ids: Array, lags: int) -> Network:
    """Measure a trained network that reads (T+1, B) ids."""
    model = in_float64(found.config.model, found.vocabulary.size, found.model.parameters)
    return Network(name, name, "", {}, measure(model, ids, lags))


def panels(networks: Sequence[Network]) -> list[Panel]:
    """Return a panel a heading, with the curves of the networks that stand under it."""
    found: dict[str, list[Curve]] = {}
    for network in networks:
        curves, gradients = found.setdefault(network.panel, []), network.gradients
        if network.mark:
            curves.append(Curve(network.mark, network.name, gradients.dh[:, -1]))
        else:
            curves += [Curve(str(k), f"layer {k}", dh) for k, dh in enumerate(gradients.dh.T)]
        closed = closed_curve(network)
        if closed is not None:
            curves.append(Curve("x", "c closed", closed))
    return [Panel(title, curves) for title, curves in found.items()]


def closed_curve(network: Network) -> Array | None:
    """Return the top layer's dh without the way along c, where it is shown."""
    closed = network.gradients.dh_without_c
    # Several forget biases need not tell the same thing again.
    if closed is None or network.name not in ("lstm", network.panel):
        return None
    return closed[:, -1]
