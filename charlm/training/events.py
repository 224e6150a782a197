"""What a training tells whoever listens: the command line, a test, a notebook."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias


@dataclass(frozen=True)
class Started:
    """The first update is about to be made; `step` updates were made before."""

    step: int
    steps: int


@dataclass(frozen=True)
class Updated:
    """An update was made.

    Attributes:
        step: updates made so far.
        loss: nats per character of this update's chunk, before the update.
        learning_rate: the rate it was made with.
        norm: length of the gradient before clipping.
        characters: how many it read.
    """

    step: int
    loss: float
    learning_rate: float
    norm: float
    characters: int


@dataclass(frozen=True)
class Validated:
    """The validation share was scored.

    Attributes:
        loss: nats per character with carried state, of the averaged weights where on.
        train_loss: mean loss of the updates since the validation before.
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
    """The model wrote something."""

    step: int
    text: str


@dataclass(frozen=True)
class Saved:
    """A checkpoint was written."""

    step: int
    path: Path


@dataclass(frozen=True)
class RolledBack:
    """The loss exploded or was not finite: training goes on from its last good state.

    Attributes:
        step: updates that were made when it was seen.
        to: updates that are made in the state gone back to; the next `Updated` counts from there.
        why: what was seen.
        factor: what the schedule's learning rate is multiplied by from here on.
        count: how often that happened in this run.
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
        best_step: when that was.
        elapsed_s: seconds spent on this run, earlier sessions included.
        early: it ended before its goal since validation stopped improving.
    """

    step: int
    interrupted: bool
    best_loss: float | None
    best_step: int
    elapsed_s: float
    early: bool = False


Event: TypeAlias = Started | Updated | Validated | Sampled | Saved | RolledBack | Done
