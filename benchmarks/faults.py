"""Kill it, interrupt it, let it run for long: count what docs/reliability.md promises.

kills      SIGKILL at random instants; what is left is resumed, and ends as if nothing had happened
signals    SIGINT and SIGTERM at random moments, now and then twice
soak       train, save and sample for as long as is asked: memory, files, speed
healthy    ordinary runs, none of which may be taken for one that explodes
"""

import argparse
import collections
import dataclasses
import gc
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
TEXT = ROOT / "data" / "shakespeare.txt"
sys.path.insert(0, str(ROOT))

SMALL = [
    "--preset", "small", "--hidden", "12", "--batch-size", "4", "--seq-len", "8",
    "--dropout", "0.2",
    "--set", "train.sample_length=20", "--set", "train.save_every_s=0.02",
]  # fmt: skip
# What to train, to which step, and to which one the goal is moved then: between them they save at
# validations, between validations, with a new best and without, on going back, at a new goal.
SCENARIOS = {
    "lstm": (["--set", "train.validate_every=10"], 120, 150),
    "gru": (["--cell", "gru", "--set", "train.validate_every=7"], 120, 140),
    "explodes": (
        ["--lr", "8", "--set", "train.beta1=0.9", "--set", "train.weight_decay=0",
         "--set", "train.validate_every=4", "--set", "train.warmup=8"], 150, 160,
    ),
}  # fmt: skip
# Longer than a life of one of these trainings.
_LONGEST_S = 2.0
_LATEST_S = 0.003
_MOST_EVENTS = 250


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="scripts/faults", description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=["kills", "signals", "soak", "healthy"])
    parser.add_argument("--count", type=int, default=None, help="kills or signals")
    parser.add_argument("--minutes", type=float, default=60.0, help="of the soak")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        match options.name:
            case "kills":
                show(kills(Path(folder), options.count or 500, options.seed, say))
            case "signals":
                show(signals(Path(folder), options.count or 50, options.seed, say))
            case "soak":
                show(soak(Path(folder), options.minutes * 60, say))
            case "healthy":
                show(healthy(Path(folder), say))


def say(line: str) -> None:
    """Show how far it has come."""
    print(line, file=sys.stderr, flush=True)


def show(counted: dict) -> None:
    """Print what was counted."""
    for what, count in counted.items():
        print(f"{what}: {count}")


# Kills


def kills(
    folder: Path,
    count: int,
    seed: int,
    tell: Callable[[str], None] = say,
    names: tuple[str, ...] = tuple(SCENARIOS),
) -> dict:
    """Kill trainings, resume them, and compare them with those that nobody killed.

    Half of the kills come at a random time after the start; the others up to 3 ms after a random
    one of the files of the run is opened, renamed or removed.

    Returns:
        What was counted: kills, where they hit, runs that ended as they should have, and 0 lost.

    Raises:
        AssertionError: something was lost.
    """
    generator, counted = random.Random(seed), collections.Counter()
    text = folder / "text.txt"
    text.write_text(TEXT.read_text(encoding="utf-8")[:6000], encoding="utf-8")
    whole = {}
    for name in names:
        options, steps, more = SCENARIOS[name]
        for last in (["--steps", steps, *options], ["--resume", "--steps", more]):
            given = [text, *SMALL] if last[0] == "--steps" else []
            finish(folder, "train", *given, *last, "--name", f"whole-{name}")
        whole[name] = folder / "checkpoints" / f"whole-{name}"
    while counted["killed"] < count:
        name = generator.choice(names)
        _kill_through(folder, text, name, generator, counted, count)
        run = folder / "checkpoints" / "killed"
        equal(whole[name], run)
        counted["runs that ended bit for bit like the uninterrupted one"] += 1
        shutil.rmtree(run)
        tell(f"{counted['killed']} of {count} killed")
    counted["lost"] = 0
    return dict(counted)


def _kill_through(
    folder: Path,
    text: Path,
    name: str,
    generator: random.Random,
    counted: collections.Counter,
    count: int,
) -> None:
    """Train one run to its end, and then to its second goal, through many kills."""
    options, steps, more = SCENARIOS[name]
    run, saved, code = folder / "checkpoints" / "killed", -1, 0
    for goal in (steps, more):
        while step_of(run) < goal:
            began = (run / "last.npz").exists()
            arguments = ["--resume"] if began else [text, *SMALL, *options, "--steps", steps]
            if began and goal == more and step_of(run) >= steps:
                arguments += ["--steps", more]
            command = ["train", *arguments, "--name", "killed"]
            if counted["killed"] >= count:
                finish(folder, *command)
                code = 0
                continue
            code = _run_and_kill(folder, run, command, generator)
            if code != -signal.SIGKILL:
                assert code == 0, f"exit code {code} from {command}"
                counted["ended before the kill"] += 1
                continue
            counted["killed"] += 1
            for what in where(run):
                counted[what] += 1
            assert [file.name for file in run.parent.glob("killed*")] in ([], ["killed"])
            if run.exists():
                temporary = [file for file in run.iterdir() if file.suffix == ".tmp"]
                assert len(temporary) <= 1, temporary
            # What is there loads, and is no older than what was there, but where it went back.
            assert step_of(run) >= saved or name == "explodes", (step_of(run), saved)
            saved = step_of(run)
            if (run / "best.npz").exists():
                load(run / "best.npz")
    left = {file.name for file in run.iterdir()}
    if code == -signal.SIGKILL:
        # It was killed between its last save and its end.
        left -= {"lock", "good.npz"}
    assert left == {"best.npz", "config.yaml", "history.jsonl", "ids.bin", "last.npz"}, left


def _run_and_kill(folder: Path, run: Path, command: list, generator: random.Random) -> int:
    if generator.random() < 0.5:
        process = spawn(folder, *command)
        try:
            process.wait(generator.random() * _LONGEST_S)
        except subprocess.TimeoutExpired:
            process.kill()
    else:
        # A life has few events where there is little left to train.
        at = int(1 + (_MOST_EVENTS - 1) * generator.random() ** 2)
        process = spawn(folder, *command, victim=(run, at, generator.random() * _LATEST_S))
    _, err = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), err
    return process.returncode


def where(run: Path) -> Iterator[str]:
    """Say what a kill hit, as far as what is left tells."""
    if not run.exists():
        yield "... before its folder was made"
    elif not (run / "last.npz").exists():
        yield "... before the first checkpoint was there"
    for name in ("last.npz", "best.npz", "config.yaml"):
        if any(run.glob(f"{name}.*.tmp")):
            yield f"... while {name} was written"
    if (run / "last.npz").exists() and "good" in load(run / "last.npz").meta:
        yield "... with the good state beside a newer one"
    with_history = run / "history.jsonl"
    if with_history.exists():
        history = with_history.read_bytes()
        if history and not history.endswith(b"\n"):
            yield "... while a line of the history was written"
        if b'"rollback"' in history:
            yield "... after the training had gone back by itself"


def step_of(run: Path) -> int:
    """Return the update of a run's checkpoint; -1 where there is none."""
    path = run / "last.npz"
    return load(path).meta["progress"]["step"] if path.exists() else -1


def equal(one: Path, other: Path) -> None:
    """Make sure that two runs are the same to the bit, and their histories too."""
    import numpy as np

    from charlm.storage.history import read_history

    for name in ("last.npz", "best.npz"):
        a, b = load(one / name), load(other / name)
        assert list(a.arrays) == list(b.arrays)
        for key, array in a.arrays.items():
            assert np.array_equal(array, b.arrays[key]), f"{name}: {key} differs"
        for key in ("progress", "plateau", "recovery"):
            clocks = {"elapsed_s": 0}
            assert a.meta[key] | clocks == b.meta[key] | clocks, (key, a.meta[key], b.meta[key])
    told = [read_history(folder / "history.jsonl") for folder in (one, other)]
    clockless = [
        [
            dataclasses.replace(reading, elapsed_s=None, chars_per_s=None)
            for reading in history.readings
        ]
        for history in told
    ]
    assert clockless[0] == clockless[1]
    assert told[0].rollbacks == told[1].rollbacks


def load(path: Path):
    """Read a checkpoint, whatever it takes to import that."""
    from charlm.storage.checkpoint import load

    return load(path)


# Signals


def signals(folder: Path, count: int, seed: int, tell: Callable[[str], None] = say) -> dict:
    """Send SIGINT or SIGTERM at random moments, a second one to each fourth process.

    Returns:
        What was counted.

    Raises:
        AssertionError: an exit code, a word on stderr or a checkpoint was not as it should be.
    """
    generator, counted = random.Random(seed), collections.Counter()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # Started in the background, where those that are started here would ignore it too.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    text = folder / "text.txt"
    text.write_text(TEXT.read_text(encoding="utf-8")[:200_000], encoding="utf-8")
    options = [text, "--hidden", "32", "--batch-size", "8", "--seq-len", "16", "--steps", "100000",
               "--set", "train.validate_every=50", "--name", "run"]  # fmt: skip
    run = folder / "checkpoints" / "run"
    while counted["signals"] < count:
        began = step_of(run)
        arguments = options if began < 0 else ["--resume", "--name", "run"]
        process = spawn(folder, "train", *arguments)
        number = generator.choice([signal.SIGINT, signal.SIGTERM])
        # At any time after the start, or a while after any line, of those that it says in training.
        lines, heard = generator.randrange(8) * (generator.random() < 0.7), ""
        for _ in range(lines):
            heard += process.stderr.readline()
        time.sleep(generator.random() * (0.1 if lines else 1.0))
        process.send_signal(number)
        twice = generator.random() < 0.25
        if twice:
            time.sleep(generator.random() * 0.05)
            process.send_signal(number)
        err = heard + process.communicate(timeout=120)[1]
        counted["signals"] += 1
        code = process.returncode
        # Before Python knows the signal, it ends the process by itself, which a shell calls the
        # same: 128 and its number.
        by_itself = code == -number
        early = f"{('Traceback' in err and 'while it was imported, with a traceback') or 'quietly'}"
        assert by_itself or code == 128 + number or "KeyboardInterrupt" in err, (code, err)
        saved = "saved; resume with" in err
        if by_itself or "Traceback" in err:
            assert not saved or (twice and "Traceback" not in err), (code, twice, err)
            counted[f"before Python could answer, {early}"] += 1
        elif saved:
            counted[f"{number.name}: saved between steps, left with {code}"] += 1
            assert step_of(run) >= max(0, began)
        else:
            counted[f"{number.name}: left with {code}" + ", asked twice" * twice] += 1
            assert err.count("\n") < 12, err
            assert twice or "\nstep" not in err, f"it was training, and saved nothing: {err}"
        if run.exists():
            assert step_of(run) >= began
        tell(f"{counted['signals']} of {count}")
    if (step := step_of(run)) >= 0:
        finish(folder, "train", "--resume", "--name", "run", "--steps", step + 1)
        counted["the run went on from the last of them"] = 1
    return dict(counted)


# A long run


def soak(folder: Path, seconds: float, tell: Callable[[str], None] = say) -> dict:
    """Train, save and sample in one process until the time is up.

    Returns:
        Slopes of the resident memory and of the speed, and the largest files.
    """
    import charlm

    text = folder / "text.txt"
    shutil.copy(TEXT, text)
    began, readings, largest, updates, names = time.monotonic(), [], {}, 0, set()
    training = charlm.start(
        text, hidden=64, batch_size=32, seq_len=32, steps=10**7, validate_every=200,
        save_every_s=5, checkpoints=folder / "runs", sample_length=100,
    )  # fmt: skip
    at, made = time.monotonic(), 0
    for event in training:
        match event:
            case charlm.Updated():
                updates += 1
                made += 1
            case charlm.Saved():
                train_s = time.monotonic() - at
                model = training.model()
                assert len(model.sample(200, seed=updates)) == 200
                # What waits for the collector is no leak. The first save precedes all updates.
                gc.collect()
                if updates:
                    readings.append((time.monotonic() - began, resident_mb(), made / train_s))
                at, made = time.monotonic(), 0
                for path in training.folder.iterdir():
                    names.add(path.name)
                    largest[path.name] = max(largest.get(path.name, 0), path.stat().st_size)
                if readings and len(readings) % 50 == 1:
                    tell(f"{readings[-1][0]:.0f} s, {updates:,} updates, {readings[-1][1]:.1f} MB")
                if updates and time.monotonic() - began > seconds:
                    training.stop()
    # What is allocated once, such as a first sample's buffers, is no slope.
    settled = [reading for reading in readings if reading[0] >= readings[-1][0] / 10]
    hours = [reading[0] / 3600 for reading in settled]
    memory, error = slope(hours, [reading[1] for reading in settled])
    third = max(1, len(settled) // 3)
    speed = [
        statistics.median(reading[2] for reading in part)
        for part in (settled[:third], settled[-third:])
    ]
    return {
        "minutes": round((time.monotonic() - began) / 60, 1),
        "steps": updates,
        "saves, each with a sample of its model": len(readings),
        "resident memory, MB": f"{min(reading[1] for reading in settled):.1f} to "
        f"{max(reading[1] for reading in settled):.1f}",
        "its slope, MB an hour": f"{memory:.2f} +- {error:.2f}",
        "steps a second, median of the first and the last third": " and ".join(
            f"{rate:.0f}" for rate in speed
        ),
        "files": ", ".join(f"{name} {largest[name]:,}" for name in sorted(names)),
    }


def resident_mb() -> float:
    """Return the resident memory of this process; Linux tells."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def slope(x: list[float], y: list[float]) -> tuple[float, float]:
    """Return the least-squares slope and its standard error."""
    middle, mean = statistics.fmean(x), statistics.fmean(y)
    spread = sum((value - middle) ** 2 for value in x) or 1.0
    k = sum((value - middle) * (p - mean) for value, p in zip(x, y, strict=True)) / spread
    rest = sum((p - mean - k * (value - middle)) ** 2 for value, p in zip(x, y, strict=True))
    return k, (rest / max(1, len(x) - 2) / spread) ** 0.5


# Healthy runs


def healthy(folder: Path, tell: Callable[[str], None] = say) -> dict:
    """Train ordinary runs, and count how near they come to what is called an explosion.

    Returns:
        A line a run: the longest stretch of updates far above, and how far above the highest was.
    """
    import charlm
    from charlm.training.recovery import FAR, LONG, threshold

    generator = random.Random(0)
    shakespeare = TEXT.read_text(encoding="utf-8")
    noise = [chr(c) for c in range(48, 112)]
    often = [chr(min(0x9000, int(generator.paretovariate(0.7)) + 0x4E00)) for _ in range(60_000)]
    elsewhere = "".join(chr(ord(c) + 1000) for c in shakespeare[:60_000])
    texts = {
        "shakespeare": shakespeare,
        "coin tosses": "".join(generator.choices("ab", k=200_000)),
        "noise of 64": "".join(generator.choices(noise, k=200_000)),
        "a, then b": "a" * 30_000 + "b" * 30_000 + "ab" * 15_000 + "b" * 30_000,
        "two alphabets": shakespeare[:60_000] + elsewhere,
        "one character": "a" * 20_000,
        "rare ones": "".join(often),
    }
    optimizers = ({"optimizer": "rmsprop", "learning_rate": 0.003},
                  {"optimizer": "adagrad", "learning_rate": 0.05},
                  {"optimizer": "sgd", "learning_rate": 1.0, "momentum": 0.9})  # fmt: skip
    runs = [(name, {}) for name in texts]
    runs += [("shakespeare", {"cell": cell}) for cell in ("gru", "rnn")]
    runs += [("shakespeare", changes) for changes in optimizers]
    runs += [("shakespeare", {"learning_rate": 0.03}), ("shakespeare", {"dropout": 0.7})]
    runs += [("shakespeare", {"embedding": "one-hot"}), ("shakespeare", {"warmup": 0})]
    runs += [(name, {"batch_size": 1, "seq_len": 32}) for name in ("a, then b", "two alphabets")]
    slow = {"batch_size": 1, "seq_len": 32, "learning_rate": 0.001, "steps": 5000}
    runs += [(name, slow) for name in ("a, then b", "two alphabets")]
    runs += [("rare ones", {"init_from": str(folder / "runs" / "0")})]
    found = {}
    for number, (name, changes) in enumerate(runs):
        path = folder / "text.txt"
        path.write_text(texts[name], encoding="utf-8")
        settings = {"batch_size": 16, "seq_len": 32, "steps": 500, "sample_length": 0} | changes
        if "init_from" not in changes:
            settings["hidden"] = 64
        longest = stretch = 0
        highest, ceiling = 0.0, None
        training = charlm.start(path, name=str(number), checkpoints=folder / "runs", **settings)
        for event in training:
            if isinstance(event, charlm.RolledBack):
                raise AssertionError(f"{name} {changes}: {event}")
            if isinstance(event, charlm.Updated):
                trainer = training._trainer
                ceiling = ceiling or threshold(trainer.recovery, trainer.vocabulary.size)
                stretch = stretch + 1 if event.loss > ceiling else 0
                longest = max(longest, stretch)
                highest = max(highest, event.loss * FAR / ceiling if ceiling else 0.0)
        long = max(LONG, settings["steps"] // 20)
        line = f"{longest} of {long} in a row above, the highest at {highest:.2f} of {FAR}"
        told = ", ".join(f"{k} {v}" for k, v in changes.items() if k != "init_from")
        found[f"{name}{', ' * bool(told)}{told}{', fine-tuned' * ('init_from' in changes)}"] = line
        tell(f"{name} {changes}: {line}")
    return found


# Processes


def spawn(
    folder: Path, *arguments: object, victim: tuple[Path, int, float] | None = None
) -> subprocess.Popen:
    """Start charlm in a folder; as a victim it kills itself at an event on the run's files."""
    program: list[object] = ["-m", "charlm"]
    if victim:
        program = [__file__, "--victim", *victim]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *map(str, program), *map(str, arguments)], cwd=folder, env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(folder: Path, *arguments: object) -> None:
    """Let charlm do something to its end."""
    process = spawn(folder, *arguments)
    _, err = process.communicate()
    assert process.returncode == 0, err


def be_victim(run: str, at: str, delay_s: str, *arguments: str) -> None:
    """Run charlm, and kill this process a while after an event on the files of a run."""
    seen = 0

    def watch(event: str, given: tuple) -> None:
        nonlocal seen
        if event in ("open", "os.mkdir", "os.link", "os.rename", "os.remove") and of_a_run.search(
            str(given[0])
        ):
            seen += 1
            if seen == int(at):
                threading.Thread(target=kill, daemon=True).start()

    def kill() -> None:
        time.sleep(float(delay_s))
        os.kill(os.getpid(), signal.SIGKILL)

    from charlm.__main__ import main

    files = r"((last|good|best)\.npz|ids\.bin|config\.yaml|history\.jsonl|lock)(\.\w+\.tmp)?"
    of_a_run = re.compile(f"{re.escape(Path(run).name)}(/{files})?$")
    sys.addaudithook(watch)
    sys.argv = ["charlm", *arguments]
    main()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--victim"]:
        be_victim(*sys.argv[2:])
    else:
        main()
