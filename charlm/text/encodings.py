"""What might these bytes be? Advice for a text that cannot be decoded, or was decoded wrongly.

    undecodable    the marks and habits of UTF-16, UTF-32, code page 949, 1252 and Latin-1
    decoded        characters that hardly any text has: controls, U+FFFD, too many different ones

Nothing is decoded by guessing: the advice names an `--encoding`, and its user decides.
"""

import codecs

import numpy as np

from charlm.errors import TextError
from charlm.text.vocabulary import UNKNOWN
from charlm.types import Ids

# Chinese novels have 3,000 to 5,000 different characters, and all of Korean 11,172.
_MOST_CHARACTERS = 20_000
_MOST_CONTROLS = 0.005
_MOST_LATE = 0.001
# In this order: the shorter mark begins the longer.
_MARKS = {
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}
_BYTES = "or learn its bytes as they are with --level byte"


def guess(content: bytes) -> str:
    """Return advice for bytes that are not what was asked for.

    Args:
        content: a file's beginning.
    """
    for name, marks in _MARKS.items():
        if content.startswith(marks):
            return f"it looks like {name}, try --encoding {name}"
    found = np.frombuffer(content, np.uint8)
    if wide := _wide(found):
        return f"it looks like {wide}, try --encoding {wide}"
    if _controls(np.bincount(found, minlength=256)) > _MOST_CONTROLS:
        return f"it looks like no text at all; name another file, {_BYTES}"
    if _korean(content):
        return "it looks like cp949, try --encoding cp949"
    # 0x80 to 0x9F are controls in Latin-1, and quotes and dashes in code page 1252.
    name = "cp1252" if ((found >= 0x80) & (found < 0xA0)).any() else "latin-1"
    return f"it looks like {name}, try --encoding {name}, {_BYTES}"


def _wide(found: Ids) -> str | None:
    """Recognise UTF-16 without a mark: every other byte of western text is zero."""
    even, odd = (found[k::2] == 0 for k in (0, 1))
    if odd.size and even.mean() < 0.05 and odd.mean() > 0.4:
        return "utf-16-le"
    if odd.size and odd.mean() < 0.05 and even.mean() > 0.4:
        return "utf-16-be"
    return None


def _korean(content: bytes) -> bool:
    """Recognise code page 949: it decodes, and mostly to Hangul."""
    # A pair may be cut at the end.
    text = codecs.getincrementaldecoder("cp949")("replace").decode(content)
    wide = [c for c in text if c >= "\x80"]
    hangul = sum("가" <= c <= "힣" for c in wide)
    return UNKNOWN not in wide and hangul > 0.5 * len(wide)


def _controls(counts: Ids) -> float:
    r"""Return the share of control characters, but for those of plain text and of terminals."""
    strange = [k for k in range(32) if chr(k) not in "\t\n\v\f\r\x1b"] + [127]
    return float(counts[strange].sum() / max(1, counts.sum()))


def check(counts: Ids, name: str, V: int, *, valid_utf8: bool = False) -> None:
    """Refuse a text that looks binary, or like the outcome of a wrong decoding.

    Args:
        counts: how often each code point occurs.
        name: the text's.
        V: size of its vocabulary, rare characters folded.
        valid_utf8: it was read in an 8-bit encoding, and is valid UTF-8 with more than ASCII.

    Raises:
        TextError: it does.
    """
    total = int(counts.sum())
    codes = np.flatnonzero(counts)
    swapped = int(counts[codes[(codes >= 256) & (codes % 256 == 0)]].sum())
    controls = _controls(counts[:256])
    late = int(counts[0x80:0xA0].sum() + counts[ord(UNKNOWN)])
    if counts[0xD800:0xE000].any():
        problem = f"holds lone surrogates, which are no characters; name its --encoding, {_BYTES}"
    elif valid_utf8:
        problem = "is valid UTF-8 and was read as something else; leave --encoding out"
    elif counts[0] > 0.1 * total:
        problem = (
            "is full of NUL characters, like UTF-16 that was read as something else; try "
            "--encoding utf-16-le or utf-16-be"
        )
    elif controls > _MOST_CONTROLS:
        problem = (
            f"looks binary, it is {controls:.1%} control characters; name another file, {_BYTES}"
        )
    elif swapped > 0.9 * total:
        problem = (
            "looks as if its bytes were the wrong way round; try --encoding utf-16-be instead of "
            "utf-16-le, or the reverse"
        )
    elif late > max(3, _MOST_LATE * total):
        problem = (
            f"looks wrongly decoded, it holds {late:,} characters from U+0080 to U+009F or U+FFFD; "
            f"name its --encoding, such as cp1252, {_BYTES}"
        )
    elif V > _MOST_CHARACTERS:
        problem = (
            f"has {V:,} different characters, more than any script; name its --encoding, fold the "
            f"rare ones with --set data.min_count=5, {_BYTES}"
        )
    else:
        return
    raise TextError(name, problem)
