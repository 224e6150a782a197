"""Fetching a known text: from a server of the test's own, which also lies, breaks off and hangs."""

import hashlib
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from helpers import refused

from charlm.errors import TextError
from charlm.storage import fetch as fetching
from charlm.storage.fetch import KNOWN_TEXTS, KnownText, fetch

CONTENT = b"Sing, heavenly heron, of the ferryman.\n" * 5000
SIZE = len(CONTENT)
TEXT = KnownText("http://127.0.0.1:1/heron", SIZE, hashlib.sha256(CONTENT).hexdigest(), "verse")
# What the server answers to each path: status, headers, content.
LENGTH = {"Content-Length": str(SIZE)}
ANSWERS = {
    "good": (200, LENGTH, CONTENT),
    "unannounced": (200, {}, CONTENT),
    "moved": (302, {"Location": "/good"}, b""),
    "wrong": (200, LENGTH, CONTENT.swapcase()),
    "truncated": (200, LENGTH, CONTENT[:1000]),
    "empty": (200, {"Content-Length": "0"}, b""),
    "longer": (200, {}, CONTENT * 2),
    "torn_chunks": (200, {"Transfer-Encoding": "chunked"}, b"%x\r\n" % SIZE + CONTENT[:1000]),
    "missing": (404, {}, b"no"),
    "in_circles": (302, {"Location": "/in_circles"}, b""),
    "to_a_file": (302, {"Location": "file:///etc/passwd"}, b""),
}


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.rpartition("/")[2]
        self.server.asked.append(self.path)
        if name == "garbage":
            self.wfile.write(b"\x1b[2Jhello\r\n\r\n")
        elif name in ANSWERS:
            status, headers, content = ANSWERS[name]
            self.send_response(status)
            for header in headers.items():
                self.send_header(*header)
            self.end_headers()
            self.wfile.write(content)
        else:
            self.server.go_on.wait(30)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    """A server, and the known text `heron`, whose own address is closed."""
    monkeypatch.setitem(KNOWN_TEXTS, "heron", TEXT)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
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


@pytest.mark.parametrize("answer", ["good", "unannounced", "moved"])
def test_fetch(server, tmp_path, monkeypatch, answer):
    monkeypatch.setitem(KNOWN_TEXTS, "heron", TEXT._replace(url=f"{server.url}/{answer}"))
    sizes = []
    path = fetch("heron", tmp_path / "a/b", progress=sizes.append)
    assert path == tmp_path / "a/b/heron.txt"
    assert path.read_bytes() == CONTENT
    assert os.listdir(path.parent) == ["heron.txt"]
    assert sum(sizes) == SIZE
    server.asked.clear()
    assert fetch("heron", tmp_path / "a/b") == path
    assert server.asked == [], "what is there already is not fetched again"


PROBLEMS = {
    "wrong": "195,000 bytes that are not the 195,000 of heron", "truncated": "1,000 bytes that are",
    "empty": "0 bytes", "longer": "195,001 bytes", "torn_chunks": "IncompleteRead",
    "missing": "Not Found", "in_circles": "infinite loop", "to_a_file": "Found",
    "garbage": "hello", "silent": "timed out",
}  # fmt: skip


@pytest.mark.parametrize(("answer", "problem"), PROBLEMS.items(), ids=PROBLEMS)
def test_what_goes_wrong_leaves_nothing(server, tmp_path, monkeypatch, answer, problem):
    monkeypatch.setattr(fetching, "_TIMEOUT_S", 0.3)
    url = f"{server.url}/{answer}"
    with pytest.raises(TextError) as error:
        fetch("heron", tmp_path / "a/b", url)
    assert error.value.where == url
    assert error.value.problem.startswith("cannot be fetched (")
    assert problem in error.value.problem
    assert str(error.value).isprintable()
    assert os.listdir(tmp_path) == []


def test_another_file_is_never_written_over(server, tmp_path):
    path = tmp_path / "heron.txt"
    for content, size in ((b"my own notes", 12), (CONTENT.swapcase(), "195,000")):
        path.write_bytes(content)
        with refused(
            TextError, path, f"cannot be fetched ({size} bytes that are not the 195,000 of"
        ):
            fetch("heron", tmp_path, f"{server.url}/good")
        assert path.read_bytes() == content
    assert server.asked == []
    path.unlink()
    with refused(TextError, path, "cannot be fetched (another file was written there meanwhile)"):
        fetch("heron", tmp_path, f"{server.url}/good", lambda _: path.write_bytes(b"notes"))
    assert os.listdir(tmp_path) == ["heron.txt"]
    assert path.read_bytes() == b"notes"


@pytest.mark.parametrize("scheme", ["file://", "ftp://", "data:,", ""])
def test_only_http_is_fetched(tmp_path, scheme):
    (tmp_path / "text").write_bytes(CONTENT)
    with refused(TextError, "url", f"must begin with http:// or https://, got '{scheme}/"):
        fetch("tinyshakespeare", tmp_path / "to", f"{scheme}{tmp_path}/text")
    assert not (tmp_path / "to").exists()


def test_full_disk(server, tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    problem = "cannot be fetched ([Errno 28] No space left on device)"
    with refused(TextError, tmp_path / "heron.txt", problem):
        fetch("heron", tmp_path, f"{server.url}/good")
    assert os.listdir(tmp_path) == []


def test_offline_and_proxy(server, tmp_path, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(TextError, match="Connection refused"):
        fetch("heron", tmp_path)
    for url in ("http://", "http://127.0.0.1:x/"):
        with pytest.raises(TextError, match="cannot be fetched"):
            fetch("heron", tmp_path, url)
    monkeypatch.setenv("http_proxy", server.url)
    assert fetch("heron", tmp_path, "http://text.invalid/good").is_file()
    assert server.asked == ["http://text.invalid/good"]
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(TextError, match="Name or service not known"):
        fetch("tinyshakespeare", tmp_path)


def test_command(charlm, server, tmp_path):
    url, path = f"{server.url}/good", "data/heron.txt"
    assert charlm("fetch", "heron", "--url", url) == (
        0, "", f"{path}: 195,000 bytes with the right SHA-256; learn it with: charlm train {path}\n"
    )  # fmt: skip
    assert charlm("fetch", "nope") == (
        1, "", "charlm: nope: is no known text; there is tinyshakespeare, heron\n"
    )  # fmt: skip
    code, out, err = charlm("fetch")
    assert (code, err) == (0, "")
    assert out.startswith("tinyshakespeare, 1.1 MB\n  40,000 lines of Shakespeare's plays, ")
