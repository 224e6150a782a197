"""What a run's loss curves suggest to change in the next one.

    over the last quarter of a run, and since its best validation:

    hardly learns        training has fallen by less than 0.1 in all        another learning rate
    overfitting          validation stopped falling, training still falls   dropout, a smaller model
    not done             validation still falls                             longer
    held back            both flat, training well above validation          less dropout, longer
    too small            both flat and close together                       a larger model
    as far as it goes    both flat and apart                                dropout, more text

Both losses are nats per character. The training loss is a mean over the steps between two
validations, with dropout and the weights of each step; the validation loss is that of the averaged
weights without dropout. So at equal quality the training loss is the higher one.
"""

from collections.abc import Sequence
from typing import NamedTuple

from charlm.storage.history import Reading

# Fewer validations are not judged.
_LEAST = 4
# Smaller changes of a loss are noise: a tenth of what settings usually gain or lose.
_FLAT = 0.01
_APART = 0.1
_HARDLY = 0.1


class _Validation(NamedTuple):
    """The losses at a validation."""

    step: int
    training: float
    validation: float


def advise(readings: Sequence[Reading]) -> str | None:
    """Return one line of advice from a finished run's history; None after too few validations."""
    curve = [
        _Validation(reading.step, reading.train_loss, reading.validation)
        for reading in readings
        if reading.validation is not None and reading.train_loss is not None
    ]
    if len(curve) < _LEAST:
        return None
    last, before = curve[-1], curve[-1 - max(1, len(curve) // 4)]
    best = min(curve, key=lambda reading: reading.validation)
    if curve[0].training - last.training < _HARDLY:
        return (
            f"training hardly falls ({curve[0].training:.2f} to {last.training:.2f}): "
            "another learning rate"
        )
    apart = last.validation - last.training
    rises = last.validation - best.validation > _FLAT
    stopped = rises or best.step <= before.step
    if stopped and best.training - last.training > _FLAT and (rises or apart > _APART):
        return (
            f"validation stopped falling at step {best.step:,} while training still falls: "
            "more dropout, a smaller model or more text"
        )
    if not stopped and before.validation - last.validation > _FLAT:
        return (
            f"validation still falls ({before.validation:.3f} at step {before.step:,}, now "
            f"{last.validation:.3f}): train longer"
        )
    losses = f"training at {last.training:.2f} and validation at {last.validation:.2f}"
    if apart < -_APART:
        return f"{losses} no longer fall, and training lies above: less dropout, or train longer"
    if apart < _APART:
        return f"{losses} lie together and no longer fall: a larger model"
    return f"{losses} no longer fall: more dropout or more text"
