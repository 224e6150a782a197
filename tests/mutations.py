"""Good files that something was done to: to their bytes, or to what they mean.

Each function takes a generator, from which alone its result follows. What is changed in meaning
gets its sums and sizes made right again, so that it passes the first check.
"""

import copy
import io
import json
import warnings
import zipfile
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

STRANGE = [
    None, True, False, 0, 1, -1, 2, 3, 255, 2**31, 2**53, 2**63, 10**18, 10**300, 0.5, -0.0, 1e39,
    1e308, float("nan"), float("inf"), "", "a", "abc", "\x1b[2J", "\x9b", "\ud800", "\udc9b",
    "../../a", "/dev/zero", "a\0b", "lstm", "gru", "byte", "full", "auto", "one-hot", "9" * 400,
]  # fmt: skip
LENGTHS = [0, 1, 2, 3, 8, 9, 10**6, 10**12, 2**62]
TYPES = ["<f4", "<f8", "<i8", ">f4", "|O", "<U9", "|V8", "<c8", "|b1", "<f2", "<m8"]
NUMBERS = [0, 1, 255, 2**31 - 1, 2**32 - 1, 2**63, 2**64 - 1]
GOOD_TEXT = (
    "First line.\r\nSecond: naïve café, 한국어, 🙂\n\ttabbed \x1b[1mbold\x1b[0m\rlone\n".encode()
)
# Where characters of one kind begin and end: plain, control, accented, Hangul, surrogate, emoji.
RANGES = [(32, 126), (0, 31), (127, 255), (0x300, 0x36F), (0x2000, 0x206F), (0xAC00, 0xD7A3),
          (0xD800, 0xDFFF), (0xE000, 0xFFFF), (0x1F300, 0x1F6FF), (0x10000, 0x10FFFF)]  # fmt: skip


def rarely(rng: Random, n: int = 8) -> bool:
    """Say yes once in n times."""
    return rng.randrange(n) == 0


def at(rng: Random, size: int) -> int:
    return rng.randrange(max(1, size))


def words(rng: Random, most: int) -> str:
    """A text of any characters, lone surrogates too."""
    kinds = rng.choices(RANGES, k=rng.randint(1, 3))
    return "".join(chr(rng.randint(*rng.choice(kinds))) for _ in range(rng.randint(0, most)))


def value(rng: Random, depth: int = 3) -> Any:
    """Anything that JSON can hold."""
    kind = rng.randrange(6) if depth else 2
    if kind == 0:
        return [value(rng, depth - 1) for _ in range(rng.randrange(4))]
    if kind == 1:
        return {words(rng, 3): value(rng, depth - 1) for _ in range(rng.randrange(4))}
    return rng.choice(STRANGE)


def changed_bytes(rng: Random, content: bytes) -> bytes:
    """Flip, overwrite, insert, cut out, truncate."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        k = at(rng, len(changed))
        match rng.randrange(6):
            case 0 | 1 if changed:
                changed[k] ^= 1 << rng.randrange(8)
            case 2:
                width = rng.choice([1, 2, 4, 8])
                number = rng.choice(NUMBERS) % 256**width
                changed[k : k + width] = number.to_bytes(width, "little")
            case 3:
                changed[k:k] = rng.randbytes(rng.randint(1, 8))
            case 4:
                del changed[k : k + rng.randint(1, 64)]
            case 5:
                del changed[k:]
    return bytes(changed)


def changed_json(rng: Random, content: Any) -> Any:
    """Put something else in some places, leave keys out, add some."""
    whole = {"": copy.deepcopy(content)}
    for _ in range(rng.randint(1, 3)):
        here: Any = whole
        key: Any = ""
        while isinstance(here[key], dict | list) and here[key] and not rarely(rng):
            here = here[key]
            key = rng.choice(list(here) if isinstance(here, dict) else range(len(here)))
        found = here[key]
        match rng.randrange(6):
            case 0 if here is not whole:
                del here[key]
            case 1 if isinstance(found, dict):
                found[words(rng, 4)] = value(rng)
            case 2 if isinstance(found, list):
                found.append(value(rng))
            case 3 if isinstance(found, int | float) and not isinstance(found, bool):
                here[key] = rng.choice([-found, found + 1, found * 10**6])
            case _:
                here[key] = value(rng)
    return whole[""]


@cache
def members(path: Path) -> dict[str, bytes]:
    """Read all members of an archive."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archive_of(inside: dict[str, bytes], method: int = 0, *, twice: bool = False) -> bytes:
    """Write an archive, perhaps with a second member of a name."""
    out = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(out, "w", method) as archive:
        for name, content in inside.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
        if twice:
            archive.writestr("meta.json", b"{}")
    return out.getvalue()


@np.errstate(all="ignore")
def changed_array(rng: Random, content: bytes) -> bytes:
    """Change what an array says of itself, or its numbers."""
    try:
        array = np.load(io.BytesIO(content))
    except Exception:
        # It is none, or something was done to it already.
        return changed_bytes(rng, content)
    if array.dtype.kind not in "fi":
        return changed_bytes(rng, content)
    out = io.BytesIO()
    match rng.randrange(5):
        case 0:
            shape = tuple(rng.choices(LENGTHS, k=rng.randrange(5)))
            header = {"descr": rng.choice(TYPES), "fortran_order": rarely(rng, 4), "shape": shape}
            np.lib.format.write_array_header_1_0(out, header)
            out.write(rng.choice([array.tobytes(), b"", bytes(64)]))
        case 1:
            spoiled = array.ravel().copy()
            if spoiled.size and spoiled.dtype.kind == "f":
                numbers = [np.nan, np.inf, -np.inf, 3e38, 1e20, -1e20, 1e-45]
                spoiled[at(rng, array.size)] = rng.choice(numbers)
            np.save(out, spoiled.reshape(array.shape))
        case 2:
            np.lib.format.write_array(out, array, version=(2, 0))
        case 3:
            np.save(out, np.asfortranarray(array.astype(rng.choice(["f4", "f8", "i8", "f2"]))))
        case _:
            return changed_bytes(rng, content)
    return out.getvalue()


def checkpoint(rng: Random, path: Path) -> bytes:
    """A checkpoint that something was done to."""
    if rarely(rng, 4):
        return changed_bytes(rng, path.read_bytes())
    inside = dict(members(path))
    meta = json.loads(inside["meta.json"])
    for _ in range(rng.randint(1, 2)):
        name = rng.choice(sorted(inside))
        match rng.randrange(8):
            case 0 | 1 | 2:
                meta = changed_json(rng, meta)
            case 3 | 4 | 5:
                inside[name] = changed_array(rng, inside[name])
            case 6:
                content = inside.pop(name)
                if rarely(rng, 2):
                    other = rng.choice(["../../a.npy", "a\x1b[2J.npy", "/a", "b/", "é.npy"])
                    inside[other] = content
            case _:
                inside[rng.choice(["x.npy", "../x", "average/x.npy"])] = inside[name]
    if isinstance(meta, dict) and rarely(rng, 2):
        meta["arrays"] = [name.removesuffix(".npy") for name in inside if name != "meta.json"]
    if "meta.json" in inside:
        inside["meta.json"] = json.dumps(meta).encode()
    if rarely(rng, 16):
        inside["meta.json"] = changed_bytes(rng, inside.get("meta.json", b"{}"))
    method = zipfile.ZIP_DEFLATED if rarely(rng, 16) else zipfile.ZIP_STORED
    changed = archive_of(inside, method, twice=rarely(rng, 16))
    return changed_bytes(rng, changed) if rarely(rng) else changed


def pytorch_file(rng: Random, path: Path) -> bytes:
    """A .pt whose bytes are changed, or its pickle or its numbers and the sums made right again."""
    if rarely(rng, 3):
        return changed_bytes(rng, path.read_bytes())
    inside = dict(members(path))
    pickled = [name for name in inside if name.endswith("data.pkl")]
    name = rng.choice(pickled if rarely(rng, 2) else sorted(inside))
    inside[name] = changed_bytes(rng, inside[name])
    return archive_of(inside)


def safetensors_file(rng: Random, path: Path) -> bytes:
    """A .safetensors whose bytes are changed, or its header and the length made right again."""
    content = path.read_bytes()
    if rarely(rng, 3):
        return changed_bytes(rng, content)
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    if rarely(rng, 2):
        about = json.loads(header["__metadata__"]["charlm"])
        header["__metadata__"]["charlm"] = json.dumps(changed_json(rng, about))
    else:
        header = changed_json(rng, header)
    changed = json.dumps(header).encode()
    return len(changed).to_bytes(8, "little") + changed + content[8 + size :]


def text(rng: Random) -> bytes:
    """A text in some encoding, or something that is none."""
    match rng.randrange(6):
        case 0 | 1:
            return changed_bytes(rng, GOOD_TEXT * rng.randint(1, 3))
        case 2:
            return rng.randbytes(rng.randint(0, 200))
        case 3 | 4:
            encoding = rng.choice(["utf-8", "utf-16", "utf-16-be", "utf-32"])
            return words(rng, 80).encode(encoding, "surrogatepass")
        case _:
            return rng.choice([b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"]) + GOOD_TEXT


def history(rng: Random) -> bytes:
    """Lines of a history, and lines that are none."""
    lines = []
    for _ in range(rng.randint(0, 8)):
        match rng.randrange(4):
            case 0:
                lines.append(json.dumps(value(rng)).encode())
            case 1:
                key = rng.choice(["step", "resume", "loss", "validation", "elapsed_s"])
                lines.append(json.dumps({"step": rng.randrange(9), key: value(rng)}).encode())
            case 2:
                lines.append(rng.randbytes(rng.randint(0, 20)))
            case _:
                lines.append(b"[" * 3000)
    return b"\n".join(lines)
