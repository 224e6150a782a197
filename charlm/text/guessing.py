"""Which encoding a text's bytes look like: one name, or none where there is any doubt.

    bytes --each encoding--> characters --each language--> plausible?     --> one plausible text

A decoding is plausible in a language where nearly all of its characters beyond ASCII are letters
of that language's alphabet, or of its script with the expected share of common letters. An
encoding is named only where all plausible decodings are the same text. `scripts/bench decoding`
measures it, docs/reliability.md has the table.
"""

import codecs
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

# In this order, since UTF-32's first mark begins with UTF-16's.
_MARKS = {
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}
UTF16 = ("utf-16-le", "utf-16-be")
# The first of several encodings that decode a text alike is named.
_ALPHABETS = {
    ("latin-1", "cp1252", "iso-8859-15"): (
        "äöüßé", "éèêëàâçîïôùûœæ", "áéíóúñüºª", "àèéìòùî", "ãõçáéíóúâêôàüºª", "åäöæøé",
        "áéíóúýðþæö",
    ),
    ("cp1250", "iso-8859-2"): (
        "ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíľňóôšťúýž", "áéíóöőúüű", "ăâîşţ", "čćđšž",
    ),
    ("cp1254",): ("çğıöşüâîûİ",),
    ("cp1257",): ("ąčęėįšųūž", "āčēģīķļņšūž", "äõöüšž"),
}  # fmt: skip
_CJK = "\u3000-\u30ff\u4e00-\u9fff\uac00-\ud7a3\uff01-\uff5e"
_KOREAN = "이다는을의에가고하은를로한지도기리사자시들나그아서어일인해대수있정과으만라전보"
_HIRAGANA = "".join(map(chr, range(0x3041, 0x3094)))
_CHINESE = "的一是不了在有人我他大和到以要就出也你而子那得于之自年下作里"
_SIMPLIFIED = f"{_CHINESE}这个们来上为国地说时会可对生能着过发后"
_TRADITIONAL = f"{_CHINESE}這個們來上為國地說時會可對生能著過發後於裡"
# Encodings, letters of the script, its commonest letters and their least share.
_SCRIPTS = (
    (("cp1251", "koi8-r", "iso-8859-5", "cp866", "mac-cyrillic"), "\u0400-\u04ff",
     "оеаинтсрвлкі", 0.5),
    (("cp1253", "iso-8859-7"), "\u0370-\u03ff\u1f00-\u1fff", "αοιετσνηυρς", 0.5),
    (("cp1255", "iso-8859-8"), "\u0590-\u05ff", "יוהלאתרמבש", 0.55),
    (("cp1256", "iso-8859-6"), "\u0600-\u06ff", "الينمتربوه", 0.5),
    (("cp949",), _CJK, _KOREAN, 0.3),
    (("cp932", "euc-jp"), _CJK, _HIRAGANA, 0.35),
    (("gb18030",), _CJK, _SIMPLIFIED, 0.15),
    (("big5",), _CJK, _TRADITIONAL, 0.15),
)  # fmt: skip
# What says nothing about the language: ASCII without controls, and punctuation.
_PLAIN = re.compile(
    "[\t-\r\x1b -~\xa0\xa1\xab\xb7\xbb\xbf\u2013\u2014\u2018-\u201e\u2022\u2026\u2032"
    r"\u2033\u2039\u203a\u2116\u3001\u3002\u300a-\u300f\u30fb\u30fc\uff01\uff08\uff09\uff0c\uff1a\uff1b\uff1f]+"
    r"|(?<=[\s(\d])[\xa7\xa9\xb0]"
)
# What UTF-8 may be cut to at its end, which may be a letter in another encoding.
_CUT = re.compile(rb"[\xc2-\xf4][\x80-\xbf]{0,2}\Z")
# A word or two in a script is no evidence for a guess.
_LEAST = 20
# The share of implausible characters, besides one, that leaves a decoding plausible; the share that
# an encoding is named with; and the share of letters next to ASCII letters in a script.
_ODD = 0.005
_MOST_ODD = 0.05


def recognize(content: bytes) -> str | None:
    """Return the encoding that a text's bytes look like, perhaps damaged; None where in doubt."""
    for name, marks in _MARKS.items():
        if content.startswith(marks):
            return name
    if wide := _western_utf16(content):
        return wide
    whole = _CUT.sub(b"", content)
    if almost_utf8(whole):
        return "utf-8"
    plausible: dict[str, tuple[str, float, int]] = {}
    for name, text, odd, letters, least in _plausible(whole):
        first, share, more = plausible.get(text, (name, 1.0, -1))
        plausible[text] = first, min(share, odd / letters), max(more, letters - least)
    if len(plausible) != 1:
        return None
    ((first, share, more),) = plausible.values()
    return first if share <= _MOST_ODD and more >= 0 else None


def almost_utf8(content: bytes) -> bool:
    """Return whether what is beyond ASCII is valid UTF-8, but for a third of it at most."""
    wide = [c for c in content.decode("utf-8", "surrogateescape") if c >= "\x80"]
    invalid = sum("\ud800" <= c <= "\udfff" for c in wide)
    return len(wide) >= max(1, 3 * invalid)


def _plausible(content: bytes) -> Iterator[tuple[str, str, int, int, int]]:
    """Yield encoding, text, implausible characters, characters beyond ASCII, least evidence."""
    decoded: dict[str, tuple[str, Counter[str]]] = {}

    def decode(name: str) -> tuple[str, Counter[str]]:
        if name not in decoded:
            # The last character may be incomplete.
            text = codecs.getincrementaldecoder(name)("replace").decode(content)
            decoded[name] = text, Counter(_PLAIN.sub("", text))
        return decoded[name]

    for names, alphabets in _ALPHABETS.items():
        for name in names:
            text, wide = decode(name)
            for alphabet in alphabets:
                known = sum(n for c, n in wide.items() if c.lower() in alphabet or c in alphabet)
                odd = wide.total() - known
                if _is_few(odd, wide) and not text.isascii():
                    odd += _case_changes(text)
                    if _is_few(odd, wide):
                        yield name, text, odd, max(1, wide.total()), 1
    for names, letters, common, share in _SCRIPTS:
        for name in (*names, *UTF16):
            text, wide = decode(name)
            odd = sum(n for c, n in wide.items() if not re.match(f"[{letters}]", c))
            expected = sum(wide[c] for c in common) >= max(1, share * wide.total())
            if not (expected and _is_few(odd, wide)):
                continue
            odd += _case_changes(text)
            mixed = re.findall(f"[A-Za-z][{letters}]|[{letters}][A-Za-z]", text)
            if letters != _CJK and len(mixed) > _MOST_ODD * wide.total():
                continue
            if _is_few(odd, wide):
                yield name, text, odd, wide.total(), _LEAST


def _is_few(odd: int, wide: Counter[str]) -> bool:
    """Return whether no more characters are implausible than some damage explains."""
    return odd <= max(0, min(1 + _ODD * wide.total(), wide.total() - 1))


def _case_changes(text: str) -> int:
    """Return how often a capital follows a small letter, one of them beyond ASCII."""
    return sum(a.islower() and b.isupper() and max(a, b) >= "\x80" for a, b in pairwise(text))


def _western_utf16(content: bytes) -> str | None:
    """Recognise UTF-16 of western text: every other byte is zero."""
    found = np.frombuffer(content, np.uint8)
    if found.size < 2:
        return None
    even, odd = ((found[k::2] == 0).mean() for k in (0, 1))
    if min(even, odd) < 0.05 and max(even, odd) > 0.4:
        return "utf-16-le" if odd > even else "utf-16-be"
    return None
