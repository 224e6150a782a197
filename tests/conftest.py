"""Fixtures that the tests share: a text, the program in this process, a browser."""

import os
import signal
import sys
from pathlib import Path

# Small matrices gain nothing from threads; what runs as a process of its own has them all.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
# A shell that starts the tests in the background has them ignore SIGINT, and all they start as well.
signal.signal(signal.SIGINT, signal.default_int_handler)

import hypothesis
import pytest
from browser import CHROMIUM, Browser
from helpers import VERSE

from charlm import cli

# A machine that is busy with something else is no failure.
hypothesis.settings.register_profile("charlm", deadline=None)
hypothesis.settings.load_profile("charlm")


@pytest.fixture
def no_fsync(monkeypatch):
    """Hundreds of saves would wait for the disk."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    """4,000 characters of verse."""
    path = tmp_path / "verse.txt"
    path.write_text((VERSE * 30)[:4000], encoding="utf-8", newline="")
    return path


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

    def output(*arguments: object) -> str:
        """Return the stdout of a command that succeeds, and says nothing beside it."""
        code, out, err = run(*arguments)
        assert (code, err) == (0, "")
        return out

    run.output = output
    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: CONTRIBUTING.md tells how")
    running = Browser(tmp_path_factory.mktemp("browser"))
    yield running
    running.close()


@pytest.fixture
def browser(chromium):
    """A browser that has nothing to complain of at the end of a test."""
    yield chromium
    assert chromium.complaints == []
