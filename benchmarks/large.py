"""A text of 1 GiB: how fast it is encoded, what memory it takes, and what Ctrl-C leaves of it."""

import fcntl
import json
import os
import pty
import random
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from turns import HERE, ROOT, finished

SIZE = 1 << 30
UPDATES = 20


def run(_: int) -> dict:
    """Encode, train a little, walk every stream once; then interrupt two more that begin."""
    with TemporaryDirectory() as folder:
        text = build(Path(folder) / "large.txt")
        child = subprocess.Popen(
            [sys.executable, HERE / "walk.py", text, folder, str(UPDATES)],
            stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        result = json.loads(child.stdout.read() or "{}")
        ended = finished(child)
        if ended.code:
            raise SystemExit("the training of a large text ended early")
        rate, cpu_rate = (SIZE / result[key] / 1e6 for key in ("reading_s", "reading_cpu_s"))
        print(
            f"{SIZE:,} bytes read and encoded in {result['reading_s']:.1f} s, {rate:.0f} MB/s "
            f"({cpu_rate:.0f} for each second of CPU); {UPDATES} updates, then "
            f"{result['chunks']:,} chunks of all {result['streams']} streams in "
            f"{result['walk_s']:.0f} s; {result['own_memory'] / 1e6:.0f} MB in memory without the "
            f"mapped file, at most {ended.peak / 1e6:.0f} MB with it",
            flush=True,
        )
        stopped = [interrupted(text, Path(folder) / f"stopped-{late}", late) for late in (0, 1)]
    return {**result, "bytes": SIZE, "mb_per_s": rate, "peak": ended.peak, "stopped": stopped}


def build(path: Path) -> Path:
    """Repeat the corpus with its lines shuffled until there are 1 GiB of it."""
    lines = (ROOT / "data" / "shakespeare.txt").read_bytes().splitlines(keepends=True)
    rng, size = random.Random(0), 0
    with path.open("wb") as file:
        while size < SIZE:
            rng.shuffle(lines)
            size += file.write(b"".join(lines)[: SIZE - size])
    return path


def interrupted(text: Path, runs: Path, late: int) -> dict:
    """Press Ctrl-C while the text is counted, or later while it is encoded, with a bar in sight."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    child = subprocess.Popen(
        [sys.executable, "-m", "charlm", "train", text, "--checkpoints", runs],
        cwd=ROOT, stderr=slave, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(slave)
    began = time.monotonic()
    while time.monotonic() - began < 60:
        ids = list(runs.glob("*/ids.bin"))
        if ids and ids[0].stat().st_size > SIZE / 20 if late else time.monotonic() - began > 2:
            break
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    code = finished(child).code
    shown = b""
    try:
        while piece := os.read(master, 1 << 16):
            shown += piece
    except OSError:
        pass
    os.close(master)
    left = [str(path.relative_to(runs)) for path in runs.rglob("*")] if runs.exists() else []
    what = "encoding" if late else "counting"
    bar = b"reading" in shown
    print(
        f"Ctrl-C while {what}: exit code {code}, left behind {left}, bar shown: {bar}", flush=True
    )
    return {"while": what, "code": code, "left": left, "bar": bar}
