"""What a run's loss curves, and the characters of its text, suggest to change in the next one.

    the first that applies, over the last quarter of a run's steps and since its best validation:

    finished             both near 0                                        nothing
    too small a share    fewer than 1,000 characters are validated          a longer text
    unlike               validation has other characters than training      shuffled lines
    no order             validation is no better than the characters'       nothing
                         frequencies, and pairs of characters do not help
    hardly learns        the same where pairs would help, or training has   another learning rate
                         risen
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

import numpy as np

from charlm.settings.schema import DataConfig
from charlm.storage.history import Reading
from charlm.text.corpus import TextInfo, split
from charlm.text.vocabulary import Vocabulary
from charlm.training.trainer import VALIDATION_CHARACTERS
from charlm.types import Array, Ids

# Fewer validations are not judged, nor ones that read fewer characters.
_LEAST, _LEAST_CHARACTERS = 4, 1_000
# Smaller changes of a loss are noise: a tenth of what settings usually gain or lose.
_FLAT = 0.01
_APART = 0.1
_HARDLY = 0.1
# Closer losses are taken for equal: to 0, and to what frequencies alone give.
_NEAR = 0.05
# Measured divergences, of characters and of those that begin a line: up to 0.1 and 0.35 in prose,
# verse and source code, 0.40 and 0.87 in 15,000 characters of Japanese; 0.67 and 1.28 where text in
# Cyrillic letters follows English, 0.15 and 7.1 in a sorted list of words.
_UNLIKE, _UNLIKE_STARTS = 0.5, 1.0
# A text is counted in so many blocks of so many characters, evenly spread, and pairs in the first.
_BLOCKS, _BLOCK, _PAIRS = 100, 100_000, 1_000_000


class TextStatistics(NamedTuple):
    """What single characters and pairs of them tell of a text, in nats per character."""

    validated: int  # characters that a validation reads
    entropy: float  # of the training part's single characters
    pair_entropy: float  # of a character there, given the one before it
    frequencies_loss: float  # of the validation part, predicted by the training part's frequencies
    divergence: float  # of the validation part's characters from the training part's
    start_divergence: float  # the same of the characters that follow a newline


class _Validation(NamedTuple):
    """The losses at a validation."""

    step: int
    steps: int  # since the validation before
    training: float
    validation: float


def text_statistics(
    ids: Ids, data: DataConfig, vocabulary: Vocabulary, text: TextInfo | None = None
) -> TextStatistics:
    """Count a text's training and validation parts, of a long text some blocks."""
    training, validation, _ = split(ids, data, text)
    validation = validation[:VALIDATION_CHARACTERS]
    V, start_id = vocabulary.size, vocabulary.start_id
    every = max(_BLOCK, training.size // _BLOCKS)
    blocks = [training[k : k + _BLOCK] for k in range(0, training.size, every)]
    counts = sum((_counts(block, V) for block in blocks), np.zeros(V))
    starts = sum((_counts(_starts(block, start_id), V) for block in blocks), np.zeros(V))
    found, entropy = _counts(validation, V), _entropy(counts)
    codes = training[:_PAIRS].astype(np.int64)
    pairs = np.unique(codes[:-1] * V + codes[1:], return_counts=True)[1]
    # Few counts make an entropy too low (Miller 1955).
    bias = (pairs.size - np.count_nonzero(counts)) / max(1, 2 * codes.size)
    return TextStatistics(
        validated=validation.size,
        entropy=entropy,
        pair_entropy=_entropy(pairs) - _entropy(_counts(codes, V)) + bias,
        frequencies_loss=_cross_entropy(found, counts),
        divergence=_divergence(found, counts),
        start_divergence=_divergence(_counts(_starts(validation, start_id), V), starts),
    )


def _counts(ids: Ids, V: int) -> Array:
    counts: Array = np.bincount(ids, minlength=V)
    return counts


def _starts(ids: Ids, start_id: int) -> Ids:
    """Return the ids that follow a newline."""
    starts: Ids = ids[1:][ids[:-1] == start_id]
    return starts


def _cross_entropy(counts: Array, of: Array) -> float:
    """Return the mean -log of the frequencies `of`, each count of which is raised by one."""
    return float(counts @ -np.log((of + 1) / (of + 1).sum()) / max(1, counts.sum()))


def _entropy(counts: Array) -> float:
    shares = counts[counts > 0] / max(1, counts.sum())
    return float(-shares @ np.log(shares))


def _divergence(counts: Array, of: Array) -> float:
    """Return the Kullback-Leibler divergence of counts from others, less what chance may give.

    In samples of one distribution that is at most about twice the distinct symbols over the count.
    """
    chance = 2 * np.count_nonzero(counts) / max(1, int(counts.sum()))
    return _cross_entropy(counts, of) - _entropy(counts) - chance


def advise(readings: Sequence[Reading], text: TextStatistics) -> str | None:
    """Return one line of advice from a finished run's history; None after too few validations."""
    curve, step = list[_Validation](), 0
    for reading in readings:
        if reading.validation is not None and reading.train_loss is not None:
            steps = max(1, reading.step - step)
            step = reading.step
            curve.append(_Validation(step, steps, reading.train_loss, reading.validation))
    if len(curve) < _LEAST:
        return None
    last, training = curve[-1], _training(curve, step)
    before = min(curve[:-1], key=lambda reading: abs(reading.step - 0.75 * step))
    if step - before.step < step / 8:
        return None  # a history that lacks its beginning
    best = min(curve, key=lambda reading: reading.validation)
    losses = f"training at {training:.2f} and validation at {last.validation:.2f}"
    if max(training, last.validation) < _NEAR:
        return f"{losses} are near 0: there is nothing left to learn"
    if text.validated < _LEAST_CHARACTERS:
        return (
            f"a validation of {text.validated:,} characters is too short to judge by: a longer "
            "text, or a larger data.validation"
        )
    if text.divergence > _UNLIKE or text.start_divergence > _UNLIKE_STARTS:
        return (
            "the validation part is unlike the rest of the text, in its characters or in how its "
            "lines begin: shuffle the lines of the text, or learn a list with --items line"
        )
    rises = last.validation - best.validation > _FLAT
    stopped = rises or best.step <= before.step
    falls = not stopped and before.validation - last.validation > _FLAT
    no_better = best.validation > text.frequencies_loss - _NEAR
    if no_better and not falls and text.entropy - text.pair_entropy < _NEAR:
        return (
            f"validation at {best.validation:.2f} is what the characters' frequencies alone give: "
            "there is nothing else to learn from this text"
        )
    hardly = curve[0].training - training < _HARDLY
    if training > curve[0].training or (no_better and (hardly or not falls)):
        return (
            f"training hardly falls ({curve[0].training:.2f} to {training:.2f}): "
            "another learning rate"
        )
    apart = last.validation - training
    if stopped and _training(curve, best.step) - training > _FLAT and (rises or apart > _APART):
        return (
            f"validation stopped falling at step {best.step:,} while training still falls: "
            "more dropout, a smaller model or more text"
        )
    if falls:
        return (
            f"validation still falls ({before.validation:.3f} at step {before.step:,}, now "
            f"{last.validation:.3f}): train longer"
        )
    if apart < -_APART:
        return f"{losses} no longer fall, and training lies above: less dropout, or train longer"
    if apart < _APART:
        return f"{losses} lie together and no longer fall: a larger model"
    return f"{losses} no longer fall: more dropout or more text"


def _training(curve: Sequence[_Validation], step: int) -> float:
    """Return the mean training loss before a validation, over an eighth of all steps or more."""
    begin = step - curve[-1].step / 8
    near = [reading for reading in curve if begin < reading.step <= step]
    losses, steps = zip(*((reading.training, reading.steps) for reading in near), strict=True)
    return float(np.average(losses, weights=steps))
