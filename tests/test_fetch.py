"""Fetching a known text: from a server of the test's own, which also lies, breaks off and hangs."""

import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from test_cli import in_a_terminal

from charlm.errors import TextError
from charlm.storage import fetch as fetching
from charlm.text.known import KNOWN, KnownText

ROOT = Path(__file__).parent.parent
CONTENT = b"Sing, heavenly heron, of the ferryman.\n" * 5000
SIZE = len(CONTENT)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
WRONG = CONTENT.swapcase()
TEXT = KnownText("heron", "http://127.0.0.1:1/heron", SIZE, SHA256, "verse", "public domain")


class Answers(BaseHTTPRequestHandler):
    """What the server says to each path."""

    def do_GET(self):
        self.server.asked.append((self.path, self.headers["User-Agent"]))
        getattr(self, self.path.rpartition("/")[2].replace(".txt", ""))()

    def log_message(self, *_):
        pass

    def give(self, content, length=None, status=200):
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(content)

    def good(self):
        self.give(CONTENT, SIZE)

    def unannounced(self):
        self.give(CONTENT)

    def wrong(self):
        self.give(WRONG, SIZE)

    def truncated(self):
        self.give(CONTENT[:1000], SIZE)

    def page(self):
        self.give(b"<html>Log in first</html>", 25)

    def empty(self):
        self.give(b"", 0)

    def larger(self):
        self.give(CONTENT + b"!", SIZE + 1)

    def endless(self):
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"x" * 100_000)
        except OSError:
            pass

    def torn_chunks(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n" % SIZE + CONTENT[:1000])

    def missing(self):
        self.give(b"no", 2, 404)

    def broken(self):
        self.give(b"no", 2, 599)

    def moved(self):
        self.send_response(302)
        self.send_header("Location", "/good.txt")
        self.end_headers()

    def in_circles(self):
        self.send_response(302)
        self.send_header("Location", "/in_circles")
        self.end_headers()

    def to_a_file(self):
        self.send_response(302)
        self.send_header("Location", "file:///etc/passwd")
        self.end_headers()

    def garbage(self):
        self.wfile.write(b"\x1b[2Jhello\r\n\r\n")

    def silent(self):
        self.server.go_on.wait(30)

    def half(self):
        self.send_response(200)
        self.send_header("Content-Length", str(SIZE))
        self.end_headers()
        self.wfile.write(CONTENT[: SIZE // 2])
        self.wfile.flush()
        self.server.go_on.wait(30)


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.asked, server.go_on = [], threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    yield server
    server.go_on.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """The text `heron`, whose address is closed, and no proxy."""
    monkeypatch.setitem(KNOWN, "heron", TEXT)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize("answer", ["good.txt", "unannounced", "moved"])
def test_fetch(charlm, server, tmp_path, answer):
    code, out, err = charlm("fetch", "heron", "--url", f"{server.url}/{answer}")
    path = "data/heron.txt"
    assert (code, out) == (0, "")
    assert err == (
        f"{path}: {SIZE:,} bytes with the right SHA-256; learn it with: charlm train {path}\n"
    )
    assert (tmp_path / path).read_bytes() == CONTENT
    assert [q.name for q in (tmp_path / "data").iterdir()] == ["heron.txt"]
    assert all(agent.startswith("charlm/") for _, agent in server.asked)


def test_known_address_and_another_folder(charlm, server, tmp_path, monkeypatch):
    monkeypatch.setitem(KNOWN, "heron", TEXT._replace(url=f"{server.url}/good.txt"))
    code, _, err = charlm("fetch", "heron", "--to", "texts/old")
    assert (code, err.partition(":")[0]) == (0, "texts/old/heron.txt")
    assert (tmp_path / "texts/old/heron.txt").read_bytes() == CONTENT


def test_there_already(charlm, server, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/heron.txt").write_bytes(CONTENT)
    code, out, err = charlm("fetch", "heron", "--url", f"{server.url}/good.txt")
    assert (code, out) == (0, "")
    assert err == f"data/heron.txt: is there already, {SIZE:,} bytes with the right SHA-256\n"
    assert server.asked == []


@pytest.mark.parametrize("content", [b"my own notes", WRONG])
def test_another_file_is_never_written_over(charlm, server, tmp_path, content):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/heron.txt").write_bytes(content)
    code, out, err = charlm("fetch", "heron", "--url", f"{server.url}/good.txt")
    assert (code, out, err) == (
        1, "", "charlm: data/heron.txt: is there and is not heron as it is known, and is not written "
        "over; move it away, or choose another folder with --to\n"
    )  # fmt: skip
    assert (tmp_path / "data/heron.txt").read_bytes() == content
    assert server.asked == []


def test_what_came_meanwhile_is_not_written_over(server, tmp_path):
    path = tmp_path / "heron.txt"
    pieces = fetching.fetch(TEXT, path, f"{server.url}/good.txt")
    next(pieces)
    path.write_text("my own notes")
    with pytest.raises(TextError, match="is not written over"):
        list(pieces)
    assert path.read_text() == "my own notes"
    assert os.listdir(tmp_path) == ["heron.txt"]


TRY = "try again, or name a mirror with --url"
LIES = [
    ("wrong", f"is not heron, whose SHA-256 is {SHA256[:12]}..., got "
     f"{hashlib.sha256(WRONG).hexdigest()[:12]}...; {TRY}"),
    ("truncated", f"must give the {SIZE:,} bytes of heron, got 1,000 bytes; {TRY}"),
    ("page", f"must give the {SIZE:,} bytes of heron, got 25 bytes; {TRY}"),
    ("empty", f"must give the {SIZE:,} bytes of heron, got 0 bytes; {TRY}"),
    ("torn_chunks", f"cannot be fetched (IncompleteRead); {TRY}"),
    ("larger", f"must give the {SIZE:,} bytes of heron, got more; {TRY}"),
    ("endless", f"must give the {SIZE:,} bytes of heron, got more; {TRY}"),
    ("missing", f"answers 404 Not Found; {TRY}"),
    ("broken", f"answers 599 in a way that is not known; {TRY}"),
    ("in_circles", f"answers 302 Found; {TRY}"),
    ("to_a_file", f"answers 302 Found; {TRY}"),
    ("garbage", f"cannot be fetched (BadStatusLine); {TRY}"),
    ("silent", f"cannot be fetched (timed out); {TRY}"),
    ("half", f"cannot be fetched (timed out); {TRY}"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "message"), LIES, ids=[q[0] for q in LIES])
def test_what_goes_wrong_is_one_line_and_leaves_nothing(
    charlm, server, tmp_path, monkeypatch, answer, message
):
    if "timed out" in message:
        monkeypatch.setattr(fetching, "_TIMEOUT_S", 0.3)
    url = f"{server.url}/{answer}"
    code, out, err = charlm("fetch", "heron", "--url", url, "--to", "a/b")
    assert (code, out, err) == (1, "", f"charlm: {url}: {message}\n")
    assert os.listdir(tmp_path) == []


def test_no_more_is_read_than_needed(server):
    with closing(fetching._pieces(f"{server.url}/endless", 100_001)) as pieces:
        assert sum(map(len, pieces)) == 100_001


def test_on_a_terminal_there_is_a_bar(server, tmp_path):
    shown = in_a_terminal(tmp_path, "fetch", "tinyshakespeare", "--url", f"{server.url}/wrong")
    assert re.search(r"17%\|.*\| 195k/1.12M", shown), shown
    assert shown.count("must give the 1,115,394 bytes of tinyshakespeare, got 195,000 bytes") == 1


def test_offline(charlm, tmp_path, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/heron.txt"
        code, out, err = charlm("fetch", "heron", "--url", url)
    assert (code, out) == (1, "")
    assert err == f"charlm: {url}: cannot be fetched (Connection refused); {TRY}\n"

    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    code, out, err = charlm("fetch", "tinyshakespeare")
    assert (code, out, err) == (
        1, "", f"charlm: {KNOWN['tinyshakespeare'].url}: cannot be fetched (Name or service not "
        f"known); {TRY}\n"
    )  # fmt: skip
    assert os.listdir(tmp_path) == []


def test_proxy_of_the_environment(charlm, server, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    code, _, err = charlm("fetch", "heron", "--url", "http://text.invalid/good.txt")
    assert code == 0, err
    assert server.asked[0][0] == "http://text.invalid/good.txt"


ERRORS = [
    (["nope"], "nope: is no text that can be fetched; there is tinyshakespeare, heron"),
    (["heron", "--url", "file:///etc/passwd"],
     "--url: must begin with http:// or https://, got 'file:///etc/passwd'"),
    (["heron", "--url", "heron.txt"],
     "--url: must begin with http:// or https://, got 'heron.txt'"),
    (["heron", "--url", "http://"], f"http://: cannot be fetched (no host given); {TRY}"),
    (["heron", "--url", "http://127.0.0.1:x/"],
     f"http://127.0.0.1:x/: cannot be fetched (InvalidURL); {TRY}"),
    (["heron", "--to", "file"], "file: is no folder; choose another with --to"),
    (["heron", "--to", "taken"], "taken/heron.txt: is no file; choose another folder with --to"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), ERRORS, ids=[" ".join(q[0]) for q in ERRORS])
def test_errors_are_one_line(charlm, tmp_path, arguments, message):
    (tmp_path / "file").touch()
    (tmp_path / "taken/heron.txt").mkdir(parents=True)
    assert charlm("fetch", *arguments) == (1, "", f"charlm: {message}\n")
    assert sorted(os.listdir(tmp_path)) == ["file", "taken"]


def test_full_disk(charlm, server, tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, out, err = charlm("fetch", "heron", "--url", f"{server.url}/good.txt")
    assert (code, out, err) == (
        1, "", "charlm: data/heron.txt: cannot be written (No space left on device)\n"
    )  # fmt: skip
    assert os.listdir(tmp_path) == []


def test_list(charlm, monkeypatch):
    monkeypatch.delitem(KNOWN, "heron")
    code, out, err = charlm("fetch")
    assert (code, err) == (0, "")
    assert out == (
        "tinyshakespeare, 1.1 MB, public domain\n"
        "  40,000 lines of Shakespeare's plays, the benchmark of char-rnn\n"
        f"  {KNOWN['tinyshakespeare'].url}\n"
    )
    code, _, err = charlm("fetch", "--url", "http://127.0.0.1/x")
    assert code == 2
    assert "--url needs the NAME of the text" in err


def test_known_texts_are_well_formed():
    for name, text in KNOWN.items():
        assert name == text.name
        assert re.fullmatch("[0-9a-f]{64}", text.sha256)
        assert re.fullmatch(r"[\w.-]+", name)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_leaves_nothing(server, tmp_path, number, code):
    process = subprocess.Popen(
        [sys.executable, "-m", "charlm", "fetch", "tinyshakespeare", "--url", f"{server.url}/half"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    partial = tmp_path / "data/tinyshakespeare.txt.tmp"
    deadline = time.monotonic() + 60
    while not partial.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert os.listdir(tmp_path) == []
