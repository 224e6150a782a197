"""The texts that `charlm fetch` knows: where each lies, and what it must be byte for byte.

A text is here because results are quoted for it; the digest is what makes them comparable.
"""

from collections.abc import Mapping
from typing import NamedTuple


class KnownText(NamedTuple):
    """Describe a text that can be fetched.

    Attributes:
        name: what it is called, and its file but for the `.txt`.
        url: where it lies.
        nbytes: the file's size.
        sha256: the file's digest.
        about: what it is.
        licence: whose it is.
    """

    name: str
    url: str
    nbytes: int
    sha256: str
    about: str
    licence: str


_ALL = (
    KnownText(
        name="tinyshakespeare",
        url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        nbytes=1_115_394,
        sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        about="40,000 lines of Shakespeare's plays, the benchmark of char-rnn",
        licence="public domain",
    ),
)
KNOWN: Mapping[str, KnownText] = {text.name: text for text in _ALL}
