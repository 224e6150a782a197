"""Hostile files: an error that says what is wrong, or a right result; nothing run, nothing filled.

The long form is `python tests/fuzz.py 100000`; docs/reliability.md counts it.
"""

import contextlib
import hashlib
import io
import json
import os
import pickle
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import fuzz
import mutations
import numpy as np
import pytest
from helpers import VOCABULARY, environment, finish, refused, write_checkpoint

import charlm as library
from charlm.errors import (
    CharlmError,
    CheckpointError,
    ConfigError,
    DrawingError,
    ExchangeError,
    RunError,
)
from charlm.exchange.transfer import import_run
from charlm.nn.model import shapes
from charlm.runs.folder import Run, create
from charlm.settings.resolve import resolve
from charlm.settings.schema import Config
from charlm.storage.checkpoint import MOST_META_BYTES, load, read_meta, save
from charlm.storage.history import read_history
from charlm.terminal import argument, brief, printable, visible
from charlm.training.prepare import resume_run


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(fuzz.KINDS))
def test_fuzzed(kind):
    if kind == "import" and not fuzz.exports():
        pytest.skip("neither PyTorch nor safetensors is installed: CONTRIBUTING.md tells how")
    assert fuzz.fuzz(kind, 40).total() >= 40


@pytest.mark.slow
def test_what_is_spoiled_is_refused_or_harmless():
    """Every 41st of all truncations and flipped bits; the long form feeds them all."""
    outcomes = fuzz.spoiled(fuzz.folder() / "good" / "best.npz", step=41)
    assert outcomes["CheckpointError"] > 100
    assert outcomes["the same model"] > 0


# Checkpoints


class Trap:
    """Run a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def header(shape: object, dtype: str = "<f4") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def repack(path: Path, *, members=None, meta=None, method=zipfile.ZIP_STORED, double=()) -> Path:
    """Write a checkpoint anew, with other members or another description, all sums right."""
    inside = dict(mutations.members.__wrapped__(path))
    told = json.loads(inside["meta.json"])
    inside |= members or {}
    told |= {"arrays": [name.removesuffix(".npy") for name in inside if name != "meta.json"]}
    told |= meta or {}
    inside["meta.json"] = json.dumps(told).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in inside.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
        for name, other in double:
            info = archive.getinfo(name)
            archive.filelist.append(clone := zipfile.ZipInfo(other))
            for field in ("CRC", "compress_size", "file_size", "header_offset"):
                setattr(clone, field, getattr(info, field))
    return path


def config(**model):
    return {"config": {"model": Config().as_dict()["model"] | model}}


def weights(content: bytes) -> dict:
    return {"members": {"output.W.npy": content}}


def filled(number: float, dtype: type = np.float32) -> dict:
    return weights(npy(np.full((9, 8), number, dtype)))


W, NO_ARRAY = "output.W.npy", "'output.W.npy' is not a plain array"
ATTACKS = {
    "pickled array": (
        lambda path: weights(npy(np.array([Trap(path.parent / "trapped")], object))), NO_ARRAY),
    "pickled member": (lambda path: weights(pickle.dumps(Trap(path.parent / "trapped"))), NO_ARRAY),
    "no settings": (lambda _: {"meta": {"config": None}}, "lacks its config; the file"),
    "a million million numbers": (
        lambda _: weights(header((10**6, 10**6))),
        "'output.W' is float32 (1000000, 1000000) on disk, float32 (9, 8) expected; the file is dam"),
    "fewer numbers than it says": (
        lambda _: weights(header((9, 8)) + bytes(100)),
        "cannot be read ('output.W.npy' does not have the size it names, (9, 8)); the file is damag"),
    "compressed": (
        lambda _: {"members": {"x.npy": header((10**7,)) + bytes(10**7)}, "method": zipfile.ZIP_DEFLATED},
        "is compressed); the file is damaged or no checkpoint"),
    "members one over the other": (
        lambda _: {"double": [(W, f"{k}.npy") for k in range(99)]},
        "cannot be read (its members are larger than the file); the file is damaged or no checkpoint"),
    "two of one name": (lambda _: {"double": [(W, W)]}, "it holds two members of one name"),
    "a name with ../": (
        lambda _: {"members": {"../../trapped": b"x"}, "meta": {"arrays": ["embedding.W"]}},
        "its members are not those it lists"),
    "another type": (lambda _: filled(0, np.float64), "'output.W' is float64 (9, 8) on disk, float32"),
    "columns first": (lambda _: weights(npy(np.asfortranarray(np.zeros((9, 8), np.float32)))), NO_ARRAY),
    "not a number": (lambda _: filled(np.nan), "'output.W' holds numbers that are not finite; the file"),
    "too large to multiply": (lambda _: filled(1e30), "its weights are not finite numbers; it is damaged"),
    "settings of a giant": (
        lambda _: {"meta": config(hidden=16384, layers=32)},
        "'embedding.W' is float32 (6, 9) on disk, float32 (16384, 9) expected; the file is damaged"),
    "settings out of range": (
        lambda _: {"meta": config(hidden=10**12)},
        "model.hidden must be at least 1 and at most 16384, got 1000000000000; the file is damaged, "),
    "settings that are none": (
        lambda _: {"meta": {"config": {"model": [1]}}}, "'model' must hold keys and values, got [1]"),
    "lone surrogates": (
        lambda _: {"meta": {"vocabulary": {"symbols": "\n .abcde\udc9b", "start": "\n"}}},
        "holds no valid vocabulary; the file is damaged"),
    "a large description": (lambda _: {"meta": {"x": "x" * MOST_META_BYTES}}, "'meta.json' is too large"),
    "a deep description": (lambda _: {"meta": {"x": json.loads("[" * 900 + "]" * 900)}}, None),
}  # fmt: skip


# Their description can be read all the same.
DESCRIBED = {
    "pickled array", "pickled member", "a million million numbers", "fewer numbers than it says",
    "another type", "columns first", "not a number", "too large to multiply", "settings of a giant",
}  # fmt: skip


@pytest.mark.parametrize("attack", list(ATTACKS))
def test_hostile_checkpoints(charlm, attack, tmp_path):
    """From the shell and from Python, whichever way it is loaded: one line, and nothing else."""
    path = write_checkpoint(tmp_path / "m.npz")
    change, message = ATTACKS[attack]
    repack(path, **change(path))
    (tmp_path / "t.txt").write_text("abc")
    if message is None:
        assert library.load(path).sample(3, seed=1)
        return
    for arguments in (["sample", path], ["eval", "t.txt", "--run", path], ["export", path, "--out", "x.onnx"],
                      ["train", "t.txt", "--init-from", path]):  # fmt: skip
        code, out, err = charlm(*arguments)
        assert (code, out) == (1, ""), err
        assert err.startswith(f"charlm: {path}: "), err
        if arguments[0] != "train":
            assert message in err
        assert err.count("\n") == 1
    with pytest.raises(CheckpointError) as error:
        library.load(path)
    assert message in str(error.value)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["m.npz", "t.txt"]
    # Where only the weights are bad, it can still be described.
    code, _, err = charlm("info", path)
    assert code == 0 or (code, err.count("\n")) == (1, 1)
    assert (code == 0) == (attack in DESCRIBED)


def test_deep_and_long_descriptions_are_refused(tmp_path):
    path = tmp_path / "m.npz"
    with pytest.raises(CheckpointError, match="cannot be saved, its description would have"):
        save(path, {}, {"x": "x" * MOST_META_BYTES})
    assert list(tmp_path.iterdir()) == [], "what could not be loaded is not saved"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("meta.json", "[" * 100_000)
    with pytest.raises(CheckpointError, match="cannot be read \\(maximum recursion depth"):
        read_meta(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders here")
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_never_ends_is_not_read(charlm, kind, tmp_path):
    def make(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
        return path

    runs, ids = tmp_path / "checkpoints", tmp_path / "checkpoints/c/ids.bin"
    write_checkpoint(runs / "b" / "best.npz")
    for name in ("a/best.npz", "a/last.npz", "b/history.jsonl"):
        make(runs / name)
    for name in ("t", "f.pt", "f.safetensors"):
        make(tmp_path / name)
    (tmp_path / "v.txt").write_text("abc\n" * 900)
    for arguments in (
        ["sample", "a"], ["info", "a"], ["eval", "v.txt", "--run", "a"], ["export", "a", "--to", "onnx"],
        ["train", "--resume", "--name", "a"], ["info", "b"], ["train", "t"], ["eval", "t", "--run", "b"],
        ["import", "f.pt"], ["import", "f.safetensors"], ["train", "v.txt", "--init-from", "a"],
    ):  # fmt: skip
        code, out, err = charlm(*arguments)
        assert (code, out, err.count("\n")) == (1, "", 1), (arguments, err)
        refused = "not a regular file|is a link|no ordinary file|no such file"
        assert re.search(refused, err), (arguments, err)
    assert re.search("not a regular file|is a link", charlm("info")[1])
    # Ids that are not a file are made again.
    library.train(tmp_path / "v.txt", name="c", **TINY)
    before = ids.read_bytes()
    ids.unlink()
    make(ids)
    assert charlm("train", "--resume", "--name", "c", "--steps", 4, "--quiet") == (0, "", "")
    assert ids.read_bytes() == before


TINY = {"hidden": 4, "layers": 1, "batch_size": 2, "seq_len": 4, "steps": 3}
MEASURE = """
import sys
from pathlib import Path
from charlm.errors import CheckpointError
from charlm.storage.checkpoint import read_meta
from charlm.runs.folder import Run
from charlm.runs.loading import load_model
try:
    read_meta(Path(sys.argv[1]))
    trained = load_model(Path(sys.argv[1]))
    print("a model")
except CheckpointError as error:
    print(error)
(line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(line.split()[1])
"""


def peak_of_loading(path: Path) -> tuple[str, float]:
    """Load a checkpoint in a process of its own: what came of it, and the peak memory in bytes."""
    out = subprocess.run(
        [sys.executable, "-c", MEASURE, path], capture_output=True, text=True, check=True,
        env=environment(),
    ).stdout.splitlines()  # fmt: skip
    return out[0], int(out[1]) * 1024


def large(path: Path, embedding: str) -> None:
    """A checkpoint of 30 MB or more, of one layer."""
    chosen = {"model__hidden": 1300, "model__layers": 1, "model__embedding": embedding}
    settings = resolve([]).config.replace(**chosen)
    needed = shapes(settings.model, VOCABULARY.size).items()
    arrays = {name: np.full(shape, 1e-3, np.float32) for name, shape in needed}
    save(path, arrays, {"config": settings.as_dict(), "vocabulary": VOCABULARY.as_dict()})


def many_members(path: Path) -> None:
    """A table of contents of 400,000 members, all the same one."""
    content = b"PK\x03\x04\x14" + bytes(25) + b"a"
    entry = b"PK\x01\x02\x14\x03\x14" + bytes(21) + b"\x01\x00" + bytes(16) + b"a"
    count = 400_000
    directory = entry * count
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count % 65536, count % 65536,
                      len(directory), len(content), 0)  # fmt: skip
    path.write_bytes(content + directory + end)


def one_over_the_other(path: Path) -> None:
    write_checkpoint(path)
    double = [("x.npy", f"x{k}.npy") for k in range(99)]
    repack(path, members={"x.npy": header((5_000_000,)) + bytes(20_000_000)}, double=double)


def described_at_length(path: Path) -> None:
    """As many values as a description may have, and as wide a text."""
    write_checkpoint(path)
    count = (MOST_META_BYTES - 10_000) // len(", {}")
    repack(path, meta={"x": [{} for _ in range(count)], "y": "🙂"})


def compressed(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("meta.json", bytes(2 * 10**8))


MAKERS = {
    "weights": (lambda path: large(path, "auto"), True),
    "one-hot": (lambda path: large(path, "one-hot"), True),
    "many members": (many_members, False),
    "one over the other": (one_over_the_other, False),
    "described at length": (described_at_length, True),
    "compressed": (compressed, False),
    "settings of a giant": (
        lambda path: repack(write_checkpoint(path), meta=config(hidden=16384, layers=32)), False),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells the peak memory")
@pytest.mark.parametrize("kind", list(MAKERS))
def test_loading_takes_twice_the_file_and_100_mb_at_the_most(kind, tmp_path):
    make, loads = MAKERS[kind]
    make(tmp_path / "m.npz")
    told, peak = peak_of_loading(tmp_path / "m.npz")
    assert (told == "a model") == loads, told
    most = 2 * (tmp_path / "m.npz").stat().st_size + 100e6
    assert peak <= most, f"{peak / 1e6:.0f} MB, {most / 1e6:.0f} MB allowed"


# Runs


def changed(section, *sections, **values):
    """Return a change of a part of a description."""

    def change(meta: dict) -> None:
        here = meta[section]
        for name in sections:
            here = here[name]
        here |= values

    return change


NO_FIT, NO_TEXT = "its settings do not fit its text", "names no text; the file is damaged"
RUNS = {
    "a giant": (changed("config", "model", hidden=16384), "'lstm.0.Wx' is float32 (8, 2) on disk"),
    "many streams": (changed("config", "train", batch_size=4), "'state/0.h' is float32 (2, 2) on disk"),
    "long chunks": (changed("config", "train", seq_len=10**9), NO_FIT),
    "no goal": (changed("config", "train", steps=None, epochs=1.0), NO_FIT),
    "full chunks": (changed("config", "train", seq_len="full"), NO_FIT),
    "no preset": (changed("config", preset=[]), "preset must be a text, got []"),
    "no progress": (lambda meta: meta.pop("progress"), "lacks its progress; it is no last.npz"),
    "other progress": (changed("progress", x=1), "its progress.x is 1; the file is damaged"),
    "a step of words": (changed("progress", step="x"), "its progress.step is 'x'"),
    "a step before": (changed("progress", step=-1), "its progress.step is -1"),
    "no loss": (changed("progress", best_loss=float("nan")), "its progress.best_loss is nan"),
    "a plateau of lists": (changed("plateau", stale=[]), "its plateau.stale is []"),
    "no text": (lambda meta: meta.pop("text"), NO_TEXT),
    "a text of numbers": (changed("text", path=3), NO_TEXT),
    "a text of NUL": (changed("text", paths=["a\0"]), NO_TEXT),
    "encoding": (changed("config", "data", encoding="hex"), "is no encoding that Python knows"),
}  # fmt: skip


@pytest.fixture
def stored():
    """The arrays and the description of a whole run, and its ids."""
    folder = fuzz.folder() / "good"
    _, arrays, meta = load(folder / "last.npz")
    return dict(arrays), dict(meta), (folder / "ids.bin").read_bytes()


def not_resumed(folder: Path, arrays: dict, meta: dict, ids: bytes, message: str) -> None:
    run = Run(folder / "run")
    run.folder.mkdir()
    run.ids.write_bytes(ids)
    save(run.last, arrays, meta)
    with pytest.raises(CheckpointError) as error:
        resume_run(run)
    assert message in str(error.value)
    assert not run.lock.exists()


@pytest.mark.parametrize("case", list(RUNS))
def test_hostile_runs_are_not_resumed(case, tmp_path, stored):
    (change, message), (arrays, meta, ids) = RUNS[case], stored
    change(meta)
    not_resumed(tmp_path, arrays, meta, ids, message)


def test_runs_of_spoiled_numbers_are_not_resumed(tmp_path, stored):
    (arrays, meta, ids), name = stored, "optimizer.m/output.b"
    arrays[name] = np.full_like(arrays[name], np.inf)
    not_resumed(tmp_path, arrays, meta, ids, f"'{name}' holds numbers that are not finite")


def test_runs_of_unknown_ids_are_not_resumed(tmp_path, stored):
    """Nobody's symbols: the ids and their digest are both other ones."""
    arrays, meta, ids = stored
    ids = b"\xff" * len(ids)
    meta["text"]["ids_sha256"] = hashlib.sha256(ids).hexdigest()
    not_resumed(tmp_path, arrays, meta, ids, "its text has symbols that it does not know")


# A run's folder


def make_socket(path: Path) -> None:
    """A path of a socket ends after some hundred bytes."""
    with socket.socket(socket.AF_UNIX) as made, contextlib.chdir(path.parent):
        made.bind(path.name)


def make_sparse(path: Path) -> None:
    with path.open("wb") as file:
        try:
            file.truncate(2 * 10**12)
        except OSError:
            pytest.skip("there are no sparse files of this size here")


# What may stand in a run's folder, beside which the file "victim" lies.
ENTRIES = {
    "link": lambda path: path.symlink_to("../../victim"),
    "dangling link": lambda path: path.symlink_to("../../nowhere"),
    "loop": lambda path: path.symlink_to(path.name),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "hard link": lambda path: path.hardlink_to(path.parent.parent.parent / "victim"),
    "pipe": os.mkfifo,
    "socket": make_socket,
    "folder": lambda path: (path.mkdir(), (path / "notes").touch()),
    "giant": make_sparse,
    "unreadable": lambda path: (path.write_bytes(b"x"), path.chmod(0)),
}
_RARE = {*ENTRIES} - {"link"}
NAMES = [
    "last.npz", "good.npz", "best.npz", "ids.bin", "history.jsonl", "config.yaml", "lock", "report.html",
    "last.npz.0123abcd.tmp", "ids.bin.0123abcd.tmp", "report.html.tmp",
]  # fmt: skip


ON_A_RUN = [
    ["info"], ["info", "a"], ["sample", "a", "--length", 5], ["eval", "v.txt", "--run", "a"],
    ["report", "a"],
]  # fmt: skip
TINY_OPTIONS = [
    "--hidden", 4, "--layers", 1, "--batch-size", 2, "--seq-len", 4, "--steps", 2, "-q",
]  # fmt: skip


@pytest.fixture(scope="module")
def a_run(tmp_path_factory):
    """A run of three steps, whose text is elsewhere."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "v.txt").write_text("abc\n" * 900)
    library.train(folder / "v.txt", name="a", checkpoints=folder / "checkpoints", **TINY)
    return folder


@contextlib.contextmanager
def bounded(megabytes: int = 700, seconds: int = 60) -> Iterator[None]:
    """End what takes more memory, or never ends."""

    def end(*_):
        raise AssertionError("it does not end")

    with Path("/proc/self/statm").open() as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    resource.setrlimit(resource.RLIMIT_AS, (now + megabytes * 10**6, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, and links without privilege")
@pytest.mark.usefixtures("no_fsync")
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] * (kind in _RARE)) for kind in ENTRIES]
)
@pytest.mark.parametrize("name", NAMES)
def test_what_stands_in_a_runs_folder(charlm, a_run, tmp_path, kind, name):
    """Every command ends, with one line; what lies elsewhere is as it was."""
    if kind == "unreadable" and not os.geteuid():
        pytest.skip("root reads everything")
    shutil.copytree(a_run, tmp_path, dirs_exist_ok=True)
    victim, entry = tmp_path / "victim", tmp_path / "checkpoints" / "a" / name
    victim.write_bytes(b"x" * 5)
    (tmp_path / "checkpoints" / "b").mkdir()
    (tmp_path / "checkpoints" / "b" / "lock").touch()
    for path in (entry, tmp_path / "checkpoints" / "b" / name):
        path.unlink(missing_ok=True)
        ENTRIES[kind](path)
    with bounded():
        found = json.loads(charlm("info", "--check", "a", "--json")[1])["a"]
        for command, *arguments in ON_A_RUN:
            code, out, err = charlm(command, *arguments)
            assert code in (0, 1), err
            assert not code or (out, err.count("\n")) == ("", 1), (command, out, err)
        resumed, _, err = charlm("train", "--resume", "--name", "a", "--steps", 4, "-q")
        assert resumed == (found[-1]["state"] == "wrong"), (found, err)
        texts = [one["text"].removeprefix("cannot be resumed: ") for one in found]
        assert not resumed or any(err.endswith(f": {text}\n") for text in texts), (found, err)
        began, _, err = charlm("train", "v.txt", "--name", "b", *TINY_OPTIONS)
        assert not began or re.match("charlm: checkpoints/b(: is there already|/lock: cannot)", err)
        (tmp_path / "v.txt").rename(tmp_path / "b.txt")
        began, _, err = charlm("train", "b.txt", *TINY_OPTIONS)
        assert (began, err) == (0, ""), "another run can always begin"
    assert victim.read_bytes() == b"x" * 5
    assert victim.stat().st_nlink <= 3
    assert not (tmp_path / "nowhere").exists()
    if kind == "folder":
        assert (entry / "notes").exists() or entry.is_file()


@pytest.mark.parametrize("linked", ["checkpoints/a", "checkpoints"])
def test_folders_of_runs_may_be_links(charlm, a_run, tmp_path, linked):
    """People keep them on another disk; a checkpoint that they name may be a link as well."""
    shutil.copytree(a_run, tmp_path, dirs_exist_ok=True)
    (tmp_path / linked).rename(tmp_path / "elsewhere")
    (tmp_path / linked).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "m.npz").symlink_to(tmp_path / "checkpoints" / "a" / "best.npz")
    assert charlm("train", "--resume", "--name", "a", "--steps", 4, "-q") == (0, "", "")
    assert charlm("info", "--check", "a")[0] == 0
    assert charlm("sample", "m.npz", "--length", 3)[0] == charlm("info", "m.npz")[0] == 0


def test_a_text_larger_than_it_can_be_is_not_read(charlm, a_run, tmp_path):
    shutil.copytree(a_run, tmp_path, dirs_exist_ok=True)
    run, text = Run(tmp_path / "checkpoints" / "a"), tmp_path / "v.txt"
    whole = load(run.last)
    described = {**whole.meta, "text": {**whole.meta["text"], "paths": [str(text)]}}
    save(run.last, whole.arrays, described)
    make_sparse(text)
    line = f"is not the text that {Path('checkpoints/a')} learns (its SHA-256 differs)"
    with bounded():
        assert line in charlm("info", "--check")[1]
        assert line in charlm("train", "--resume")[2]


def test_who_writes_destroys_nothing_beside(tmp_path):
    page, beside = tmp_path / "page.html", tmp_path / "page.html.tmp"
    beside.write_text("mine")
    for content in ("<!doctype html>\n<!-- a page of charlm -->\n", "b"):
        library.save_page(page, content)
        assert (page.read_text(), beside.read_text()) == (content, "mine")
        with contextlib.suppress(DrawingError):
            library.save_page(beside, "theirs")
    page.unlink()
    page.symlink_to(beside)
    with refused(DrawingError, page, "cannot be written (it is a link"):
        library.save_page(page, "theirs")
    assert beside.read_text() == "mine"
    # What begins as a killed start does, and holds a folder, is somebody's.
    (tmp_path / "a" / "ids.bin").mkdir(parents=True)
    (tmp_path / "a" / "lock").touch()
    assert create(tmp_path, "a").folder.name == "a-2"


def test_a_last_checkpoint_that_is_none_is_not_resumed(charlm, tmp_path):
    write_checkpoint(tmp_path / "checkpoints" / "a" / "last.npz")
    code, out, err = charlm("info", "--check")
    assert (code, err) == (1, "")
    assert "cannot be resumed: checkpoints/a/last.npz: lacks its progress; it is no last.npz" in out


def test_of_a_large_history_the_end_is_read(tmp_path):
    path = tmp_path / "history.jsonl"
    with path.open("wb") as file, bounded():
        file.write(b'{"step": 1}\n')
        file.truncate(3 * 10**9)
        file.seek(0, 2)
        file.write(b'\n{"step": 2}\n')
        file.flush()
        history = read_history(path)
    assert [reading.step for reading in history.readings] == [2]
    assert history.torn


# Imports


def pickled(path: Path, content: bytes) -> Path:
    rest = {"archive/byteorder": b"little", "archive/version": b"3\n"}
    path.write_bytes(mutations.archive_of({"archive/data.pkl": content, **rest}))
    return path


def test_hostile_pickles_are_not_run(tmp_path):
    pytest.importorskip("torch")
    objects = (ExchangeError, "holds Python objects besides tensors, and loading those could run")
    cases = {
        "command": (pickle.dumps(Trap(tmp_path / "trapped"), 2), *objects),
        "nothing": (b"", CheckpointError, "cannot be read"),
        "no end": (b"\x80\x02}", CheckpointError, "cannot be read"),
    }
    for content, kind, message in cases.values():
        with pytest.raises(kind, match=message):
            import_run(pickled(tmp_path / "a.pt", content), tmp_path / "runs")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pt"]


def test_tensors_larger_than_their_file_are_not_touched(tmp_path):
    torch = pytest.importorskip("torch")
    path, one = tmp_path / "a.pt", torch.zeros(1)
    for tensor in (one.expand(10**12), one.expand(10**6, 10**6)):
        torch.save({"state_dict": {"output.bias": tensor}, "charlm": "x"}, path)
        with pytest.raises(CheckpointError, match="its tensors are larger than the file"):
            import_run(path, tmp_path / "runs")
    # A storage that claims more than its record holds must not reach beyond the file.
    torch.save({"state_dict": {"output.bias": torch.zeros(9)}, "charlm": "x"}, path)
    inside = mutations.members.__wrapped__(path)
    (name,) = [member for member in inside if member.endswith("data.pkl")]
    count = (10**6).to_bytes(4, "little")
    for before, after in ((b"K\x09t", b"J" + count + b"t"), (b"K\x09\x85", b"J" + count + b"\x85")):
        assert inside[name].count(before) == 1
        inside[name] = inside[name].replace(before, after)
    path.write_bytes(mutations.archive_of(inside))
    with pytest.raises(CheckpointError, match="damaged"):
        import_run(path, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


# Texts and settings


def test_a_text_whose_name_is_no_utf8(charlm, text_file, tmp_path):
    name = os.fsdecode(b"caf\xe9.txt")
    try:
        (tmp_path / name).write_bytes(text_file.read_bytes())
    except OSError:
        pytest.skip("there are no such names here")
    library.train(tmp_path / name, **TINY)
    assert charlm("train", "--resume", "--steps", 4)[0] == 0
    code, out, _ = charlm("info", os.fsdecode(b"caf\xe9"))
    assert code == 0
    assert "caf\\udce9.txt" in out
    described = json.loads(charlm("info", os.fsdecode(b"caf\xe9"), "--json")[1])
    assert described["text"]["path"].endswith(name)


@pytest.mark.parametrize("pattern", ["/etc/*", "**x", "a/**b"])
def test_patterns_that_are_none(charlm, pattern, tmp_path):
    code, out, err = charlm("train", ".", "--glob", pattern)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("charlm: --glob: must be a pattern of file names such as *.txt, got ")


def test_a_start_text_that_never_ends(tmp_path):
    write_checkpoint(tmp_path / "checkpoints" / "verse" / "best.npz")
    with open("/dev/zero", "rb") as endless:
        code, out, err = finish(tmp_path, "sample", "--start", "-", stdin=endless)
    assert (code, out) == (1, b"")
    assert err.startswith("charlm: --start: stdin gives more than 16,777,216 bytes; ")


# Python's callers


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return library.load(write_checkpoint(tmp_path_factory.mktemp("m") / "m.npz"))


WHOLE = "must be a whole number, got"


@pytest.mark.parametrize(
    ("options", "where", "problem"),
    [
        ({"temperature": -1}, "temperature", "must be at least 0, got -1"),
        ({"temperature": "0.8"}, "temperature", "must be a number, got '0.8'"),
        ({"temperature": 10**400}, "temperature",
         "must be at most 1000, where all characters are about equally likely, got a huge number"),
        ({"top_k": 2.5}, "top_k", f"{WHOLE} 2.5"),
        ({"top_k": True}, "top_k", f"{WHOLE} True"),
        ({"top_p": "x"}, "top_p", "must be a number, got 'x'"),
        ({"min_p": 2}, "min_p", "must be from 0 to 1, got 2"),
        ({"seed": -1}, "seed", "must be at least 0, got -1"),
        ({"seed": "x"}, "seed", f"{WHOLE} 'x'"),
        ({"streams": 0}, "streams", "must be at least 1, got 0"),
        ({"start": None}, "start, stop", "must be strings"),
        ({"stop": [3]}, "start, stop", "must be strings"),
    ],
)  # fmt: skip
def test_careless_samplers(model, options, where, problem):
    with refused(ConfigError, where, problem):
        model.sampler(**options)


@pytest.mark.parametrize("ids", [[[9]], [[-1]], [[10**18]], [], [1, 2], [[0.5]], 3, [[]]])
def test_careless_ids(model, ids):
    with pytest.raises(ValueError, match=r"ids: must be (from 0 to 8|\(T, B\) whole numbers)"):
        model.forward(ids)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"sample_length": 10**18}, ConfigError, "sample_length must be at least 0 and at most 100000, got"),
        *(({"name": name}, RunError, "--name: must be a folder's name, got")
          for name in (5, "a\0b", "", "..", "a/b")),
        ({"checkpoints": "a\0b"}, RunError, "cannot be made"),
        ({"text": b"a.txt"}, TypeError, "text: must be a path or several, got bytes"),
    ],
)  # fmt: skip
def test_careless_settings(text_file, tmp_path, given, error, message):
    with pytest.raises(error, match=message):
        library.start(**{"text": text_file, "checkpoints": tmp_path} | TINY | given)


def test_numbers_of_numpy_are_settings(text_file, tmp_path):
    given = TINY | {"hidden": np.int64(3), "dropout": np.float32(0.5)}
    training = library.start(text_file, checkpoints=tmp_path, **given)
    assert (training.config.model.hidden, training.config.train.dropout) == (3, 0.5)
    training.run()
    with pytest.raises(ConfigError, match=r"train.steps must be a whole number, got 7.5"):
        library.resume(checkpoints=tmp_path, steps=7.5)


@pytest.mark.parametrize("text", [None, 3, b"ab", ["a"]])
def test_careless_texts(model, text):
    for score in (model.evaluate, model.log_probs):
        with pytest.raises(TypeError):
            score(text)


LONG = "9" * 300  # more than file systems take; a damaged checkpoint may name such a text


@pytest.mark.parametrize(
    "call",
    [
        lambda: library.start(LONG), lambda: library.start("a.txt", name=LONG),
        lambda: library.start("a.txt", init_from=LONG),
        lambda: library.start("a.txt", config=LONG), lambda: library.resume(LONG),
        lambda: library.load(LONG), lambda: library.describe(LONG), lambda: library.check(LONG),
        lambda: library.import_(f"{LONG}.pt"), lambda: library.export("a.npz", out=f"{LONG}.onnx"),
        lambda: library.list_runs(LONG), lambda: library.load(checkpoints=LONG),
        lambda: library.load("a", checkpoints=LONG), lambda: library.resume(checkpoints=LONG),
        lambda: library.start("a.txt", checkpoints=LONG), lambda: library.save_page(LONG, ""),
        lambda: library.report(LONG), lambda: library.fetch("tinyshakespeare", LONG, "file:"),
    ],
)  # fmt: skip
def test_names_too_long_for_the_file_system(call, text_file, monkeypatch):
    monkeypatch.chdir(text_file.parent)
    text_file.rename("a.txt")
    write_checkpoint(Path("a.npz"))
    with pytest.raises(CharlmError):
        call()


def test_spoiled_weights_are_found_out(model, tmp_path):
    """Not only in a file: whoever writes to a model's parameters is told too."""
    spoiled = library.load(write_checkpoint(tmp_path / "m.npz"))
    spoiled.parameters["output.b"][0] = np.nan
    with pytest.raises(CheckpointError, match="its weights are not finite numbers"):
        spoiled.sample(3)


# What is shown


def test_escapes():
    assert printable("a\x1b[2J\n\x9b\u202e漢 é") == r"a\x1b[2J\n\x9b\u202e漢 é"
    assert visible("a\x1b[2J\n\t\r\x9b\x7f漢\u202e\u200d\xa0\u3000\ud800\udc9b") == (
        "a\\x1b[2J\n\t\\r\\x9b\\x7f漢\\u202e\u200d\xa0\u3000\\ud800\\x9b"
    )
    assert brief({"a": [1, {"b": [[[2]]]}]}) == "{'a': [1, {'b': [...]}]}"
    assert brief("x" * 500) == "'" + "x" * 37 + "..." + "x" * 38 + "'"
    assert brief(10**5000) == "a huge number"
    assert str(ConfigError("a\x1b", "\nb")) == r"a\x1b: \nb"


@pytest.mark.skipif(os.name != "posix", reason="the quotes are those of bash")
@pytest.mark.parametrize(
    "name", [b"a b", b"\x1b]0;x\x07", b"a'b\n\\", b"caf\xe9", "한\x9b".encode(), b"-x", b"$x"]
)
def test_arguments_can_be_copied_into_a_shell(name):
    command = f"printf %s {argument(os.fsdecode(name))}"
    assert command.isprintable()
    try:
        found = subprocess.run(["bash", "-c", command.encode()], capture_output=True, check=True)
    except FileNotFoundError:
        pytest.skip("there is no bash here")
    assert found.stdout == name
