"""charlm sample as a user meets it: what goes to stdout, what is said beside it, how it ends."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import environment, finish, on_a_terminal, spawn, write_checkpoint

from charlm import language_model
from charlm.commands import console, sample
from charlm.generation.filters import Filters
from charlm.generation.sampler import Sampler
from charlm.runs.loading import load_model
from charlm.text.vocabulary import ByteVocabulary, Vocabulary


def follow(text: str):
    """Change weights so that, one byte after the other, mostly the bytes of a text are drawn."""
    content = text.encode()

    def change(views):
        # Only the bias counts: a model that draws these bytes in no particular order.
        views["output.W"][...] = 0
        views["output.b"][...] = -30
        for byte in content:
            views["output.b"][byte] = 0

    return change


@pytest.fixture
def written(charlm, tmp_path):
    """The program, in a folder with an untrained run."""
    write_checkpoint(tmp_path / "checkpoints" / "verse" / "best.npz")
    return charlm


@pytest.fixture
def model(tmp_path):
    trained = load_model(write_checkpoint(tmp_path / "model.npz"))
    return trained.model, trained.vocabulary


def shell(folder: Path, redirected: str, *arguments: str, command: str = "sample"):
    """Run a command behind a shell, which can close what subprocess cannot."""
    line = f'set -o pipefail; "$0" -m charlm {command} "$@" {redirected}'
    process = subprocess.run(
        ["bash", "-c", line, sys.executable, *arguments],
        cwd=folder, env=environment(), capture_output=True, check=False,
    )  # fmt: skip
    return process.returncode, process.stdout, process.stderr.decode()


def test_one_text_is_what_the_sampler_writes(written, model):
    code, out, err = written("sample", "--seed", 5, "--length", 60, "--temp", 0.7, "--start", "ab")
    assert (code, err) == (0, "checkpoints/verse/best.npz, seed 5\n")
    expected = Sampler(*model, Filters(0.7), start="ab", seed=5).characters(60)
    assert out == "ab" + "".join(expected)
    # The seed that was reported gives the text again.
    _, out, err = written("sample", "--length", 60)
    seed = err.split("seed ")[1].strip()
    assert written("sample", "--length", 60, "--seed", seed)[1] == out


def json_lines(written, *options):
    return [json.loads(line) for line in written("sample", *options, "--json")[1].splitlines()]


def in_lines(texts):
    """Return texts as several are shown: each ends its line once."""
    return "".join(text if text.endswith("\n") else text + "\n" for text in texts)


def test_count_writes_texts_side_by_side(written, model):
    code, out, err = written("sample", "--count", 3, "--seed", 5, "--length", 60, "--start", "ab")
    texts = Sampler(*model, Filters(), streams=3, start="ab", seed=5).write(60)
    assert (code, out) == (0, in_lines("ab" + text for text in texts))
    assert err.splitlines() == ["checkpoints/verse/best.npz, seed 5", "-" * 40, "-" * 40]


def test_each_of_several_texts_ends_its_line_once(written):
    options = ["--count", 4, "--stop", "\n", "--stop", "e", "--length", 500, "--seed", 1]
    texts = [line["text"] for line in json_lines(written, *options)]
    assert {text[-1] for text in texts} == {"\n", "e"}
    assert written("sample", *options)[1] == in_lines(texts)
    assert written("sample", "--count", 2, "--length", 0)[1] == "\n\n"


def log_probability(model, start: str, text: str) -> float:
    """Score what was written after a start, by the training forward."""
    network, vocabulary = model
    ids = vocabulary.encode(start + text).astype(int)
    cache = network.cache(ids.size, 1)
    network.forward(ids[:, None], network.zero_state(1), cache)
    total = 0.0
    for t in range(len(start) - 1, ids.size - 1):
        z = network.output.forward(cache.output, t)[:, 0].astype(float)
        total += z[ids[t + 1]] - z.max() - np.log(np.exp(z - z.max()).sum())
    return total


@pytest.mark.parametrize("count", [1, 3])
def test_json_lines(written, model, count):
    options = ["--seed", 5, "--length", 60, "--start", "ab", "--stop", "e.", "--temp", 0.5]
    code, out, err = written("sample", "--json", "--count", count, *options)
    assert (code, err) == (0, "checkpoints/verse/best.npz, seed 5\n")
    lines = [json.loads(line) for line in out.splitlines()]
    assert len(lines) == count
    for index, line in enumerate(lines):
        text = line["text"].removeprefix("ab")
        assert (line["start"], line["text"]) == ("ab", "ab" + text)
        assert (line["seed"], line["index"], line["symbols"]) == (5, index, len(text))
        expected = log_probability(model, "ab", text)
        assert line["log_probability"] == pytest.approx(expected, rel=1e-4)
        assert line["nats_per_character"] == pytest.approx(-expected / len(text), rel=1e-4)
    if count == 1:
        assert lines[0]["text"] == written("sample", *options)[1]


def test_json_of_nothing(written):
    (line,) = written("sample", "--json", "--length", 0, "--start", "é")[1].splitlines()
    assert "\\u00e9" in line, "any console can print it"
    report = json.loads(line)
    assert (report["text"], report["start"], report["symbols"]) == ("é", "é", 0)
    assert report["nats_per_character"] is None


@pytest.mark.parametrize("count", [1, 2])
def test_best_of_keeps_the_likeliest(written, model, count):
    """Judged per symbol: with a stop text, the shorter of two is not the likelier one for it."""
    options = ["--best-of", 5, "--count", count, "--seed", 5, "--length", 40, "--stop", "."]
    options += ["--start", "ab", "--temp", 1.5]
    _, out, err = written("sample", *options)
    texts = Sampler(*model, Filters(1.5), streams=5 * count, start="ab", stop=".", seed=5).write(40)
    assert len({len(text) for text in texts}) > 1
    whole = [
        "ab" + max(five, key=lambda text: log_probability(model, "ab", text) / len(text))
        for five in (texts[5 * k : 5 * k + 5] for k in range(count))
    ]
    assert (out, err.count("-" * 40)) == (in_lines(whole), count - 1)
    lines = json_lines(written, *options)
    assert [(line["index"], line["text"]) for line in lines] == list(enumerate(whole))


@pytest.mark.parametrize(("best_of", "count"), [(1, 6), (9, 2)])
def test_more_texts_than_streams(written, model, monkeypatch, best_of, count):
    monkeypatch.setattr(language_model, "_STREAMS", 4)
    options = ["--best-of", best_of, "--count", count, "--seed", 5, "--length", 9]
    drawn = Sampler(*model, Filters(), streams=4, seed=5, scored=True).texts(9)
    texts = [next(drawn).written for _ in range(best_of * count)]
    best = [
        max(texts[k : k + best_of], key=lambda text: log_probability(model, "\n", text))
        for k in range(0, len(texts), best_of)
    ]
    lines = json_lines(written, *options)
    assert [(line["index"], line["text"]) for line in lines] == list(enumerate(best))


def test_on_unknown(written):
    options = ["--seed", 5, "--length", 30, "--start", "abXÉ€b"]
    code, out, err = written("sample", *options)
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == (
        "charlm: --start: character 'X' (U+0058) at position 2 is not in this checkpoint's "
        "9-character vocabulary; leave it out, or pass --on-unknown skip or --on-unknown replace"
    )
    for action, read, said in (
        ("skip", "abb", "skipped what the model does not know: 1 'X' (U+0058), 1 'É' (U+00C9), 1 '€' (U+20AC)"),
        ("replace", "ab é b", "replaced what the model does not know: 1 'X' (U+0058) by ' ', 1 'É' (U+00C9) by 'é', 1 '€' (U+20AC) by ' '"),
    ):  # fmt: skip
        _, out, err = written("sample", *options, "--on-unknown", action)
        assert err.splitlines()[1:] == [f"--start: {said}"]
        expected = written("sample", "--seed", 5, "--length", 30, "--start", read)[1]
        assert out == "abXÉ€b" + expected.removeprefix(read), "the start as it was given"
    assert written("sample", "--start", "ab", "--on-unknown", "skip")[2].count("\n") == 1
    _, _, err = written("sample", "--start", "QRSTUVWXYZQRS", "--on-unknown", "skip")
    assert err.splitlines()[1].endswith("1 'X' (U+0058), and 2 more")


def test_unknown_characters_become_the_unknown_symbol(charlm, tmp_path):
    path = write_checkpoint(tmp_path / "m.npz", Vocabulary("abc", "a", unknown=True))
    _, out, err = charlm("sample", path, "--start", "aX", "--on-unknown", "replace", "--temp", 5)
    assert err.splitlines()[1] == (
        "--start: replaced what the model does not know: 1 'X' (U+0058) by the unknown symbol"
    )
    assert set(out.removeprefix("aX")) == set("abc")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--stop", r"\n"], r"--stop '\n' has no effect: the model does not know \ n, a newline is $'\n' in the shell"),
        (["--stop", "bX", "--stop", "b"], "--stop bX has no effect: the model does not know X"),
        (["--count", 3, "--temp", 0], "the 3 texts are the same, since the most probable character is always drawn"),
        (["--count", 2, "--top-k", 1], "the 2 texts are the same, since the most probable character is always drawn"),
        (["--start", "ae\u0301"], "--start: converted to Unicode's NFC, of which the model knows more"),
    ],
)  # fmt: skip
def test_what_has_no_effect_is_said(written, options, said):
    lines = written("sample", "--seed", 1, "--length", 5, *options)[2].splitlines()
    assert [line for line in lines[1:] if line != "-" * 40] == [said]


def test_a_start_is_read_as_texts_are(written):
    options = ["sample", "--seed", 5, "--length", 20, "--start"]
    expected = written(*options, "ab\ncé")[1]
    assert written(*options, "\ufeffab\r\nce\u0301")[1] == expected
    assert expected.startswith("ab\ncé")


def test_a_long_start_is_read_behind_a_bar(written, tmp_path, monkeypatch):
    monkeypatch.setattr(console, "_SHORT_S", 0)
    monkeypatch.setattr(sample, "_LONG", 2000)
    read: list[int] = []
    monkeypatch.setattr(console, "bar", lambda **_: Bar(read))
    for options in ([], ["--count", 2]):
        read.clear()
        code, _, err = written("sample", "--start", "ab" * 1100, "--length", 3, *options)
        assert (code, read) == (0, [1000, 2000, 2199]), err


class Bar(contextlib.nullcontext):
    """What a bar is told."""

    def __init__(self, read):
        super().__init__(self)
        self.read, self.n, self.total = read, 0, 0

    def update(self, more):
        self.n += more
        self.read.append(self.n)

    def close(self):
        assert self.n == self.total


def test_bytes_come_as_they_are_drawn_in_whole_characters(charlm, tmp_path):
    text = "é€한😀"
    path = write_checkpoint(tmp_path / "bytes.npz", ByteVocabulary(), follow(text))
    process = spawn(tmp_path, "sample", path, "--length", 10**9, "--temp", 1)
    pieces = [os.read(process.stdout.fileno(), 1 << 16).decode("utf-8") for _ in range(2000)]
    process.stdout.close()
    assert process.wait(120) == 0
    process.stderr.close()
    # Buffered, the first piece would be as long as Python's buffer.
    assert all(0 < len(piece) < 1000 for piece in pieces[:20])
    # What is no UTF-8 becomes U+FFFD, and no piece ends within a character.
    assert any(character in "".join(pieces) for character in text)
    _, out, _ = charlm("sample", path, "--length", 200, "--seed", 1, "--json")
    report = json.loads(out)
    assert report["symbols"] == 200 > len(report["text"])
    expected = -report["log_probability"] / len(report["text"])
    assert report["nats_per_character"] == pytest.approx(expected)
    # Twelve bytes, all alike.
    assert report["log_probability"] == pytest.approx(-200 * np.log(12), rel=1e-3)


@pytest.mark.slow
def test_start_from_stdin_is_read_as_training_reads(written, tmp_path):
    write_checkpoint(tmp_path / "checkpoints/verse/best.npz", Vocabulary("\n\rabc\ufeff", "\n"))
    content = b"\xef\xbb\xbfab\r\nc\ra\n\n"
    code, out, err = finish(tmp_path, "sample", "--start", "-", "--length", 0, given=content)
    assert (code, out) == (0, b"ab\nc\ra\n\n"), err
    code, out, _ = finish(tmp_path, "sample", "--start", "-", "--length", 4, "--seed", 1, given=b"")
    assert (code, out) == finish(tmp_path, "sample", "--length", 4, "--seed", 1)[:2]
    code, out, err = finish(tmp_path, "sample", "--start", "-", given=b"ab\xffc")
    assert (code, out) == (1, b"")
    assert "--start: character '\\udcff' (U+DCFF) at position 2 is not in" in err


@pytest.mark.slow
def test_a_model_of_bytes_reads_bytes_as_they_are(charlm, tmp_path):
    path = write_checkpoint(tmp_path / "bytes.npz", ByteVocabulary())
    content = b"\xef\xbb\xbfcaf\xe9\r\n"
    code, out, err = finish(tmp_path, "sample", path, "--start", "-", "--length", 0, given=content)
    assert (code, out) == (0, content), err
    code, out, err = finish(tmp_path, "sample", path, "--start", b"caf\xe9".decode("utf-8", "surrogateescape"),
                            "--length", 0)  # fmt: skip
    assert (code, out) == (0, b"caf\xe9"), err


@pytest.mark.slow
def test_closed_streams_are_one_line(written, tmp_path):
    code, out, err = shell(tmp_path, "<&-", "--start", "-")
    assert (code, out) == (1, b"")
    assert err == ("charlm: --start: stdin is closed; pipe a text into it\n")
    code, _, err = shell(tmp_path, ">&-")
    assert (code, err) == (
        1, "charlm: stdout: is closed; let the text go to a terminal, a file or a pipe\n"
    )  # fmt: skip
    assert shell(tmp_path, "<&-", "--length", "5")[0] == 0


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")
def test_a_full_disk_is_one_line(written, tmp_path):
    for more in ([], ["--count", "2"], ["--json"]):
        code, _, err = shell(tmp_path, ">/dev/full", "--seed", "1", *more)
        assert (code, err) == (
            1, "checkpoints/verse/best.npz, seed 1\ncharlm: stdout: No space left on device\n"
        )  # fmt: skip


@pytest.mark.slow
def test_head_may_leave(written, tmp_path):
    for more in ([], ["--count", "3000"], ["--count", "3000", "--json"]):
        code, out, err = shell(tmp_path, "| head -c 5", "--seed", "1", *more)
        assert (code, len(out)) == (0, 5), err
        assert "Error" not in err
    assert shell(tmp_path, "| true", "verse", "--json", command="info") == (0, b"", "")


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8", "utf-16"])
def test_narrow_consoles_get_what_they_can_show(written, tmp_path, encoding):
    narrow = {"PYTHONIOENCODING": encoding}
    options = ["--seed", "2", "--length", "200", "--temp", "3"]
    _, whole, _ = finish(tmp_path, "sample", *options, env={"PYTHONIOENCODING": "utf-8"})
    assert "é" in whole.decode()
    code, out, err = finish(tmp_path, "sample", *options, env=narrow)
    assert code == 0, err
    assert out.decode(encoding) == whole.decode().encode(encoding, "replace").decode(encoding)
    code, out, err = finish(tmp_path, "sample", "--start", "😀ab", "--on-unknown", "replace", "--length", "0",
                            env=narrow)  # fmt: skip
    assert code == 0, err
    assert out.decode(encoding) == "😀ab".encode(encoding, "replace").decode(encoding)
    code, out, err = finish(tmp_path, "sample", "--start", "-", "--on-unknown", "skip", "--length", "0",
                            given=b"ab\xff", env=narrow)  # fmt: skip
    assert code == 0, err
    assert out == ("ab?".encode("utf-16-le") if encoding == "utf-16" else b"ab\xff")


@pytest.mark.slow
def test_on_a_terminal_the_prompt_gets_a_line_of_its_own(written, tmp_path):
    said = "checkpoints/verse/best.npz, seed 1\n"
    options = ["--seed", 1, "--length", 3, "--temp", 0]
    shown = on_a_terminal(tmp_path, "sample", *options, "--start", "ab")
    text = written("sample", *options, "--start", "ab")[1]
    assert shown == said + text + ("" if text.endswith("\n") else "\n")
    shown = on_a_terminal(tmp_path, "sample", "--seed", 1, "--length", 0, "--start", "ab\n")
    assert shown == said + "ab\n"
    shown = on_a_terminal(tmp_path, "sample", *options, "--count", 2)
    said += "the 2 texts are the same, since the most probable character is always drawn\n"
    first, second = shown.removeprefix(said).split("-" * 40 + "\n")
    assert first == second
    assert first.endswith("\n")
