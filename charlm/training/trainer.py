"""Truncated backpropagation through time, as an iterator of events.

    update n:  read chunk n -> forward and back -> check -> clip -> optimizer -> average
    trouble:   back to the last good state, at half the learning rate

The loop draws no bar and prints nothing. What update n does follows from the checkpoint before it
and from n alone, so a resumed run ends with the numbers of the run that was never interrupted.
"""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from charlm import environment, randomness
from charlm.errors import CheckpointError, Diverged
from charlm.evaluation import score
from charlm.generation.filters import Filters
from charlm.generation.sampler import sample
from charlm.nn.model import Model
from charlm.optim.averaging import Average
from charlm.optim.clipping import clip, global_norm
from charlm.optim.optimizers import make_optimizer
from charlm.optim.schedules import Plateau, learning_rate
from charlm.runs.folder import Run
from charlm.runs.loading import Trained, array, pack, read_counts, unpack
from charlm.settings.schema import Config
from charlm.storage.checkpoint import GOOD, Checkpoint, load, save
from charlm.storage.history import Reading, Rollback
from charlm.text.batches import Streams
from charlm.text.corpus import TextInfo, split
from charlm.text.vocabulary import Vocabulary
from charlm.training.events import (
    Done,
    Event,
    RolledBack,
    Sampled,
    Saved,
    Started,
    Updated,
    Validated,
)
from charlm.training.finetuning import Adopted, load_pretrained
from charlm.training.recovery import MOST, Recovery, Trouble
from charlm.types import Array, Ids, States

VALIDATIONS = 8
_READINGS = 200
# A validation reads at most this much of the share, so that a long text costs no more than a
# short one; `charlm eval` reads everything.
VALIDATION_CHARACTERS = 200_000
# So much of each sample stays in the history.
SAMPLE_KEPT = 300


@dataclass
class Progress:
    """Count what a resumed run has to go on counting.

    Attributes:
        step: updates made.
        best_loss: lowest validation loss.
        best_step: when that was.
        loss_sum: sum of the losses since the last validation.
        loss_count: how many.
        elapsed_s: seconds spent.
    """

    step: int = 0
    best_loss: float | None = None
    best_step: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    elapsed_s: float = 0.0


class Trainer:
    """Train one model on one text.

    Args:
        config: resolved: `train.steps` and `train.seq_len` are numbers.
        vocabulary: the text's.
        text: which text it is.
        ids: the text as ids.
        run: where to save; None saves nothing.

    Attributes:
        resumed: it goes on from a checkpoint.
        stop_asked: `events` ends after the update that is being made.
    """

    def __init__(
        self,
        config: Config,
        vocabulary: Vocabulary,
        text: TextInfo,
        ids: Ids,
        run: Run | None,
    ) -> None:
        train = config.train
        assert train.steps is not None
        assert isinstance(train.seq_len, int)
        self.config, self.vocabulary, self.text, self.run = config, vocabulary, text, run
        self.steps, self.ids = train.steps, ids
        training, validation, _ = split(ids.size, config.data.validation, config.data.test)
        self.streams = Streams(training.of(ids), train.batch_size, train.seq_len, train.seed)
        self.validation = validation.of(ids)[:VALIDATION_CHARACTERS]

        on_input = train.embedding_dropout
        self.model = Model(config.model, vocabulary.size, masked_input=on_input > 0)
        assert self.model.gradient is not None
        self.model.initialize(train.seed)
        parameters, self.gradient = self.model.parameters.flat, self.model.gradient.flat
        rates = [on_input] + [train.dropout] * config.model.layers
        self.cache = self.model.cache(train.seq_len, train.batch_size, rates)
        self.optimizer = make_optimizer(parameters, self.gradient, train)
        # The model that is validated, sampled from and kept: the averaged one where on.
        self.ema_model, self.average = self.model, None
        if train.average:
            self.ema_model = Model(config.model, vocabulary.size, training=False)
            np.copyto(self.ema_model.parameters.flat, parameters)
            self.average = Average(self.ema_model.parameters.flat, train.average)
        self.zero_state = self.model.zero_state(train.batch_size)
        self.state: States = self.zero_state
        self.progress, self.plateau, self.recovery = Progress(), Plateau(), Recovery()
        # What belongs to the good state's arrays, wherever in last.npz these are.
        self._good: dict[str, Any] = self._counters()
        self.resumed = self.stop_asked = False

    def begin_with(self, old: Trained) -> Adopted:
        """Take over an old model's weights, before the first update."""
        adopted = load_pretrained(self.model, self.vocabulary, old)
        if self.average:
            np.copyto(self.ema_model.parameters.flat, self.model.parameters.flat)
        return adopted

    @property
    def stale(self) -> bool:
        """Tell whether validation has not improved for as long as it may."""
        return 0 < self.config.train.patience <= self.plateau.stale

    @property
    def validate_every(self) -> int:
        """Return the number of updates between validations."""
        every = self.config.train.validate_every
        return max(25, math.ceil(self.steps / VALIDATIONS)) if every == "auto" else every

    def ask_to_stop(self) -> None:
        """Let `events` save and end after the update that is being made."""
        self.stop_asked = True

    # What overflows is told once, as Diverged.
    @np.errstate(all="ignore")
    def update(self) -> Updated:
        """Make one update.

        Raises:
            Trouble: the loss or the gradient is not finite, or explodes; no parameter has moved.
        """
        n, train = self.progress.step, self.config.train
        chunk = self.streams.chunk(n)
        self.cache.draw_masks(randomness.generator(train.seed, randomness.DROPOUT_MASKS, n))
        entering = self.zero_state if chunk.fresh else self.state
        loss, self.state = self.model.loss_and_gradient(
            chunk.inputs, chunk.targets, entering, self.cache
        )
        norm, rate = global_norm(self.gradient), self._rate(n)
        if what := self.recovery.see(loss, norm, self.vocabulary.size, self.steps):
            raise Trouble(what, f"at update {n + 1} and learning rate {rate:.3g}")
        clip(self.gradient, norm, train.clip_norm)
        self.optimizer.step(rate)
        if self.average:
            self.average.update(n, self.model.parameters.flat)
        self.model.refresh()
        self.progress.step += 1
        self.progress.loss_sum += loss
        self.progress.loss_count += 1
        return Updated(n + 1, loss, rate, norm, chunk.targets.size)

    @np.errstate(all="ignore")
    def validate(self) -> float:
        """Score the validation share: nats per character, state carried.

        Raises:
            Trouble: that is no finite number.
        """
        if self.ema_model is not self.model:
            self.ema_model.refresh()
        loss = score.carried(self.ema_model, self.validation, self.vocabulary.start_id).nats
        if not math.isfinite(loss):
            raise self._trouble(f"the validation loss is no longer finite, got {loss:.4g},")
        return loss

    def events(self) -> Iterator[Event]:
        """Train to the goal, and tell what happens.

        Raises:
            Diverged: the loss, the gradient, the validation loss or what was to be saved was not
                finite, or exploded, and going back did not help.
            RunError: a checkpoint could not be saved, or another process trains this run.
        """
        if self.run is None:
            yield from self._events()
            return
        self.run.take()
        try:
            yield from self._events()
        finally:
            if self.run.last.exists() or self.run.best.exists():
                self.run.release()
            else:
                # It was never saved: there is nothing to go on from, and a name taken for nothing.
                self.run.discard()

    def _events(self) -> Iterator[Event]:
        p, readings = self.progress, max(1, self.steps // _READINGS)
        began = time.monotonic() - p.elapsed_s
        validated_at, characters = time.monotonic(), 0
        yield Started(p.step, self.steps)
        saved_at = time.monotonic()
        if self.resumed and self.run:
            self.run.record({"resume": p.step})
        elif p.step == 0:
            yield from self._save()
        if p.step == 0 and self.run and (length := self.config.train.sample_length):
            # What it writes before it has learned anything.
            self.ema_model.refresh()
            text = self.sample(min(length, SAMPLE_KEPT))
            self.run.record(Reading(0, sample=text, elapsed_s=0.0).as_dict())
        while p.step < self.steps and not self.stop_asked and not self.stale:
            try:
                updated = self.update()
                characters += updated.characters
                yield updated
                reading: dict[str, Any] = {}
                if p.step % readings == 0:
                    reading = {"loss": updated.loss, "learning_rate": updated.learning_rate,
                               "norm": updated.norm}  # fmt: skip
                p.elapsed_s = time.monotonic() - began
                due = self._is_due(p.step)
                if due and self.validation.size:
                    # A coarse clock may not have moved.
                    chars_per_s = characters / max(time.monotonic() - validated_at, 1e-3)
                    validated = self._validate(chars_per_s)
                    reading |= {"train_loss": validated.train_loss, "validation": validated.loss,
                                "chars_per_s": round(chars_per_s)}  # fmt: skip
                    yield validated
                    if length := self.config.train.sample_length:
                        text = self.sample(length)
                        reading["sample"] = text[:SAMPLE_KEPT]
                        yield Sampled(p.step, text)
                    validated_at, characters = time.monotonic(), 0
                if reading and self.run:
                    self.run.record({"step": p.step, **reading, "elapsed_s": round(p.elapsed_s, 2)})
                late = time.monotonic() - saved_at > self.config.train.save_every_s
                if due or late or self.stop_asked:
                    yield from self._save()
                    saved_at = time.monotonic()
            except Trouble as trouble:
                p.elapsed_s = time.monotonic() - began
                yield self._roll_back(trouble)
                p, saved_at = self.progress, time.monotonic()
        p.elapsed_s = time.monotonic() - began
        early = self.stale and p.step < self.steps
        interrupted = p.step < self.steps and not early
        yield Done(p.step, interrupted, p.best_loss, p.best_step, p.elapsed_s, early)

    def _is_due(self, step: int) -> bool:
        """Say whether a step is one to validate and save at."""
        return step % self.validate_every == 0 or step == self.steps

    def _roll_back(self, trouble: Trouble) -> RolledBack:
        """Go back to the last good state, and halve the learning rate.

        Raises:
            Diverged: there is none, or it was gone back to often enough.
        """
        if self.run is None or not self.run.last.exists():
            raise trouble
        if self.recovery.rollbacks >= MOST:
            tenth = self.config.train.learning_rate / 10
            raise Diverged(
                "train",
                f"{trouble.what} and {MOST} times back at half the learning rate did not help",
                f"start again with a tenth of it, --lr {tenth:.2g}",
            )
        left, elapsed_s = self.progress.step, self.progress.elapsed_s
        checkpoint = load(self.run.last)
        good = {q[len(GOOD) :]: v for q, v in checkpoint.arrays.items() if q.startswith(GOOD)}
        self._put_back(checkpoint._replace(arrays=good or checkpoint.arrays), self._good)
        self.progress.elapsed_s = elapsed_s
        self.recovery.rollbacks += 1
        self.recovery.above = 0
        count, step = self.recovery.rollbacks, self.progress.step
        what = trouble.what.rstrip(",")
        self.run.record(Rollback(left, step, count, what).as_dict())
        # Whatever ends this process, the next one goes on from here and at this rate.
        self.save()
        return RolledBack(left, step, what, self.recovery.factor, count)

    def _validate(self, chars_per_s: float) -> Validated:
        p = self.progress
        loss, train_loss = self.validate(), p.loss_sum / p.loss_count
        self.plateau.see(loss, self.config.train)
        best = p.best_loss is None or loss < p.best_loss
        if best:
            p.best_loss, p.best_step = loss, p.step
            if self.run:
                self._write(self.run.best, pack(self.ema_model.parameters), "best")
        p.loss_sum, p.loss_count = 0.0, 0
        return Validated(p.step, loss, train_loss, best, chars_per_s)

    def sample(self, length: int) -> str:
        """Write something, the same from the same weights and step."""
        train = self.config.train
        return "".join(
            sample(
                self.ema_model,
                self.vocabulary,
                Filters(),
                length=length,
                seed=train.seed,
                n=self.progress.step,
            )
        )

    def save(self) -> None:
        """Write `last.npz`, which holds the last good state as well, where this is not one.

        Raises:
            Trouble: something of it is not finite; what was saved before stays.
            RunError: it could not be saved.
        """
        assert self.run is not None
        arrays = self._arrays()
        is_good = self._is_due(self.progress.step) and not self.recovery.above
        if not is_good and self.run.last.exists():
            # Where somebody damaged the file, there is no other good state than this.
            with suppress(CheckpointError):
                self._write(self.run.last, arrays, "last", keep_good=True)
                return
        self._write(self.run.last, arrays, "last")
        self._good = self._counters()

    def _save(self) -> Iterator[Event]:
        if self.run:
            self.save()
            yield Saved(self.progress.step, self.run.last)

    def _write(
        self, path: Path, arrays: dict[str, Array], kind: str, *, keep_good: bool = False
    ) -> None:
        assert self.run is not None
        self.run.check_held()
        for name, q in arrays.items():
            if not _is_finite(q):
                raise self._trouble(f"'{name}' is no longer finite,")
        try:
            good = {"good": self._good} if keep_good else {}
            save(path, arrays, self._meta(kind) | good, keep_good=keep_good)
        except OSError as error:
            raise self.run.failed(path, error) from None

    def _rate(self, n: int) -> float:
        return learning_rate(n, self.config.train, self.plateau.decays) * self.recovery.factor

    def _trouble(self, what: str) -> Trouble:
        n = self.progress.step
        return Trouble(what, f"after update {n} at learning rate {self._rate(max(0, n - 1)):.3g}")

    def _arrays(self) -> dict[str, Array]:
        """Return everything that a resume needs, by the names of `last.npz`."""
        parameters = self.model.parameters
        arrays = pack(parameters)
        for name, flat in self.optimizer.state.items():
            arrays |= pack(parameters.view_of(flat), f"optimizer.{name}/")
        if self.average:
            arrays |= pack(self.ema_model.parameters, "average/")
        for k, (layer, state) in enumerate(zip(self.model.layers, self.state, strict=True)):
            for name, q in zip(layer.STATES, state, strict=True):
                arrays[f"state/{k}.{name}"] = q
        return arrays

    def _meta(self, kind: str) -> dict[str, Any]:
        return {
            "kind": kind,
            "config": self.config.as_dict(),
            "vocabulary": self.vocabulary.as_dict(),
            "text": self.text.as_dict(),
            **self._counters(),
            "recovery": vars(self.recovery).copy(),
            "threads": environment.threads(),
            "versions": environment.versions(),
        }

    def _counters(self) -> dict[str, Any]:
        """Return the counters that go with the arrays."""
        return {"progress": vars(self.progress).copy(), "plateau": vars(self.plateau).copy()}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to where a `last.npz` was saved.

        Raises:
            CheckpointError: it does not hold what this model needs.
        """
        self._put_back(checkpoint, checkpoint.meta)
        # A run of the time before there was one counts from here.
        if "recovery" in checkpoint.meta:
            self.recovery = read_counts(checkpoint, "recovery", Recovery)
        self._good = self._good_counters(checkpoint)
        self.resumed = True

    def _good_counters(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """Return the counters of the good state that is beside a checkpoint's own, or of that."""
        good = checkpoint.meta.get("good")
        beside = {name for name in checkpoint.arrays if name.startswith(GOOD)}
        if good is None and not beside:
            return self._counters()
        counted = checkpoint._replace(meta=good if isinstance(good, dict) else {})
        progress = read_counts(counted, "progress", Progress)
        plateau = read_counts(counted, "plateau", Plateau)
        for name, q in self._arrays().items():
            array(checkpoint, GOOD + name, np.empty_like(q))
        return {"progress": vars(progress), "plateau": vars(plateau)}

    def _put_back(self, checkpoint: Checkpoint, counters: Mapping[str, Any]) -> None:
        parameters = self.model.parameters
        unpack(checkpoint, parameters)
        self.model.refresh()
        for name, flat in self.optimizer.state.items():
            unpack(checkpoint, parameters.view_of(flat), f"optimizer.{name}/")
        if self.average:
            unpack(checkpoint, self.ema_model.parameters, "average/")
        self.state = self.model.zero_state(self.config.train.batch_size)
        for k, (layer, state) in enumerate(zip(self.model.layers, self.state, strict=True)):
            for name, q in zip(layer.STATES, state, strict=True):
                array(checkpoint, f"state/{k}.{name}", q)
        counted = checkpoint._replace(meta=counters)
        self.progress = read_counts(counted, "progress", Progress)
        self.plateau = read_counts(counted, "plateau", Plateau)
        self.optimizer.updates = self.progress.step


@np.errstate(all="ignore")
def _is_finite(q: Array) -> bool:
    """Say whether every number is finite, without an array of answers."""
    return math.isfinite(q.min()) and math.isfinite(q.max())
