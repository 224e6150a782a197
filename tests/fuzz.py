"""Hostile files by the hundred thousand: a right result or charlm's own error, and nothing else.

    .venv/bin/python tests/fuzz.py 100000                  all kinds, so many inputs of each
    .venv/bin/python tests/fuzz.py 100000 checkpoint text  some of them

An input is a good file that something was done to, as `tests/mutations.py` tells. Any other
exception than the one that is meant, a warning, more than ten seconds or two gigabytes of address
space end the run, and tell the input. `tests/test_hostile.py` is the short form.
"""

import atexit
import json
import resource
import shutil
import signal
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any

import mutations
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import charlm
from charlm.commands import info
from charlm.errors import CharlmError, CheckpointError, TextError
from charlm.exchange.formats import Format
from charlm.exchange.transfer import export_model, import_run
from charlm.runs.check import check_run
from charlm.runs.folder import Run
from charlm.runs.loading import load_model
from charlm.runs.summary import compare, summarize
from charlm.storage.history import read_history
from charlm.terminal import printable, visible
from charlm.text.corpus import encode_to_file, open_ids, scan
from charlm.text.source import Source
from charlm.training import snapshot
from charlm.training.events import Updated
from charlm.training.prepare import resume_run, training_memory

# Of the processor's time: a machine may be busy with something else.
LONGEST_S = 10
MOST_BYTES = 2 << 30


@cache
def folder() -> Path:
    """Make a folder of good files: a finished run, and one stopped between two validations."""
    # Hundreds of thousands of small files are quicker in memory, where the system has such a place.
    memory = Path("/dev/shm")
    path = Path(tempfile.mkdtemp(prefix="charlm-fuzz-", dir=memory if memory.is_dir() else None))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    (path / "text.txt").write_text("ab\ncé \x1b[1mab 한 abc\n" * 20, encoding="utf-8")
    settings = {"hidden": 2, "layers": 1, "embedding": 2, "batch_size": 2, "seq_len": 4, "steps": 3,
                "sample_length": 0, "validation": 0.2}  # fmt: skip
    charlm.train(path / "text.txt", checkpoints=path, name="good", **settings)
    stopped = charlm.start(path / "text.txt", checkpoints=path, name="stopped", **settings)
    for event in stopped:
        if isinstance(event, Updated):
            # Between validations: its good state is good.npz.
            stopped.stop()
    return path


@cache
def good_facts() -> Any:
    return summarize("good", folder())


# The kinds: what is fed, and what may come of it


def put(content: bytes, name: str) -> Path:
    path = folder() / name
    path.write_bytes(content)
    return path


def checkpoint(content: bytes) -> str:
    """As `charlm sample`, `eval` and `export` load it, and as `charlm info` describes it."""
    path = put(content, "input.npz")
    try:
        facts = summarize(str(path), folder())
        json.dumps(info._document(facts))
        "\n".join(info._described(facts))
        "\n".join(info._compared(["a", "b"], compare([facts, good_facts()])))
    except CheckpointError:
        pass
    try:
        trained = load_model(path)
        model = charlm.LanguageModel(trained, path)
        model.sample(3, seed=1)
        model.log_probs(trained.vocabulary.start)
    except CheckpointError as error:
        return outcome(error)
    return "a model"


def run(given: tuple[str, bytes]) -> str:
    """As `charlm info --check` checks it, and as a resume continues it and rolls it back."""
    name, content = given
    here = folder() / "resumed"
    shutil.copytree(folder() / "stopped", here, dirs_exist_ok=True)
    (here / name).write_bytes(content)
    assert all("\n" not in printable(found.text) for found in check_run(str(here), folder()))
    try:
        trainer = resume_run(Run(here)).trainer
        if training_memory(trainer.config, trainer.vocabulary.size).total < 1 << 26:
            trainer.update()
            trainer.validate()
            trainer.sample(3)
            snapshot.roll_back(trainer)
    except CharlmError as error:
        return outcome(error)
    return "a run"


def import_(given: tuple[str, bytes]) -> str:
    """As `charlm import` reads it."""
    name, content = given
    try:
        load_model(import_run(put(content, name), folder() / "imported").best)
    except CharlmError as error:
        return outcome(error)
    finally:
        shutil.rmtree(folder() / "imported", ignore_errors=True)
    return "a model"


def text(given: tuple[bytes, str]) -> str:
    """As `charlm train` and `eval` read it: what Python itself decodes, or an error."""
    content, encoding = given
    path = put(content, "input.txt")
    is_byte = encoding == "byte"
    source = Source((path,), "utf-8" if is_byte else encoding, "byte" if is_byte else "char")
    try:
        vocabulary, _, _ = scan(source)
        encode_to_file(source, vocabulary, folder() / "input.bin")
    except TextError as error:
        return outcome(error)
    ids = open_ids(folder() / "input.bin", vocabulary.dtype)
    assert ids.max(initial=0) < vocabulary.size
    if is_byte:
        assert ids.tobytes() == content
    else:
        expected = content.decode(encoding).removeprefix("\ufeff").replace("\r\n", "\n")
        assert "".join(vocabulary.symbols[k] for k in ids) == expected
    return "its ids"


def history(content: bytes) -> str:
    """As `charlm info` reads a run's history."""
    info._losses(read_history(put(content, "input.jsonl")))
    return "a history"


def shown(given: str) -> str:
    """As a terminal gets a text: nothing in it that is obeyed, and all that is none as it was."""
    escaped = visible(given)
    assert not any((ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160 for c in escaped)
    assert escaped == given or not given.isprintable()
    escaped.encode()
    return "a text"


def content_of(path: Path) -> tuple[bytes, dict[str, Any]]:
    """Return all that loading gives; raises CheckpointError."""
    trained = load_model(path)
    return trained.model.parameters.flat.tobytes(), trained.description.as_dict()


def spoiled(path: Path, read: Callable[[Path], Any] = content_of, step: int = 1) -> Counter[str]:
    """Feed every truncation of a checkpoint and every flipped bit, or every `step`-th of them.

    What is loaded is exactly the same, or nothing is.
    """
    whole, outcomes = path.read_bytes(), Counter[str]()
    expected, spoiled = read(path), path.with_name("spoiled.npz")
    bits = range(0, 8 * len(whole), step)
    flipped = (
        whole[: k // 8] + bytes([whole[k // 8] ^ 1 << k % 8]) + whole[k // 8 + 1 :] for k in bits
    )
    for content in chain((whole[:size] for size in range(0, len(whole), step)), flipped):
        spoiled.write_bytes(content)
        try:
            assert read(spoiled) == expected
            outcomes["the same model"] += 1
        except CheckpointError as error:
            outcomes[outcome(error)] += 1
    return outcomes


def outcome(error: CharlmError) -> str:
    """Name an error; its text is one line that prints, and says something."""
    line = str(error)
    assert line.isprintable(), line
    assert 10 < len(line) < 2000, line
    return type(error).__name__


@cache
def exports() -> dict[str, Callable[[Random], bytes]]:
    """Make the files that can be imported, as far as their libraries are there."""
    made = {}
    for to, change in ((Format.PYTORCH, mutations.pytorch_file),
                       (Format.SAFETENSORS, mutations.safetensors_file)):  # fmt: skip
        path = folder() / f"good{to.suffix}"
        with suppress(charlm.ExchangeError):
            export_model(load_model(folder() / "good" / "best.npz"), to, path)
            made[f"input{to.suffix}"] = partial(change, path=path)
    return made


def exported(rng: Random) -> tuple[str, bytes]:
    name = rng.choice(sorted(exports()))
    return name, exports()[name](rng)


ENCODINGS = [
    *["utf-8"] * 6, "byte", "latin-1", "cp1252", "cp949", "utf-16", "utf-16-le", "utf-32", "utf-7",
    "ascii", "shift_jis", "iso2022_jp", "gb18030", "utf-8-sig", "big5hkscs",
]  # fmt: skip


def of_run(rng: Random) -> bytes:
    return mutations.checkpoint(rng, folder() / "good" / rng.choice(["best.npz", "last.npz"]))


def of_training(rng: Random) -> tuple[str, bytes]:
    name = rng.choice(["last.npz", "good.npz"])
    return name, mutations.checkpoint(rng, folder() / "stopped" / name)


# How an input is made, and what is done with it.
KINDS: dict[str, tuple[Callable[[Random], Any], Callable[[Any], str]]] = {
    "checkpoint": (of_run, checkpoint),
    "run": (of_training, run),
    "import": (exported, import_),
    "text": (lambda rng: (mutations.text(rng), rng.choice(ENCODINGS)), text),
    "history": (mutations.history, history),
    "shown": (lambda rng: mutations.words(rng, 60), shown),
}


@contextmanager
def limited(name: str) -> Iterator[None]:
    """Limit the time and the memory of what is inside, and raise its warnings."""

    def late(*_: Any) -> None:
        raise AssertionError(f"took more than {LONGEST_S} seconds")

    handler = signal.signal(signal.SIGPROF, late)
    kept = resource.getrlimit(resource.RLIMIT_AS)
    if name != "import":
        # PyTorch reserves far more than it uses.
        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, kept[1]))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
    finally:
        signal.signal(signal.SIGPROF, handler)
        resource.setrlimit(resource.RLIMIT_AS, kept)


def fuzz(name: str, count: int) -> Counter[str]:
    """Feed inputs of one kind, each made of a generator that hypothesis seeds, and count outcomes.

    Whatever else is raised has the input in its notes.
    """
    (make, check), outcomes = KINDS[name], Counter[str]()

    @settings(
        max_examples=count, deadline=None, database=None, report_multiple_bugs=False,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.randoms(use_true_random=True))
    def feed(rng: Random) -> None:
        made = make(rng)
        signal.setitimer(signal.ITIMER_PROF, LONGEST_S)
        try:
            outcomes[check(made)] += 1
        except BaseException as error:
            error.add_note(f"{name}: {made!r}")
            raise
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        if outcomes.total() % 10_000 == 0:
            print(f"{name}: {outcomes.total():,}", file=sys.stderr)

    with limited(name):
        feed()
    return outcomes


def main() -> None:
    """Run the long form, and print what came of it."""
    count, names = int(sys.argv[1]), sys.argv[2:] or ["spoiled", *KINDS]
    for name in names:
        if name == "spoiled":
            files = [folder() / "good" / file for file in ("best.npz", "last.npz")]
            outcomes = spoiled(files[0]) + spoiled(files[1])
        else:
            outcomes = fuzz(name, count)
        told = ", ".join(f"{n:,} {what}" for what, n in outcomes.most_common())
        print(f"{name}: {outcomes.total():,} inputs: {told}; 0 others", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"peak memory of the whole: {peak:,.0f} MB")


if __name__ == "__main__":
    main()
