"""What the tests share: small texts and settings, checkpoints, and the program as a process."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from html.parser import HTMLParser
from pathlib import Path

import pytest

from charlm import api
from charlm.errors import CharlmError
from charlm.nn.model import Model
from charlm.runs.loading import pack
from charlm.settings.resolve import resolve
from charlm.settings.schema import Config, Overrides
from charlm.storage.checkpoint import load, save
from charlm.text import corpus
from charlm.text.source import Source
from charlm.text.vocabulary import Vocabulary
from charlm.training.events import Event, Updated
from charlm.training.loop import events
from charlm.training.prepare import start_run
from charlm.training.trainer import Trainer
from charlm.types import Array, Ids

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import faults as faults

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
# The same for the library, and as options of the program.
SETTINGS = {"layers": 2, "hidden": 12, "batch_size": 4, "seq_len": 8, "steps": 12}
OPTIONS = [
    "--layers", "2", "--hidden", "12", "--batch-size", "4", "--seq-len", "8", "--steps", "30",
]  # fmt: skip
HOSTILE_MARKUP = "</script><script>window.taken=1</script><img src=x onerror=window.taken=1>'\"&amp;\x1b[31m\u202e"
VOCABULARY = Vocabulary("\n .abcdeé", "\n")


def elements(content: str) -> list[tuple[str, dict[str, str | None]]]:
    """Return the elements that a page is made of: a tag and attributes each."""
    parser, found = HTMLParser(), []
    parser.handle_starttag = lambda tag, attributes: found.append((tag, dict(attributes)))
    parser.feed(content)
    return found


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


def write_checkpoint(path: Path, vocabulary: Vocabulary = VOCABULARY, change=None) -> Path:
    """Save a model as a training would; it was never trained."""
    config = resolve([Overrides("test", {"model.hidden": 8, "model.embedding": 6})]).config
    model = Model(config.model, vocabulary.size, training=False)
    model.initialize(3)
    model.parameters.flat[:] *= 4
    if change is not None:
        change(model.parameters.views)
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = {"kind": "best", "config": config.as_dict(), "vocabulary": vocabulary.as_dict()}
    save(path, pack(model.parameters), meta)
    return path


def learn_items(
    folder: Path, items: Sequence[str], how: str = "line", steps: int = 25, **settings
) -> Path:
    """Train a small model on all of a list's items, in `folder`; returns its checkpoint."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    between = {"line": "\n", "blank-line": "\n\n"}.get(how, how)
    (folder.parent / f"{folder.name}.txt").write_text(between.join(items))
    given = {"hidden": 24, "layers": 1, "batch_size": 32, "seq_len": 16, "dropout": 0.0}
    given |= {"validation": 0.0, "learning_rate": 0.01, "weight_decay": 0.0, "steps": steps}
    model = api.train(
        folder.parent / f"{folder.name}.txt", items=how, checkpoints=folder.parent, name=folder.name,
        **given | settings, progress=False, preset="tiny",
    )  # fmt: skip
    return model.path


def change(path: Path, arrays: Mapping[str, Array] | None = None, **parts) -> None:
    """Write a checkpoint anew with other arrays and parts of its description; None leaves one out."""
    whole = load(path)
    meta = {key: part for key, part in (whole.meta | parts).items() if part is not None}
    save(path, dict(whole.arrays) | (arrays or {}), meta)


def environment(**changes: str) -> dict[str, str]:
    """Return the environment of a process that runs this checkout."""
    dropped = {
        "COLUMNS", "NO_COLOR", "FORCE_COLOR", "COLORTERM", "PYTHONUNBUFFERED", "LC_ALL", "LANG",
    }  # fmt: skip
    kept = {key: value for key, value in os.environ.items() if key not in dropped}
    return kept | {"PYTHONPATH": str(ROOT), "TERM": "xterm"} | changes


def spawn(folder: Path, *arguments: object, env: dict[str, str] | None = None, **options):
    """Start the program as a process of its own; `env` changes its environment."""
    return subprocess.Popen(
        [sys.executable, "-m", "charlm", *map(str, arguments)],
        cwd=folder, env=environment(**(env or {})),
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options,
    )  # fmt: skip


def finish(folder: Path, *arguments: object, given: bytes | None = None, **options):
    """Run the program to its end: exit code, stdout, stderr."""
    stdin = subprocess.DEVNULL if given is None else subprocess.PIPE
    process = spawn(folder, *arguments, **{"stdin": stdin} | options)
    out, err = process.communicate(given, timeout=120)
    return process.returncode, out, err.decode(errors="replace")


def open_terminal(columns: int) -> tuple[int, int]:
    """Return the two ends of a terminal of 40 lines; a process takes the second."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    return master, slave


def on_a_terminal(
    folder: Path,
    *arguments: object,
    command: list[str] | None = None,
    columns: int = 100,
    encoding: str = "utf-8",
    **env: str,
) -> str:
    """Run the program, or a command, on a terminal: what that shows, its line ends made one."""
    master, slave = open_terminal(columns)
    process = subprocess.Popen(
        command or [sys.executable, "-m", "charlm", *map(str, arguments)],
        cwd=folder, env=environment(**env), stdin=slave, stdout=slave, stderr=slave,
    )  # fmt: skip
    os.close(slave)
    return shown_on(master, process, encoding).replace("\r\n", "\n")


def shown_on(master: int, process: subprocess.Popen, encoding: str = "utf-8") -> str:
    """Return all that a process shows on the terminal whose other end this is."""
    shown = b""
    # At its end the terminal of Linux gives an error, and others nothing.
    with suppress(OSError):
        while piece := os.read(master, 4096):
            shown += piece
    process.wait()
    os.close(master)
    return shown.decode(encoding)


def started(text: Path, checkpoints: Path, name: str | None = "a", **changes) -> Trainer:
    """Start a small run, and make no step."""
    return start_run(overrides(text, **changes), checkpoints, name).trainer


def train(
    text: Path, checkpoints: Path, name: str | None, **changes
) -> tuple[Trainer, list[Event]]:
    """Train a small run to its end: its trainer and what it reported."""
    trainer = started(text, checkpoints, name, **changes)
    return trainer, list(events(trainer))


def stop_at(trainer: Trainer, step: int) -> list[Event]:
    """Train until a step, as if somebody had stopped it there; what it reported."""
    seen = []
    for event in events(trainer):
        seen.append(event)
        if isinstance(event, Updated) and event.step == step:
            trainer.stop_asked = True
    return seen


@contextmanager
def refused(
    kind: type[CharlmError], where: object, problem: str = "", advice: str = ""
) -> Iterator[None]:
    """Expect an error in one line: its place, the beginnings of its problem and its advice."""
    with pytest.raises(kind) as caught:
        yield
    error = caught.value
    assert "\n" not in str(error), error
    assert error.where == str(where), f"{error.where} is not {where}"
    assert error.problem.startswith(problem), error.problem
    assert error.advice.startswith(advice), error.advice


def of_kind(seen, kind):
    """Return the events of one kind."""
    return [event for event in seen if isinstance(event, kind)]
