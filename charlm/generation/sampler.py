"""Start text -> texts, drawn side by side, one symbol of each at a time.

    read the start text -> filter the logits -> draw -> read what was drawn -> filter ...

All streams draw from one generator, B numbers a draw, derived from the seed and n. `texts` goes on
for ever: where a text ends, its stream begins the next one behind the start text. They come in the
order in which they begin; in the order of their ends, short ones would be too frequent.
"""

from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from charlm import randomness
from charlm.errors import CheckpointError, ConfigError
from charlm.generation.filters import Filters
from charlm.nn.functions import cross_entropy
from charlm.nn.model import Model
from charlm.nn.stepper import Mixture, Stepper
from charlm.runs.loading import usable
from charlm.terminal import brief
from charlm.text.vocabulary import OnUnknown, Vocabulary
from charlm.types import States

# Symbols of a start text between two calls of `reading`.
_REPORTED = 1000


class Drawn(NamedTuple):
    """A text that was drawn, without its start."""

    written: str
    characters: int  # the end of an item is one
    symbols: int  # the same in symbols: bytes at byte level
    log_prob: float
    ended: bool  # with a stop text, or as an item

    def likelihood(self) -> float:
        """Return the mean log-probability of its symbols."""
        return self.log_prob / max(1, self.symbols)


class Sampler:
    """B texts that are drawn side by side.

    Without a start text the model reads the vocabulary's `start` from the zero state.

    Of independent items, `start` is the boundary: it is read before each start text, and ends the
    item that draws it.

    Args:
        model: refreshed weights.
        vocabulary: the model's; its unknown symbol is never drawn.
        filters: the distribution that symbols are drawn from.
        start: read before the first draw, in the normal form of Unicode of which the vocabulary
            knows most; not part of the texts.
        on_unknown: what becomes of the start text's unknown characters, as in `encode`.
        streams: B, the number of texts.
        stop: texts that end a stream when it has written one of them, which is kept.
        min_length: symbols before which no stop text ends a stream, and no item ends.
        items: the model has learned independent items; none is empty.
        seed: the same seed, n, B, weights, start and filters give the same texts.
        n: a counter that gives one seed several generators.
        scored: sum up the log-probabilities; costs a softmax a draw.
        reading: called with the start text's symbols read so far, and their number.
        mixture: what is mixed with the model's probabilities.

    Attributes:
        counts: the number of symbols of each text; bytes at byte level, and the end of an item.
        ended: whether each stream has written a stop text, or ended its item.
        log_probs: (B,) ln p of each text under the model, or its mixture: at temperature 1 and
            without filters. Zeros unless `scored`.

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
        min_length: int = 0,
        items: bool = False,
        seed: int,
        n: int = 0,
        scored: bool = False,
        reading: Callable[[int, int], object] | None = None,
        mixture: Mixture | None = None,
    ) -> None:
        whole = (("streams", streams, 1), ("seed", seed, 0), ("n", n, 0))
        for name, value, least in (*whole, ("min_length", min_length, 0)):
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
        self.min_length, self.boundary = int(min_length), vocabulary.start_id if items else None
        if items and vocabulary.start_id in ids:
            problem = f"holds {vocabulary.start!r}, which stands between items"
            raise ConfigError("start", problem, "leave it out")
        # Symbols before which the boundary is not drawn, where there is any other.
        self._least = 0
        if items and len(vocabulary.symbols) > 1:
            self._least = max(self.min_length, int(not ids.size))
        if items or not ids.size:
            ids = np.append(vocabulary.start_id, ids)
        # Read by one stream for all: the start text but for its last id, up to the state in which
        # each text begins; then the last id of each stream.
        self._lead, self._first = ids[:-1], ids[-1]
        self._entry: States | None = None
        self._last = np.full(streams, ids[-1])
        self._reading = reading
        self._tails = [""] * streams
        self._longest = max(map(len, self.stop), default=0)
        self._decoders = [vocabulary.decoder() for _ in range(streams)]
        self._stepper, self._mixture = Stepper(model, streams, mixture), mixture
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

    def texts(self, length: int) -> Iterator[Drawn]:
        """Draw texts of at most `length` symbols each, without end.

        An item of `length` symbols may still end; otherwise it is cut.

        Raises:
            ConfigError: `length` is below `min_length`; raised at once.
        """
        self._check_length(length)
        return self._texts(length)

    def _texts(self, length: int) -> Iterator[Drawn]:
        most = length + 1 if self.boundary is not None else max(1, length)
        pieces: list[list[str]] = [[] for _ in range(self.B)]
        numbers, begun, following = list(range(self.B)), self.B, 0
        done: dict[int, Drawn] = {}
        while True:
            before, over = self.log_probs.copy(), []
            for b, piece in enumerate(self.step()):
                pieces[b].append(piece)
                if self.ended[b] or self.counts[b] == most:
                    over.append(b)
            for b in over:
                # What was drawn beyond the length, and ends no item, is left out.
                is_end = bool(self._last[b] == self.boundary)
                extra = self.counts[b] > length and not is_end
                written = "".join(pieces[b][:-1] if extra else pieces[b])
                done[numbers[b]] = Drawn(
                    written=written,
                    characters=len(written) + is_end,
                    symbols=self.counts[b] - extra,
                    log_prob=float((before if extra else self.log_probs)[b]),
                    ended=self.ended[b] and not extra,
                )
                pieces[b], numbers[b], begun = [], begun, begun + 1
            while following in done:
                yield done.pop(following)
                following += 1
            if over:
                self._begin(over)

    def _check_length(self, length: int) -> None:
        if self.min_length > length:
            problem = f"must be at most length ({length}), got {self.min_length}"
            raise ConfigError("min_length", problem)

    def _begin(self, streams: Sequence[int]) -> None:
        """Begin another text in some streams."""
        assert self._entry is not None
        for states, columns in zip(self._stepper.state, self._entry, strict=True):
            for state, column in zip(states, columns, strict=True):
                state[:, streams] = column
        self._last[streams], self.log_probs[streams] = self._first, 0
        for b in streams:
            self.counts[b], self.ended[b], self._tails[b] = 0, False, ""
            self._decoders[b] = self.vocabulary.decoder()

    def characters(self, length: int) -> Iterator[str]:
        """Yield the text of a single stream as it is drawn, for up to `length` symbols.

        Raises:
            ConfigError: there are several streams, or `length` is below `min_length`; raised at
                once.
        """
        self._check_length(length)
        if self.B != 1:
            raise ConfigError(
                "streams", f"must be 1 to write character by character, got {self.B}", "use write"
            )
        return filter(None, self._characters(length))

    def _characters(self, length: int) -> Iterator[str]:
        for _ in range(length):
            if self.ended[0]:
                return
            yield self._decode(0, self._draw()[0])
        if self.boundary is not None and not self.ended[0]:
            self.ended[0] = self._draw()[0] == self.boundary

    def _draw(self) -> list[int]:
        """Read the symbols drawn last, and draw the next one of every stream."""
        if self._entry is None:
            self._read_lead()
        z = self._stepper.step(self._last)
        logits = z.copy() if self.scored else None
        if self._least:
            short = [b for b, count in enumerate(self.counts) if count < self._least]
            z[self.boundary, short] = -np.inf
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
        stepper = self._stepper if self.B == 1 else Stepper(self.model, 1, self._mixture)
        for k in range(self._lead.size):
            stepper.step(self._lead[k : k + 1])
            if self._reading and (k + 1) % _REPORTED == 0:
                self._reading(k + 1, self._lead.size)
        if self._reading and self._lead.size:
            self._reading(self._lead.size, self._lead.size)
        self._entry = [tuple(part.copy() for part in layer) for layer in stepper.state]
        self._begin(range(self.B))

    def _decode(self, b: int, drawn: int) -> str:
        """Return the text that a symbol adds to stream b, up to a stop text or an item's end."""
        self.counts[b] += 1
        if drawn == self.boundary:
            self.ended[b] = True
            return ""
        text = self._decoders[b](drawn)
        if self.stop:
            for k, character in enumerate(text, 1):
                self._tails[b] = (self._tails[b] + character)[-self._longest :]
                if self.counts[b] >= self.min_length and self._tails[b].endswith(self.stop):
                    self.ended[b] = True
                    return text[:k]
        return text
