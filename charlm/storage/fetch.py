"""Download a known text, and keep it only if its size and SHA-256 are the right ones."""

import hashlib
import os
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.request import build_opener

from charlm.errors import TextError
from charlm.storage.atomic import replacing
from charlm.storage.files import followed, open_file

_TIMEOUT_S, _ADVICE = 30.0, "try another --url or --to"
_Progress = Callable[[int], object]


class KnownText(NamedTuple):
    """A text that results are quoted for: its address, its content, and what it is."""

    url: str
    nbytes: int
    sha256: str
    about: str


_TINY = KnownText(
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
    1_115_394,
    "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    "40,000 lines of Shakespeare's plays, the benchmark of char-rnn; public domain",
)
KNOWN_TEXTS = {"tinyshakespeare": _TINY}


def fetch(
    name: str, to: str | Path = "data", url: str | None = None, progress: _Progress = int
) -> Path:
    """Download one of `KNOWN_TEXTS` to `<to>/<name>.txt`, unless it is there already.

    `url` is another address of the same text, by http or https; `progress` is called with the size
    of each piece as it arrives.

    Raises:
        TextError: the address, or the file that is there, holds another text; nothing is left.
    """
    if name not in KNOWN_TEXTS:
        raise TextError(name, "is no known text", f"there is {', '.join(KNOWN_TEXTS)}")
    text, path, content = KNOWN_TEXTS[name], Path(to) / f"{name}.txt", b""
    where = str(path) if (there := os.path.lexists(path)) else url or text.url
    if not there and not where.lower().startswith(("http://", "https://")):
        raise TextError("url", f"must begin with http:// or https://, got {where!r}", _ADVICE)
    try:
        opener = build_opener()
        with open_file(followed(path)) if there else opener.open(where, None, _TIMEOUT_S) as source:
            while piece := source.read(min(1 << 16, text.nbytes + 1 - len(content))):
                content += piece
                progress(len(piece))
        if hashlib.sha256(content).hexdigest() != text.sha256:
            raise ValueError(f"{len(content):,} bytes that are not the {text.nbytes:,} of {name}")
        if not there:
            where = str(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                file.write(content)
                if os.path.lexists(path):
                    raise FileExistsError("another file was written there meanwhile")
    except (OSError, ValueError, HTTPException) as error:
        getattr(error, "close", int)()  # an HTTPError holds a socket
        reason = getattr(error, "reason", error)
        raise TextError(where, f"cannot be fetched ({reason!s:.80})", _ADVICE) from None
    return path
