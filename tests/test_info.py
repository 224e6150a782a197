"""What the program tells about runs: the list, one of them, several; the reader of histories."""

import json
import os
import re
import shutil

import pytest
from helpers import OPTIONS as SMALL
from helpers import change, on_a_terminal

from charlm.commands.drawing import shorten, symbols, table
from charlm.errors import RunError
from charlm.runs.summary import all_runs
from charlm.storage.checkpoint import read_meta
from charlm.storage.history import Reading, read_history


@pytest.fixture
def runs(charlm, text_file, tmp_path, tmp_path_factory):
    """Two finished runs, verse and verse-2; the second is a GRU and an hour newer.

    They are trained once, with the first test's text, and copied for each.
    """
    kept, folder = tmp_path_factory.getbasetemp() / "trained", tmp_path / "checkpoints"
    if not kept.exists():
        for more in ([], ["--cell", "gru", "--seed", "1234"]):
            code, _, err = charlm("train", text_file, *SMALL, *more)
            assert code == 0, err
        folder.rename(kept)
    shutil.copytree(kept, folder)
    for name, age_h in (("verse", 3.5), ("verse-2", 2.5)):
        for file in (folder / name).glob("*.npz"):
            moment = file.stat().st_mtime - age_h * 3600
            os.utime(file, (moment, moment))
    return folder


def best_of(path):
    progress = read_meta(path)["progress"]
    return f"{progress['best_loss']:.4f}", progress["best_step"]


# The list


def test_list(charlm, runs):
    lines = charlm.output("info").splitlines()
    assert lines[0].split() == ["run", "model", "steps", "best", "age", "size", "text"]
    expected = [("verse-2", "gru", 2.5), ("verse", "lstm", 3.5)]
    for line, (name, cell, age) in zip(lines[1:], expected, strict=True):
        loss, step = best_of(runs / name / "last.npz")
        size = sum(path.stat().st_size for path in (runs / name).iterdir())
        assert re.split(" {2,}", line) == [
            name, f"{cell} 2x12", "30/30", f"{loss} at {step}", f"{age} h",
            f"{size / 1e3:.1f} kB", "verse.txt",
        ]  # fmt: skip


def test_list_as_json_and_of_another_folder(charlm, runs, tmp_path):
    content = json.loads(charlm.output("info", "--json"))
    assert content["checkpoints"] == "checkpoints"
    assert [run["name"] for run in content["runs"]] == ["verse-2", "verse"]
    run, meta = content["runs"][1], read_meta(runs / "verse" / "last.npz")
    assert (run["folder"], run["step"], run["steps"]) == ("checkpoints/verse", 30, 30)
    assert (run["text"], run["model"]) == (meta["text"], meta["config"]["model"])
    assert run["best_loss"] == meta["progress"]["best_loss"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", run["saved"])
    assert run["problems"] == []
    os.rename(runs, tmp_path / "kept")
    assert "verse-2" in charlm.output("info", "--checkpoints", "kept")


def test_damaged_runs_are_listed(charlm, runs):
    (runs / "verse" / "last.npz").write_bytes(b"not a zip at all")
    (runs / "torn").mkdir()
    (runs / "torn" / "best.npz").write_bytes((runs / "verse-2" / "best.npz").read_bytes()[:5000])
    (runs / "no run").mkdir()
    lines = charlm.output("info").splitlines()
    reason = "cannot be read (File is not a zip file); the file is damaged or no checkpoint"
    names = [re.split(" {2,}", line)[0] for line in lines[:4]]
    assert names == ["run", "torn", "verse", "verse-2"]
    assert lines[1].split()[1:4] == ["-", "-/-", "-"]
    assert re.search(r"verse-2 +gru 2x12 +30/30 ", lines[3])
    problems = [f"checkpoints/{file}.npz: {reason}" for file in ("torn/best", "verse/last")]
    assert lines[4:] == [f"damaged: {problem}" for problem in problems]
    found = json.loads(charlm.output("info", "--json"))["runs"]
    assert [problem for run in found for problem in run["problems"]] == problems


def test_runs_of_the_same_moment_stand_in_order(runs):
    for name in ("verse-10", "verse-9", "anton"):
        (runs / name).mkdir()
        (runs / name / "best.npz").write_bytes((runs / "verse" / "best.npz").read_bytes())
        os.utime(runs / name / "best.npz", (1e9, 1e9))
    names = [run.name for run in all_runs(runs)]
    assert names == ["verse-2", "verse", "anton", "verse-9", "verse-10"]


# One run


def test_one_run(charlm, runs):
    out = charlm.output("info", "verse")
    meta = read_meta(runs / "verse" / "last.npz")
    text_file = meta["text"]["path"]
    loss, step = best_of(runs / "verse" / "last.npz")
    assert out.startswith(
        f"run          verse\n"
        f"checkpoint   checkpoints/verse/last.npz\n"
        f"text         {text_file}\n"
        f"characters   4,000\n"
        f"sha256       {meta['text']['sha256']}\n"
        f"model        lstm 2x12, 3,350 parameters\n"
        f"vocabulary   38 characters\n"
        f"             '\\n' ' ' ,.:?ACDEFINORSTabcdefghiklmnorstuvwy\n"
        f"steps        30 of 30\n"
        f"best         {loss} nats per character at step {step}\n"
        f"elapsed      "
    )
    assert re.search(r"^saved        \d{4}-\d\d-\d\d \d\d:\d\d, 3\.5 h ago$", out, re.M)
    assert re.search(r"^files        best\.npz [\d.]+ kB, config\.yaml [\d.]+ kB, ", out, re.M)
    assert f"\nversions     charlm {meta['versions']['charlm']}, python " in out
    assert f"\nthreads      {meta['threads']}\n" in out
    assert (
        "\nsettings that differ from the defaults\n"
        "  preset              short  default auto\n"
        f"  data.path           {text_file}  default data/shakespeare.txt\n"
    ) in re.sub(" {3,}(?=default)", "  ", out)
    assert re.search(r"^  model\.hidden +12 +default 256$", out, re.M)
    changed, kept = out.split("settings left at their defaults")
    assert re.findall(r"^  ([\w.]+) .*default ", changed, re.M) == [
        "preset", "data.path", "model.hidden", "train.batch_size", "train.seq_len", "train.steps",
        "train.dropout", "train.optimizer", "train.schedule", "train.final_rate", "train.weight_decay",
    ]  # fmt: skip
    kept, losses = kept.split("losses in nats per character\n")
    assert "model.cell lstm, model.layers 2," in " ".join(kept.split())
    assert all(len(line) <= 80 for line in kept.splitlines())
    rows = [line.split() for line in losses.splitlines()]
    assert rows[0] == ["step", "training", "validation", "elapsed"]
    assert [row[0] for row in rows[1:]] == ["25", "30"]
    (best,) = [row for row in rows if row[-1] == "best"]
    assert (best[0], best[2]) == (str(step), loss)


def test_one_run_by_any_of_its_names(charlm, runs, tmp_path, monkeypatch):
    whole = charlm.output("info", "verse")
    assert charlm.output("info", "checkpoints/verse") == whole
    file = charlm.output("info", "checkpoints/verse/last.npz")
    assert file.startswith("run          checkpoints/verse/last.npz\n")
    assert "\nfiles        last.npz " in file
    assert file.split("\nsettings")[1:] == whole.split("\nsettings")[1:]
    (tmp_path / "copy.npz").write_bytes((runs / "verse" / "best.npz").read_bytes())
    copy = charlm.output("info", "copy.npz")
    assert "3,350 parameters" in copy
    assert "losses" not in copy
    # A folder of the same name that holds no run is not in the way.
    (tmp_path / "verse").mkdir()
    assert charlm.output("info", "verse") == whole
    monkeypatch.chdir(runs / "verse")
    assert charlm.output("info", ".").startswith("run          verse\n")


def test_one_run_as_json(charlm, runs):
    content = json.loads(charlm.output("info", "verse", "--json"))
    meta = read_meta(runs / "verse" / "last.npz")
    for key in ("config", "vocabulary", "text", "threads", "versions"):
        assert content[key] == meta[key]
    assert content["parameters"] == 3350
    assert content["checkpoint"] == "checkpoints/verse/last.npz"
    assert "model.hidden" in content["changed"]
    assert content["files"].keys() == {path.name for path in (runs / "verse").iterdir()}
    steps = [reading["step"] for reading in content["history"]["readings"]]
    assert steps == list(range(31))
    assert (content["history"]["resumes"], content["history"]["torn"]) == ([], 0)


def test_run_with_the_best_weights_alone(charlm, runs):
    for name in ("last.npz", "history.jsonl", "ids.bin", "config.yaml"):
        (runs / "verse" / name).unlink()
    change(runs / "verse" / "best.npz", progress=None, text=None, threads=None, versions=None)
    lines = charlm.output("info").splitlines()
    assert re.split(" {2,}", lines[1])[1:4] == ["lstm 2x12", "-/30", "-"]
    assert lines[1].endswith("  -")
    out = charlm.output("info", "verse")
    for line in ("text         -", "sha256       -", "steps        - of 30", "best         -",
                 "elapsed      -", "versions     -", "threads      -"):  # fmt: skip
        assert f"\n{line}\n" in out
    assert "lstm 2x12, 3,350 parameters" in out
    assert "losses" not in out
    assert charlm("info", "verse", "verse-2")[0] == 0
    json.loads(charlm.output("info", "verse", "--json"))


def test_best_loss_is_that_of_the_best_weights_where_they_tell_it(charlm, runs):
    progress = read_meta(runs / "verse" / "last.npz")["progress"]
    told, kept = progress | {"best_loss": 0.0, "best_step": 29}, best_of(runs / "verse/last.npz")
    for best, (loss, step) in ((told, ("0.0000", 29)), (None, kept)):
        change(runs / "verse" / "best.npz", progress=best)
        out = charlm.output("info", "verse")
        assert f"\nbest         {loss} nats per character at step {step}\n" in out


def test_damaged_last_beside_a_whole_best(charlm, runs):
    (runs / "verse" / "last.npz").write_bytes(b"")
    out = charlm.output("info", "verse")
    assert "\ncheckpoint   checkpoints/verse/best.npz\n" in out
    assert out.splitlines()[-1] == (
        "damaged: checkpoints/verse/last.npz: cannot be read (File is not a zip file); the file is "
        "damaged or no checkpoint"
    )
    code, out, err = charlm("info", "verse", "verse-2")
    assert (code, err.partition(" cannot")[0]) == (0, "damaged: checkpoints/verse/last.npz:")


@pytest.mark.parametrize(
    "parts",
    [
        {"config": None, "vocabulary": None},
        {"config": 3, "vocabulary": "abc"},
        {"progress": "none", "threads": {"a": 1}, "versions": 1},
        {"config": {"model": 3, "train": {"steps": "many"}}},
        {"text": []},
        {"config": {"model": {"cell": "tree", "branches": [1, {"a": None}]}, "later": {"x": True}}},
        {"text": {"files": [{"path": "a.txt"}]}},
        {"progress": {"step": -1, "best_loss": float("nan"), "elapsed_s": 1e400}},
        {"progress": {"step": 10**30, "best_loss": "low", "elapsed_s": []}},
        {"vocabulary": {"symbols": ["a"], "start": 0}, "text": {"path": 7, "characters": None}},
        {"vocabulary": {"symbols": "\ud800\udfff", "start": "\ud800"}},
    ],
)
def test_damaged_descriptions(charlm, runs, parts):
    """The list says what is damaged; what is needed to load the weights is needed to describe."""
    for name in ("last.npz", "best.npz"):
        change(runs / "verse" / name, **parts)
    assert "\ndamaged: checkpoints/verse/last.npz: " in charlm.output("info")
    code, out, err = charlm("info", "verse")
    if {"config", "vocabulary"} & parts.keys():
        assert (code, out, err.count("\n")) == (1, "", 1)
        return
    assert (code, err) == (0, "")
    assert out.splitlines()[-1].startswith("damaged: checkpoints/verse/best.npz: ")
    code, out, err = charlm("info", "verse", "--json")
    assert json.loads(out, parse_constant=pytest.fail)["parameters"] == 3350


# Several runs


def test_comparison(charlm, runs):
    lines = charlm.output("info", "verse", "verse-2").splitlines()
    assert lines[0].split() == ["verse", "verse-2"]
    rows = dict(re.split(" {2,}", line, maxsplit=1) for line in lines[1:])
    losses = [best_of(runs / name / "last.npz")[0] for name in ("verse", "verse-2")]
    assert rows["model.cell"].split() == ["lstm", "gru"]
    assert rows["train.seed"].split() == ["0", "1234"]
    assert rows["parameters"].split() == ["3,350", "2,822"]
    assert rows["progress.best_loss"].split() == losses
    assert not {"model.hidden", "text.sha256", "vocabulary.size", "progress.step"} & rows.keys()


def test_comparison_of_three_as_json(charlm, runs, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("Zum Fluß, zum Fluß! Wer rudert mich hinüber?\n" * 60, encoding="utf-8")
    charlm("train", other, *SMALL, "--name", "other")
    out = charlm.output("info", "verse", "verse-2", "checkpoints/other", "--json")
    content = json.loads(out)
    assert content["runs"] == ["verse", "verse-2", "checkpoints/other"]
    rows = content["differences"]
    assert rows["model.cell"] == ["lstm", "gru", "lstm"]
    assert rows["vocabulary.size"] == [38, 38, 23]
    assert rows["vocabulary.unshared"][2] == "!WZzßü"
    assert rows["text.characters"] == [4000, 4000, 2700]
    out = charlm.output("info", "verse", "verse-2", "checkpoints/other")
    assert re.search(r"^text.sha256 +[0-9a-f]{12} +[0-9a-f]{12} +[0-9a-f]{12}$", out, re.M)
    assert re.search(r"^vocabulary.unshared +\S.* {2,}!WZzßü$", out, re.M)


def test_nothing_differs(charlm, runs):
    assert charlm("info", "verse", "verse") == (
        0, "nothing differs: settings, text, vocabulary, steps and losses are the same\n", ""
    )  # fmt: skip
    content = json.loads(charlm.output("info", "verse", "verse", "--json"))
    assert content == {"runs": ["verse", "verse"], "differences": {}}


def test_a_difference_in_the_last_digits_is_shown(charlm, runs):
    shutil.copytree(runs / "verse", runs / "copy")
    progress = read_meta(runs / "verse" / "best.npz")["progress"]
    other = progress | {"best_loss": progress["best_loss"] + 1e-9}
    change(runs / "copy" / "best.npz", progress=other)
    lines = charlm.output("info", "verse", "copy").splitlines()
    (row,) = [line for line in lines if line.startswith("progress.best_loss")]
    assert row.split()[1:] == [str(progress["best_loss"]), str(other["best_loss"])]


# What a terminal is shown


def test_nothing_reaches_a_terminal_raw(charlm, runs):
    name = "a\x1b]0;title\x07b"
    os.rename(runs / "verse", runs / name)
    for file in ("last.npz", "best.npz"):
        path = runs / name / file
        text = read_meta(path)["text"] | {"path": "/a\n/\x1b[2Jb.txt", "sha256": "\x1b"}
        known = {"symbols": "\x00\x07\x1b\x7f\x85\x9b\u0301\u200f\u2028\u202e", "start": "\x1b"}
        change(path, text=text, vocabulary=known, versions={"\x1b": "\x1b"})
    for names in ([], [name], [name, "verse-2"]):
        for option in ([], ["--json"]):
            out = charlm.output("info", *names, *option)
            assert [c for c in out if not c.isprintable() and c != "\n"] == []


def test_vocabulary_in_lines():
    assert symbols("\n !ab\u0301é\u200b漢字", 80, 4) == [r"'\n' ' ' !ab '\u0301' é '\u200b' 漢字"]
    assert symbols("漢字漢字漢", 4, 2) == ["漢字", "漢字", "and 1 more"]
    assert symbols("abcdefgh", 3, 2) == ["abc", "def", "and 2 more"]
    assert symbols("abcdef", 3, 2) == ["abc", "def"]
    assert symbols("", 3, 2) == []
    assert symbols("\u0301\u0302", 8, 2) == [r"'\u0301'", r"'\u0302'"]


def test_tables_fit():
    assert shorten("abcdefghij", 5) == "abcd…"
    assert shorten("漢字漢字漢字漢字", 7) == "漢字漢…"
    rows = [["run", "best", "text"], ["a", "1.5", "a-long-name-of-a-text.txt"], ["[b]漢", "-", ""]]
    assert table(rows, "lrL") == [
        "run    best  text",
        "a       1.5  a-long-name-of-a-text.txt",
        "[b]漢     -",
    ]
    assert table(rows, "lrL", 30)[1] == "a       1.5  a-long-name-of-a…"
    assert table(rows, "LrL", 1)[1] == "a       1.5  a-long-…"
    assert table([["a", "b"]], "ll", 1) == ["a  b"]


def test_on_a_terminal_the_list_fits(runs, tmp_path):
    os.rename(runs / "verse", runs / ("a-run-with-a-very-long-name-" * 5))
    shown = on_a_terminal(tmp_path, "info").splitlines()
    assert len(shown) == 3
    assert max(map(len, shown)) == 100
    assert "…" in shown[2]


# The history, and the shapes


def write(path, *lines):
    path.write_bytes(b"".join(line.encode() + b"\n" for line in lines))
    return path


def loss_at(step, loss):
    return json.dumps({"step": step, "loss": loss})


def test_history_of_a_killed_and_of_a_resumed_run(tmp_path):
    lines = [loss_at(10, 3.0), loss_at(20, 2.0), '{"step": 30, "loss": 1.9, "valid']
    lines += [loss_at(20, 2.1), loss_at(30, 1.8)]
    history = read_history(write(tmp_path / "history.jsonl", *lines))
    assert [(r.step, r.loss) for r in history.readings] == [(10, 3.0), (20, 2.1), (30, 1.8)]
    assert (history.resumes, history.torn) == ([], 1)
    # The goal moved, and with it the steps that are read; what a resume goes back behind is dropped.
    lines = [*(loss_at(n, 1) for n in (10, 20, 30, 40)), '{"resume": 25}']
    lines += [loss_at(28, 2), loss_at(35, 2)]
    history = read_history(write(tmp_path / "history.jsonl", *lines))
    assert [(r.step, r.loss) for r in history.readings] == [(10, 1), (20, 1), (28, 2), (35, 2)]
    assert history.resumes == [25]


def test_history_that_is_no_history(tmp_path):
    path = tmp_path / "history.jsonl"
    assert read_history(path) == ([], [], [], 0)
    path.touch()
    assert read_history(path) == ([], [], [], 0)
    path.write_bytes(
        b'\xff\xfe\n\n[1]\n{"step": true}\n{"step": "3"}\n' + b"[" * 10**5 + b"\nnull\n"
    )
    assert read_history(path) == ([], [], [], 6)
    path.write_bytes(b'{"step": 1}')
    assert read_history(path) == ([Reading(1)], [], [], 0)
    with pytest.raises(RunError, match=r"cannot be read \(Is a directory\)"):
        read_history(tmp_path)


def losses_of(charlm, run):
    return charlm.output("info", run).partition("losses in nats per character")[2].splitlines()


def test_losses_of_long_torn_and_short_histories(charlm, runs):
    lines = [
        json.dumps({"step": n, "train_loss": 3.0, "validation": 3 - n / 100}) for n in range(15)
    ]
    lines[3] = lines[3][:9]
    lines += ['{"resume": 13}', '{"step": 14, "validation": "low"}', '{"step": 14, "elapsed_s": 5}']
    write(runs / "verse" / "history.jsonl", *lines)
    losses = losses_of(charlm, "verse")
    assert losses[0] == ", the last 10 of 13"
    assert [line.split()[0] for line in losses[2:12]] == [str(n) for n in range(4, 14)]
    assert losses[11].split() == ["13", "3.0000", "2.8700", "-", "best"]
    assert losses[12:] == ["  resumed after step 13", "  lines that cannot be read: 2"]
    # Before the first validation.
    write(runs / "verse" / "history.jsonl", '{"step": 5, "loss": 2.5, "elapsed_s": 100}')
    losses = losses_of(charlm, "verse")
    assert losses[2].split() == ["5", "2.5000", "-", "1.7", "min"]
