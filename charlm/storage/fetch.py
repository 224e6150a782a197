"""Fetch a known text: download it, believe nothing, and keep it only if it is the right one.

    address --pieces--> <name>.txt.tmp --size, SHA-256--> <name>.txt

Never more than one byte beyond the known size is read. What is cut off, too long or another text
leaves nothing behind. Proxies are those of the environment, as urllib takes them.
"""

import hashlib
import http.client
import urllib.error
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.request import build_opener

from charlm._version import __version__
from charlm.errors import TextError
from charlm.storage.atomic import replacing
from charlm.text.known import KNOWN, KnownText

_PIECE_BYTES = 1 << 16
_TIMEOUT_S = 30.0
_ELSEWHERE = "try again, or name a mirror with --url"


def known(name: str) -> KnownText:
    """Find a text by its name.

    Raises:
        TextError: there is none.
    """
    if name not in KNOWN:
        raise TextError(name, "is no text that can be fetched", f"there is {', '.join(KNOWN)}")
    return KNOWN[name]


def is_there(text: KnownText, path: Path) -> bool:
    """Say whether a file is the text already.

    Raises:
        TextError: there is something else.
    """
    if path.parent.exists() and not path.parent.is_dir():
        raise TextError(path.parent, "is no folder", "choose another with --to")
    if not path.exists():
        return False
    if not path.is_file():
        raise TextError(path, "is no file", "choose another folder with --to")
    same = path.stat().st_size == text.nbytes
    if same:
        with path.open("rb") as file:
            same = hashlib.file_digest(file, "sha256").hexdigest() == text.sha256
    if not same:
        raise TextError(
            path,
            f"is there and is not {text.name} as it is known, and is not written over",
            "move it away, or choose another folder with --to",
        )
    return True


def fetch(text: KnownText, path: Path, url: str | None = None) -> Generator[int, None, None]:
    """Download a text to where nothing is yet.

    Args:
        text: which one.
        path: the file.
        url: from where, instead of the known address.

    Yields:
        How many bytes have come, a piece at a time. The file is there once the iterator is at its
        end; closing it before leaves nothing.

    Raises:
        TextError: the address gives nothing, or not the text, or the file cannot be written.
    """
    url = url or text.url
    digest, count = hashlib.sha256(), 0
    try:
        with closing(_pieces(url, text.nbytes + 1)) as pieces:
            # The address answers before a folder is made for it.
            piece = next(pieces, b"")
            with _folder(path.parent), replacing(path) as file:
                while piece:
                    digest.update(piece)
                    file.write(piece)
                    count += len(piece)
                    yield len(piece)
                    piece = next(pieces, b"")
                _check(text, url, count, digest.hexdigest())
                # Something may have come there meanwhile, which is not written over either.
                is_there(text, path)
    except OSError as error:
        raise TextError(path, f"cannot be written ({error.strerror or error})") from None


def _check(text: KnownText, url: str, count: int, sha256: str) -> None:
    if count != text.nbytes:
        got = f"{count:,} bytes" if count < text.nbytes else "more"
        raise TextError(
            url, f"must give the {text.nbytes:,} bytes of {text.name}, got {got}", _ELSEWHERE
        )
    if sha256 != text.sha256:
        raise TextError(
            url,
            f"is not {text.name}, whose SHA-256 is {text.sha256[:12]}..., got {sha256[:12]}...",
            _ELSEWHERE,
        )


def _pieces(url: str, most: int) -> Generator[bytes, None, None]:
    """Read what an address gives, up to `most` bytes."""
    if not url.lower().startswith(("http://", "https://")):
        raise TextError("--url", f"must begin with http:// or https://, got {url!r}")
    opener = build_opener()
    opener.addheaders = [("User-Agent", f"charlm/{__version__}")]
    try:
        with opener.open(url, timeout=_TIMEOUT_S) as answer:
            while most and (piece := answer.read(min(_PIECE_BYTES, most))):
                most -= len(piece)
                yield piece
    except urllib.error.HTTPError as error:
        error.close()
        meaning = http.client.responses.get(error.code, "in a way that is not known")
        raise TextError(url, f"answers {error.code} {meaning}", _ELSEWHERE) from None
    except http.client.HTTPException as error:
        # Its text is the other side's and may hold anything.
        raise _not_fetched(url, type(error).__name__) from None
    except (OSError, ValueError) as error:
        raise _not_fetched(url, getattr(error, "reason", error)) from None


def _not_fetched(url: str, reason: object) -> TextError:
    why = getattr(reason, "strerror", None) or str(reason)
    return TextError(url, f"cannot be fetched ({why})", _ELSEWHERE)


@contextmanager
def _folder(folder: Path) -> Iterator[None]:
    """Make a folder, and those above it, and take them away again where the block fails."""
    made = [q for q in (folder, *folder.parents) if not q.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for q in made:
            with suppress(OSError):
                q.rmdir()
        raise
