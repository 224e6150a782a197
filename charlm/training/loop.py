"""A training as an iterator of events: steps, validations, samples, checkpoints, rollbacks.

The loop draws nothing and prints nothing; its caller does.
"""

import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

from charlm import environment
from charlm.errors import Diverged
from charlm.storage.history import Reading, Rollback
from charlm.training import snapshot
from charlm.training.events import Done, Event, RolledBack, Sampled, Saved, Started, Validated
from charlm.training.recovery import MOST, Trouble
from charlm.training.trainer import Trainer

# Readings of the loss that a history has.
_READINGS = 200
# Characters of each sample that a history keeps.
SAMPLE_KEPT = 300


def events(trainer: Trainer) -> Iterator[Event]:
    """Train to the goal, and yield what happens.

    Raises:
        Diverged: the loss, the gradient, the validation loss or what was to be saved was not
            finite, or exploded, and rolling back did not help.
        RunError: a checkpoint could not be saved, or another process trains this run.
        CheckpointError: the good state to return to is damaged.
    """
    run, group = trainer.run, trainer.group
    if run is not None:
        group.once(run.take)
    try:
        loop = _Loop(trainer)
        with group.together(), environment.limited(trainer.parallel.blas_threads):
            yield from loop.events()
        yield loop.done()
    finally:
        if run is not None and run.checkpoints:
            run.release()
        elif run is not None:
            # It was never saved: there is nothing to resume, and its name is free again.
            run.discard()


class _Loop:
    """The event loop and its clocks."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.run, self.group = trainer, trainer.run, trainer.group
        self.began = time.monotonic() - trainer.progress.elapsed_s
        self.validated_at = self.saved_at = time.monotonic()
        self.characters = 0  # since the last validation
        self.stopping = False  # what was asked of any process

    def events(self) -> Iterator[Event]:
        trainer, run = self.trainer, self.run
        yield Started(trainer.progress.step, trainer.steps)
        if trainer.resumed:
            self._record({"resume": trainer.progress.step})
        elif trainer.progress.step == 0:
            yield from self._save()
        length = min(trainer.config.train.sample_length, SAMPLE_KEPT)
        if trainer.progress.step == 0 and run and length:
            trainer.ema_model.refresh()
            self._record(Reading(0, sample=self._sample(length), elapsed_s=0.0).as_dict())
        (self.stopping,) = self.group.any(trainer.stop_asked)
        while not (self._is_done or self.stopping or trainer.out_of_patience):
            try:
                yield from self._step()
            except Trouble as trouble:
                self._count_time()
                yield self._roll_back(trouble)
                self.saved_at = time.monotonic()
        self._count_time()

    def done(self) -> Done:
        """Return the last event, of a training that has ended."""
        trainer, progress = self.trainer, self.trainer.progress
        early = trainer.out_of_patience and not self._is_done
        interrupted, best = not (self._is_done or early), (progress.best_loss, progress.best_step)
        return Done(progress.step, interrupted, *best, progress.elapsed_s, early)

    @property
    def _is_done(self) -> bool:
        return self.trainer.progress.step >= self.trainer.steps

    def _count_time(self) -> None:
        self.trainer.progress.elapsed_s = time.monotonic() - self.began

    def _step(self) -> Iterator[Event]:
        """Make a step; validate, sample, record and save where it is time to."""
        trainer, train = self.trainer, self.trainer.config.train
        updated = trainer.update()
        self.characters += updated.characters
        yield updated
        measured: dict[str, Any] = {}
        if updated.step % max(1, trainer.steps // _READINGS) == 0:
            measured |= {key: getattr(updated, key) for key in ("loss", "learning_rate", "norm")}
        self._count_time()
        if trainer.is_due and trainer.validation.size:
            validated = self._validate()
            measured |= {"train_loss": validated.train_loss, "validation": validated.loss,
                         "chars_per_s": round(validated.chars_per_s)}  # fmt: skip
            yield validated
            if train.sample_length:
                text = self._sample(train.sample_length)
                measured["sample"] = text[:SAMPLE_KEPT]
                yield Sampled(updated.step, text)
            self.validated_at, self.characters = time.monotonic(), 0
        if measured:
            elapsed_s = round(trainer.progress.elapsed_s, 2)
            self._record(Reading(updated.step, **measured, elapsed_s=elapsed_s).as_dict())
        is_late = time.monotonic() - self.saved_at > train.save_every_s
        is_late, self.stopping = self.group.any(is_late, trainer.stop_asked)
        if trainer.is_due or is_late or self.stopping:
            yield from self._save()
            self.saved_at = time.monotonic()

    def _validate(self) -> Validated:
        """Score the validation split, count it, and save the weights where they are the best."""
        trainer, progress = self.trainer, self.trainer.progress
        # A coarse clock may not have moved.
        chars_per_s = self.characters / max(time.monotonic() - self.validated_at, 1e-3)
        loss, train_loss = trainer.validate(), progress.loss_sum / progress.loss_count
        is_best = progress.best_loss is None or loss < progress.best_loss
        trainer.plateau.update(is_best, trainer.config.train)
        if is_best:
            progress.best_loss, progress.best_step = loss, progress.step
            if self.run:
                snapshot.save_best(trainer)
        progress.loss_sum, progress.loss_count = 0.0, 0
        return Validated(progress.step, loss, train_loss, is_best, chars_per_s)

    def _sample(self, length: int) -> str:
        return self.group.once(lambda: self.trainer.sample(length))

    def _record(self, entry: Mapping[str, Any]) -> None:
        """Append a line to the run's history."""
        run = self.run
        if run is not None:
            self.group.once(lambda: run.record(entry))

    def _save(self) -> Iterator[Event]:
        if self.run:
            snapshot.save_last(self.trainer)
            yield Saved(self.trainer.progress.step, self.run.last)

    def _roll_back(self, trouble: Trouble) -> RolledBack:
        """Return to the last good state at half the rate; raise Diverged where that cannot be."""
        trainer, run, recovery = self.trainer, self.run, self.trainer.recovery
        if run is None or not self.group.once(lambda: os.path.lexists(run.last)):
            raise trouble
        if recovery.rollbacks >= MOST:
            problem = f"{trouble.what}, and {MOST} rollbacks at half the learning rate did not help"
            tenth = trainer.config.train.learning_rate / 10
            raise Diverged("train", problem, f"start again with a tenth of it, --lr {tenth:.2g}")
        step, elapsed_s = trainer.progress.step, trainer.progress.elapsed_s
        snapshot.roll_back(trainer)
        trainer.progress.elapsed_s = elapsed_s
        recovery.rollbacks += 1
        recovery.steps_above = 0
        to, count, why = trainer.progress.step, recovery.rollbacks, trouble.what
        self._record(Rollback(step, to, count, why).as_dict())
        # However this process ends, the next one continues from here and at this rate.
        snapshot.save_last(trainer)
        return RolledBack(step, to, why, recovery.factor, count)
