"""Weights elsewhere: the same numbers there, the same bits back, and one line for what is wrong."""

import json
import re
import shlex
import sys
import tomllib
from itertools import product
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from checks import relative_error
from helpers import ROOT, refused

from charlm.environment import require
from charlm.errors import CharlmError, ExchangeError, RunError
from charlm.exchange import onnx_file, transfer
from charlm.exchange.description import to_text
from charlm.exchange.formats import Format, format_of
from charlm.exchange.layout import to_state_dict
from charlm.nn.functions import softmax
from charlm.nn.model import Model
from charlm.runs.loading import Trained, load_model
from charlm.settings.schema import Config
from charlm.storage.checkpoint import load
from charlm.text.vocabulary import Vocabulary

# float32 against float32: the worst error of 40 seeds over all networks below is 9.9e-7 in PyTorch
# and 9.1e-7 in onnxruntime; two gate blocks taken for each other cost 9.7e-2 at the least.
CLOSE = 1e-5
H, B, V = 5, 3, 11
NETWORKS = list(product(("lstm", "gru", "rnn"), (4, "one-hot"), (1, 2)))
every_network = pytest.mark.parametrize(("cell", "embedding", "L"), NETWORKS)
LIBRARIES = {Format.PYTORCH: "torch", Format.SAFETENSORS: "safetensors", Format.ONNX: "onnx"}
both_formats = pytest.mark.parametrize("to", [Format.PYTORCH, Format.SAFETENSORS])


def need(name):
    """Return a library, or skip the test visibly."""
    return pytest.importorskip(name, reason=f"{name} is not installed: CONTRIBUTING.md tells how")


def saved(path, state, text):
    """Write a file as PyTorch's users do, by its suffix; return its path."""
    torch = need("torch")
    tensors = {
        name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        for name, value in state.items()
    }
    entry = {} if text is None else {"charlm": text}
    if path.suffix == ".pt":
        torch.save({"state_dict": tensors} | entry, path)
    else:
        need("safetensors.torch").save_file(tensors, path, metadata=entry)
    return path


def network(cell, embedding, L, seed=0):
    """Return a network with random weights, biases included."""
    config = Config().replace(
        model__cell=cell, model__layers=L, model__hidden=H, model__embedding=embedding
    )
    model = Model(config.model, V, training=False)
    model.initialize(seed)
    rng = np.random.default_rng(seed)
    for view in model.parameters.views.values():
        view += rng.normal(0, 0.3, view.shape).astype(np.float32)
    model.refresh()
    return Trained(model, Vocabulary("\nabcdefgé한🙂", "\n"), config, {})


def chunks(trained, seed=0):
    """Yield two chunks of different T and B = 3, then one of B = 1: ids, state, whether it is carried."""
    rng = np.random.default_rng(seed)
    for T, streams, carried in ((7, B, False), (4, B, True), (3, 1, False)):
        states = len(trained.model.layers[0].STATES)
        shape = (trained.config.model.layers, streams, H)
        state = [rng.normal(0, 0.5, shape).astype(np.float32) for _ in range(states)]
        yield rng.integers(0, V, (T, streams)), state, carried


def ours(trained, ids, state):
    """Return charlm's log-probabilities (T, B, V) and the states that leave, (L, B, H) each."""
    model, (T, streams) = trained.model, ids.shape
    cache = model.cache(T, streams)
    state_in = [tuple(part[k].T for part in state) for k in range(len(model.layers))]
    state_out = model.forward(ids, state_in, cache)
    log_probs = np.empty((T, streams, model.V), np.float32)
    for t in range(T):
        z = model.output.forward(cache.output, t)
        log_probs[t] = (z - softmax(z.copy())).T
    return log_probs, [np.stack([h.T for h in part]) for part in zip(*state_out, strict=True)]


def compare(trained, run):
    """Return the worst error of another program, run(ids, state), over chained chunks."""
    errors, leaving, theirs_leaving = [], None, None
    for ids, state, carried in chunks(trained):
        expected, leaving = ours(trained, ids, leaving if carried else state)
        log_probs, theirs_leaving = run(ids, theirs_leaving if carried else state)
        for a, b in zip([expected, *leaving], [log_probs, *theirs_leaving], strict=True):
            assert a.shape == b.shape
            errors.append(relative_error(a, b))
    return max(errors)


def in_pytorch(torch, weights, trained):
    """Return the network as PyTorch's own modules, and a function that runs it."""
    settings = trained.config.model
    lstm, one_hot = settings.cell == "lstm", settings.embedding == "one-hot"
    D = weights["recurrent.weight_ih_l0"].shape[1]
    module = torch.nn.Module()
    if not one_hot:
        module.embedding = torch.nn.Embedding(V, D)
    module.recurrent = getattr(torch.nn, settings.cell.upper())(D, H, settings.layers)
    module.output = torch.nn.Linear(H, V)
    module.load_state_dict(weights)

    @torch.no_grad()
    def run(ids, state):
        ids = torch.from_numpy(ids)
        x = torch.nn.functional.one_hot(ids, V).float() if one_hot else module.embedding(ids)
        entering = tuple(map(torch.from_numpy, state))
        y, leaving = module.recurrent(x, entering if lstm else entering[0])
        leaving = leaving if lstm else (leaving,)
        log_probs = torch.log_softmax(module.output(y), dim=-1)
        return log_probs.numpy(), [part.numpy() for part in leaving]

    return module, run


def in_onnxruntime(content):
    """Return a function that runs an ONNX graph."""
    onnxruntime = need("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options)
    entering = [value.name for value in session.get_inputs()[1:]]

    def run(ids, state):
        feed = dict(zip(entering, state, strict=True))
        log_probs, *leaving = session.run(None, {"ids": ids, **feed})
        return log_probs, leaving

    return session, run


@every_network
def test_pytorch_computes_the_same(cell, embedding, L, tmp_path):
    torch = need("torch")
    trained = network(cell, embedding, L)
    transfer.export_model(trained, Format.PYTORCH, tmp_path / "a.pt")
    file = torch.load(tmp_path / "a.pt", weights_only=True)
    assert set(file) == {"state_dict", "charlm"}
    _, run = in_pytorch(torch, file["state_dict"], trained)
    assert compare(trained, run) < CLOSE


@every_network
def test_onnx_computes_the_same(cell, embedding, L, tmp_path):
    onnx = need("onnx")
    trained = network(cell, embedding, L)
    transfer.export_model(trained, Format.ONNX, tmp_path / "a.onnx")
    content = (tmp_path / "a.onnx").read_bytes()
    onnx.checker.check_model(content, full_check=True)
    session, run = in_onnxruntime(content)
    assert compare(trained, run) < CLOSE
    about = json.loads(session.get_modelmeta().custom_metadata_map["charlm"])
    assert about["vocabulary"] == trained.vocabulary.as_dict()
    states = ["h", "c"] if cell == "lstm" else ["h"]
    inputs = [("ids", ["T", "B"])] + [(f"{name}_0", [L, "B", H]) for name in states]
    outputs = [("log_probs", ["T", "B", V])] + [(f"{name}_n", [L, "B", H]) for name in states]
    assert [(value.name, value.shape) for value in session.get_inputs()] == inputs
    assert [(value.name, value.shape) for value in session.get_outputs()] == outputs


@both_formats
@every_network
def test_round_trip_is_exact(cell, embedding, L, to, tmp_path):
    need(LIBRARIES[to])
    trained = network(cell, embedding, L)
    transfer.export_model(trained, to, tmp_path / f"a{to.suffix}")
    run = transfer.import_run(tmp_path / f"a{to.suffix}", tmp_path / "runs")
    assert run.folder == tmp_path / "runs" / "a"
    back = load_model(run.best)
    views = back.model.parameters.views
    for name, view in trained.model.parameters.views.items():
        assert view.tobytes() == views[name].tobytes(), name
    assert back.vocabulary.as_dict() == trained.vocabulary.as_dict()
    assert back.config.model == trained.config.model
    assert back.description.kind == "best"
    assert back.description.imported == f"a{to.suffix}"


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
@both_formats
def test_other_precisions_become_float32(to, dtype, tmp_path):
    torch = need("torch")
    trained = network("lstm", 4, 2)
    ours = to_state_dict(trained.config.model, trained.model.parameters.copies())
    wanted = getattr(torch, dtype)
    converted = {name: torch.from_numpy(tensor).to(wanted) for name, tensor in ours.items()}
    about = to_text(trained.config, trained.vocabulary)
    path = saved(tmp_path / f"a{to.suffix}", converted, about)
    arrays = load(transfer.import_run(path, tmp_path / "runs").best).arrays
    assert all(array.dtype == np.float32 for array in arrays.values())
    expected = converted["output.weight"].to(torch.float32).numpy()
    assert np.array_equal(arrays["output.W"], expected)
    assert relative_error(arrays["output.W"], ours["output.weight"]) < 2e-3  # bfloat16: 8 bits


@both_formats
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_what_pytorch_trained_further_comes_back(cell, to, tmp_path):
    torch = need("torch")
    trained = network(cell, 4, 2)
    path = tmp_path / "a.pt"
    transfer.export_model(trained, Format.PYTORCH, path)
    file = torch.load(path, weights_only=True)
    module, run = in_pytorch(torch, file["state_dict"], trained)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():  # both biases move
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    further = saved(tmp_path / f"further{to.suffix}", module.state_dict(), file["charlm"])
    back = load_model(transfer.import_run(further, tmp_path / "runs").best)
    assert compare(back, run) < CLOSE
    assert compare(trained, run) > 1e-2


@pytest.fixture
def trained_run(charlm, text_file):
    """A run of a few steps, named verse."""
    small = ["--layers", 2, "--hidden", 6, "--batch-size", 4, "--seq-len", 8, "--steps", 3]
    code, _, err = charlm("train", text_file, *small, "--quiet")
    assert code == 0, err
    return charlm


@pytest.mark.parametrize("to", list(Format))
def test_export_says_where_the_file_is(trained_run, to, tmp_path):
    if to in LIBRARIES:
        need(LIBRARIES[to])
    name, other = f"verse{to.suffix}", f"other{to.suffix}"
    source = "lstm, 2 layers of 6 units, 1,118 parameters, from checkpoints/verse/best.npz\n"
    assert trained_run("export", "--to", to) == (0, "", f"{name}: {source}")
    before = (tmp_path / name).read_bytes()
    assert trained_run("export", "verse", "--to", to) == (
        1, "", f"charlm: {name}: exists; replace it with --force, or name another with --out\n"
    )  # fmt: skip
    (tmp_path / name).write_text("other")
    assert trained_run("export", "checkpoints/verse", "--to", to, "--force")[0] == 0
    assert trained_run("export", "--out", other) == (0, "", f"{other}: {source}")
    assert (tmp_path / name).read_bytes() == (tmp_path / other).read_bytes() == before
    assert not list(tmp_path.glob("*.tmp"))


def test_names_of_exported_files(trained_run, tmp_path, monkeypatch):
    need("safetensors")
    (tmp_path / "mine.npz").write_bytes((tmp_path / "checkpoints/verse/best.npz").read_bytes())

    def name(source):
        return trained_run("export", source, "--to", "safetensors")[2].partition(": ")[0]

    assert name("mine.npz") == "mine.safetensors"
    assert name("checkpoints/verse/last.npz") == "verse.safetensors"
    monkeypatch.chdir(tmp_path / "checkpoints" / "verse")
    assert name(".") == "verse.safetensors"


@both_formats
def test_an_imported_run_is_used_as_any_other(trained_run, text_file, to, tmp_path):
    need(LIBRARIES[to])
    name = f"verse{to.suffix}"
    written = trained_run("sample", "--seed", 1, "--length", 30)[1]
    scored = trained_run("eval", text_file, "--json")[1]
    assert trained_run("export", "--to", to)[0] == 0
    exported = (tmp_path / name).read_bytes()

    best = "checkpoints/verse-2/best.npz"
    assert trained_run("import", name) == (
        0, "", f"imported: {best}; write with: charlm sample checkpoints/verse-2\n"
    )  # fmt: skip
    assert [path.name for path in (tmp_path / "checkpoints/verse-2").iterdir()] == ["best.npz"]
    # It is the newest run now.
    assert trained_run("sample", "--seed", 1, "--length", 30) == (0, written, f"{best}, seed 1\n")
    scored_again = trained_run("eval", text_file, "--run", "verse-2", "--json")[1]
    assert scored_again == scored.replace("verse", "verse-2", 1)
    assert trained_run("export", "verse-2", "--to", to)[0] == 0
    assert (tmp_path / f"verse-2{to.suffix}").read_bytes() == exported

    assert "checkpoints/again/best.npz" in trained_run("import", name, "--name", "again")[2]
    assert "there/verse/best.npz" in trained_run("import", name, "--checkpoints", "there")[2]
    assert trained_run("sample", "--checkpoints", "there")[0] == 0
    # There is nothing in it to resume, and the newest run to resume is the trained one.
    assert trained_run("train", "--resume", "--name", "again") == (
        1, "", "charlm: checkpoints/again: holds best.npz alone, there is nothing to resume; "
        "sample, eval and export take it\n",
    )  # fmt: skip
    assert "finished: all 3 steps" in trained_run("train", "--resume")[2]


def test_wrong_usage(charlm):
    for command in ("export", "export --out a.bin", "export --to keras", "import"):
        code, out, err = charlm(*command.split())
        assert (code, out, "Usage" in err) == (2, "", True)
    assert "give --to pytorch, safetensors, onnx or html" in charlm("export")[2]


def test_export_errors(tmp_path):
    need("safetensors")
    (tmp_path / "folder").mkdir()
    (tmp_path / "there").touch()
    for name, problem in {
        "folder": "is a folder", "there": "exists",
        "no/a.safetensors": "cannot be written (No such file or directory)",
    }.items():  # fmt: skip
        with refused(ExchangeError, tmp_path / name, problem):
            transfer.export_model(network("rnn", 4, 1), Format.SAFETENSORS, tmp_path / name)


def test_what_onnx_cannot_hold(monkeypatch):
    need("onnx")
    trained = network("gru", 4, 1)
    tensors = to_state_dict(trained.config.model, trained.model.parameters.copies())
    monkeypatch.setattr(onnx_file, "_MOST_BYTES", 1000)
    with pytest.raises(ExchangeError) as caught:
        onnx_file.encode(trained.config.model, tensors, "")
    assert caught.value.problem == "the format ends at 2 GiB, got 275 numbers of 4 bytes"


@pytest.mark.parametrize("to", list(LIBRARIES))
def test_a_missing_library_is_named(to, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, LIBRARIES[to], None)
    path = tmp_path / f"a{to.suffix}"
    problem = f"needs {LIBRARIES[to]}, which is not installed"
    advice = f"{sys.executable} -m pip install {LIBRARIES[to]}, or '.[{to}]' in a checkout"
    with refused(ExchangeError, f"--to {to}", problem, advice):
        transfer.export_model(network("rnn", 4, 1), to, path)
    assert not path.exists()
    if to is not Format.ONNX:
        path.touch()
        assert refusal(path).problem == problem


@pytest.mark.parametrize("error", ["ImportError", "OSError", "RuntimeError"])
def test_a_broken_library_is_named(error, tmp_path, monkeypatch):
    (tmp_path / "onnx.py").write_text(f"raise {error}('libonnx.so: not found\\nmore')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "onnx", raising=False)
    problem = "needs onnx, which cannot be imported (libonnx.so: not found)"
    with refused(ExchangeError, "--to onnx", problem):
        require("onnx", "onnx", "--to onnx", ExchangeError)


def test_extras_are_those_of_pyproject():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    for to in Format:
        assert format_of(Path(f"a{to.suffix.upper()}")) is to
    for to, library in LIBRARIES.items():
        (requirement,) = extras[to]
        assert re.match(r"[a-z]+", requirement)[0] == library


# What an import refuses; the files are written by the libraries themselves.
SMALL = network("lstm", 4, 1)
STATE = to_state_dict(SMALL.config.model, SMALL.model.parameters.copies())
ABOUT = to_text(SMALL.config, SMALL.vocabulary)


def about(**changes):
    return json.dumps(json.loads(ABOUT) | changes)


def refusal(path):
    """Return the error of importing a file; nothing is left of the run."""
    with pytest.raises(CharlmError) as caught:
        transfer.import_run(path, path.parent / "runs")
    assert str(path) in str(caught.value)
    assert not list((path.parent / "runs").glob("*"))
    return caught.value


UNREADABLE = "its entry 'charlm' cannot be read"
NOT_FINITE = "'output.bias' holds numbers that are not finite in float32"
REFUSED = {
    "no entry": (STATE, None, "has no entry 'charlm', so its vocabulary and layout are unknown"),
    "no JSON": (STATE, "x", UNREADABLE),
    "no config": (STATE, about(config=1), UNREADABLE),
    "nested": (STATE, "[" * 100_000, UNREADABLE),
    "later format": (STATE, about(format=2), "its entry 'charlm' has format 2, this charlm reads 1"),
    "no vocabulary": (STATE, about(vocabulary=None), "holds no valid vocabulary"),
    "unknown setting": (STATE, about(config={"model": {"hiden": 3}}), "unknown key 'model.hiden'"),
    "superfluous": (
        STATE | {"extra": np.zeros(1, np.float32)}, ABOUT,
        "7 tensors expected, 8 on disk: it has 'extra' besides",
    ),
    "prefixed": (
        {f"module.{name}": tensor for name, tensor in STATE.items()}, ABOUT,
        "7 tensors expected, 7 on disk: it lacks 'embedding.weight', 'recurrent.weight_ih_l0', "
        "'recurrent.weight_hh_l0' and 4 more and has 'module.embedding.weight', "
        "'module.output.bias', 'module.output.weight' and 4 more besides",
    ),
    "another size": (
        STATE | {"output.weight": np.zeros((V, H + 1), np.float32)}, ABOUT,
        "'output.weight' is (11, 6) on disk, (11, 5) expected",
    ),
    "whole numbers": (
        STATE | {"output.bias": np.zeros(V, np.int64)}, ABOUT,
        "'output.bias' must be float32, float64, float16 or bfloat16, got int64",
    ),
    "nan": (STATE | {"output.bias": np.full(V, np.nan, np.float32)}, ABOUT, NOT_FINITE),
    "beyond float32": (STATE | {"output.bias": np.full(V, 1e300)}, ABOUT, NOT_FINITE),
}  # fmt: skip


@pytest.mark.parametrize("case", list(REFUSED))
@both_formats
def test_what_does_not_fit_is_refused(case, to, tmp_path):
    need(LIBRARIES[to])
    state, text, problem = REFUSED[case]
    path = saved(tmp_path / f"a{to.suffix}", state, text)
    if to is Format.SAFETENSORS:
        problem = problem.replace("got int64", "got I64")
    assert refusal(path).problem == problem


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nope.pt", "no such file"),
        ("folder.pt", "is a folder"),
        ("model.onnx", "ONNX files cannot be imported, they are for running a model"),
        ("best.npz", "is not an exported file"),
        ("model.bin", "must end in .pt, .pth or .safetensors, got '.bin'"),
    ],
)
def test_files_of_another_kind(name, problem, tmp_path):
    (tmp_path / "folder.pt").mkdir()
    assert refusal(tmp_path / name).problem == problem


def test_damaged_safetensors(tmp_path):
    path = tmp_path / "a.safetensors"
    whole = need("safetensors.numpy").save(STATE, {"charlm": ABOUT})
    for content in (b"", b"text", whole[:-1], whole + b"\0"):
        path.write_bytes(content)
        assert refusal(path).problem.startswith("cannot be read (Error while deserializing: ")


def test_damaged_pytorch_files(tmp_path):
    path = tmp_path / "a.pt"
    saved(path, STATE, ABOUT)
    whole = path.read_bytes()
    for content in (b"", b"text" * 100, whole[:-100]):
        path.write_bytes(content)
        assert refusal(path).problem == "cannot be read (File is not a zip file)"
    flipped = bytearray(whole)
    flipped[whole.index(STATE["output.weight"].tobytes()) + 3] ^= 1
    path.write_bytes(flipped)
    assert refusal(path).problem.startswith("cannot be read (Bad CRC-32 for file 'a/data/")
    np.savez(tmp_path / "a.npz", a=np.zeros(3))
    (tmp_path / "a.npz").rename(path)
    assert refusal(path).advice == "the file is damaged or no checkpoint"


def test_foreign_pytorch_files(tmp_path):
    torch = need("torch")
    path = tmp_path / "a.pt"
    torch.save(torch.zeros(3), path)
    assert refusal(path).problem == "must hold a state dict, got Tensor"
    torch.save({"output.bias": torch.zeros(3)}, path)
    assert refusal(path).problem.startswith("has no entry 'charlm'")
    torch.save({"charlm": ABOUT}, path)
    assert refusal(path).problem.startswith("7 tensors expected, 0 on disk: it lacks 'embedding.")
    absent = torch.zeros(V, device="meta")
    for kind, value in {"int": 3, "a tensor without dense values": absent}.items():
        saved(path, STATE | {"output.bias": value}, ABOUT)
        assert refusal(path).problem.endswith(f"float16 or bfloat16, got {kind}")


def test_a_run_that_cannot_be_saved_leaves_no_folder(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    saved(path, STATE, ABOUT)

    monkeypatch.setattr(transfer, "save", Mock(side_effect=OSError(28, "No space left on device")))
    with pytest.raises(RunError, match=r"best.npz: cannot be saved \(No space left on device\)"):
        transfer.import_run(path, tmp_path / "runs")
    assert list((tmp_path / "runs").iterdir()) == []


PAGE = (ROOT / "docs" / "exchange.md").read_text(encoding="utf-8")


def test_the_examples_of_the_page(charlm, text_file, capsys):
    """Run every command and Python example; their numbers are charlm's."""
    for name in ("torch", "safetensors", "onnx", "onnxruntime"):
        need(name)
    text_file.write_text("The king, the ferryman and the heron.\n" * 100)
    (text_file.parent / "scene.txt").write_text("The heron and the king.\n")
    small = ["--hidden", 6, "--batch-size", 4, "--seq-len", 8, "--steps", 3, "--quiet"]
    assert charlm("train", text_file, *small, "--name", "shakespeare")[0] == 0
    shell = re.findall(r"```sh\n(.*?)```", PAGE, re.S)
    commands = [line for block in shell for line in block.splitlines()]
    for command in commands:
        program, *arguments = shlex.split(command, comments=True)
        code, out, err = charlm(*arguments)
        assert (program, code, out) == ("charlm", 0, ""), err
        assert command.rpartition("# ")[2] in err
    examples = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    assert (len(commands), len(examples)) == (6, 3)

    trained = load_model(Path("checkpoints/shakespeare/best.npz"))
    ids = trained.vocabulary.encode("The king").astype(np.int64)[:, None]
    zero = [np.zeros((2, 1, 6), np.float32)] * 2
    expected, _ = ours(trained, ids, zero)
    in_torch, in_onnx = {}, {}
    exec(examples[0], in_torch)
    assert relative_error(in_torch["log_probs"].numpy(), expected) < CLOSE
    exec(examples[2], in_onnx)
    assert relative_error(in_onnx["log_probs"], expected[4:]) < CLOSE
    likeliest = trained.vocabulary.symbols[expected[-1, 0].argmax()]
    assert capsys.readouterr().out == f"likeliest next: {likeliest!r}\n" * 2

    exec(examples[1], in_torch)
    assert charlm("import", "further.pt")[0] == 0
    further, _ = ours(load_model(Path("checkpoints/further/best.npz")), ids, zero)
    import torch

    with torch.no_grad():
        log_probs = in_torch["network"](torch.from_numpy(ids))[0].numpy()
    assert relative_error(further, log_probs) < CLOSE
    assert relative_error(further, expected) > 1e-4
