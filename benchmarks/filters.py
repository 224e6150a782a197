"""What temperature, top-k, top-p, min-p and n-grams do to the text that a run writes.

    known       share of the words written that occur in the learned text
    repeated    share of the three-word sequences of a text that it has written before
    copied      the longest verbatim copy of the learned text, its median over the texts and the
                longest of all, in characters

The last row measures held-out text in the same way: what an author does who copies nothing.
"""

import re
import statistics
from pathlib import Path

import numpy as np

import charlm
from charlm.generation.copies import find_copies
from charlm.text.corpus import split

SETTINGS = [
    {"temperature": 0.0},
    *({"temperature": value} for value in (0.4, 0.6, 0.8, 1.0, 1.2)),
    *({"temperature": 1.0, "top_k": value} for value in (3, 10)),
    *({"temperature": 1.0, "top_p": value} for value in (0.8, 0.9, 0.95)),
    *({"temperature": 1.0, "min_p": value} for value in (0.02, 0.05, 0.1)),
    *({"temperature": value, "ngram_weight": 0.3} for value in (0.6, 0.8, 1.0)),
]
# Shorter agreements are not looked for; every text has some.
AT_LEAST = 12
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")


def run(checkpoint: str | None, checkpoints: str, texts: int, length: int, seed: int) -> dict:
    """Write texts under each setting, measure them, and print the table."""
    model = charlm.load(checkpoint, checkpoints=Path(checkpoints))
    path, vocabulary, learned = model.path, model.vocabulary, model.training_text
    whole = np.fromfile(path.parent / "ids.bin", vocabulary.dtype)
    _, validation, _ = split(whole, model.config.data)
    known = set(words(vocabulary.decode(learned)))
    rows = []
    print(f"{path}: {texts} texts of {length:,} characters each, seed {seed}\n")
    print("| drawn with | known words | repeated | copied: median | longest |")
    print("|---|---|---|---|---|")
    for settings in SETTINGS:
        sampler = model.sampler(streams=texts, seed=seed, **settings)
        rows.append({**settings, **measure(sampler.write(length), known, learned, vocabulary)})
        name = ", ".join(f"{key.replace('_', '-')} {value:g}" for key, value in settings.items())
        print(_line(name, rows[-1]), flush=True)
    held = validation
    pieces = [held[k * length : (k + 1) * length] for k in range(min(texts, held.size // length))]
    if pieces:
        written = [vocabulary.decode(piece) for piece in pieces]
        rows.append({"held_out": True, **measure(written, known, learned, vocabulary)})
        print(_line("(held-out text)", rows[-1]))
    return {"checkpoint": str(path), "texts": texts, "length": length, "seed": seed, "rows": rows}


def measure(texts: list[str], known: set[str], learned: np.ndarray, vocabulary) -> dict:
    """Measure texts that were written under one setting."""
    written = [words(text) for text in texts]
    every = [word for text in written for word in text]
    ids = [vocabulary.encode(text) for text in texts]
    longest = [found[0].length if found else 0 for found in find_copies(learned, ids, AT_LEAST)]
    return {
        "known": sum(word in known for word in every) / max(1, len(every)),
        "repeated": statistics.mean(map(repeated, written)),
        "copied_median": statistics.median(longest),
        "copied_longest": max(longest),
    }


def words(text: str) -> list[str]:
    """Return the words of a text in small letters, but for those that its edges may have cut."""
    found = _WORD.finditer(text)
    return [word[0].lower() for word in found if word.start() > 0 and word.end() < len(text)]


def repeated(text: list[str]) -> float:
    """Return the share of a text's three-word sequences that stand earlier in it too."""
    threes = list(zip(text, text[1:], text[2:], strict=False))
    return 1 - len(set(threes)) / len(threes) if threes else 0.0


def _line(name: str, row: dict) -> str:
    return (
        f"| {name} | {row['known']:.1%} | {row['repeated']:.1%} | {row['copied_median']:g} | "
        f"{row['copied_longest']} |"
    )
