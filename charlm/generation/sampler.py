"""Start text -> an iterator of characters.

read the start text -> weigh the logits -> draw -> read what was drawn -> weigh ...
"""

from collections.abc import Iterator

import numpy as np

from charlm import randomness
from charlm.generation.filters import Filters
from charlm.nn.model import Model
from charlm.nn.stepper import Stepper
from charlm.text.vocabulary import Vocabulary


def sample(
    model: Model,
    vocabulary: Vocabulary,
    filters: Filters,
    *,
    start: str = "",
    where: str = "start text",
    length: int,
    stop: str | None = None,
    seed: int,
    n: int = 0,
) -> Iterator[str]:
    """Write text, a character at a time.

    Without a start text the model reads the vocabulary's `start` from the zero state.

    Args:
        model: prepared weights.
        vocabulary: the model's.
        filters: how characters are drawn.
        start: what the model reads before it writes; not yielded.
        where: what the start text is called in an error.
        length: characters to write, at the most.
        stop: end after this was written.
        seed: the same seed, weights and start give the same text.
        n: which of the seed's texts.

    Raises:
        UnknownCharacter: the start text holds a character that the model never saw; raised at
            once, not at the first character.
    """
    ids = vocabulary.encode(start or vocabulary.start, where)
    rng = randomness.generator(seed, randomness.SAMPLES, n)
    return _draw(model, vocabulary, filters, ids.astype(np.intp), length, stop, rng)


def _draw(
    model: Model,
    vocabulary: Vocabulary,
    filters: Filters,
    ids: np.ndarray,
    length: int,
    stop: str | None,
    rng: np.random.Generator,
) -> Iterator[str]:
    stepper = Stepper(model, 1)
    for begin in range(ids.size):
        z = stepper.step(ids[begin : begin + 1])
    read = np.empty(1, np.intp)
    tail = ""
    for written in range(length):
        ladder = np.cumsum(filters.weigh(z[:, 0]), dtype=np.float64)
        # The draw lies below the sum, so a weight of 0 is never picked.
        drawn = int(np.searchsorted(ladder, rng.random() * ladder[-1], side="right"))
        character = vocabulary.symbols[drawn]
        yield character
        if stop:
            tail = (tail + character)[-len(stop) :]
            if tail == stop:
                return
        if written + 1 < length:
            read[0] = drawn
            z = stepper.step(read)
