"""Self-contained pages: no network, and no text is ever taken for markup.

A page is made of the parts of templates.html. Its policy allows no address at all, and no scripts
but those whose digests it names.
"""

import base64
import hashlib
import json
import os
import re
from functools import cache
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from charlm._version import __version__
from charlm.errors import DrawingError
from charlm.storage.atomic import replacing
from charlm.storage.files import open_file
from charlm.terminal import printable

# Every page of charlm begins with it; a file that begins otherwise is not replaced.
MARK = "<!doctype html>\n<!-- a page of charlm -->\n"
_HERE = Path(__file__).parent


class Markup(str):
    """Markup, as opposed to text that is to be escaped."""

    __slots__ = ()


def fill(part: str, /, **values: object) -> Markup:
    """Fill a part of templates.html with markup, with text, which is escaped, or lists of them."""
    shown = {name: _markup(value) for name, value in values.items()}
    return Markup(_templates()[part].substitute(shown))


def _markup(value: object) -> str:
    if isinstance(value, list):
        return "".join(map(_markup, value))
    return value if isinstance(value, Markup) else safe(value)


@cache
def _templates() -> dict[str, Template]:
    pattern = r"^<!-- ([\w ]+) -->\n(.*?)\n(?=\n<!-- |\Z)"
    parts = re.findall(pattern, read("templates.html"), re.M | re.S)
    return {name: Template(markup) for name, markup in parts}


def safe(text: object) -> str:
    """Return text as markup that shows it; what does not print is written as an escape."""
    return escape(printable(str(text)))


def page(title: str, lead: Markup | str, body: Markup, head: Markup | str = "") -> str:
    """Return a page: a header with the title, the lead and `head`, and a body of sections."""
    css, script = read("page.css"), read("page.js")
    frame = {"css": css, "script": script, "policy": policy(script), "version": __version__}
    return MARK + fill("page", title=title, lead=lead, head=head, body=body, **frame)


def read(name: str) -> Markup:
    """Return a file of this folder, such as a style sheet."""
    return Markup((_HERE / name).read_text(encoding="utf-8"))


def policy(*scripts: str) -> Markup:
    """Return a content policy that allows these scripts, styles, and nothing else."""
    digests = [base64.b64encode(hashlib.sha256(each.encode()).digest()) for each in scripts]
    named = " ".join(f"'sha256-{digest.decode()}'" for digest in digests)
    return Markup(
        f"default-src 'none'; style-src 'unsafe-inline'; script-src {named}; base-uri 'none'; "
        "form-action 'none'"
    )


def data(name: str, content: Any) -> Markup:
    """Return what the page's script reads, as an element of this id."""
    # Nothing in it can end the element, or begin another.
    packed = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
    return fill("data", id=name, content=Markup(packed))


def write_page(path: Path, content: str) -> None:
    """Write a page; one that is there is replaced.

    Raises:
        DrawingError: what is there is not a page of charlm's, or it cannot be written.
    """
    try:
        if os.path.lexists(path):
            with open_file(path) as file:
                begin = file.read(len(MARK))
            if begin != MARK.encode():
                problem = "is there already, and not a page of charlm's"
                raise DrawingError(path, problem, "name another --out")
        with replacing(path) as file:
            file.write(content.encode())
    except OSError as error:
        raise DrawingError(path, f"cannot be written ({error.strerror or error})") from None
