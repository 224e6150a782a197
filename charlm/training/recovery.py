"""When a loss explodes: seen before the optimizer moves, gone back from, at half the rate.

    trouble     loss or gradient not finite, or a twentieth of the run's updates in a row, LONG at
                the least, with loss > FAR max(ln V, first loss)
    recovery    the last good state, from there on half the learning rate; three times at the most

ln V is the loss of a model that knows nothing, and the first loss is what a run with another one's
weights begins with. A healthy run may jump above them for a few updates, and comes back; for more
than a few where its text changes all at once and it reads few streams.

The good state is that of the last validation, where the loss was not far above: it depends on the
update alone, never on when a checkpoint happened to be saved. So a run that went back ends the same
whether it was interrupted or not. The checkpoint holds it, as itself or beside a newer state.
"""

import math
from dataclasses import dataclass

from charlm.errors import Diverged

FAR = 1.25
LONG = 20
MOST = 3


class Trouble(Diverged):
    """Say what went wrong at an update.

    Args:
        what: the clause that tells it.
        where: the update and the learning rate.
    """

    def __init__(self, what: str, where: str) -> None:
        super().__init__("train", f"{what} {where}", "start again with a lower --lr")
        self.what = what


@dataclass
class Recovery:
    """Watch the loss, and count how often the training went back.

    It is part of a run's progress: what it counts is saved and resumed.

    Attributes:
        first: loss of the first update; None before it.
        above: updates in a row, up to now, whose loss was far above.
        rollbacks: how often the training went back.
    """

    first: float | None = None
    above: int = 0
    rollbacks: int = 0

    @property
    def factor(self) -> float:
        """Return what the schedule's learning rate is multiplied by."""
        return float(0.5**self.rollbacks)

    def ceiling(self, V: int) -> float:
        """Return what is far above, once the first loss is known."""
        return FAR * max(math.log(V), self.first or 0.0)

    def see(self, loss: float, norm: float, V: int, steps: int) -> str | None:
        """Take in an update's loss and gradient norm, before the optimizer moves.

        Args:
            loss: nats per character.
            norm: of the gradient.
            V: symbols of the vocabulary.
            steps: the run's updates.

        Returns:
            What is wrong; None where nothing is.
        """
        for name, value in (("loss", loss), ("gradient", norm)):
            if not math.isfinite(value):
                return f"the {name} is no longer finite, got {value:.4g},"
        if self.first is None:
            self.first = loss
        ceiling = self.ceiling(V)
        self.above = self.above + 1 if loss > ceiling else 0
        if self.above < max(LONG, steps // 20):
            return None
        updates = f"{self.above:,} updates in a row"
        return f"the loss explodes, {updates} were above {ceiling:.3g}, got {loss:.4g},"
