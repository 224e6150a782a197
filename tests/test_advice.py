"""What a run's curves and its text suggest: made-up histories, one per case, and real runs."""

import random
import re

import numpy as np
import pytest
from helpers import ROOT, VERSE

import charlm as library
from charlm.settings.schema import DataConfig
from charlm.storage.history import Reading
from charlm.text.vocabulary import Vocabulary, code_points
from charlm.training.advice import TextStatistics, advise, text_statistics

# English prose, about.
PROSE = TextStatistics(
    validated=100_000, entropy=3.3, pair_entropy=2.45, frequencies_loss=3.33, divergence=0.01,
    start_divergence=0.1,
)  # fmt: skip
NO_ORDER = PROSE._replace(entropy=1.386, pair_entropy=1.386, frequencies_loss=1.386)


def history(training, validation, steps=None):
    steps = steps or range(100, 100 * len(training) + 1, 100)
    losses = zip(steps, training, validation, strict=True)
    return [Reading(step, train_loss=t, validation=v, elapsed_s=step) for step, t, v in losses]


OVERFITTING = (
    "validation stopped falling at step 500 while training still falls: more dropout, a smaller "
    "model or more text"
)
NOTHING = (
    "validation at {} is what the characters' frequencies alone give: there is nothing else to "
    "learn from this text"
)
CASES = {
    # The default run on a text that it could read for longer.
    "not done": (
        [2.78, 1.86, 1.66, 1.57, 1.513, 1.486, 1.450, 1.446],
        [2.09, 1.81, 1.71, 1.65, 1.601, 1.578, 1.568, 1.561],
        "validation still falls (1.578 at step 600, now 1.561): train longer",
    ),
    "overfitting": (
        [2.6, 1.8, 1.5, 1.3, 1.15, 1.05, 0.98, 0.95],
        [2.1, 1.8, 1.7, 1.66, 1.65, 1.67, 1.70, 1.72],
        OVERFITTING,
    ),
    # 2 x 256, dropout 0.5, on 18,000 characters for 33 passes.
    "overfitting on a short text": (
        [3.3187, 2.3745, 2.0256, 1.8206, 1.6843, 1.5742, 1.5146, 1.4711],
        [2.8300, 2.1286, 1.9238, 1.8284, 1.7888, 1.7786, 1.7829, 1.7883],
        OVERFITTING.replace("500", "600"),
    ),
    "overfitting, hardly worse": (
        [2.6, 1.8, 1.5, 1.3, 1.15, 1.05, 0.98, 0.95],
        [2.1, 1.8, 1.7, 1.66, 1.650, 1.651, 1.652, 1.651],
        OVERFITTING,
    ),
    "too small": (
        [2.9, 2.3, 2.12, 2.05, 2.02, 2.01, 2.005, 2.003],
        [2.5, 2.2, 2.10, 2.06, 2.04, 2.035, 2.032, 2.031],
        "training at 2.00 and validation at 2.03 lie together and no longer fall: a larger model",
    ),
    # One layer of 12 units on a text of 1 MB, for three passes.
    "too small, and wavering": (
        [2.9128, 2.3523, 2.2694, 2.2276, 2.2144, 2.2027, 2.1991, 2.1891],
        [2.4425, 2.3103, 2.2611, 2.2493, 2.2455, 2.2297, 2.2367, 2.2332],
        "training at 2.19 and validation at 2.23 lie together and no longer fall: a larger model",
    ),
    "held back": (
        [2.9, 2.3, 2.12, 2.05, 2.02, 2.01, 2.005, 2.003],
        [2.5, 2.1, 1.92, 1.85, 1.81, 1.804, 1.802, 1.801],
        "training at 2.00 and validation at 1.80 no longer fall, and training lies above: less "
        "dropout, or train longer",
    ),
    "as far as it goes": (
        [2.6, 1.8, 1.6, 1.5, 1.45, 1.441, 1.439, 1.438],
        [2.1, 1.8, 1.7, 1.66, 1.65, 1.644, 1.642, 1.641],
        "training at 1.44 and validation at 1.64 no longer fall: more dropout or more text",
    ),
    "hardly learns": (
        [3.34, 3.32, 3.31, 3.31],
        [3.33, 3.32, 3.32, 3.32],
        "training hardly falls (3.34 to 3.31): another learning rate",
    ),
    "worse again": (
        [2.0, 1.8, 1.9, 2.2, 2.5, 2.5, 2.6, 2.7],
        [2.0, 1.8, 1.9, 2.2, 2.5, 2.5, 2.6, 2.7],
        "training hardly falls (2.00 to 2.70): another learning rate",
    ),
}


# Name -> training, validation, steps, the text, what is said.
OF_TEXTS = {
    "finished": (
        [0.9, 0.02, 0.001, 0.0], [0.1, 0.004, 0.001, 0.0], None, PROSE._replace(validated=90),
        "training at 0.00 and validation at 0.00 are near 0: there is nothing left to learn",
    ),
    "memorized, which is not finished": (
        [2.6, 1.5, 0.5, 0.01], [2.4, 1.9, 2.3, 3.1], None, PROSE,
        OVERFITTING.replace("500", "200"),
    ),
    "no order": (
        [1.391, 1.3868, 1.3865, 1.3864], [1.388, 1.3866, 1.3865, 1.3866], None, NO_ORDER,
        NOTHING.format("1.39"),
    ),
    "no order, memorized": (
        [1.39, 1.38, 1.2, 0.9], [1.39, 1.39, 1.5, 1.7], None, NO_ORDER, NOTHING.format("1.39"),
    ),
    "frequencies alone, of a text with more to learn": (
        [3.9, 3.34, 3.32, 3.319], [3.4, 3.33, 3.32, 3.32], None, PROSE,
        "training hardly falls (3.90 to 3.32): another learning rate",
    ),
    "a small change of a model that is good": (
        [1.50, 1.47, 1.46, 1.455], [1.48, 1.46, 1.455, 1.45], None, PROSE,
        "training at 1.46 and validation at 1.45 lie together and no longer fall: a larger model",
    ),
    "validated on few characters": (
        [2.6, 1.8, 1.5, 1.3], [2.1, 1.8, 1.9, 2.0], None, PROSE._replace(validated=999),
        "a validation of 999 characters is too short to judge by: a longer text, or a larger "
        "data.validation",
    ),
    **{
        f"another {what}": (
            [2.6, 1.8, 1.5, 1.3], [4.1, 4.2, 4.4, 4.7], None, PROSE._replace(**{what: 1.1}),
            "the validation part is unlike the rest of the text, in its characters or in how its "
            "lines begin: shuffle the lines of the text, or learn a list with --items line",
        )
        for what in ("divergence", "start_divergence")
    },
    # 300 steps, then --resume --steps 340: validations come closer together.
    "resumed, validation still falls": (
        [2.9, 2.2, 2.0, 1.9, 1.88, 1.86, 1.87, 1.85, 1.86],
        [2.3, 2.05, 1.95, 1.90, 1.888, 1.886, 1.884, 1.882, 1.880],
        [75, 150, 225, 265, 300, 310, 320, 330, 340], PROSE,
        "validation still falls (1.900 at step 265, now 1.880): train longer",
    ),
    # The mean of a few steps is noise, and neither a fall nor a rise.
    "resumed for a few steps": (
        [2.9, 2.3, 2.12, 2.05, 2.02, 2.01, 2.005, 2.003, 1.97],
        [2.5, 2.2, 2.10, 2.06, 2.04, 2.035, 2.032, 2.031, 2.033],
        [*range(100, 801, 100), 805], PROSE,
        "training at 2.00 and validation at 2.03 lie together and no longer fall: a larger model",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", [*CASES, *OF_TEXTS])
def test_cases(case):
    training, validation, *more = (CASES | OF_TEXTS)[case]
    steps, text, line = more if case in OF_TEXTS else (None, PROSE, *more)
    assert advise(history(training, validation, steps), text) == line


def test_twenty_validations_are_judged_over_the_same_share_of_the_run():
    training = [3 / n**0.3 for n in range(1, 21)]
    falling = [1.6 + 1 / n for n in range(1, 21)]
    assert "1.667 at step 1,500, now 1.650" in advise(history(training, falling), PROSE)


def test_only_validations_count():
    training, validation, line = CASES["overfitting"]
    between = [Reading(50 + 100 * n, loss=1.0) for n in range(8)]
    mixed = sorted(history(training, validation) + between, key=lambda reading: reading.step)
    assert advise(mixed, PROSE) == line
    # Whatever a history says of step 0.
    early = [Reading(0, train_loss=4.0, validation=1.0), *history(training, validation)]
    assert advise(early, PROSE).startswith("validation stopped falling at step 0")
    for few in ([], between, history([2.0, 1.9, 1.8], [2.0, 1.9, 1.8])):
        assert advise(few, PROSE) is None
    late = history(training, validation, range(993, 1001))
    assert advise(late, PROSE) is None, "no quarter of the steps is in it"


def statistics(text, **data):
    vocabulary = Vocabulary.of_counts(np.bincount(code_points(text)))
    return text_statistics(vocabulary.encode(text), DataConfig(**data), vocabulary)


def shuffled(lines):
    return "\n".join(random.Random(0).sample(lines, len(lines)))


CYRILLIC = str.maketrans("abcdefghijklmnopqrstuvwxyz", "абвгдежзийклмнопрстуфхцчшщ")
PLAY = (ROOT / "data" / "shakespeare.txt").read_text(encoding="utf-8")[:400_000]
TWO_ALPHABETS = [*PLAY.split("\n"), *PLAY.lower().translate(CYRILLIC).split("\n")]
WORDS = sorted({word.strip(".,;:!?'") for word in PLAY.lower().split()})
SOURCE = "\n".join(path.read_text() for path in sorted((ROOT / "charlm").rglob("*.py")))


@pytest.mark.parametrize(
    ("text", "unlike"),
    [
        (PLAY, False), (PLAY[:12_000], False), (SOURCE, False), (shuffled(WORDS), False),
        (shuffled(TWO_ALPHABETS), False), ("\n".join(TWO_ALPHABETS), True),
        ("\n".join(WORDS), True), (" ".join(WORDS), True),
    ],
    ids=["play", "short", "source", "words", "alphabets", "2 alphabets", "sorted", "in a line"],
)  # fmt: skip
def test_a_validation_part_unlike_the_rest_is_found(text, unlike):
    line = advise(history([2.6, 1.8, 1.5, 1.3], [2.1, 1.8, 1.7, 1.6]), statistics(text))
    assert line.startswith("the validation part is unlike" if unlike else "validation still falls")


def test_statistics_are_those_of_the_text():
    found = statistics("ab" * 6_000)
    assert found.validated == 1_200
    assert found.entropy == pytest.approx(np.log(2))
    assert found.frequencies_loss == pytest.approx(np.log(2))
    assert found.pair_entropy == pytest.approx(0, abs=1e-3)
    assert statistics("ab", validation=0).validated == 0
    dna = "".join(random.Random(0).choices("ACGT", k=50_000))
    assert statistics(dna).pair_entropy == pytest.approx(np.log(4), abs=1e-3)


def test_a_long_text_is_counted_in_part():
    class Counted(np.ndarray):
        most = 0

        def __array_finalize__(self, _):
            Counted.most = max(Counted.most, self.size if self.itemsize > 1 else 0)

    text = np.broadcast_to(np.uint8(0), 10**10).view(Counted)
    text_statistics(text, DataConfig(), Vocabulary("ab", "a"))
    assert 0 < Counted.most <= 1_000_000


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a" * 20_000, "training at 0.00 and validation at 0.00 are near 0"),
        ("".join(random.Random(0).choices("ACGT", k=20_000)), NOTHING.format("1.39")),
        (VERSE * 20, "a validation of 4.. characters is too short to judge by"),
    ],
    ids=["constant", "random", "short"],
)
def test_real_trainings(text, line, tmp_path):
    (tmp_path / "text.txt").write_text(text)
    training = library.start(
        tmp_path / "text.txt", checkpoints=tmp_path, layers=1, hidden=16, batch_size=8, seq_len=32,
        steps=60, validate_every=10, learning_rate=0.02, sample_length=0,
    )  # fmt: skip
    training.run()
    assert re.match(line, training.advice())
