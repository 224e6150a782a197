"""Start text -> texts, drawn side by side, one symbol of each at a time.

    read the start text -> filter the logits -> draw -> read what was drawn -> filter ...

All streams draw from one generator, B numbers a draw, derived from the seed and n.
"""

from bisect import bisect
from collections.abc import Callable, Iterator, Sequence

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

# Symbols of a start text between two calls of `reading`.
_REPORTED = 1000


class Sampler:
    """B texts that are drawn side by side.

    Without a start text the model reads the vocabulary's `start` from the zero state.

    Args:
        model: refreshed weights.
        vocabulary: the model's; its unknown symbol is never drawn.
        filters: the distribution that symbols are drawn from.
        start: read before the first draw, in the normal form of Unicode of which the vocabulary
            knows most; not part of the texts.
        on_unknown: what becomes of the start text's unknown characters, as in `encode`.
        streams: B, the number of texts.
        stop: texts that end a stream when it has written one of them, which is kept.
        seed: the same seed, n, B, weights, start and filters give the same texts.
        n: a counter that gives one seed several generators.
        scored: sum up the log-probabilities; costs a softmax a draw.
        reading: called with the start text's symbols read so far, and their number.

    Attributes:
        counts: the number of symbols of each text; bytes at byte level.
        ended: whether each stream has written a stop text.
        log_probs: (B,) ln p of each text under the model itself: at temperature 1 and without
            filters. Zeros unless `scored`.

    Raises:
        ConfigError: a value is out of range or of another type.
        UnknownCharacter: the start text holds a character that is not in the vocabulary.
        CheckpointError: the weights are not finite numbers.
    """

    def __init__(
        self,
        model: Model,
        vocabulary: Vocabulary,
        filters: Filters,
        *,
        start: str = "",
        on_unknown: OnUnknown = "error",
        streams: int = 1,
        stop: str | Sequence[str] = (),
        seed: int,
        n: int = 0,
        scored: bool = False,
        reading: Callable[[int, int], object] | None = None,
    ) -> None:
        for name, value, least in (("streams", streams, 1), ("seed", seed, 0), ("n", n, 0)):
            if not isinstance(value, int | np.integer):
                raise ConfigError(name, f"must be a whole number, got {brief(value)}")
            if value < least:
                raise ConfigError(name, f"must be at least {least}, got {brief(value)}")
        stop = [stop] if isinstance(stop, str) else list(stop)
        if not isinstance(start, str) or not all(isinstance(text, str) for text in stop):
            raise ConfigError("start, stop", "must be strings")
        if not usable(model.parameters.flat):
            problem, advice = "its weights are not finite numbers", "use another checkpoint"
            raise CheckpointError("model", problem, advice)
        self.model, self.vocabulary, self.filters = model, vocabulary, filters
        start = vocabulary.normal_form(start)
        self.start, self.B, self.seed, self.n, self.scored = start, streams, int(seed), n, scored
        self.stop = tuple(vocabulary.normal_form(text) for text in stop if text)
        self.counts = [0] * streams
        self.ended = [False] * streams
        self.log_probs = np.zeros(streams)
        ids = vocabulary.encode(start, on_unknown=on_unknown, where="start").astype(np.intp)
        if not ids.size:
            ids = np.array([vocabulary.start_id])
        # Still to be read: the start text but for its last id, by one stream for all; then the last
        # id of each stream.
        self._lead = ids[:-1]
        self._last = np.full(streams, ids[-1])
        self._reading = reading
        self._tails = [""] * streams
        self._longest = max(map(len, self.stop), default=0)
        self._decoders = [vocabulary.decoder() for _ in range(streams)]
        self._stepper = Stepper(model, streams)
        self._rng = randomness.generator(seed, randomness.SAMPLES, n)

    @property
    def finished(self) -> bool:
        """Return whether all streams have ended."""
        return all(self.ended)

    def step(self) -> list[str]:
        """Draw a symbol for every stream.

        Returns:
            The text that each stream gains: a character, or nothing while the bytes of a character
            are incomplete and after the stream's end.

        Raises:
            CheckpointError: the logits are not finite numbers.
        """
        drawn = self._draw()
        return ["" if self.ended[b] else self._decode(b, drawn[b]) for b in range(self.B)]

    def write(self, length: int) -> list[str]:
        """Draw up to `length` symbols for every stream, and return the text that each gains."""
        steps = [self.step() for _ in range(length) if not self.finished]
        return ["".join(pieces) for pieces in zip(*steps, strict=True)] or [""] * self.B

    def characters(self, length: int) -> Iterator[str]:
        """Yield the text of a single stream as it is drawn, for up to `length` symbols.

        Raises:
            ConfigError: there are several streams; raised at once.
        """
        if self.B != 1:
            raise ConfigError(
                "streams", f"must be 1 to write character by character, got {self.B}", "use write"
            )
        pieces = (self._decode(0, self._draw()[0]) for _ in range(length) if not self.ended[0])
        return filter(None, pieces)

    def _draw(self) -> list[int]:
        """Read the symbols drawn last, and draw the next one of every stream."""
        if self._lead.size:
            self._read_lead()
        z = self._stepper.step(self._last)
        logits = z.copy() if self.scored else None
        if self.B == 1:
            z = z[:, 0]
        if self.vocabulary.unknown_id is not None:
            z[self.vocabulary.unknown_id] = -np.inf
        weights = self.filters.weigh(z)
        cumulated = np.add.accumulate(weights.astype(np.float64), axis=0)
        # The draw lies below the sum, so a weight of 0 is never picked.
        if self.B == 1:
            drawn = [bisect(cumulated, self._rng.random() * cumulated[-1])]
            self._last[0] = drawn[0]
        else:
            np.sum(cumulated <= self._rng.random(self.B) * cumulated[-1], axis=0, out=self._last)
            drawn = self._last.tolist()
        if logits is not None:
            nats = cross_entropy(logits, self._last)
            self.log_probs -= np.where(self.ended, 0, nats)
        return drawn

    def _read_lead(self) -> None:
        """Read the start text but for its last symbol, and copy the state to all streams."""
        stepper = self._stepper if self.B == 1 else Stepper(self.model, 1)
        for k in range(self._lead.size):
            stepper.step(self._lead[k : k + 1])
            if self._reading and (k + 1) % _REPORTED == 0:
                self._reading(k + 1, self._lead.size)
        if self._reading:
            self._reading(self._lead.size, self._lead.size)
        if self.B > 1:
            for states, columns in zip(self._stepper.state, stepper.state, strict=True):
                for state, column in zip(states, columns, strict=True):
                    np.copyto(state, column)
        self._lead = self._lead[:0]

    def _decode(self, b: int, drawn: int) -> str:
        """Return the text that a symbol adds to stream b, up to a stop text."""
        self.counts[b] += 1
        text = self._decoders[b](drawn)
        if self.stop:
            for k, character in enumerate(text, 1):
                self._tails[b] = (self._tails[b] + character)[-self._longest :]
                if self._tails[b].endswith(self.stop):
                    self.ended[b] = True
                    return text[:k]
        return text
