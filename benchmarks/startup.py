"""From the shell to the first character: whole processes in turns, beside PyTorch's."""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from turns import HERE, ROOT, Ended, finished, pytorch_is_here, spread

# Compiled modules are kept from the first start on, as they are unless Python is told otherwise.
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}


def run(rounds: int) -> dict:
    """Start `charlm sample`, `import torch` and a minimal PyTorch sampler, turn by turn."""
    with TemporaryDirectory() as folder:
        commands = {"charlm sample": ours(Path(folder))}
        if pytorch_is_here():
            commands["import torch"] = [sys.executable, "-c", "import torch; print('a')"]
            commands["PyTorch sampling"] = theirs(Path(folder))
        for command in commands.values():
            first_character(command)
        rows = {name: {"seconds": [], "cpu_s": [], "bytes": []} for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                seconds, ended = first_character(command)
                rows[name]["seconds"].append(seconds)
                rows[name]["cpu_s"].append(ended.cpu_s)
                rows[name]["bytes"].append(ended.peak)
    for name, row in rows.items():
        cpu_s, most = (statistics.median(row[key]) for key in ("cpu_s", "bytes"))
        line = f"{name}: {spread(row['seconds'])} s, CPU {cpu_s:.2f} s, {most / 1e6:.0f} MB"
        if name != "charlm sample":
            pairs = zip(row["seconds"], rows["charlm sample"]["seconds"], strict=True)
            line += f", {spread([a / b for a, b in pairs])} x charlm's time"
        print(line)
    return {"rows": rows}


def first_character(command: list[str]) -> tuple[float, Ended]:
    """Return the seconds until a process writes its first character, and what it took in all."""
    began = time.perf_counter()
    child = subprocess.Popen(
        command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    got = child.stdout.read(1)
    seconds = time.perf_counter() - began
    child.stdout.read()
    child.stdout.close()
    ended = finished(child)
    if ended.code or not got:
        raise SystemExit(f"{command[:4]} wrote nothing, and ended with {ended.code}")
    return seconds, ended


def ours(folder: Path) -> list[str]:
    """Make a run of the default model, and return the command that samples from it."""
    charlm = [sys.executable, "-m", "charlm"]
    made = ["--steps", "2", "--set", "train.sample_length=0", "--set", "data.validation=0.01"]
    subprocess.run(
        [*charlm, "train", "data/shakespeare.txt", *made, "--name", "a", "-q",
         "--checkpoints", folder], cwd=ROOT, check=True,
    )  # fmt: skip
    return [*charlm, "sample", "a", "--checkpoints", str(folder), "--length", "1"]


def theirs(folder: Path) -> list[str]:
    """Save the same network's state dict, and return the command that samples from it."""
    script, weights = str(HERE / "pytorch_sample.py"), str(folder / "weights.pt")
    subprocess.run([sys.executable, script, "save", weights], check=True)
    return [sys.executable, script, "sample", weights]
