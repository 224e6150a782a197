"""The program as a user meets it: what it says, where it says it, and how it ends."""

import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from helpers import OPTIONS as SMALL
from helpers import ROOT, SETTINGS, on_a_terminal, open_terminal, shown_on
from helpers import spawn as spawn_bytes

import charlm as library
from charlm import api
from charlm.commands import console
from charlm.commands.training_view import show
from charlm.evaluation import score
from charlm.evaluation.dynamic import RATE
from charlm.storage.checkpoint import load


def spawn(folder, *arguments, **options):
    """Start the program, its output as text and unbuffered."""
    return spawn_bytes(folder, *arguments, text=True, env={"PYTHONUNBUFFERED": "1"}, **options)


@pytest.fixture
def trained(charlm, text_file):
    """A finished run of 30 steps, named verse."""
    code, _, err = charlm("train", text_file, *SMALL)
    assert code == 0, err
    return charlm


def test_train_says_what_it_does(charlm, text_file, tmp_path):
    code, out, err = charlm("train", text_file, *SMALL)
    assert (code, out) == (0, "")
    validation = r"step \d+: loss \d\.\d{4}, validation \d\.\d{4}( \(best\))?, [\d,]+ chars/s"
    patterns = [
        f"corpus  {text_file}: 4,000 characters, 38 distinct; 3,600 to learn from, 400 to validate",
        r"model   lstm, 2 layers of 12 units, embedding of 12: 3,350 parameters, \d+\.\d kB while "
        "training",
        "plan    30 steps of 4 streams x 8 time steps, 0.27 passes over the text, adam at a rate of "
        "0.01",
        "run     checkpoints/verse",
        "note    preset short: 4,000 characters are few, and are read over and over; --preset "
        "chooses another",
        validation,
        validation,
        r"done: 30 steps in \d+ s, validation \d\.\d{4} nats per character at step \d+",
        "checkpoints: checkpoints/verse; write with: charlm sample checkpoints/verse",
    ]
    for line, pattern in zip(err.splitlines(), patterns, strict=True):
        assert re.fullmatch(pattern, line), line
    assert (tmp_path / "checkpoints" / "verse" / "best.npz").exists()


EARLY = ["--lr", "0.5", "--set", "train.patience=2", "--set", "train.validate_every=5"]
TOLD = [
    (["--set", "data.test=0.05"],
     r"3,400 to learn from, 400 to validate \(the first 100 while training\), 200 kept"),
    (["--optimizer", "sgd"], r"passes over the text, sgd at a rate of \S+\n"),
    (["--name", "my verse"], "write with: charlm sample 'checkpoints/my verse'\n"),
    (["--steps", "60"], r"(?m)^plan .* passes over the text, adam at a rate of \S+, about \d+ s$"),
    (["--set", "train.validate_every=5", "--lr", "0.02"], r"\nadvice: .*\n(?!advice)"),
    (["--steps", "4000", *EARLY], "stopped early: validation has not improved for 2 times"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "pattern"), TOLD)
def test_a_training_reports(charlm, text_file, monkeypatch, options, pattern):
    from charlm.training import trainer

    monkeypatch.setattr(trainer, "VALIDATION_CHARACTERS", 100)
    code, out, err = charlm("train", text_file, *SMALL, *options)
    assert (code, out) == (0, "")
    assert re.search(pattern, err), err
    if "stopped early" in err:
        assert "stopped early" in charlm("train", "--resume")[2]


@pytest.mark.slow
def test_minutes_are_kept(charlm, text_file):
    err = charlm("train", text_file, *SMALL[:-2], "--minutes", 0.05)[2]
    (steps,) = re.findall(r"0.05 minutes are [\d,]+ steps here; the same with --steps (\d+)", err)
    assert f"done: {int(steps):,} steps" in err


def test_quiet_and_version(charlm, text_file):
    assert charlm("train", text_file, *SMALL, "--quiet") == (0, "", "")
    assert charlm("--version") == (0, f"charlm {library.__version__}\n", "")


def test_resume(trained):
    err = trained("train", "--resume")[2]
    assert "finished: all 30 steps are made; continue with: charlm train --resume --steps 60" in err
    err = trained("train", "--resume", "--steps", 40)[2]
    assert "resume  after step 30" in err
    assert "note    the goal moved from 30 to 40 steps, and the learning rate's schedule" in err
    assert "done: 40 steps" in err
    code, _, err = trained("train", "--resume", "--steps", 39)
    assert (code, err) == (
        1, "charlm: --steps: must be at least the 40 steps that are made, got 39; a run cannot go back\n"
    )  # fmt: skip
    code, _, err = trained("train", "--resume", "verse")
    assert code == 2
    assert "verse is a run: --resume --name verse" in err
    code, _, err = trained("train", "--resume", "--hidden", 24)
    assert code == 2
    assert "--hidden cannot change with --resume" in " ".join(err.replace("│", "").split())


def test_config_file_and_set(charlm, text_file, tmp_path):
    (tmp_path / "config.yaml").write_text(
        f"data: {{path: {text_file.name}}}\nmodel: {{cell: gru, hidden: 9}}\ntrain: {{steps: 3}}\n"
    )
    _, _, err = charlm("train", "--set", "model.hidden=8", "--batch-size", "4")
    assert "gru, 1 layer of 8 units" in err
    other = tmp_path / "other.yaml"
    other.write_text("train: {steps: 2, batch_size: 2}\n")
    _, _, err = charlm("train", text_file, "--config", other, "--hidden", 7)
    assert "lstm, 1 layer of 7 units" in err
    assert "plan    2 steps of 2 streams" in err


def test_a_sample_of_a_run_by_any_of_its_names(trained):
    options = ["--length", 40, "--seed", 3]
    out = trained("sample", *options)[1]
    for name in ("verse", "checkpoints/verse", "checkpoints/verse/best.npz"):
        assert trained("sample", name, *options)[1] == out
    assert trained("sample", "checkpoints/verse/last.npz", *options)[0] == 0


@pytest.mark.slow
def test_ctrl_c_ends_a_sample(trained, tmp_path):
    process = spawn(tmp_path, "sample", "--length", 10**9)
    process.stdout.read(20)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_a_run_goes_before_what_is_called_so_here(trained, text_file, tmp_path):
    (tmp_path / "verse").mkdir()
    assert trained("sample", "verse", "-n", 5)[0] == 0
    assert "checkpoints/verse/last.npz" in trained("info", "verse")[1]
    (tmp_path / "checkpoints/verse").rename(tmp_path / "checkpoints/verse.txt")
    assert trained("sample", text_file.name, "-n", 5)[0] == 0
    assert "checkpoints/verse.txt/last.npz" in trained("info", text_file.name)[1]
    code, _, err = trained("sample", f"./{text_file.name}")
    assert (code, err.count("File is not a zip file")) == (1, 1)
    assert trained("info", f"./{text_file.name}")[0] == 1


SCORE = r"\d\.\d{4} nats  \d\.\d{4} bits  perplexity \d+\.\d{3}"


def test_eval(trained, text_file):
    lines = trained.output("eval", text_file).splitlines()
    assert lines[0] == f"{text_file}: 4,000 characters, scored by checkpoints/verse/best.npz"
    assert re.fullmatch(f"  carried state +{SCORE}", lines[1])
    assert re.fullmatch(f"  cold windows of 256 +{SCORE}", lines[2])
    report = json.loads(trained.output("eval", text_file, "--run", "verse", "--json"))
    assert report["characters"] == 4000
    for name in ("carried", "cold"):
        assert report[name]["bits"] == pytest.approx(report[name]["nats"] / np.log(2))
        assert report[name]["perplexity"] == pytest.approx(np.exp(report[name]["nats"]))


def test_eval_dynamic_has_a_row_of_its_own(trained, text_file, tmp_path):
    best = tmp_path / "checkpoints" / "verse" / "best.npz"
    before = best.read_bytes()
    lines = trained.output("eval", text_file, "--dynamic", "--lr", "0.01").splitlines()
    assert lines[:3] == trained.output("eval", text_file).splitlines()
    assert re.fullmatch(f"  dynamic evaluation +{SCORE}", lines[3])
    assert lines[4:] == [
        "  dynamic evaluation was trained at a rate of 0.01 on what it had scored: compare it with "
        "other dynamic scores only"
    ]
    report = json.loads(trained("eval", text_file, "--dynamic", "--json")[1])
    assert report["dynamic"]["learning_rate"] == RATE
    assert report["dynamic"]["nats"] != report["carried"]["nats"]
    assert "dynamic" not in json.loads(trained("eval", text_file, "--json")[1])
    assert best.read_bytes() == before
    code, _, err = trained("eval", text_file, "--dynamic", "--lr", "-1")
    assert (code, err) == (1, "charlm: --lr: must be at least 0, got -1.0\n")


def test_a_loss_beyond_all_measure(trained, text_file, monkeypatch):
    monkeypatch.setattr(score, "carried", lambda *_, **__: score.Score(1712.0, 4000))
    assert "1712.0000 nats  2469.8939 bits  perplexity inf" in trained.output("eval", text_file)
    report = json.loads(trained("eval", text_file, "--json")[1])
    assert report["carried"]["nats"] == 1712
    assert report["carried"]["perplexity"] is None


def test_validation_is_what_eval_says(charlm, text_file, tmp_path):
    _, _, err = charlm("train", text_file, *SMALL)
    (validation,) = re.findall(r"validation (\d\.\d{4}) nats", err)
    held_out = tmp_path / "held-out.txt"
    held_out.write_text(text_file.read_text()[3600:], newline="")
    assert f"carried state        {validation} nats" in charlm.output("eval", held_out)


def spawn_training(folder, text, *more):
    """Start a training that takes long, and wait for its first validation."""
    options = [*SMALL[:-1], 20_000, "--set", "train.validate_every=20", *more]
    process = spawn(folder, "train", text, *options)
    for line in process.stderr:
        if line.startswith("step"):
            break
    return process


def test_ctrl_c_and_sigterm_save(text_file, tmp_path):
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        name = number.name
        process = spawn_training(tmp_path, text_file, "--name", name)
        process.send_signal(number)
        rest = process.stderr.read()
        assert process.wait(120) == code
        process.stdout.close()
        process.stderr.close()
        # The second is not the only run, and may not stay the newest.
        more = " --name SIGTERM" if name == "SIGTERM" else ""
        assert f"saved; resume with: charlm train --resume{more}\n" in rest, rest
        step = load(tmp_path / "checkpoints" / name / "last.npz").meta["progress"]["step"]
        assert f"stopped after step {step:,}," in rest


@pytest.mark.slow
def test_a_run_is_trained_by_one_process(charlm, text_file, tmp_path):
    process = spawn_training(tmp_path, text_file)
    refused = (
        f"charlm: checkpoints/verse: is being trained by process {process.pid}; wait for its end, "
        "or stop it first\n"
    )
    assert charlm("train", "--resume") == (1, "", refused)
    options = ["--resume", "--name", "verse", "--steps", 9**9]
    assert charlm("train", text_file, *options) == (1, "", refused)
    process.kill()
    process.communicate()
    run = tmp_path / "checkpoints/verse"
    assert (run / "lock").exists()
    (run / "best.npz.0123abcd.tmp").touch()
    goal = load(run / "last.npz").meta["progress"]["step"] + 1
    code, _, err = charlm("train", "--resume", "--steps", goal)
    assert code == 0, err
    assert "lock" not in err
    names = sorted(path.name for path in run.iterdir())
    assert names == ["best.npz", "config.yaml", "history.jsonl", "ids.bin", "last.npz"]


@pytest.mark.slow
def test_a_reader_that_leaves_stops_no_training(text_file, tmp_path):
    options = [*SMALL[:-1], 200, "--set", "train.validate_every=10"]
    process = spawn(tmp_path, "train", text_file, *options, "--name", "a")
    for _ in range(5):
        process.stderr.readline()
    process.stderr.close()
    assert process.wait(120) == 0
    assert process.stdout.read() == ""
    process.stdout.close()
    assert load(tmp_path / "checkpoints/a/last.npz").meta["progress"]["step"] == 200
    process = spawn(tmp_path, "train", text_file, *SMALL, "--name", "b",
                    stderr=None, preexec_fn=lambda: os.close(2))  # fmt: skip
    assert process.communicate() == ("", None)
    assert process.returncode == 0


def test_a_bar_that_nobody_sees(text_file, tmp_path, monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    training = library.start(text_file, checkpoints=tmp_path, **SETTINGS, validate_every=5)
    with os.fdopen(writer, "w") as broken:
        monkeypatch.setattr(sys, "stderr", broken)
        show(training, quiet=False)
        console.say("still here")
    assert training.step == 12


def test_too_little_memory(charlm, text_file, monkeypatch):
    def begin(*_, **__):
        raise MemoryError("Unable to allocate 256. GiB for an array")

    monkeypatch.setattr(api, "start_run", begin)
    assert charlm("train", text_file, "--hidden", 16384) == (
        1, "", "charlm: there is not enough memory (Unable to allocate 256. GiB for an array); lower "
        "model.hidden, model.layers, train.batch_size or train.seq_len\n",
    )  # fmt: skip


@pytest.mark.slow
def test_ctrl_c_while_a_long_text_is_read_leaves_nothing(tmp_path):
    """A bar tells how far it is, and neither a run nor a word is left."""
    text = tmp_path / "long.txt"
    with text.open("w") as file:
        for _ in range(300):
            file.write("the river rose before the bell was rung \n" * 25_000)
    master, slave = open_terminal(100)
    process = spawn(tmp_path, "train", text, stderr=slave)
    os.close(slave)
    shown = b""
    while b"reading:" not in shown:
        shown += os.read(master, 1 << 16)
    process.send_signal(signal.SIGINT)
    shown = shown_on(master, process)
    assert process.wait(60) == 130
    process.stdout.close()
    assert "Traceback" not in shown
    assert {path.name for path in tmp_path.rglob("*")} - {"checkpoints"} == {"long.txt"}


HELP = [
    ("train", ["Text:", "Network:", "Run:", "Training:"], ["(data.path)", "(auto)", "(soap)", "(the text's stem)",
                                                         "(./config.yaml)", "(1, 2, 4, ... or all CPUs, timed; with --resume as before)"]),
    ("eval", [], ["(the newest run)", f"({RATE})"]),
    ("sample", ["Drawing:", "What is written:"], ["(the newest run)", "(another each time)", "0.8"]),
    ("", ["Learn and write:", "Look at what was learned:", "Bring in and take away:"], []),
]  # fmt: skip


@pytest.mark.parametrize(("command", "headings", "defaults"), HELP)
def test_help(charlm, monkeypatch, command, headings, defaults):
    monkeypatch.setenv("COLUMNS", "200")
    out = charlm.output(*command.split(), "--help")
    assert [line for line in out.splitlines() if line in headings] == headings
    assert f"Example: charlm {command or 'train'}" in out
    for default in defaults:
        assert f"[default: {default}" in " ".join(out.split())


def test_on_a_terminal_there_is_a_bar(text_file, tmp_path):
    shown = on_a_terminal(tmp_path, "train", text_file, *SMALL)
    bar = r"30/30 \[.*loss \d\.\d{3}, validation \d\.\d{3}, [\d,]+ chars/s\]"
    assert re.search(bar, shown), shown
    assert {"\x1b[1m", "\x1b[2m"} <= set(re.findall(r"\x1b\[\dm", shown)), "labels, samples"
    plain = on_a_terminal(tmp_path, "train", text_file, *SMALL, NO_COLOR="1")
    assert re.search(bar, plain), plain
    assert not {"\x1b[1m", "\x1b[2m"} & set(re.findall(r"\x1b\[\dm", plain))


def test_command_page_is_the_programs_own_help(tmp_path):
    """Made with: python -m typer charlm.cli utils docs --name charlm --output docs/cli.md."""
    made = tmp_path / "cli.md"
    subprocess.run(
        [sys.executable, "-m", "typer", "charlm.cli", "utils", "docs", "--name", "charlm",
         "--output", str(made)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    assert made.read_text() == (ROOT / "docs" / "cli.md").read_text()


def test_other_texts_from_the_shell(charlm, tmp_path):
    folder = tmp_path / "src"
    folder.mkdir()
    for name in ("b.py", "a.py", "c.md"):
        (folder / name).write_text(f"# {name}\nvalue = 'é'\n" * 60, encoding="latin-1")
    python = [folder, "--glob", "*.py", "--encoding", "latin-1"]
    assert "a.py and 1 more" in charlm("train", *python, *SMALL)[2]
    for command in (["cells", "--unit", "0.0", "-n", "9"], ["gradients", "--run", "src"]):
        code, out, err = charlm(*command, "src")
        assert (code, bool(out)) == (0, True), err
    assert "src: 2,280 characters" in charlm.output("eval", "src")
    assert "256 distinct" in charlm("train", folder, "--glob", "*", "--level", "byte", *SMALL)[2]
    assert charlm("sample", "--length", 30, "--seed", 1)[0] == 0
    more = ["--init-from", "src", "--steps", 5, "--batch-size", 4, "--seq-len", 8]
    assert "starts from the weights of" in charlm("train", *python, *more)[2]


def test_resume_or_start_is_one_command(charlm, text_file):
    command = ["train", text_file, *SMALL, "--name", "job", "--resume-or-start"]
    assert "done: 30 steps" in charlm(*command)[2]
    code, _, err = charlm(*command)
    assert (code, err.splitlines()[-1]) == (
        0,
        "finished: all 30 steps are made; continue with: charlm train --resume --steps 60",
    )
    code, _, err = charlm("train", text_file, *SMALL, "--name", "job")
    assert (code, err) == (
        1,
        "charlm: checkpoints/job: is there already; choose another --name, or continue it with: "
        "charlm train --resume\n",
    )


def test_a_text_that_nobody_named(charlm, text_file):
    options = [*SMALL, "--set", f"data.path={text_file}"]
    first = charlm("train", *options)[2].splitlines()[0]
    assert first == f"note    no text was named: this learns {text_file}, the setting data.path"
    assert "no text" not in charlm("train", "--resume", "--steps", 31)[2]


@pytest.mark.parametrize("command", [["eval"], ["eval", "--heat"], ["cells", "--unit", "0.1"],
                                     ["gradients", "--run", "verse", "--lags", 4]])  # fmt: skip
def test_unknown_characters_are_counted(trained, text_file, tmp_path, command):
    other = tmp_path / "other.txt"
    other.write_text(text_file.read_text()[:600].replace("heron", "hérôn"), encoding="utf-8")
    command[1:1] = [str(other)]
    code, _, err = trained(*command)
    assert code == 1
    assert "choose on_unknown (--on-unknown): skip or replace" in err
    code, _, err = trained(*command, "--on-unknown", "replace")
    said = f"{other}: replaced what the model does not know: 2 'é' (U+00E9) by 'e', 2 'ô' (U+00F4) by 'o'"
    assert (code, err.splitlines()[0]) == (0, said)
    if command[0] == "eval" and len(command) == 2:
        report = json.loads(trained(*command, "--on-unknown", "skip", "--json")[1])
        assert report["unknown"] == {"é": 2, "ô": 2}
