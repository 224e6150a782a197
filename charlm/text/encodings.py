"""Advice for a text that cannot be decoded, or was decoded wrongly.

    undecodable    byte order marks and byte statistics of UTF-16, UTF-32, cp949, cp1252, Latin-1
    decoded        characters that are rare in any text: controls, U+FFFD, too many different ones

Nothing is decoded by guessing: the advice names an `--encoding`, and the user decides.
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
# In this order, since UTF-32's first mark begins with UTF-16's.
_MARKS = {
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}
_BYTES = "or learn its bytes as they are with --level byte"


def guess(content: bytes) -> str:
    """Return advice for the beginning of a file that is not in the encoding asked for."""
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
    if found.size < 2:
        return None
    even, odd = ((found[k::2] == 0).mean() for k in (0, 1))
    if min(even, odd) < 0.05 and max(even, odd) > 0.4:
        return "utf-16-le" if odd > even else "utf-16-be"
    return None


def _korean(content: bytes) -> bool:
    """Recognise code page 949: it decodes, and mostly to Hangul."""
    # The last character may be incomplete.
    text = codecs.getincrementaldecoder("cp949")("replace").decode(content)
    wide = [c for c in text if c >= "\x80"]
    hangul = sum("가" <= c <= "힣" for c in wide)
    return UNKNOWN not in wide and hangul > 0.5 * len(wide)


def _controls(counts: Ids) -> float:
    r"""Return the fraction of control characters that are not usual in texts."""
    strange = [k for k in range(32) if chr(k) not in "\t\n\v\f\r\x1b"] + [127]
    return float(counts[strange].sum() / max(1, counts.sum()))


def check(counts: Ids, name: str, V: int, *, valid_utf8: bool = False) -> None:
    """Refuse a text that looks binary, or wrongly decoded.

    Args:
        counts: of each code point.
        name: the text's.
        V: size of its vocabulary, rare characters folded.
        valid_utf8: it was read in another encoding, and is valid UTF-8 beyond ASCII.

    Raises:
        TextError: it does.
    """
    total, codes = int(counts.sum()), np.flatnonzero(counts)
    swapped = int(counts[codes[(codes >= 256) & (codes % 256 == 0)]].sum())
    controls = _controls(counts[:256])
    late = int(counts[0x80:0xA0].sum() + counts[ord(UNKNOWN)])
    advice = f"name its --encoding, {_BYTES}"
    if counts[0xD800:0xE000].any():
        problem = "holds lone surrogates, which are not characters"
    elif valid_utf8:
        problem, advice = "is valid UTF-8 and was read as something else", "leave --encoding out"
    elif counts[0] > 0.1 * total:
        problem = "is full of NUL characters, like UTF-16 that was read as something else"
        advice = "try --encoding utf-16-le or utf-16-be"
    elif controls > _MOST_CONTROLS:
        problem = f"looks binary, it is {controls:.1%} control characters"
        advice = f"name another file, {_BYTES}"
    elif swapped > 0.9 * total:
        problem = "looks as if its bytes were swapped"
        advice = "try --encoding utf-16-be instead of utf-16-le, or the reverse"
    elif late > max(3, _MOST_LATE * total):
        problem = f"looks wrongly decoded, it holds {late:,} characters of U+0080 to U+009F, U+FFFD"
        advice = f"name its --encoding, such as cp1252, {_BYTES}"
    elif V > _MOST_CHARACTERS:
        problem = f"has {V:,} different characters, more than any script"
        advice = f"name its --encoding, fold the rare ones with --set data.min_count=5, {_BYTES}"
    else:
        return
    raise TextError(name, problem, advice)
