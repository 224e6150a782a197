"""One self-contained page: no network, and nothing of a text is ever taken for markup.

The page's own policy allows no address at all, and no script but the one whose digest it names.
"""

import base64
import hashlib
import json
from html import escape
from pathlib import Path
from typing import Any

from charlm._version import __version__
from charlm.errors import DrawingError
from charlm.storage.atomic import replacing
from charlm.terminal import printable

# What a page of charlm's begins with: a file that begins otherwise is not replaced.
_MARK = "<!doctype html>\n<!-- a page of charlm -->\n"
_HERE = Path(__file__).parent


def page(title: str, body: str) -> str:
    """Wrap what a page shows.

    Args:
        title: as text.
        body: as markup.
    """
    css = (_HERE / "page.css").read_text(encoding="utf-8")
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return f"""{_MARK}<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{safe(title)}</title>
<style>{css}</style>
{body}
<footer>Written by charlm {__version__}.</footer>
<div id="tip" role="status" hidden></div>
<script>{script}</script>
</html>
"""


def safe(text: object) -> str:
    """Return text as markup that shows it; what does not print is written as an escape."""
    return escape(printable(str(text)))


def data(name: str, content: Any) -> str:
    """Return what the page's script reads, as an element of this id."""
    # Nothing in it can end the element, or begin another.
    packed = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{packed}</script>'


def write(path: Path, content: str) -> None:
    """Write a page; one that is there is replaced.

    Raises:
        DrawingError: what is there is no page of charlm's, or it cannot be written.
    """
    try:
        if path.exists():
            with path.open("rb") as file:
                ours = file.read(len(_MARK)) == _MARK.encode()
            if not ours:
                raise DrawingError(
                    path, "is there already, and no page of charlm's", "name another --out"
                )
        with replacing(path) as file:
            file.write(content.encode())
    except OSError as error:
        raise DrawingError(path, f"cannot be written ({error.strerror or error})") from None
