"""Text -> ids -> streams: every character in its place, whatever the text holds."""

import hashlib
import tracemalloc
from collections import Counter

import numpy as np
import pytest
from conftest import open_ids
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.errors import ConfigError, TextError, UnknownCharacter
from charlm.text import corpus
from charlm.text.corpus import IdFile, Share, encode, read_pieces, scan, shares
from charlm.text.streams import Streams, fit
from charlm.text.vocabulary import ByteVocabulary, Vocabulary

anything = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=60)
lines = st.text(st.sampled_from("ab\r\né€🙂\ufeff가"), min_size=1, max_size=40)


def read(path):
    return "".join(read_pieces(path, hashlib.sha256()))


@settings(max_examples=200)
@given(text=st.one_of(anything, lines), piece=st.integers(1, 7), bom=st.booleans())
def test_any_text_is_read_back(tmp_path_factory, text, piece, bom):
    """However the bytes fall into pieces: across a character, across a \\r\\n."""
    path = tmp_path_factory.mktemp("text") / "t.txt"
    path.write_bytes((b"\xef\xbb\xbf" if bom else b"") + text.encode())
    expected = text if bom else text.removeprefix("\ufeff")
    whole, corpus._PIECE_BYTES = corpus._PIECE_BYTES, piece
    try:
        assert read(path) == expected.replace("\r\n", "\n")
    finally:
        corpus._PIECE_BYTES = whole


@settings(max_examples=100)
@given(text=anything)
def test_encode_and_decode(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("text")
    path = folder / "t.txt"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    normal = text.replace("\r\n", "\n")
    vocabulary, ids = open_ids(path, folder)
    assert vocabulary.symbols == "".join(sorted(set(normal)))
    row = np.empty(ids.size, vocabulary.dtype)
    ids.read_into(0, row)
    assert "".join(map(vocabulary.decoder(), row)) == normal
    common = Counter(normal).most_common()
    assert vocabulary.start == "\n" or dict(common)[vocabulary.start] == common[0][1]


@settings(max_examples=100)
@given(before=anything, piece=st.integers(1, 9))
def test_byte_that_is_not_utf8_is_located(tmp_path_factory, before, piece):
    path = tmp_path_factory.mktemp("text") / "t.txt"
    path.write_bytes(before.encode() + b"\xff" + b"rest")
    whole, corpus._PIECE_BYTES = corpus._PIECE_BYTES, piece
    try:
        with pytest.raises(TextError, match=f"byte 0xFF at offset {len(before.encode())} "):
            read(path)
    finally:
        corpus._PIECE_BYTES = whole


def test_text_cut_inside_a_character_is_refused(tmp_path):
    path = tmp_path / "t.txt"
    path.write_bytes("ab€".encode()[:-1])
    with pytest.raises(TextError, match="byte 0xE2 at offset 2 "):
        read(path)


@pytest.mark.parametrize(
    ("size", "dtype"), [(1, np.uint8), (256, np.uint8), (257, np.uint16), (65537, np.uint32)]
)
def test_ids_take_as_few_bytes_as_they_can(size, dtype):
    symbols = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)][:size]))
    vocabulary = Vocabulary(symbols, symbols[0])
    assert vocabulary.dtype == dtype
    ids = vocabulary.encode(symbols[-1], "test")
    assert ids.dtype == dtype
    assert ids[0] == size - 1


def test_unknown_character_is_named():
    vocabulary = Vocabulary("abc", "a")
    with pytest.raises(
        UnknownCharacter, match=r"--start: character 'é' \(U\+00E9\) at position 3 "
    ):
        vocabulary.encode("abcé", "--start")
    with pytest.raises(UnknownCharacter, match=r"position 12 "):
        vocabulary.encode("ab\udc80", "x", position=10)


def test_what_becomes_of_unknown_characters():
    vocabulary = Vocabulary(" Aez", "z")
    symbols = vocabulary.symbols

    def read(text, policy):
        return "".join(symbols[k] for k in vocabulary.encode(text, "test", on_unknown=policy))

    assert read("eéz", "skip") == "ez"
    assert read("ééé", "skip") == ""
    assert read("éaÉEÄ!Z", "replace") == "eAeeA z", "base letter, other case, space"
    assert Vocabulary("xz", "z").encode("!", "test", on_unknown="replace").tolist() == [1]


def test_rare_characters_become_one():
    counts = np.zeros(0x110000, np.int64)
    for character, count in {"a": 5, "b": 2, "c": 1, "é": 1}.items():
        counts[ord(character)] = count
    assert Vocabulary.of_counts(counts).unknown_id is None
    vocabulary = Vocabulary.of_counts(counts, 2)
    assert (vocabulary.symbols, vocabulary.size, vocabulary.unknown_id) == ("ab", 3, 2)
    assert vocabulary.encode("abcé!", "test", on_unknown="replace").tolist() == [0, 1, 2, 2, 2]
    assert "".join(map(vocabulary.decoder(), [0, 2, 1])) == "a\ufffdb"
    again = Vocabulary.from_dict(vocabulary.as_dict(), "test")
    assert again.as_dict() == vocabulary.as_dict()
    assert again.unknown_id == 2
    with pytest.raises(UnknownCharacter, match=r"'c' \(U\+0063\) at position 1"):
        vocabulary.encode("ac", "test")
    with pytest.raises(ConfigError, match=r"data.min_count: must be at most 5, .* got 6"):
        Vocabulary.of_counts(counts, 6)


def test_bytes():
    vocabulary = ByteVocabulary()
    assert (vocabulary.size, vocabulary.dtype, vocabulary.start_id) == (256, np.uint8, 10)
    assert isinstance(Vocabulary.from_dict(vocabulary.as_dict(), "test"), ByteVocabulary)
    ids = vocabulary.encode("é🙂", "test")
    assert bytes(ids) == "é🙂".encode()
    assert vocabulary.encode(b"\xff\x00", "test").tolist() == [255, 0]
    assert bytes(vocabulary.encode("a\udcff", "test")) == b"a\xff"
    with pytest.raises(UnknownCharacter, match=r"U\+D800 at position 1 is a lone surrogate"):
        vocabulary.encode("a\ud800", "test")
    decode = vocabulary.decoder()
    assert [decode(k) for k in "é".encode()] == ["", "é"]
    assert [decode(k) for k in b"\xffa\xe2\x82a"] == ["\ufffd", "a", "", "", "\ufffda"]


def test_a_big_text_is_never_in_memory(tmp_path):
    path = tmp_path / "big.txt"
    path.write_text("all work and no play\n" * 400_000)  # 8.4 MB
    tracemalloc.start()
    vocabulary = Vocabulary.of_counts(scan(path)[0])
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    encode(path, vocabulary, tmp_path / "ids.bin")
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    # A piece is 1 MiB of bytes, 4 of code points, 4 + 4 + 1 of look-ups and ids, and its text.
    assert peak < 20 << 20
    assert (tmp_path / "ids.bin").stat().st_size == 8_400_000


@given(
    n=st.integers(1, 10**7),
    validation=st.sampled_from([0, 0.1, 0.5]),
    test=st.sampled_from([0, 0.2]),
)
def test_shares_cover_the_text(n, validation, test):
    parts = shares(n, validation, test)
    assert parts[0].begin == 0
    assert parts[0].end == parts[1].begin
    assert parts[1].end == parts[2].begin
    assert parts[2].end == n
    assert abs(parts[1].size - n * validation) <= 1
    assert abs(parts[2].size - n * test) <= 1


def ramp(folder, n, dtype=np.uint16):
    """A text whose character at position p has the id p."""
    np.arange(n, dtype=dtype).tofile(folder / "ramp.bin")
    return IdFile(folder / "ramp.bin", np.dtype(dtype))


@pytest.mark.parametrize("share", [Share(0, 100), Share(7, 107)])
def test_streams(tmp_path, share):
    B, T = 3, 8
    streams = Streams(ramp(tmp_path, 200), share, B, T, seed=5)
    N = share.size
    assert streams.chunks == 100 // B // T == 4
    offsets = []
    for epoch in range(3):
        previous, seen = None, []
        for k in range(streams.chunks):
            inputs, targets, fresh = streams.chunk(epoch * streams.chunks + k)
            assert inputs.shape == targets.shape == (T, B)
            assert fresh == (k == 0)
            place = inputs - share.begin
            assert ((targets - share.begin) == (place + 1) % N).all(), "targets are one further"
            assert (place[1:] == (place[:-1] + 1) % N).all()
            if previous is not None:
                assert (place[0] == (previous + 1) % N).all(), "chunks follow each other"
            previous = place[-1].copy()
            seen += place.ravel().tolist()
            if k == 0:
                offsets.append(int(place[0, 0]))
                assert ((place[0] - place[0, 0]) % N).tolist() == [0, 33, 66]
        assert len(set(seen)) == len(seen), "no character is read twice an epoch"
    assert len(set(offsets)) == 3, "each epoch begins elsewhere"


def test_chunks_are_a_function_of_seed_and_n(tmp_path):
    ids = ramp(tmp_path, 500)
    one, other = (Streams(ids, Share(0, 500), 4, 16, seed=1) for _ in range(2))
    for n in (0, 11, 3, 11, 7):
        assert np.array_equal(one.chunk(n).inputs, other.chunk(n).inputs)
        other.chunk(n + 2)
    assert not np.array_equal(
        Streams(ids, Share(0, 500), 4, 16, seed=2).chunk(0).inputs, one.chunk(0).inputs
    )


@given(n=st.integers(10, 10**6), b=st.integers(1, 300), t=st.integers(1, 300))
def test_fit_shrinks_only_as_far_as_needed(n, b, t):
    B, T = fit(n, b, t, B_may_shrink=True, T_may_shrink=True)
    assert 1 <= B <= b
    assert 1 <= T <= t
    assert n >= B * T, "it always fits"
    if n // b >= 4 * t:
        assert (b, t) == (B, T), "a long text shrinks nothing"
    if t > T:
        assert B == 1, "streams shrink first"
    assert fit(n, b, t, B_may_shrink=False, T_may_shrink=False) == (b, t)
