"""Truncated backpropagation through time: one optimizer step, one validation, one sample.

step n:  read chunk n -> forward and backward -> sum -> check -> clip -> optimizer -> average

The sum is that of the gradients of several processes, each of which reads some of the streams. What
step n does follows from the state before it and from n alone, so a resumed run ends with the
numbers of the run that was never interrupted.
"""

import math
from functools import partial

import numpy as np

from charlm import randomness
from charlm.evaluation import score
from charlm.generation.filters import Filters
from charlm.generation.sampler import Sampler
from charlm.nn.model import Model
from charlm.optim.averaging import EMA
from charlm.optim.clipping import clip, global_norm
from charlm.optim.optimizers import BASIS_EVERY, OPTIMIZERS
from charlm.optim.schedules import Plateau, learning_rate
from charlm.runs.description import Progress, Recovery
from charlm.runs.folder import Run
from charlm.runs.loading import Trained
from charlm.settings.schema import Config
from charlm.text.batches import ItemStreams, Streams, TextStreams
from charlm.text.corpus import TextInfo, split
from charlm.text.vocabulary import Vocabulary
from charlm.training.data_parallel import DataParallel
from charlm.training.events import Updated
from charlm.training.finetuning import load_pretrained
from charlm.training.parallel import Group
from charlm.training.recovery import Trouble, watch
from charlm.types import Ids, States

VALIDATIONS = 8
# A validation reads at most so much of its split, so that a long text costs no more than a short
# one; `charlm eval` reads everything.
VALIDATION_CHARACTERS = 200_000
# With fewer hidden units the calls of a validation's time steps are so short that threads wait for
# the interpreter's lock: at 2 x 64 two take twice the time of one, at 2 x 128 two thirds.
LONG_CALLS = 128


class Trainer:
    """The training of one model on one text, of which `ids` are the ids.

    The configuration is resolved: `train.steps` and `train.seq_len` are numbers. Where `run` is
    None, nothing is saved. The processes of a `group` share the streams, and call the same methods;
    each shares its own out to so many `threads`.
    """

    def __init__(
        self,
        config: Config,
        vocabulary: Vocabulary,
        text: TextInfo,
        ids: Ids,
        run: Run | None,
        group: Group | None = None,
        threads: int = 1,
    ) -> None:
        train, on_input = config.train, config.train.embedding_dropout
        assert train.steps is not None
        assert isinstance(train.seq_len, int)
        self.config, self.vocabulary, self.text, self.run = config, vocabulary, text, run
        self.steps, self.ids, self.group = train.steps, ids, group or Group()
        training, validation, _ = split(ids, config.data, text)
        T, B, own = train.seq_len, train.batch_size, self.group.share(train.batch_size)
        self.has_items = config.data.items is not None
        self.streams: Streams = (
            ItemStreams(training, B, T, train.seed, vocabulary.start_id, own)
            if self.has_items
            else TextStreams(training, B, T, train.seed, own)
        )
        self.validation = validation[:VALIDATION_CHARACTERS]

        self.model = Model(config.model, vocabulary.size, masked_input=on_input > 0)
        assert self.model.gradient is not None
        self.model.initialize(train.seed)
        parameters, self.gradient = self.model.parameters.flat, self.model.gradient.flat
        self.optimizer = OPTIMIZERS[train.optimizer](
            self.model.parameters, self.model.gradient, train
        )
        # What is validated, sampled from and kept.
        self.ema_model, self.ema = self.model, None
        if train.average:
            self.ema_model = Model(config.model, vocabulary.size, training=False)
            np.copyto(self.ema_model.parameters.flat, parameters)
            self.ema = EMA(self.ema_model.parameters.flat, train.average)
        self.zero_state = self.model.zero_state(len(self.streams.own))
        self.state: States = self.zero_state  # of this process's streams
        self.parallel = self._replicate(threads)
        # Counters, saved with every checkpoint.
        self.progress, self.plateau, self.recovery = Progress(), Plateau(), Recovery()
        self.last_is_good = True  # a rollback returns to last.npz, not to good.npz
        self.resumed = False
        # True, in any process, ends the training after the current step, and saves it.
        self.stop_asked = False

    def use_threads(self, threads: int) -> None:
        """Share the streams out to so many threads from now on."""
        # Copies, since the old caches are freed before new ones are allocated.
        self.state = [tuple(part.copy() for part in layer) for layer in self.state]
        del self.parallel
        self.parallel = self._replicate(threads)

    def _replicate(self, threads: int) -> DataParallel:
        train, B = self.config.train, len(self.streams.own)
        rates = [train.embedding_dropout] + [train.dropout] * self.config.model.layers
        return DataParallel(self.model, self.streams.T, B, rates, threads)

    def begin_with(self, old: Trained) -> None:
        """Copy an old model's weights, before the first step."""
        load_pretrained(self.model, self.vocabulary, old)
        if self.ema:
            np.copyto(self.ema_model.parameters.flat, self.model.parameters.flat)

    @property
    def out_of_patience(self) -> bool:
        """Whether validation has not improved for as many validations as it may."""
        return 0 < self.config.train.patience <= self.plateau.bad_validations

    @property
    def validate_every(self) -> int:
        """Return the number of steps between validations."""
        every = self.config.train.validate_every
        return max(25, math.ceil(self.steps / VALIDATIONS)) if every == "auto" else every

    @property
    def validation_threads(self) -> int:
        """Return how many threads share a validation."""
        return self.parallel.size if self.config.model.hidden >= LONG_CALLS else 1

    @property
    def is_due(self) -> bool:
        """Whether the current step is one to validate and save at."""
        return self.progress.step % self.validate_every == 0 or self.progress.step == self.steps

    # Overflow is reported once, as Diverged.
    @np.errstate(all="ignore")
    def update(self) -> Updated:
        """Make one optimizer step; raise Trouble, before a parameter changes, where it diverges."""
        n, train = self.progress.step, self.config.train
        chunk, streams = self.streams.chunk(n), self.streams
        rng = partial(randomness.generator, train.seed, randomness.DROPOUT_MASKS, n)
        state, characters = self.zero_state if chunk.fresh else self.state, streams.T * streams.B
        loss, self.state = self.parallel.loss_and_gradient(
            *chunk[:2], state, chunk.keep, characters, rng, streams.own.start, streams.B
        )
        self.group.sum(self.gradient)
        loss, norm = self.group.total(loss, global_norm(self.gradient) / self.group.size)
        rate = self.learning_rate(n)
        if what := watch(self.recovery, loss, norm, self.vocabulary.size, self.steps):
            raise Trouble(what, f"at step {n + 1} and learning rate {rate:.3g}")
        clip(self.gradient, norm, train.clip_norm)
        self.optimizer.step(rate, self.parallel.split)
        if self.group.size > 1 and self.optimizer.matrices.size and n % BASIS_EVERY == 0:
            # Products are rounded in other ways by other processors, and so are SOAP's steps.
            parameters = self.model.parameters.flat
            np.copyto(parameters, self.group.broadcast(parameters))
        if self.ema:
            self.ema.update(n, self.model.parameters.flat, self.parallel.split)
        self.parallel.refresh()
        self.progress.step += 1
        self.progress.loss_sum += loss
        self.progress.loss_count += 1
        return Updated(n + 1, loss, rate, norm, characters)

    @np.errstate(all="ignore")
    def validate(self) -> float:
        """Return the validation loss, nats per character; raise Trouble where it is not finite."""
        if self.ema_model is not self.model:
            self.ema_model.refresh()
        threads, group = self.validation_threads, self.group

        def nats(r: int) -> float:
            return score.carried_nats(
                self.ema_model,
                self.validation,
                self.vocabulary.start_id,
                # The pieces of this process, whatever the number of threads in others.
                rank=group.rank + group.size * r,
                of=group.size * threads,
                items=self.has_items,
            )

        parts = self.parallel.run(nats) if threads > 1 else [nats(0)]
        loss = group.total(sum(parts))[0] / self.validation.size
        if not math.isfinite(loss):
            raise self.trouble(f"the validation loss is no longer finite, got {loss:.4g}")
        return loss

    def sample(self, length: int) -> str:
        """Return a sample text, a function of the weights and the step."""
        seed, n = self.config.train.seed, self.progress.step
        sampler = Sampler(
            self.ema_model, self.vocabulary, Filters(), items=self.has_items, seed=seed, n=n
        )
        if not self.has_items:
            return sampler.write(length)[0]
        text, items = "", sampler.texts(length)
        while len(text) < length:
            text += next(items).written + "\n"
        return text[:length]

    def learning_rate(self, n: int) -> float:
        """Return the learning rate of step n: the schedule's, halved by each rollback."""
        return learning_rate(n, self.config.train, self.plateau.decays) * self.recovery.factor

    def trouble(self, what: str) -> Trouble:
        """Return the error of what diverged after the last step."""
        rate = self.learning_rate(max(0, self.progress.step - 1))
        return Trouble(what, f"after step {self.progress.step} at learning rate {rate:.3g}")
