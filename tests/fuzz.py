"""Hostile files by the hundred thousand: a right result or charlm's own error, and nothing else.

    .venv/bin/python -m tests.fuzz 100000                  all kinds, so many inputs of each
    .venv/bin/python -m tests.fuzz 100000 checkpoint text  some of them

An input is a good file that something was done to: to its bytes, or to what they mean (a value of
the description, the header of an array, a member of the archive, a line of the settings), with sums
and sizes made right again, so that it gets past the first check. Any other exception than the one
that is meant, a warning, more than ten seconds or two gigabytes of address space end the run, with the
input made as small as it gets. `tests/test_hostile.py` is the short form.
"""

import atexit
import copy
import io
import json
import resource
import shutil
import signal
import sys
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import charlm
import charlm.config
from charlm.commands import info
from charlm.config import Layer, coerce, read_yaml, resolve, to_yaml
from charlm.errors import CharlmError, CheckpointError, ConfigError, RunError, TextError
from charlm.exchange.formats import Format
from charlm.exchange.transfer import bring, export
from charlm.storage.checking import check
from charlm.storage.facts import find
from charlm.storage.history import read_history
from charlm.storage.runs import Run
from charlm.storage.weights import load_model
from charlm.terminal import printable, visible
from charlm.text.corpus import IdFile, encode, scan
from charlm.text.source import Source
from charlm.training.events import Updated
from charlm.training.memory import need
from charlm.training.recovery import Trouble
from charlm.training.start import resume

# Of the processor's time, and of a clock's, on a machine that is busy with something else.
LONGEST_S, LATEST_S = 10, 300
MOST_BYTES = 2 << 30


@cache
def folder() -> Path:
    """Make a folder of good files: a run, a sampler of it, and its exports."""
    # Hundreds of thousands of small files are quicker in memory, where the system has such a place.
    memory = Path("/dev/shm")
    path = Path(tempfile.mkdtemp(prefix="charlm-fuzz-", dir=memory if memory.is_dir() else None))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    (path / "text.txt").write_text("ab\ncé \x1b[1mab 한 abc\n" * 20, encoding="utf-8")
    model = charlm.train(
        path / "text.txt", checkpoints=path, name="good", hidden=2, layers=1, embedding=2,
        batch_size=2, seq_len=4, steps=3, sample_length=0, validation=0.2,
    )  # fmt: skip
    stopped = charlm.start(
        path / "text.txt", checkpoints=path, name="stopped", hidden=2, layers=1, embedding=2,
        batch_size=2, seq_len=4, steps=3, sample_length=0, validation=0.2,
    )  # fmt: skip
    for event in stopped:
        if isinstance(event, Updated):
            # Between validations: it keeps the state to go back to beside its own.
            stopped.stop()
    sampler = model.sampler(start="ab", streams=2, seed=1, scored=True, stop=("c", "bé"))
    sampler.write(5)
    sampler.save(path / "sampler.npz")
    return path


@cache
def good_model() -> Any:
    return load_model(folder() / "good" / "best.npz")


@cache
def good_facts() -> Any:
    return find("good", folder())


# What is done to a file


def at(draw: Any, size: int) -> int:
    return draw(st.integers(0, max(0, size - 1)))


@st.composite
def changed_bytes(draw: Any, content: bytes) -> bytes:
    """Flip, overwrite, insert, cut out, repeat and truncate."""
    content = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        k = at(draw, len(content))
        match draw(st.integers(0, 6)):
            case 0 if content:
                content[k] ^= 1 << draw(st.integers(0, 7))
            case 1:
                width = draw(st.sampled_from([1, 2, 4, 8]))
                value = draw(st.sampled_from([0, 1, 2**31 - 1, 2**32 - 1, 2**63, 2**64 - 1, 255]))
                content[k : k + width] = (value % 256**width).to_bytes(width, "little")
            case 2:
                content[k:k] = draw(st.binary(max_size=8))
            case 3:
                del content[k : k + draw(st.integers(1, 64))]
            case 4:
                j = at(draw, len(content))
                content[k:k] = content[j : j + draw(st.integers(1, 64))]
            case 5:
                del content[k:]
            case _ if content:
                content[k] = draw(st.integers(0, 255))
    return bytes(content)


STRANGE = st.sampled_from(
    [None, True, False, 0, 1, -1, 2, 3, 255, 2**31, 2**53, 2**63, 10**18, 10**300, 0.5, -0.0, 1e39,
     1e308, float("nan"), float("inf"), "", "a", "abc", "\x1b[2J", "\x9b", "\ud800", "\udc9b",
     "../../a", "/dev/zero", "a\0b", "lstm", "gru", "byte", "full", "auto", "one-hot", "9" * 400]
)  # fmt: skip
VALUES = st.recursive(
    STRANGE,
    lambda q: st.lists(q, max_size=3) | st.dictionaries(st.text(max_size=3), q, max_size=3),
    max_leaves=4,
)


@st.composite
def changed_json(draw: Any, content: Any) -> Any:
    """Put something else in some places, leave keys out, add some."""
    content = {"": copy.deepcopy(content)}
    for _ in range(draw(st.integers(1, 3))):
        here, key = content, ""
        while isinstance(here[key], dict | list) and here[key] and draw(st.integers(0, 7)):
            here = here[key]
            keys = list(here) if isinstance(here, dict) else range(len(here))
            key = draw(st.sampled_from(keys))
        match draw(st.integers(0, 5)):
            case 0 if key != "":
                del here[key]
            case 1 if isinstance(here[key], dict):
                here[key][draw(st.text(max_size=4))] = draw(VALUES)
            case 2 if isinstance(here[key], list):
                here[key].append(draw(VALUES))
            case 3 if isinstance(here[key], int | float) and not isinstance(here[key], bool):
                here[key] = draw(st.sampled_from([-here[key], here[key] + 1, here[key] * 10**6]))
            case _:
                here[key] = draw(VALUES)
        if "" not in content:
            content[""] = None
    return content[""]


@cache
def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


SHAPES = st.lists(st.sampled_from([0, 1, 2, 3, 8, 9, 10**6, 10**12, 2**62]), max_size=4).map(tuple)
TYPES = st.sampled_from(
    ["<f4", "<f8", "<i8", ">f4", "|O", "<U9", "|V8", "<c8", "|b1", "<f2", "<m8"]
)


@st.composite
def changed_array(draw: Any, content: bytes) -> bytes:
    """Change what an array says of itself, or its numbers."""
    if content[:6] != b"\x93NUMPY" or not draw(st.integers(0, 3)):
        return draw(changed_bytes(content))
    try:
        q = np.load(io.BytesIO(content))
    except Exception:
        # Something was done to it already.
        return content
    out = io.BytesIO()
    match draw(st.integers(0, 4)):
        case 0:
            header = {
                "descr": draw(TYPES),
                "fortran_order": draw(st.booleans()),
                "shape": draw(SHAPES),
            }
            np.lib.format.write_array_header_1_0(out, header)
            out.write(draw(st.sampled_from([q.tobytes(), b"", bytes(64)])))
        case 1:
            spoiled = q.ravel().copy()
            if spoiled.size and spoiled.dtype.kind == "f":
                spoiled[at(draw, q.size)] = draw(
                    st.sampled_from([np.nan, np.inf, -np.inf, 3e38, 1e20, -1e20, 1e-45])
                )
            np.save(out, spoiled.reshape(q.shape))
        case 2:
            np.save(out, np.array([{"a": 1}], object), allow_pickle=True)
        case 3:
            np.lib.format.write_array(out, q, version=(2, 0))
        case _:
            np.save(
                out, np.asfortranarray(q.astype(draw(st.sampled_from(["f4", "f8", "i8", "f2"]))))
            )
    return out.getvalue()


@st.composite
def archives(draw: Any, path: Path) -> bytes:
    """A checkpoint that something was done to."""
    if not draw(st.integers(0, 3)):
        return draw(changed_bytes(path.read_bytes()))
    inside = dict(members(path))
    meta = json.loads(inside["meta.json"])
    for _ in range(draw(st.integers(1, 2))):
        match draw(st.integers(0, 6)):
            case 0 | 1 | 2:
                changed = draw(changed_json(meta))
                meta = changed if isinstance(changed, dict) or not draw(st.integers(0, 3)) else meta
            case 3 | 4:
                name = draw(st.sampled_from(sorted(inside)))
                inside[name] = draw(changed_array(inside[name]))
            case 5:
                name = draw(st.sampled_from(sorted(inside)))
                content = inside.pop(name)
                if draw(st.booleans()):
                    other = draw(
                        st.sampled_from(["../../a.npy", "a\x1b[2J.npy", "/a", "b/", "é.npy"])
                    )
                    inside[other] = content
            case _:
                inside[draw(st.sampled_from(["x.npy", "../x", "average/x.npy"]))] = draw(
                    st.sampled_from(sorted(inside.values()))
                )
    if isinstance(meta, dict) and draw(st.booleans()):
        meta["arrays"] = [q.removesuffix(".npy") for q in inside if q != "meta.json"]
    if "meta.json" in inside:
        inside["meta.json"] = json.dumps(meta).encode()
    if not draw(st.integers(0, 15)):
        inside["meta.json"] = draw(changed_bytes(inside.get("meta.json", b"{}")))
    out, method = io.BytesIO(), zipfile.ZIP_STORED
    if not draw(st.integers(0, 15)):
        method = zipfile.ZIP_DEFLATED
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(out, "w", method) as archive:
            for name, content in inside.items():
                archive.writestr(zipfile.ZipInfo(name), content, method)
            if not draw(st.integers(0, 15)):
                archive.writestr("meta.json", b"{}")
    content = out.getvalue()
    return content if draw(st.integers(0, 7)) else draw(changed_bytes(content))


# The kinds: what is fed, and what may come of it


def put(content: bytes, name: str) -> Path:
    path = folder() / name
    path.write_bytes(content)
    return path


def checkpoint(content: bytes) -> str:
    """As `charlm sample`, `eval` and `export` load it, and as `charlm info` describes it."""
    path = put(content, "input.npz")
    try:
        facts = find(str(path), folder())
        json.dumps(info._described(facts)[0])
        "\n".join(info._compared(["a", "b"], info._differences([facts, good_facts()])))
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


def sampler(content: bytes) -> str:
    """As `load_sampler` goes on with it."""
    trained = good_model()
    model = charlm.LanguageModel(trained, folder())
    try:
        model.load_sampler(put(content, "input.npz")).write(3)
    except CheckpointError as error:
        return outcome(error)
    return "a sampler"


def run(content: bytes) -> str:
    """As `charlm info --check` sees it, and as a resume goes on with it, and goes back."""
    here = folder() / "resumed"
    here.mkdir(exist_ok=True)
    shutil.copy(folder() / "good" / "ids.bin", here / "ids.bin")
    (here / "last.npz").write_bytes(content)
    assert all("\n" not in printable(q.text) for q in check(str(here), folder()))
    beginning = None
    try:
        beginning = resume(Run(here))
        trainer = beginning.trainer
        if need(trainer.config, trainer.vocabulary.size).total < 1 << 26:
            trainer.update()
            trainer.validate()
            trainer.sample(3)
            trainer._roll_back(Trouble("the loss explodes,", "here"))
    except CharlmError as error:
        return outcome(error)
    finally:
        (here / "lock").unlink(missing_ok=True)
    return "a run"


def import_(given: tuple[str, bytes]) -> str:
    """As `charlm import` reads it."""
    name, content = given
    try:
        brought = bring(put(content, name), folder() / "imported")
        load_model(brought.best)
    except CharlmError as error:
        shutil.rmtree(folder() / "imported", ignore_errors=True)
        return outcome(error)
    shutil.rmtree(folder() / "imported")
    return "a model"


def text(given: tuple[bytes, str]) -> str:
    """As `charlm train` and `eval` read it: what Python itself decodes, or an error."""
    content, encoding = given
    path = put(content, "input.txt")
    source = Source(
        (path,),
        "utf-8" if encoding == "byte" else encoding,
        "byte" if encoding == "byte" else "char",
    )
    try:
        vocabulary, _, _ = scan(source)
        encode(source, vocabulary, folder() / "input.bin")
    except TextError as error:
        return outcome(error)
    ids = np.fromfile(folder() / "input.bin", vocabulary.dtype)
    file = IdFile(folder() / "input.bin", vocabulary.dtype)
    assert file.largest() < vocabulary.size
    file.close()
    if encoding == "byte":
        assert ids.tobytes() == content
    else:
        expected = content.decode(encoding).removeprefix("\ufeff").replace("\r\n", "\n")
        assert "".join(vocabulary.symbols[k] for k in ids) == expected
    return "its ids"


def config(content: bytes) -> str:
    """As `charlm train --config` reads it: settings that can be written and read again."""
    path = put(content, "input.yaml")
    try:
        resolved, _ = resolve([read_yaml(path)])
    except ConfigError as error:
        return outcome(error)
    path.write_text(to_yaml(resolved), encoding="utf-8")
    assert resolve([read_yaml(path)])[0] == resolved
    return "settings"


def setting(given: tuple[str, Any]) -> str:
    """As `--set` and Python give it."""
    key, value = given
    try:
        resolve([Layer("--set", {key: coerce("--set", key, value)})])
    except ConfigError as error:
        return outcome(error)
    return "settings"


def history(content: bytes) -> str:
    """As `charlm info` reads a run's history."""
    try:
        read = read_history(put(content, "input.jsonl"))
        info._losses(read)
    except RunError as error:
        return outcome(error)
    return "a history"


def shown(given: str) -> str:
    """As a terminal gets a text: nothing in it that is obeyed, and all that is none as it was."""
    escaped = visible(given)
    assert not any((ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160 for c in escaped)
    assert escaped == given or not given.isprintable()
    escaped.encode()
    return "a text"


def spoiled(path: Path, step: int = 1) -> Counter[str]:
    """Feed every truncation of a checkpoint and every flipped bit, or every `step`-th of them.

    What is loaded is exactly the model, or nothing is.
    """
    whole, outcomes = path.read_bytes(), Counter[str]()
    model, vocabulary, config, meta = load_model(path)
    expected = model.parameters.flat.tobytes(), vocabulary.as_dict(), config, meta
    input_ = folder() / "input.npz"

    def feed(content: bytes) -> None:
        input_.write_bytes(content)
        try:
            model, vocabulary, config, meta = load_model(input_)
        except CheckpointError as error:
            outcomes[outcome(error)] += 1
            return
        found = model.parameters.flat.tobytes(), vocabulary.as_dict(), config, meta
        assert found == expected
        outcomes["the same model"] += 1

    for size in range(0, len(whole), step):
        feed(whole[:size])
    for bit in range(0, 8 * len(whole), step):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        feed(bytes(changed))
    return outcomes


def outcome(error: CharlmError) -> str:
    """Name an error; its text is one line that prints, and says something."""
    line = str(error)
    assert line.isprintable(), line
    assert 10 < len(line) < 2000, line
    return type(error).__name__


def imports() -> st.SearchStrategy[tuple[str, bytes]]:
    """Exported files that something was done to, as far as their libraries are there."""
    kinds = []
    for to in (Format.PYTORCH, Format.SAFETENSORS):
        path = folder() / f"good{to.suffix}"
        try:
            export(good_model(), to, path, force=True)
        except charlm.ExchangeError:
            continue
        changed = changed_bytes(path.read_bytes())
        if to is Format.PYTORCH:
            changed |= repacked(path)
        else:
            changed |= other_header(path.read_bytes())
        kinds.append(st.tuples(st.just(f"input{to.suffix}"), changed))
    return st.one_of(kinds)


@st.composite
def repacked(draw: Any, path: Path) -> bytes:
    """A .pt whose pickle or numbers are changed, its sums made right again."""
    inside = dict(members(path))
    name = draw(st.sampled_from([q for q in inside if q.endswith("data.pkl")] * 3 + sorted(inside)))
    inside[name] = draw(changed_bytes(inside[name]))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for member, content in inside.items():
            archive.writestr(zipfile.ZipInfo(member), content)
    return out.getvalue()


@st.composite
def other_header(draw: Any, content: bytes) -> bytes:
    """A .safetensors whose header says something else, its length made right again."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    if draw(st.booleans()):
        about = json.loads(header["__metadata__"]["charlm"])
        header["__metadata__"]["charlm"] = json.dumps(draw(changed_json(about)))
    else:
        header = draw(changed_json(header))
    changed = json.dumps(header).encode()
    return len(changed).to_bytes(8, "little") + changed + content[8 + size :]


GOOD_TEXT = (
    "First line.\r\nSecond: naïve café, 한국어, 🙂\n\ttabbed \x1b[1mbold\x1b[0m\rlone\n".encode()
)
TEXTS = st.one_of(
    changed_bytes(GOOD_TEXT),
    changed_bytes(GOOD_TEXT * 3),
    st.binary(max_size=200),
    st.text(max_size=80).map(lambda q: q.encode("utf-8", "surrogatepass")),
    st.text(max_size=80).map(lambda q: q.encode("utf-16", "surrogatepass")),
    st.text(st.characters(max_codepoint=255), max_size=80).map(lambda q: q.encode("latin-1")),
    st.sampled_from([b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"]).map(lambda q: q + GOOD_TEXT),
)  # fmt: skip
ENCODINGS = st.sampled_from(
    ["utf-8"] * 6
    + ["byte", "latin-1", "cp1252", "cp949", "utf-16", "utf-16-le", "utf-32", "utf-7", "ascii",
       "shift_jis", "iso2022_jp", "gb18030", "utf-8-sig", "big5hkscs"]
)  # fmt: skip
GOOD_YAML = b"""preset: tiny
data:
  path: [a.txt, 'b.txt']
  validation: 0.2
model: {cell: gru, layers: 3, hidden: 0x10, embedding: one-hot}
train:
  steps: 1_000  # updates
  learning_rate: 1e-3
  nesterov: no
  seq_len: full
"""
PARTS = st.sampled_from(
    [b"&a ", b"*a", b"<<: *a", b"!!python/object/apply:os.system [id]", b"!!binary |\n", b"!!float ",
     b"!!int ", b"!!bool ", b"!!timestamp ", b"2001-99-99", b"!!set {", b"!!omap ", b"!x ", b"? ",
     b"- ", b"[", b"]", b"{", b"}", b": ", b"\n", b"  ", b"'", b'"', b"|\n", b">\n", b"%YAML 9.9\n",
     b"---\n", b"...\n", b"~", b".inf", b".nan", b"0x" + b"f" * 4000, b"9" * 5000, b"1:99:99",
     b"[" * 1200, b"- " * 900, b"\x00", b"\x85", b"\xff", b"\xef\xbb\xbf", b"train:\n", b"hidden: ",
     b"steps: 5\n", b"preset: ", b"a" * 3000, b"#", b"@", b"`", b"\t"]
)  # fmt: skip


@st.composite
def yamls(draw: Any) -> bytes:
    """Settings that something was done to."""
    content = bytearray(GOOD_YAML)
    for _ in range(draw(st.integers(0, 3))):
        k = at(draw, len(content))
        content[k : k + draw(st.sampled_from([0, 0, 1, 5, 20]))] = draw(PARTS)
    content = bytes(content)
    return draw(changed_bytes(content)) if draw(st.booleans()) else content


SETTINGS = st.tuples(
    st.sampled_from([*charlm.config.FIELDS, "train.", "x", "", "train.lr", "a.b.c", "\x1b"]),
    VALUES | st.text(max_size=9) | st.floats() | st.integers() | st.binary(max_size=3),
)
LINES = st.lists(
    st.one_of(
        VALUES.map(lambda q: json.dumps(q).encode()),
        st.tuples(
            st.sampled_from(["step", "resume", "loss", "validation", "elapsed_s"]), VALUES
        ).map(lambda q: json.dumps({"step": 3, q[0]: q[1]}).encode()),
        st.binary(max_size=20),
        st.just(b"[" * 3000),
    ),
    max_size=8,
).map(b"\n".join)


class Kind(NamedTuple):
    """One kind of input: how it is made, and what is done with it."""

    inputs: Callable[[], st.SearchStrategy[Any]]
    check: Callable[[Any], str]


KINDS = {
    "checkpoint": Kind(
        lambda: archives(folder() / "good" / "best.npz") | archives(folder() / "good" / "last.npz"),
        checkpoint,
    ),
    "sampler": Kind(lambda: archives(folder() / "sampler.npz"), sampler),
    "run": Kind(
        lambda: (
            archives(folder() / "good" / "last.npz") | archives(folder() / "stopped" / "last.npz")
        ),
        run,
    ),
    "import": Kind(imports, import_),
    "text": Kind(lambda: st.tuples(TEXTS, ENCODINGS), text),
    "config": Kind(yamls, config),
    "setting": Kind(lambda: SETTINGS, setting),
    "history": Kind(lambda: LINES, history),
    "shown": Kind(lambda: st.text(max_size=60), shown),
}


def fuzz(name: str, count: int) -> Counter[str]:
    """Feed inputs of one kind; returns how often each outcome came.

    Raises:
        Exception: whatever came that should not, with the smallest input that makes it come.
    """
    kind, outcomes = KINDS[name], Counter[str]()

    @settings(
        max_examples=count, deadline=None, database=None, report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(kind.inputs())
    def feed(given: Any) -> None:
        signal.setitimer(signal.ITIMER_PROF, LONGEST_S)
        signal.setitimer(signal.ITIMER_REAL, LATEST_S)
        try:
            outcomes[kind.check(given)] += 1
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
        if outcomes.total() % 10_000 == 0:
            print(f"{name}: {outcomes.total():,}", file=sys.stderr)

    def late(*_: Any) -> None:
        raise AssertionError(f"took more than {LONGEST_S} seconds")

    handlers = {q: signal.signal(q, late) for q in (signal.SIGALRM, signal.SIGPROF)}
    kept = resource.getrlimit(resource.RLIMIT_AS)
    if name != "import":
        # PyTorch reserves far more than it uses.
        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, kept[1]))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            feed()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        resource.setrlimit(resource.RLIMIT_AS, kept)
    return outcomes


def main() -> None:
    """Run the long form, and print what came of it."""
    count, names = int(sys.argv[1]), sys.argv[2:] or ["spoiled", *KINDS]
    for name in names:
        if name == "spoiled":
            outcomes = spoiled(folder() / "good" / "best.npz") + spoiled(
                folder() / "good" / "last.npz"
            )
        else:
            outcomes = fuzz(name, count)
        told = ", ".join(f"{n:,} {what}" for what, n in outcomes.most_common())
        print(f"{name}: {outcomes.total():,} inputs: {told}; 0 others", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"peak memory of the whole: {peak:,.0f} MB")


if __name__ == "__main__":
    main()
