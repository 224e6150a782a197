"""The scripts of a checkout: found through links, set up once, mended where the checkout moved."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BASH = shutil.which("bash")

pytestmark = pytest.mark.skipif(BASH is None, reason="needs bash")

# Stands in for an interpreter: writes down what it was called with, and makes the environments
# that it is asked for out of itself.
PYTHON = """#!/bin/sh
[ "$1" = -c ] && exit
echo "PYTHONPATH=$PYTHONPATH $*" >> "$LOG"
for last; do :; done
case "$*" in
    "-m venv "*)
        rm -rf "$last"
        mkdir -p "$last/bin"
        cp "$0" "$last/bin/python"
        echo "command = python $*" > "$last/pyvenv.cfg" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path):
    """The scripts alone, in a folder with a blank in its name."""
    root = tmp_path.resolve() / "check out"
    shutil.copytree(ROOT / "scripts", root / "scripts")
    shutil.copy(ROOT / "pyproject.toml", root)
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    return root


def run(script, *arguments, cwd, **environment):
    """Run a script; returns what the interpreter was called with, and the process."""
    log = cwd / "log"
    log.write_text("")
    base = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    process = subprocess.run(
        [BASH, script, *arguments], cwd=cwd, capture_output=True, text=True, check=False,
        env=base | {"LOG": str(log), "PYTHON": str(cwd / "python"), **environment},
    )  # fmt: skip
    return log.read_text().splitlines(), process


def test_set_up_once_and_again_where_it_moved(checkout, tmp_path):
    for root in (checkout, tmp_path.resolve() / "moved"):
        if root != checkout:
            checkout.rename(root)
        setup = [
            f"PYTHONPATH= -m venv --clear {root}/.venv",
            "PYTHONPATH= -m pip install --quiet --disable-pip-version-check --no-compile "
            f"--editable {root}",
        ]
        call = f"PYTHONPATH={root} -P -m charlm info a b"
        calls, process = run(root / "scripts/charlm", "info", "a b", cwd=tmp_path)
        assert (calls, process.returncode) == ([*setup, call], 0), process.stderr
        calls, process = run(root / "scripts/charlm", "info", "a b", cwd=tmp_path)
        assert (calls, process.stderr) == ([call], "")


def test_links_lead_to_the_checkout(checkout, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "first").symlink_to("../check out/scripts/charlm")
    (tmp_path / "bin" / "second").symlink_to(tmp_path / "bin" / "first")
    run(checkout / "scripts/charlm", cwd=tmp_path)
    calls, _ = run("bin/second", "info", cwd=tmp_path, PYTHONPATH="else where", CDPATH="bin")
    assert calls == [f"PYTHONPATH={checkout}:else where -P -m charlm info"]


def test_what_lies_in_the_folder_is_not_imported(checkout, tmp_path):
    run(checkout / "scripts/charlm", cwd=tmp_path)
    (checkout / "charlm").symlink_to(ROOT / "charlm")
    (checkout / ".venv/bin/python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    for name in ("yaml", "random", "charlm"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong one')\n")
    _, process = run(checkout / "scripts/charlm", "train", "nope.txt", cwd=tmp_path)
    assert process.stderr == "charlm: nope.txt: no such file; check its name\n"
