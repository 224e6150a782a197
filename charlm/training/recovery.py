"""Divergence recovery: detect a diverging loss before the optimizer step, and roll back.

    diverging   loss or gradient not finite, or loss > FAR max(ln V, first loss) for a twentieth of
                the run's steps in a row, at least LONG
    recovery    return to the last good state, at half the learning rate; MOST times at most

ln V is the loss of a model that knows nothing, and the first loss is what a run with pretrained
weights begins with. A healthy run may exceed them for a few steps; for more than a few where its
text changes all at once and it reads few streams.

The good state is that of the last validation at which the loss was not above the threshold: it
depends on the step alone, never on when a checkpoint happened to be saved. So a run that rolled
back ends the same whether it was interrupted or not.
"""

import math

from charlm.errors import Diverged
from charlm.runs.description import Recovery

FAR = 1.25
LONG = 20
MOST = 3


class Trouble(Diverged):
    """Divergence at a step: what was detected, and when, the step and the learning rate."""

    def __init__(self, what: str, when: str) -> None:
        super().__init__("train", f"{what}, {when}", "start again with a lower --lr")
        self.what, self.when = what, when

    def __reduce__(self) -> tuple[type["Trouble"], tuple[str, str]]:
        return Trouble, (self.what, self.when)


def threshold(recovery: Recovery, V: int) -> float:
    """Return the loss above which a run diverges, once the first loss is known."""
    return FAR * max(math.log(V), recovery.first_loss or 0.0)


def watch(recovery: Recovery, loss: float, norm: float, V: int, steps: int) -> str | None:
    """Count a step's loss, nats per character, and return what diverges; None where nothing does.

    `norm` is that of the gradient, V the size of the vocabulary, `steps` of the whole run.
    """
    for name, value in (("loss", loss), ("gradient", norm)):
        if not math.isfinite(value):
            return f"the {name} is no longer finite, got {value:.4g}"
    if recovery.first_loss is None:
        recovery.first_loss = loss
    most = threshold(recovery, V)
    recovery.steps_above = recovery.steps_above + 1 if loss > most else 0
    if recovery.steps_above < max(LONG, steps // 20):
        return None
    above = f"{recovery.steps_above:,} steps in a row were above {most:.3g}"
    return f"the loss explodes, {above}, got {loss:.4g}"
