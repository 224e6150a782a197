r"""Advice for a text that cannot be decoded, or was decoded wrongly, and notes on what it holds.

    undecodable    it is damaged or cut, in the encoding asked for; another encoding; or neither
    decoded        refused where it is full of controls, or of C1 controls, or its bytes are swapped
                   noted where it holds U+FFFD, controls, lone \r, byte order marks within

Nothing is decoded by guessing: the advice names an `--encoding`, never the one that was tried, and
the user decides. What is valid UTF-8, and was read as such, is a text in no other encoding.
"""

import codecs
import re
import unicodedata

import numpy as np

from charlm.errors import TextError
from charlm.text.guessing import UTF16, almost_utf8, recognize
from charlm.text.vocabulary import UNKNOWN
from charlm.types import Ids

# Chinese novels have 3,000 to 5,000 different characters, and all of Korean 11,172.
_MOST_CHARACTERS = 20_000
# A log of a chat has some per cent of them, an executable or random bytes a tenth and more.
_MOST_CONTROLS = 0.05
_MOST_CONTROLS_UTF8 = 0.2
_MOST_LATE = 0.001
_CONTROLS = [k for k in range(32) if chr(k) not in "\t\n\v\f\r\x1b"] + [127]
_SURROGATE = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
# Combining marks that letters are composed with: of western scripts, of kana, and vowels and
# final consonants of Hangul.
COMBINING = re.compile("[\u0300-\u036f\u3099\u309a\u1161-\u1175\u11a8-\u11c2]")
_BYTES = "or learn its bytes as they are with --level byte"
_TRY = f"it looks like {{0}}, try --encoding {{0}}, {_BYTES}"
_UNKNOWN = f"name its --encoding, {_BYTES}"
# How much of a file is looked at.
PART_BYTES = 1 << 15


def same(name: str, other: str) -> bool:
    """Return whether two names are those of one encoding, with a byte order mark or without."""
    one, two = (codecs.lookup(each).name.removesuffix("-sig") for each in (name, other))
    return one == two


def advise(content: bytes, tried: str, offset: int) -> str:
    """Return advice for a file that is not in the encoding `tried`.

    Args:
        content: a part of it, around the first byte that cannot be decoded.
        tried: the encoding.
        offset: the byte's.
    """
    if _SURROGATE.search(content) and almost_utf8(_SURROGATE.sub("€".encode(), content)):
        return "it holds surrogates, as CESU-8 does beyond U+FFFF; save it again as UTF-8"
    found = recognize(content)
    if found is None:
        counts = np.bincount(np.frombuffer(content, np.uint8), minlength=256)
        if _controls(counts) > _MOST_CONTROLS:
            return f"it looks like no text at all; name another file, {_BYTES}"
        return f"its encoding cannot be told from its bytes; {_UNKNOWN}"
    if same(found, tried):
        return (
            f"the rest looks like {tried}, so it is damaged or cut at byte {offset:,}; cut it "
            f"there, save it again, {_BYTES}"
        )
    if found == "utf-8":
        return "it looks like utf-8, leave --encoding out"
    return _TRY.format(found)


def _controls(counts: Ids) -> float:
    """Return the fraction of control characters that are not usual in texts."""
    return float(counts[_CONTROLS].sum() / max(1, counts.sum()))


def check(counts: Ids, name: str, V: int, tried: str, content: bytes, *, valid_utf8: bool) -> None:
    """Refuse a text that looks binary, or wrongly decoded.

    Args:
        counts: of each code point.
        name: the text's.
        V: size of its vocabulary, rare characters folded.
        tried: the encoding that it was read in.
        content: its first bytes.
        valid_utf8: it was read in another encoding, and is valid UTF-8 beyond ASCII.

    Raises:
        TextError: it does.
    """
    total, codes, is_utf8 = int(counts.sum()), np.flatnonzero(counts), same(tried, "utf-8")
    swapped = int(counts[codes[(codes >= 256) & (codes % 256 == 0)]].sum())
    controls, late = _controls(counts[:256]), int(counts[0x80:0xA0].sum())
    advice, otherwise = "", _UNKNOWN
    if counts[0xD800:0xE000].any():
        problem = "holds lone surrogates, which are not characters"
    elif valid_utf8:
        problem, advice = "is valid UTF-8 and was read as something else", "leave --encoding out"
    elif controls > (_MOST_CONTROLS_UTF8 if is_utf8 else _MOST_CONTROLS):
        problem = f"looks binary, it is {controls:.1%} control characters"
        otherwise = f"name another file, {_BYTES}"
    elif swapped > 0.9 * total and not is_utf8:
        problem = "looks as if its bytes were swapped"
        advice = f"try --encoding utf-16-{'le' if same(tried, 'utf-16-be') else 'be'}"
    elif late > max(3, _MOST_LATE * total) and not is_utf8:
        problem = f"looks wrongly decoded, it holds {late:,} characters of U+0080 to U+009F"
    elif V > _MOST_CHARACTERS:
        problem = f"has {V:,} different characters, more than any script"
        advice = f"fold the rare ones with --set data.min_count=5, {_BYTES}"
        advice = advice if is_utf8 else f"name its --encoding, {advice}"
    else:
        return
    if not advice:
        found, advice = recognize(content), otherwise
        # Of what was decoded as UTF-8, only UTF-16 can be another encoding.
        if found and not same(found, tried) and (found in UTF16 or not is_utf8):
            advice = _TRY.format(found)
    raise TextError(name, problem, advice)


def unusual(counts: Ids) -> list[str]:
    r"""Return a note where a text, \r\n replaced, holds what is rarely meant, with how many."""
    kinds = {
        "U+FFFD (what could not be decoded)": [ord(UNKNOWN)],
        "carriage returns without a newline": [ord("\r")],
        "byte order marks inside": [0xFEFF],
        "control characters": _CONTROLS,
        "of U+0080 to U+009F": range(0x80, 0xA0),
    }
    numbers = {kind: int(counts[np.array(codes)].sum()) for kind, codes in kinds.items()}
    held = [f"{number:,} {kind}" for kind, number in numbers.items() if number]
    if not held:
        return []
    return [f"the text holds {', '.join(held)}; they are learned as they are, unless removed"]


def has_both_forms(counts: Ids) -> bool:
    """Return whether a text has combining marks, and letters that are composed with such marks."""
    characters = [*map(chr, np.flatnonzero(counts))]
    marks = [c for c in characters if COMBINING.match(c)]
    decomposed = (unicodedata.normalize("NFD", c)[1:] for c in characters) if marks else ()
    return any(COMBINING.search(rest) for rest in decomposed)
