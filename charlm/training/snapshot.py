"""What a training's checkpoints hold, and how they are saved and restored.

    last.npz    parameters, optimizer.*, average/, state/ and the counters
    good.npz    the last.npz that a rollback returns to, where last.npz is not it
    best.npz    the weights of the best validation, averaged where on

A state is good at a validation where the loss is not above the threshold of recovery.py. Before
another one replaces a good last.npz, that file gets a second name, good.npz. last.npz itself says
which of the two a rollback returns to, so that changes at the instant of its replacement:

    killed before or after linking good.npz      last.npz is good      return to last.npz
    killed after last.npz was replaced           last.npz is not       return to good.npz
    killed before a good state's good.npz goes   last.npz is good      return to last.npz

Process 0 reads and writes them, with the state of all streams: so a run continues with any number
of processes. Functions without an underscore are called in every process.
"""

import math
import os
from contextlib import suppress
from typing import Any

import numpy as np

from charlm import environment
from charlm.errors import CheckpointError
from charlm.runs.description import Description, Recovery, parse_description
from charlm.runs.loading import pack
from charlm.storage import atomic
from charlm.storage.checkpoint import OpenCheckpoint, opened, save
from charlm.training.parallel import own_state, whole_state
from charlm.training.trainer import Trainer
from charlm.types import Array, States


def save_last(trainer: Trainer) -> None:
    """Write last.npz, all that a resume needs; before, keep a good state as good.npz.

    Raises:
        Trouble: a number is not finite; what was saved before stays.
        RunError: it cannot be saved.
    """
    state = whole_state(trainer.group, trainer.state)
    trainer.group.once(lambda: _save_last(trainer, state))


def _save_last(trainer: Trainer, state: States) -> None:
    run, arrays = trainer.run, _arrays(trainer, state)
    assert run is not None
    _check(trainer, arrays)
    is_good = (trainer.is_due and not trainer.recovery.steps_above) or not os.path.lexists(run.last)
    with run.saving(run.last):
        if not is_good and (trainer.last_is_good or not os.path.lexists(run.good)):
            atomic.link(run.last, run.good)
        save(run.last, arrays, _description(trainer, "last", is_good=is_good))
        trainer.last_is_good = is_good
        if is_good:
            run.good.unlink(missing_ok=True)


def save_best(trainer: Trainer) -> None:
    """Write best.npz, all that sampling needs; raises as `save_last`."""
    trainer.group.once(lambda: _save_best(trainer))


def _save_best(trainer: Trainer) -> None:
    run, arrays = trainer.run, pack(trainer.ema_model.parameters)
    assert run is not None
    _check(trainer, arrays)
    with run.saving(run.best):
        save(run.best, arrays, _description(trainer, "best"))


def resume(trainer: Trainer) -> None:
    """Continue from the run's last.npz.

    Raises:
        CheckpointError: it, or the good.npz beside it, does not hold what this model needs.
    """
    share(trainer, trainer.group.once(lambda: _resume(trainer)))
    trainer.resumed = True


def _resume(trainer: Trainer) -> States:
    run = trainer.run
    assert run is not None
    with opened(run.last) as checkpoint:
        description = parse_description(run.last, checkpoint.meta)
        if os.path.lexists(run.good):
            if description.is_good:
                with suppress(OSError):
                    run.good.unlink()
            else:
                # A damaged one is found out now, not at the rollback.
                with opened(run.good) as good:
                    _restore(trainer, good)
        state = _restore(trainer, checkpoint)
    trainer.last_is_good = description.is_good
    # A checkpoint of before there was one counts from here.
    trainer.recovery = description.recovery or Recovery()
    return state


def roll_back(trainer: Trainer) -> None:
    """Return to the last good state, but for the counters of the recovery; raises as `resume`."""
    share(trainer, trainer.group.once(lambda: _roll_back(trainer)))


def _roll_back(trainer: Trainer) -> States:
    run = trainer.run
    assert run is not None
    is_last = trainer.last_is_good or not os.path.lexists(run.good)
    with opened(run.last if is_last else run.good) as checkpoint:
        return _restore(trainer, checkpoint)


def share(trainer: Trainer, state: States | None = None) -> None:
    """Copy what process 0 holds to the other processes; `state` is that of all streams."""
    group, optimizer = trainer.group, trainer.optimizer
    kept = (*optimizer.state.values(), optimizer.matrices.flat)
    for flat in (trainer.model.parameters.flat, *kept):
        np.copyto(flat, group.broadcast(flat))
    if trainer.ema:
        np.copyto(trainer.ema.mean, group.broadcast(trainer.ema.mean))
    counters = (trainer.progress, trainer.plateau, trainer.recovery)
    trainer.progress, trainer.plateau, trainer.recovery = group.broadcast(counters)
    if state is not None:
        trainer.state = own_state(group, state)
    optimizer.steps = trainer.progress.step
    trainer.model.refresh()


def _restore(trainer: Trainer, checkpoint: OpenCheckpoint) -> States:
    """Restore arrays, progress and plateau, and return the state of all streams.

    Raises:
        CheckpointError: they do not fit.
    """
    description = parse_description(checkpoint.path, checkpoint.meta)
    if description.damage:
        raise description.damage
    if description.progress is None or description.plateau is None:
        raise CheckpointError(checkpoint.path, "lacks its progress", "it is no last.npz")
    state = trainer.model.zero_state(trainer.config.train.batch_size)
    for name, array in _arrays(trainer, state).items():
        checkpoint.read_into(name, array)
    trainer.progress, trainer.plateau = description.progress, description.plateau
    return state


def _arrays(trainer: Trainer, state: States) -> dict[str, Array]:
    """Return the training's own arrays, all that a resume needs, by the names of last.npz."""
    parameters = trainer.model.parameters
    arrays = pack(parameters)
    for name, flat in trainer.optimizer.state.items():
        arrays |= pack(parameters.view_of(flat), f"optimizer.{name}/")
    arrays |= pack(trainer.optimizer.matrices, "optimizer.")
    if trainer.ema:
        arrays |= pack(trainer.ema_model.parameters, "average/")
    for k, (layer, parts) in enumerate(zip(trainer.model.layers, state, strict=True)):
        named = zip(layer.STATES, parts, strict=True)
        arrays |= {f"state/{k}.{name}": array for name, array in named}
    return arrays


def _description(trainer: Trainer, kind: str, *, is_good: bool = True) -> dict[str, Any]:
    names = ("config", "vocabulary", "text", "progress", "plateau", "recovery")
    values = {name: getattr(trainer, name) for name in names}
    values |= {"threads": trainer.parallel.threads, "versions": environment.versions()}
    values["processes"] = trainer.group.size
    return Description(kind, **values, is_good=is_good).as_dict()


@np.errstate(all="ignore")
def _check(trainer: Trainer, arrays: dict[str, Array]) -> None:
    """Raise where a number is not finite, or the run is another process's by now."""
    assert trainer.run is not None
    trainer.run.check_held()
    for name, array in arrays.items():
        # Without an array of answers.
        if not (math.isfinite(array.min()) and math.isfinite(array.max())):
            raise trainer.trouble(f"'{name}' is no longer finite")
