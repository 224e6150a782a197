"""Three tasks that need a memory of a known length, and how well each cell learns them.

one letter       Dbadcab...?D       the capital at the beginning is asked for
three letters    DABbadcab...?DAB   so are three of them, in their order
brackets         <[{}]()...>        the outermost pair is closed last

The lag is the number of distractors in between, random letters or pairs of brackets. Each line is a
sequence of its own: a network reads it from the zero state. Accuracy is the share of answers, in
lines that are drawn anew, that have the highest logit of the four possible ones; chance is 1/4.
"""

import random
import tempfile
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

import charlm

KEYS, FILL, OPEN, CLOSE = "ABCD", "abcd", "([{<", ")]}>"
DEEPEST = 2  # pairs within one another, between those of the outermost pair
# The lags of a text are mixed, so that short ones are learned first; or it has one lag alone.
MIXED = (2, 4, 6, 8, 10, 14, 20, 30, 40, 50, 70, 100, 140, 200)
TESTED = (2, 10, 20, 50, 100, 200, 400)
ALONE = (10, 50, 200)
SEEDS, CHANCE = (0, 1, 2, 3), 1 / 4
# Lines that are tested; of a single lag, seed 1 draws the same to learn.
SEED_OF_NEW, SEEDS_ALONE = 1, (0, 2, 3)
LINES, NEW_LINES = 4000, 400
# Whatever T is, a step reads so many characters: B = CHARACTERS // T streams.
CHARACTERS, STEPS, T = 2048, 1200, 64
# One layer, one-hot input; as many units as bring the cells to the same number of parameters.
CELLS: dict[str, dict[str, Any]] = {
    "rnn": {"hidden": 66, "learning_rate": 0.01},
    "gru": {"hidden": 37, "learning_rate": 0.02},
    "lstm": {"hidden": 32, "learning_rate": 0.02},
}


def recall(count: int, rng: random.Random, lag: int) -> str:
    keys = "".join(rng.choices(KEYS, k=count))
    return keys + "".join(rng.choices(FILL, k=lag)) + "?" + keys


def brackets(rng: random.Random, lag: int) -> str:
    outermost, within, line = rng.randrange(4), [], []
    for left in range(lag, 0, -1):
        if not within or (len(within) < min(DEEPEST, left - 1) and rng.random() < 0.5):
            within.append(rng.randrange(4))
            line.append(OPEN[within[-1]])
        else:
            line.append(CLOSE[within.pop()])
    return OPEN[outermost] + "".join(line) + CLOSE[outermost]


class Task(NamedTuple):
    """How a line is made of a generator and a lag, and what its last symbols can be."""

    line: Callable[[random.Random, int], str]
    answers: str
    count: int


TASKS = {
    "one letter": Task(partial(recall, 1), KEYS, 1),
    "three letters": Task(partial(recall, 3), KEYS, 3),
    "brackets": Task(brackets, CLOSE, 1),
}


@cache
def lines(task: str, lags: Sequence[int], count: int, seed: int) -> list[str]:
    """Return lines whose lags are drawn from those given."""
    rng = random.Random(seed)
    return [TASKS[task].line(rng, rng.choice(lags)) for _ in range(count)]


def learn(
    task: str, cell: str, seed: int, T: int | None = T, lags: Sequence[int] = MIXED, **settings: Any
) -> charlm.LanguageModel:
    """Train on lines of these lags; T is the length of the longest line where it is None."""
    learned = lines(task, lags, LINES, seed)
    T = T or max(map(len, learned)) + 1
    shared: dict[str, Any] = {
        "preset": "small", "layers": 1, "embedding": "one-hot", "forget_bias": 1.0, "steps": STEPS,
        "optimizer": "adam", "schedule": "cosine", "final_rate": 0.02,
        "dropout": 0.0, "weight_decay": 0.0, "validation": 0.01, "validate_every": STEPS,
        "sample_length": 0, "seq_len": T, "batch_size": CHARACTERS // T,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        return charlm.train(
            string="\n".join(learned) + "\n", items="line", cell=cell, seed=seed,
            checkpoints=folder, progress=False, **shared | CELLS[cell] | settings,
        )  # fmt: skip


def accuracy(model: charlm.LanguageModel, task: str, lag: int) -> float:
    """Return the share of the answers of new lines that are the likeliest of the four."""
    _, possible, count = TASKS[task]
    new = lines(task, (lag,), NEW_LINES, SEED_OF_NEW)
    ids = np.stack([model.vocabulary.encode("\n" + line) for line in new], axis=1)  # (T+1, B)
    logits, _ = model.forward(ids[:-1])  # (T, V, B)
    answers = model.vocabulary.encode(possible)
    return float((answers[logits[-count:, answers].argmax(axis=1)] == ids[-count:]).mean())


def tried(
    task: str, cell: str, T: int | None = T, lags: Sequence[int] = MIXED, **settings: Any
) -> list[list[float]]:
    """Return the accuracy at each lag, of one training a seed."""
    tested = TESTED if lags == MIXED else lags
    seeds = SEEDS if lags == MIXED else SEEDS_ALONE
    models = [learn(task, cell, seed, T, lags, **settings) for seed in seeds]
    found = [[accuracy(model, task, lag) for model in models] for lag in tested]
    print(task, cell, T, lags if lags != MIXED else "mixed", settings, found, flush=True)
    return found


def alone(cell: str, T: int | None = None, lags: Sequence[int] = ALONE, **settings: Any) -> Any:
    """Return the same of texts of one letter that have one lag each."""
    return [tried("one letter", cell, T, (lag,), **settings)[0] for lag in lags]


def memory_tasks() -> dict[str, Any]:
    """Train all that the page's section on memory shows."""
    harder = ("three letters", "brackets")

    def each_cell(tasks: Sequence[str], T: int | None = T, **settings: Any) -> Any:
        return {task: {cell: tried(task, cell, T, **settings) for cell in CELLS} for task in tasks}

    def biases(measured: Callable[..., Any], *values: float) -> Any:
        return {f"{b:g}": measured(forget_bias=b) for b in values}

    return {
        "lags": TESTED,
        "cells": each_cell(list(TASKS)),
        "T": {"16": each_cell(harder, 16), "longest": each_cell(harder, None)},
        "longer": {
            task: tried(task, "rnn", 16, steps=4 * STEPS, validate_every=4 * STEPS)
            for task in ("one letter", "three letters")
        },
        "not clipped": each_cell(harder, clip_norm=0.0),
        "forget bias": biases(partial(tried, "three letters", "lstm"), -1, 0, 5),
        "alone": {
            "bias": biases(partial(alone, "lstm", lags=ALONE[:2]), -1, 0, 1),
            "T": {f"{T or 'longest'}": alone("lstm", T, forget_bias=5.0) for T in (16, 64, None)},
            "cell": {cell: alone(cell, lags=ALONE[:2]) for cell in ("rnn", "gru")},
        },
    }
