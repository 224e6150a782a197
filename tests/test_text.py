"""Text -> ids -> streams: every character in its place, whatever the text holds."""

import re
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers import refused
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm import api
from charlm.errors import ConfigError, TextError, UnknownCharacter
from charlm.settings.schema import DataConfig
from charlm.text import source
from charlm.text.batches import TextStreams
from charlm.text.corpus import encode_source, encode_to_file, open_ids, scan, split, text_notes
from charlm.text.source import Source
from charlm.text.vocabulary import ByteVocabulary, Vocabulary, code_points

anything = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=60)
lines = st.text(st.sampled_from("ab\r\né€🙂\ufeff가"), min_size=1, max_size=40)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("text") / "t.txt"


def read(path, content, piece=1 << 20, **how):
    """Write a file and read it in pieces of so many bytes."""
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "PIECE_BYTES", piece)
        return "".join(Source((path,), **how).pieces())


@settings(max_examples=200)
@given(text=st.one_of(anything, lines), piece=st.integers(1, 7), bom=st.booleans())
def test_any_text_is_read_back(path, text, piece, bom):
    """However the bytes fall into pieces: across a character, across a \\r\\n."""
    expected = text if bom else text.removeprefix("\ufeff")
    content = (b"\xef\xbb\xbf" if bom else b"") + text.encode()
    assert read(path, content, piece) == expected.replace("\r\n", "\n")


@settings(max_examples=100)
@given(text=anything, level=st.sampled_from(["char", "byte"]), most=st.integers(0, 70))
def test_encode_and_decode(path, text, level, most):
    path.write_bytes((b"\xef\xbb\xbf" if level == "char" else b"") + text.encode())
    here, binary = Source((path,), level=level), path.with_name("ids.bin")
    normal = text.replace("\r\n", "\n") if level == "char" else text
    vocabulary = Vocabulary.of_counts(np.bincount(code_points(normal)))
    assert vocabulary.symbols == "".join(sorted(set(normal)))
    common = Counter(normal).most_common()
    assert vocabulary.start == "\n" or dict(common)[vocabulary.start] == common[0][1]
    if level == "byte":
        vocabulary = ByteVocabulary()
    assert vocabulary.decode(vocabulary.encode(normal)) == normal
    info = encode_to_file(here, vocabulary, binary)
    ids = open_ids(binary, vocabulary.dtype)
    assert (ids.size, ids.dtype) == (info.characters, vocabulary.dtype)
    assert vocabulary.decode(ids) == normal
    assert np.array_equal(encode_source(here, vocabulary), ids)
    assert np.array_equal(encode_source(here, vocabulary, most), ids[:most])


@settings(max_examples=100)
@given(before=anything, piece=st.integers(1, 9))
def test_byte_that_is_not_utf8_is_located(path, before, piece):
    with pytest.raises(TextError, match=f"byte 0xFF at offset {len(before.encode())} "):
        read(path, before.encode() + b"\xff" + b"rest", piece)


@pytest.mark.parametrize(
    ("size", "dtype"), [(1, np.uint8), (256, np.uint8), (257, np.uint16), (65537, np.uint32)]
)
def test_ids_take_as_few_bytes_as_they_can(tmp_path, size, dtype):
    symbols = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)][:size]))
    vocabulary = Vocabulary(symbols, symbols[0])
    ids = vocabulary.encode(symbols[-1])
    assert vocabulary.dtype == ids.dtype == dtype
    assert ids[0] == size - 1
    for content, expected in ((b"", []), (ids.tobytes() + b"\0" * (ids.itemsize - 1), [size - 1])):
        (tmp_path / "ids.bin").write_bytes(content)
        assert open_ids(tmp_path / "ids.bin", vocabulary.dtype).tolist() == expected


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "cp949", "cp1252"])
@pytest.mark.parametrize("piece", [1, 3, 1 << 20])
def test_other_encodings(path, encoding, piece):
    text = "one\ntwo “three”\n" if encoding == "cp1252" else "하나\n둘 three\n"
    content = text.replace("\n", "\r\n").encode(encoding)
    assert read(path, content, piece, encoding=encoding) == text


KOREAN = "그날 아침 강가에는 안개가 짙게 끼어 있었다. 늙은 뱃사공은 밧줄을 풀다가 물 위를 보았다."
LATE = "plain words\n" * 20_000
UNDECODABLE = [
    ("aé".encode("utf-16"), "utf-8", "is not UTF-8, got byte 0xFF at offset 0 (invalid start "
     "byte); it looks like utf-16, try --encoding utf-16"),
    ("naïveté".encode("utf-16-le"), "utf-8", "it looks like utf-16-le, try --encoding utf-16-le"),
    ("naïveté".encode("utf-16-be"), "utf-8", "it looks like utf-16-be, try --encoding utf-16-be"),
    (KOREAN.encode("utf-16-be"), "utf-8", "it looks like utf-16-be, try --encoding utf-16-be"),
    ("aé".encode("utf-32"), "utf-8", "it looks like utf-32, try --encoding utf-32"),
    ("café au lait".encode("latin-1"), "utf-8", "it looks like latin-1, try --encoding latin-1, or"),
    ("“café”".encode("cp1252"), "utf-8", "it looks like cp1252, try --encoding cp1252, or"),
    (KOREAN.encode("cp949"), "utf-8", "it looks like cp949, try --encoding cp949"),
    (LATE.encode() + KOREAN.encode("cp949"), "utf-8", "it looks like cp949, try --encoding cp949"),
    (bytes(range(256)), "utf-8", "it looks like no text at all; name another file, or learn its"),
    (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\0\0\0\1\0\x08\6\0\0\0\\r\xa8f", "utf-8", "it looks like no text at"),
    # A letter or two are the end of nothing certain.
    ("café".encode("latin-1"), "utf-8", "its encoding cannot be told from its bytes; name its --encoding"),
    ("ab€".encode()[:-1], "utf-8", "got byte 0xE2 at offset 2 (unexpected end of data); its encoding cannot be told"),
    (b"abc", "utf-16-le", "is not UTF-16-LE, got byte 0x63 at offset 2 (truncated data)"),
    (b"a\xe9 la", "ascii", "is not ASCII, got byte 0xE9 at offset 1"),
    ("naïveté, où".encode(), "ascii", "it looks like utf-8, leave --encoding out"),
    # Damaged or cut, in the encoding that was tried.
    ("café caf".encode() + b"\xc3", "utf-8", "got byte 0xC3 at offset 9 (unexpected end of data); the "
     "rest looks like utf-8, so it is damaged or cut at byte 9; cut it there, save it again, or"),
    (b"caf\xd0\xb0 \xd0", "utf-8", "the rest looks like utf-8, so it is damaged or cut at byte 6"),
    ("Größe, Tür, Fluß\n".encode() + b"\xfc" + LATE.encode(), "utf-8", "damaged or cut at byte 21;"),
    ("Größe, Tür, Fluß\n".encode() + LATE.encode() + b"\xfc", "utf-8", "damaged or cut at byte 240,021;"),
    (KOREAN.encode("cp949")[:-2], "cp949", "the rest looks like cp949, so it is damaged or cut at byte"),
    (b"smile \xed\xa0\xbd\xed\xb8\x80 or \xed\xa0\xbd", "utf-8", "it holds surrogates, as CESU-8 does beyond "
     "U+FFFF; save it again as UTF-8"),
]  # fmt: skip
REFUSED = [
    ("plain text".encode("utf-16-le"), "utf-8", "looks binary, it is 50.0% control characters; it looks "
     "like utf-16-le, try --encoding utf-16-le"),
    ("и так далее, и прочее и другое".encode("utf-16-be"), "utf-8", "it looks like utf-16-be, try --enco"),
    (b"GIF89a" + bytes(range(1, 9)) * 9, "utf-8", "looks binary, it is 92.3% control characters; name ano"),
    ("words\n".encode("utf-16-be"), "utf-16-le", "looks as if its bytes were swapped; try --encoding utf-16-be"),
    ("it’s “here”".encode(), "latin-1", "is valid UTF-8 and was read as something else; leave"),
    (b"\xef\xbb\xbfplain", "latin-1", "is valid UTF-8 and was read as something else; leave"),
    ("it’s “here” – so".encode("cp1252"), "latin-1", "looks wrongly decoded, it holds 4 characters of "
     "U+0080 to U+009F; it looks like cp1252, try --encoding cp1252"),
    (b"one\x85two\x85\x81\x81", "latin-1", "4 characters of U+0080 to U+009F; name its --encoding, or learn"),
    (b"+2AA-abc\n" * 100, "utf-7", "holds lone surrogates, which are not characters; name its --e"),
    ("".join(map(chr, range(0x4E00, 0x4E00 + 20_500))).encode(), "utf-8",
     "has 20,500 different characters, more than any script; fold the rare"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "encoding", "message"), UNDECODABLE + REFUSED)
def test_what_is_no_text_is_refused_with_advice(path, content, encoding, message):
    path.write_bytes(content)
    with pytest.raises(TextError, match=re.escape(message)) as error:
        scan(Source((path,), encoding))
    assert error.value.where == str(path)
    assert f"--encoding {encoding}" not in error.value.advice, "it was tried"
    assert scan(Source((path,), level="byte"))[0].size == 256, "its bytes can be learned"


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("\tindented\n\f\x1b[1mbold\x1b[0m\n", ""),
        ("naïve café – “yes”\n", ""),
        ("한국어 문장입니다.\n", ""),
        ("中文，也行。\n", ""),
        ("e\u0301 ☃ 👩‍🚀 🇰🇷\n", ""),
        ("о\u0301чень, нет и да: é\n", ""),
        ("one \x85 mark\n", "3 of U+0080 to U+009F"),
        ("a \ufffd b\n", "3 U+FFFD (what could not be decoded)"),
        ("\x0304red\x03 and \x02bold\x0f words\n", "12 control characters"),
        ("field\x1ffield\x1e\n", "6 control characters"),
        ("lone\r and\r\r\n", "6 carriage returns without a newline"),
        ("a \ufeff b\n", "3 byte order marks inside"),
        (
            "café cafe\u0301\n",
            "mixes NFC and NFD, at least 3 marks or jamo stand apart from letters",
        ),
        ("가 \u1100\u1161\n", "mixes NFC and NFD, at least 3 marks"),
    ],
)
def test_what_is_a_text_is_not_refused(path, text, note):
    path.write_bytes((text * 3).encode())
    source = Source((path,))
    vocabulary, counts, _ = scan(source)
    assert vocabulary.symbols == "".join(sorted(set(text.replace("\r\n", "\n"))))
    notes = text_notes(source, counts)
    assert [note in line for line in notes] == [True] * bool(note), notes
    assert scan(Source((path,), "utf-8-sig"))[0].symbols == vocabulary.symbols


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be", "gb18030"]
)
def test_a_mark_begins_no_file(tmp_path, encoding):
    files = tuple(tmp_path / name for name in "ab")
    for file in files:
        file.write_bytes("\ufeff하나\n".encode(encoding))
    assert "".join(Source(files, encoding).pieces()) == "하나\n" * 2


def test_several_files_are_one_text(tmp_path):
    (tmp_path / "b" / "deep").mkdir(parents=True)
    for name, content in {"z.txt": "z", "b/2.txt": "two\n", "b/deep/1.txt": "\ufeffone", "b/x.py": "x",
                          "a.txt": "", "b/10.txt": "ten"}.items():  # fmt: skip
        (tmp_path / name).write_text(content, encoding="utf-8")
    paths = [tmp_path / name for name in ("z.txt", "b", "a.txt", "b/2.txt")]
    text = Source.find(paths, DataConfig())
    names = ["z.txt", "b/2.txt", "b/10.txt", "b/deep/1.txt", "a.txt", "b/2.txt"]
    assert [str(file.relative_to(tmp_path)) for file in text.files] == names
    assert text.notes == [
        "6 files: z.txt, 2.txt, 10.txt, 1.txt, a.txt, 2.txt",
        "named more than once, and read as often: 2.txt",
    ]
    assert "".join(text.pieces()) == "z\ntwo\nten\none\ntwo\n"
    raw = Source(text.files, level="byte")
    assert b"".join(raw.pieces()) == "ztwo\nten\ufeffonetwo\n".encode()
    assert text.nbytes == 1 + 4 + 3 + 6 + 4
    assert text.name == f"{tmp_path / 'z.txt'} and 5 more"
    before = Source.find_by_path(paths, DataConfig())
    names = ["a.txt", "b/10.txt", "b/2.txt", "b/deep/1.txt", "z.txt"]
    assert [str(file.relative_to(tmp_path)) for file in before.files] == names
    assert Source.find([tmp_path], DataConfig(glob="*.py")).files == (tmp_path / "b" / "x.py",)
    (tmp_path / "z.txt").write_bytes("Größe, Tür\n".encode("latin-1"))
    advice = "it looks like latin-1, try --encoding latin-1, or learn its bytes as they are with --level byte; or leave it out, where the 4 others can be read"
    with refused(TextError, tmp_path / "z.txt", "is not UTF-8, got byte 0xF6 at offset 2", advice):
        list(text.pieces())


def test_files_of_a_folder(tmp_path):
    """Hidden ones are left out, links to folders are not followed, a file is read once."""
    for name in (
        "chapter10.txt",
        "chapter2.txt",
        "sub/a.txt",
        ".git/b.txt",
        "sub/.venv/c.txt",
        ".d.txt",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "sub" / "up").symlink_to(tmp_path)
    (tmp_path / "x.txt").symlink_to("chapter2.txt")

    def found(*paths, find=Source.find, **data):
        files = find([tmp_path / path for path in paths], DataConfig(**data)).files
        return [str(file.relative_to(tmp_path)) for file in files]

    assert found(".") == ["chapter2.txt", "chapter10.txt", "sub/a.txt"]
    assert found(".", glob="**/*.txt") == found(".")
    assert found(".git") == [".git/b.txt"]
    assert found(".d.txt", ".git/b.txt") == [".d.txt", ".git/b.txt"]
    assert found(".", glob=".*.txt") == [".d.txt"]
    assert found(".", find=Source.find_by_path) == [
        ".d.txt", ".git/b.txt", "chapter10.txt", "chapter2.txt", "sub/.venv/c.txt", "sub/a.txt", "x.txt",
    ]  # fmt: skip


def test_many_files_are_listed_in_short():
    files = tuple(Path(f"{k}.txt") for k in range(12))
    assert Source(files).notes == ["12 files: 0.txt, 1.txt, 2.txt, 3.txt, ..., 10.txt, 11.txt"]
    assert Source(files[:1]).notes == []
    assert Source((Path("a/1.txt"), Path("b/1.txt"))).notes == ["2 files: a/1.txt, b/1.txt"]


@pytest.mark.parametrize(
    ("given", "problem", "advice"),
    [
        ("nope", "no such file", "check its name"),
        ("", "is an empty name", "name a file or folder"),
        ("one\ntwo", "is no path to a file", "it looks like a text, save it to a file, or call"),
        (
            "word " * 10_000,
            "is no path to a file",
            "it looks like a text, save it to a file, or call",
        ),
        ("word " * 60, "is no path to a file", "it looks like a text"),
    ],
)
def test_what_names_no_text(tmp_path, given, problem, advice):
    with pytest.raises(TextError) as error:
        api.start(given, checkpoints=tmp_path)
    assert error.value.problem == problem
    assert error.value.advice.startswith(advice)
    assert len(str(error.value)) < 300


def test_what_becomes_of_unknown_characters():
    vocabulary = Vocabulary(" Aez", "z")
    for text, policy, expected in (
        ("eéz", "skip", "ez"), ("ééé", "skip", ""),
        # base letter, other case, space
        ("éaÉEÄ!Z", "replace", "eAeeA z"),
    ):  # fmt: skip
        assert vocabulary.decode(vocabulary.encode(text, on_unknown=policy)) == expected
    with refused(UnknownCharacter, "--start", "character 'é' (U+00E9) at position 3 is not in"):
        vocabulary.encode("ezeé", where="--start")
    with refused(UnknownCharacter, "text", "character '\\udc80' (U+DC80) at position 12 is not in"):
        vocabulary.encode("ez\udc80", position=10)
    assert vocabulary.replacements("é!zé") == {"é": "e", "!": " "}
    assert Vocabulary("xz", "z").replacements("!") == {"!": "z"}
    assert Vocabulary("xz", "z", unknown=True).replacements("!") == {"!": "\ufffd"}
    assert ByteVocabulary().replacements("é\udcff") == {}


NFC, NFD, JAMO = "caf\u00e9 \uac00", "cafe\u0301 \uac00", "cafe\u0301 \u1100\u1161"


@pytest.mark.parametrize(
    ("known", "text"), [(NFC, NFD), (NFC, JAMO), (JAMO, NFC), (NFD, NFD), (NFC, NFC)]
)
def test_a_text_is_taken_in_the_normal_form_that_is_known(known, text):
    vocabulary = Vocabulary("".join(sorted(set(known))), "c")
    assert vocabulary.normal_form(text) == known
    assert vocabulary.decode(vocabulary.encode(vocabulary.normal_form(text))) == known
    if known != text:
        form = "NFC" if known == NFC else "NFD"
        with pytest.raises(UnknownCharacter, match=f"; convert the text to Unicode's {form}, of "):
            vocabulary.encode(text)


def test_what_no_normal_form_knows():
    vocabulary = Vocabulary(" acef", "c")
    assert vocabulary.normal_form(NFD[:5]) == NFC[:4], "an accent is replaced with its letter"
    assert vocabulary.unknown(NFD[:5] + "xx") == {"x": 2, "\u0301": 1}
    with pytest.raises(
        UnknownCharacter,
        match=r"vocabulary, neither composed \(NFC\) nor decomposed \(NFD\); leave it",
    ):
        vocabulary.encode(NFC)
    with pytest.raises(UnknownCharacter, match="vocabulary; leave it out"):
        vocabulary.encode("x")
    assert ByteVocabulary().unknown("\u00e9") == {}


def test_rare_characters_become_one():
    counts = np.bincount(code_points("aaaaabbcé"))
    assert Vocabulary.of_counts(counts).unknown_id is None
    vocabulary = Vocabulary.of_counts(counts, 2)
    assert (vocabulary.symbols, vocabulary.size, vocabulary.unknown_id) == ("ab", 3, 2)
    assert vocabulary.encode("abcé!", on_unknown="replace").tolist() == [0, 1, 2, 2, 2]
    assert vocabulary.decode([0, 2, 1]) == "a\ufffdb"
    again = Vocabulary.from_dict(vocabulary.as_dict(), "test")
    assert (again.as_dict(), again.unknown_id) == (vocabulary.as_dict(), 2)
    with pytest.raises(UnknownCharacter, match=r"'c' \(U\+0063\) at position 1"):
        vocabulary.encode("ac")
    with pytest.raises(ConfigError, match=r"data.min_count: must be at most 5, .* got 6"):
        Vocabulary.of_counts(counts, 6)


def test_bytes():
    vocabulary = ByteVocabulary()
    assert (vocabulary.size, vocabulary.dtype, vocabulary.start_id) == (256, np.uint8, 10)
    assert isinstance(Vocabulary.from_dict(vocabulary.as_dict(), "test"), ByteVocabulary)
    for text, content in (("é🙂", "é🙂".encode()), (b"\xff\0", b"\xff\0"), ("a\udcff", b"a\xff")):
        assert bytes(vocabulary.encode(text)) == content
    with pytest.raises(UnknownCharacter, match=r"U\+D800 at position 1 is a lone surrogate"):
        vocabulary.encode("a\ud800")
    decode = vocabulary.decoder()
    assert [decode(k) for k in "é".encode()] == ["", "é"]
    assert [decode(k) for k in b"\xffa\xe2\x82a"] == ["\ufffd", "a", "", "", "\ufffda"]


def test_a_big_text_is_never_in_memory(tmp_path):
    """Nor are its lines, the first of which is of a million characters."""
    path = tmp_path / "big.txt"
    content = "é" * 999_999 + "\r\n" + "all work and no play\n" * 400_000
    path.write_text(content, encoding="utf-8", newline="")  # 10.4 MB
    tracemalloc.start()
    text = Source((path,))
    vocabulary, counts, _ = scan(text)
    assert counts[[ord("\r"), ord("\n"), ord("é")]].tolist() == [0, 400_001, 999_999]
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    assert encode_to_file(text, vocabulary, tmp_path / "ids.bin").characters == len(content) - 1
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    # A piece is 1 MiB of bytes, 4 of code points, 4 + 4 + 1 of look-ups and ids, and its text.
    assert peak < 20 << 20
    assert (tmp_path / "ids.bin").stat().st_size == len(content) - 1


@given(st.integers(1, 10**6), st.sampled_from([0, 0.1, 0.5]), st.sampled_from([0, 0.2]))
def test_splits_cover_the_text(n, validation, test):
    ids = np.arange(n)
    parts = split(ids, DataConfig(validation=validation, test=test))
    assert np.array_equal(np.concatenate(parts), ids)
    assert abs(parts[1].size - n * validation) <= 1
    assert abs(parts[2].size - n * test) <= 1


def test_streams():
    B, T, N = 3, 8, 100
    # The character at position p has the id p.
    streams = TextStreams(np.arange(N, dtype=np.uint16), B, T, seed=5)
    assert streams.chunks == N // B // T == 4
    offsets = []
    for epoch in range(3):
        previous, seen = None, []
        for k in range(streams.chunks):
            inputs, targets, fresh, _ = streams.chunk(epoch * streams.chunks + k)
            assert inputs.shape == targets.shape == (T, B)
            assert fresh == (k == 0)
            assert (targets == (inputs + 1) % N).all(), "targets are one further"
            assert (inputs[1:] == (inputs[:-1] + 1) % N).all()
            if previous is not None:
                assert (inputs[0] == (previous + 1) % N).all(), "chunks follow each other"
            previous = inputs[-1].copy()
            seen += inputs.ravel().tolist()
            if k == 0:
                offsets.append(int(inputs[0, 0]))
                assert ((inputs[0] - inputs[0, 0]) % N).tolist() == [0, 33, 66]
        assert len(set(seen)) == len(seen), "no character is read twice an epoch"
    assert len(set(offsets)) == 3, "each epoch begins elsewhere"
    other = TextStreams(streams.ids, B, T, seed=5)
    for n in (0, 11, 3, 11, 7):
        assert np.array_equal(streams.chunk(n).inputs, other.chunk(n).inputs), "a function of n"
        other.chunk(n + 2)
    inputs = TextStreams(streams.ids, B, T, seed=2).chunk(0).inputs
    assert not np.array_equal(inputs, other.chunk(0).inputs), "and of the seed"
