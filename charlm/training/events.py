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
    """An optimizer step was made."""

    step: int  # steps made so far
    loss: float  # nats per character of this step's chunk, before the step
    learning_rate: float  # of this step
    norm: float  # of the gradient, before clipping
    characters: int  # read in this step


@dataclass(frozen=True)
class Validated:
    """The validation split was scored."""

    step: int
    loss: float  # nats per character with carried state, of the averaged weights where on
    train_loss: float  # mean loss of the steps since the validation before
    best: bool  # no validation before was as low
    chars_per_s: float  # read in training since the validation before


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
    """The loss exploded or was not finite: training returned to its last good state."""

    step: int  # steps that had been made
    to: int  # steps of the good state; the next `Updated` counts from there
    why: str  # what was detected
    factor: float  # of the schedule's learning rate from here on
    count: int  # rollbacks of this run


@dataclass(frozen=True)
class Done:
    """Training has ended."""

    step: int
    interrupted: bool  # it was asked to stop before its goal
    best_loss: float | None  # the lowest validation loss; None where there was no validation
    best_step: int  # the step of it
    elapsed_s: float  # spent on this run, earlier sessions included
    early: bool = False  # it ended before its goal because validation stopped improving


Event: TypeAlias = Started | Updated | Validated | Sampled | Saved | RolledBack | Done
