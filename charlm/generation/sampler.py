"""Start text -> texts, drawn side by side, a symbol each at a time.

    read the start text -> weigh the logits -> draw -> read what was drawn -> weigh ...

All streams draw from one generator, B numbers a step, and its place follows from the steps made.
So a sampler that was saved and continued draws what the uninterrupted one would have drawn, bit
for bit: of the generator nothing is stored but how often it was asked.
"""

from bisect import bisect
from collections.abc import Iterator, Sequence

import numpy as np

from charlm import randomness
from charlm.errors import CheckpointError, ConfigError
from charlm.generation.filters import Filters
from charlm.nn.functions import cross_entropy
from charlm.nn.model import Model
from charlm.nn.stepper import Stepper
from charlm.runs.loading import usable
from charlm.terminal import brief
from charlm.text.vocabulary import OnUnknown, Vocabulary


class Sampler:
    """Write B texts side by side.

    Without a start text the model reads the vocabulary's `start` from the zero state.

    Args:
        model: prepared weights.
        vocabulary: the model's; its unknown symbol is never drawn.
        filters: how symbols are drawn.
        start: what the model reads before it writes; no part of what is written.
        where: what the start text is called in an error.
        on_unknown: what becomes of the start text's unknown characters, as in `encode`.
        streams: B, how many texts.
        stop: texts that end a stream as soon as it has written one of them; that one is kept.
        seed: the same seed, B, weights, start and filters give the same texts.
        n: which of the seed's draws.
        scored: sum up the log-probabilities; costs a softmax a step.

    Attributes:
        draws: steps made.
        counts: symbols that each stream has drawn until it ended; bytes at byte level.
        ended: which streams have written a stop text.
        log_probs: (B,) ln p of all that each stream has drawn, under the model itself: at
            temperature 1 and without filters. Zeros where they are not asked for.

    Raises:
        ConfigError: there is no stream, or a value is of another type or out of range.
        UnknownCharacter: the start text holds a character that the model never saw.
        CheckpointError: the weights are not finite numbers.
    """

    def __init__(
        self,
        model: Model,
        vocabulary: Vocabulary,
        filters: Filters,
        *,
        start: str = "",
        where: str = "start text",
        on_unknown: OnUnknown = "error",
        streams: int = 1,
        stop: str | Sequence[str] = (),
        seed: int,
        n: int = 0,
        scored: bool = False,
    ) -> None:
        for name, value, least in (("streams", streams, 1), ("seed", seed, 0), ("n", n, 0)):
            if not isinstance(value, int | np.integer):
                raise ConfigError(name, f"must be a whole number, got {brief(value)}")
            if value < least:
                raise ConfigError(name, f"must be at least {least}, got {brief(value)}")
        stop = [stop] if isinstance(stop, str) else list(stop)
        if not isinstance(start, str) or not all(isinstance(q, str) for q in stop):
            raise ConfigError("start, stop", "must be texts")
        if not usable(model.parameters.flat):
            raise CheckpointError(
                "model",
                "its weights are not finite numbers",
                "it is damaged, use another checkpoint",
            )
        self.model, self.vocabulary, self.filters = model, vocabulary, filters
        self.start, self.B, self.seed, self.n, self.scored = start, streams, int(seed), n, scored
        self.stop = tuple(q for q in stop if q)
        self.draws = 0
        self.counts = [0] * streams
        self.ended = [False] * streams
        self.log_probs = np.zeros(streams)
        ids = vocabulary.encode(start, on_unknown=on_unknown, where=where).astype(np.intp)
        if not ids.size:
            ids = np.array([vocabulary.start_id])
        # What is still to be read: first this by all streams alike, then its own id by each.
        self._lead = ids[:-1]
        self._last = np.full(streams, ids[-1])
        self._tails = [""] * streams
        self._longest = max(map(len, self.stop), default=0)
        self._decoders = [vocabulary.decoder() for _ in range(streams)]
        self._stepper = Stepper(model, streams)
        self._rng = randomness.generator(seed, randomness.SAMPLES, n)

    @property
    def finished(self) -> bool:
        """Tell whether all streams have ended."""
        return all(self.ended)

    def step(self) -> list[str]:
        """Draw a symbol for every stream.

        Returns:
            What each stream has written by it: a character, or nothing while a character's bytes
            are incomplete, and after the stream has ended.

        Raises:
            CheckpointError: the logits are not finite numbers.
        """
        drawn = self._draw()
        return ["" if self.ended[b] else self._write(b, drawn[b]) for b in range(self.B)]

    def write(self, length: int) -> list[str]:
        """Draw up to `length` symbols more for every stream, and return what each has written."""
        texts: list[list[str]] = [[] for _ in range(self.B)]
        for _ in range(length):
            if self.finished:
                break
            for text, piece in zip(texts, self.step(), strict=True):
                text.append(piece)
        return ["".join(text) for text in texts]

    def characters(self, length: int) -> Iterator[str]:
        """Yield what a single stream writes, as it is drawn, for up to `length` symbols more.

        Raises:
            ConfigError: there are several streams; raised at once.
        """
        if self.B != 1:
            raise ConfigError(
                "streams", f"must be 1 to write character by character, got {self.B}", "use write"
            )
        return self._characters(length)

    def _characters(self, length: int) -> Iterator[str]:
        for _ in range(length):
            if self.ended[0]:
                return
            if text := self._write(0, self._draw()[0]):
                yield text

    def _draw(self) -> list[int]:
        """Read what was drawn last, and draw the next symbol of every stream."""
        if self._lead.size:
            self._read_lead()
        z = self._stepper.step(self._last)
        logits = z.copy() if self.scored else None
        if self.B == 1:
            z = z[:, 0]
        if self.vocabulary.unknown_id is not None:
            z[self.vocabulary.unknown_id] = -np.inf
        weights = self.filters.weigh(z)
        ladder = np.add.accumulate(weights.astype(np.float64), axis=0)
        # The draw lies below the sum, so a weight of 0 is never picked.
        if self.B == 1:
            drawn = [bisect(ladder, self._rng.random() * ladder[-1])]
            self._last[0] = drawn[0]
        else:
            np.sum(ladder <= self._rng.random(self.B) * ladder[-1], axis=0, out=self._last)
            drawn = self._last.tolist()
        self.draws += 1
        if logits is not None:
            nats = cross_entropy(logits, self._last)
            self.log_probs -= np.where(self.ended, 0, nats)
        return drawn

    def _read_lead(self) -> None:
        """Read the start text but for its last symbol, once for all streams."""
        stepper = self._stepper if self.B == 1 else Stepper(self.model, 1)
        for k in range(self._lead.size):
            stepper.step(self._lead[k : k + 1])
        if self.B > 1:
            for ours, read in zip(self._stepper.state, stepper.state, strict=True):
                for q, column in zip(ours, read, strict=True):
                    np.copyto(q, column)
        self._lead = self._lead[:0]

    def _write(self, b: int, drawn: int) -> str:
        """Return the text that a draw adds to stream b, up to a stop text."""
        self.counts[b] += 1
        text = self._decoders[b](drawn)
        if self.stop:
            for k, character in enumerate(text, 1):
                self._tails[b] = (self._tails[b] + character)[-self._longest :]
                if self._tails[b].endswith(self.stop):
                    self.ended[b] = True
                    return text[:k]
        return text


def sample(
    model: Model,
    vocabulary: Vocabulary,
    filters: Filters,
    *,
    start: str = "",
    where: str = "start text",
    on_unknown: OnUnknown = "error",
    length: int,
    stop: str | Sequence[str] = (),
    seed: int,
    n: int = 0,
) -> Iterator[str]:
    """Write one text, a character at a time.

    `length` is how many symbols are drawn at the most; at byte level these are bytes. The other
    arguments are those of `Sampler`, and so is what is raised: at once, not at the first character.
    """
    sampler = Sampler(
        model,
        vocabulary,
        filters,
        start=start,
        where=where,
        on_unknown=on_unknown,
        stop=stop,
        seed=seed,
        n=n,
    )
    return sampler.characters(length)
