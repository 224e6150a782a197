"""What a run's curves suggest: made-up histories, one per case, and the limits between cases."""

import pytest

from charlm.storage.history import Reading
from charlm.training.advice import advise


def history(training, validation, every=100):
    return [
        Reading(every * n, train_loss=t, validation=v, elapsed_s=n)
        for n, (t, v) in enumerate(zip(training, validation, strict=True), 1)
    ]


OVERFITTING = (
    "validation stopped falling at step 500 while training still falls: more dropout, a smaller "
    "model or more text"
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


@pytest.mark.parametrize("case", CASES)
def test_cases(case):
    training, validation, line = CASES[case]
    assert advise(history(training, validation)) == line


def test_twenty_validations_are_judged_over_the_same_share_of_the_run():
    training = [3 / n**0.3 for n in range(1, 21)]
    falling = [1.6 + 1 / n for n in range(1, 21)]
    assert "1.667 at step 1,500, now 1.650" in advise(history(training, falling))


def test_only_validations_count():
    training, validation, line = CASES["overfitting"]
    between = [Reading(50 + 100 * n, loss=1.0) for n in range(8)]
    mixed = sorted(history(training, validation) + between, key=lambda reading: reading.step)
    assert advise(mixed) == line
    for few in ([], between, history([2.0, 1.9, 1.8], [2.0, 1.9, 1.8])):
        assert advise(few) is None
