"""Gradients through time of several networks: untrained cells, or trained runs.

Untrained cells show what the architecture does before anything is learned. Their recurrent matrices
are orthogonal times a scale: below 1 each time step shrinks the gradient, well above 1 it grows.
The LSTM has a forget bias of 1 (Jozefowicz et al. 2015), and is shown with others at scale 1.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Final, Literal, NamedTuple

from charlm.insight.gradients import Gradients, of_untrained
from charlm.settings.schema import ModelConfig
from charlm.types import Array

CELLS: Final = ("rnn", "gru", "lstm")
FORGET_BIAS = 1.0
_MARKS = "abcdefghijk"


class Network(NamedTuple):
    """A network of a comparison and its gradients."""

    name: str  # of a cell or a run; printable
    panel: str  # the heading that it shares with others
    mark: str  # a letter for its curve; empty where each layer has a curve of its own
    settings: Mapping[str, float]  # scale and forget bias of untrained cells
    gradients: Gradients

    @property
    def curves(self) -> list[tuple[str, str, Array]]:
        """Return what is shown of it: a mark, a label and (K+1,) norms, for each layer of a run.

        The mark x is the top layer's dh without the path along c, after the layers.
        """
        dh, without_c = self.gradients.dh, self.gradients.dh_without_c
        curves = [(str(k), f"layer {k}", norms) for k, norms in enumerate(dh.T)]
        if self.mark:
            curves = [(self.mark, self.name, dh[:, -1])]
        # That hardly depends on the forget bias.
        if without_c is not None and self.name in ("lstm", self.panel):
            curves.append(("x", "c closed", without_c[:, -1]))
        return curves


def compare_cells(
    scales: Sequence[float], forget_biases: Sequence[float], *, lags: int, hidden: int, seed: int
) -> list[Network]:
    """Measure untrained cells of one layer that read random symbols.

    Args:
        scales: of the recurrent matrices; all cells, in a panel each.
        forget_biases: of an LSTM at scale 1; one panel.
        lags: K.
        hidden: units.
        seed: of the weights and symbols.

    Raises:
        ConfigError: there are fewer than 2 lags.
    """

    def measured(
        cell: Literal["rnn", "gru", "lstm"], scale: float, forget_bias: float = FORGET_BIAS
    ) -> tuple[Mapping[str, float], Gradients]:
        config = ModelConfig(cell=cell, layers=1, hidden=hidden, forget_bias=forget_bias)
        settings = {"scale": scale} | ({"forget_bias": forget_bias} if cell == "lstm" else {})
        return settings, of_untrained(config, lags, scale=scale, seed=seed)

    by_scale = [
        Network(cell, f"scale {scale:g}", cell[0], *measured(cell, scale))
        for scale in scales
        for cell in CELLS
    ]
    return by_scale + [
        Network(f"forget bias {bias:g}", "lstm, scale 1", mark, *measured("lstm", 1.0, bias))
        for bias, mark in zip(forget_biases, cycle(_MARKS), strict=False)
    ]
