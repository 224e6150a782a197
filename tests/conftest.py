"""What the tests share: small texts, small settings, and the program in this process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

# Small matrices gain nothing from threads; what runs as a process of its own has them all.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
# A shell that starts the tests in the background has them ignore SIGINT, and all they start as well.
signal.signal(signal.SIGINT, signal.default_int_handler)

import hypothesis
import pytest

from charlm import cli
from charlm.settings.resolve import resolve
from charlm.settings.schema import Config, Overrides
from charlm.text import corpus
from charlm.text.source import Source
from charlm.text.vocabulary import Vocabulary
from charlm.types import Ids

# A machine that is busy with something else is no failure.
hypothesis.settings.register_profile("charlm", deadline=None)
hypothesis.settings.load_profile("charlm")

VERSE = (
    "FIRST:\nThe river rose before the bell was rung,\nand no man crossed it but the ferryman.\n\n"
    "SECOND:\nThen who, good neighbour, brought thy letter hither,\nand dry, and with the seal "
    "unbroken on it?\n\nFIRST:\nA heron, it may be.\n\n"
)
SMALL = {
    "preset": "small",
    "model.hidden": 12,
    "train.batch_size": 4,
    "train.seq_len": 8,
    "train.steps": 12,
}


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    """4,000 characters of verse."""
    path = tmp_path / "verse.txt"
    path.write_text((VERSE * 30)[:4000], encoding="utf-8", newline="")
    return path


def overrides(path: Path, **changes) -> list[Overrides]:
    """Return a small training's settings for a text; keys as in `train__steps`."""
    given = SMALL | {"data.path": str(path)}
    return [Overrides("test", given | {key.replace("__", "."): v for key, v in changes.items()})]


def settings(path: Path, **changes) -> Config:
    """Return the same as a configuration."""
    return resolve(overrides(path, **changes)).config


def open_ids(path: Path, folder: Path) -> tuple[Vocabulary, Ids]:
    """Encode a text beside the test's other files."""
    source = Source((path,))
    vocabulary = corpus.scan(source)[0]
    corpus.encode_to_file(source, vocabulary, folder / "test-ids.bin")
    return vocabulary, corpus.open_ids(folder / "test-ids.bin", vocabulary.dtype)


@pytest.fixture
def charlm(tmp_path, monkeypatch, capsys):
    """Run the program in this process, in an empty folder: returns exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["charlm", *map(str, arguments)])
        capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        out, err = capsys.readouterr()
        return code, out, err

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def shown_on(master: int, process: subprocess.Popen, encoding: str = "utf-8") -> str:
    """Return all that a process shows on the terminal whose other end this is."""
    shown = b""
    while True:
        try:
            piece = os.read(master, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    process.wait()
    os.close(master)
    return shown.decode(encoding)
