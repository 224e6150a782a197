"""What a training reports to its caller: the command line, a test, a notebook."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias


@dataclass(frozen=True)
class Started:
    """Training starts, after `step` of `steps` steps."""

    step: int
    steps: int


@dataclass(frozen=True)
class Updated:
    """An optimizer step was made.

    Attributes:
        step: steps made so far.
        loss: nats per character of this step's chunk, before the step.
        learning_rate: of this step.
        norm: of the gradient, before clipping.
        characters: read in this step.
    """

    step: int
    loss: float
    learning_rate: float
    norm: float
    characters: int


@dataclass(frozen=True)
class Validated:
    """The validation split was scored.

    Attributes:
        loss: nats per character with carried state, of the averaged weights where on.
        train_loss: mean loss of the steps since the validation before.
        best: no validation before was as low.
        chars_per_s: read in training since the validation before.
    """

    step: int
    loss: float
    train_loss: float
    best: bool
    chars_per_s: float


@dataclass(frozen=True)
class Sampled:
    """The model wrote a text."""

    step: int
    text: str


@dataclass(frozen=True)
class Saved:
    """A checkpoint was written."""

    step: int
    path: Path


@dataclass(frozen=True)
class RolledBack:
    """The loss exploded or was not finite: training returned to its last good state.

    Attributes:
        step: steps that had been made.
        to: steps of the good state; the next `Updated` counts from there.
        why: what was detected.
        factor: multiplies the schedule's learning rate from here on.
        count: rollbacks of this run.
    """

    step: int
    to: int
    why: str
    factor: float
    count: int


@dataclass(frozen=True)
class Done:
    """Training has ended.

    Attributes:
        interrupted: it was asked to stop before its goal.
        best_loss: the lowest validation loss; None where there was no validation.
        best_step: the step of it.
        elapsed_s: seconds spent on this run, earlier sessions included.
        early: it ended before its goal because validation stopped improving.
    """

    step: int
    interrupted: bool
    best_loss: float | None
    best_step: int
    elapsed_s: float
    early: bool = False


Event: TypeAlias = Started | Updated | Validated | Sampled | Saved | RolledBack | Done
