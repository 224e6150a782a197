"""Copies: what a text quotes, found as a search by hand would find it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import charlm
from charlm.generation import copies
from charlm.generation.copies import Copy, Learned


def by_hand(text, learned, k):
    """The longest copy at each character whose left neighbours differ; then those apart."""
    found = []
    for begin in range(len(text)):
        best = 0, 0
        for place in range(len(learned)):
            if begin and place and text[begin - 1] == learned[place - 1]:
                continue
            n = 0
            while (
                begin + n < len(text)
                and place + n < len(learned)
                and text[begin + n] == learned[place + n]
            ):
                n += 1
            best = max(best, (n, -place))
        if best[0] >= k:
            found.append(Copy(begin, best[0], -best[1]))
    kept = []
    for copy in sorted(found, key=lambda q: (-q.length, q.begin)):
        if all(
            copy.begin >= q.begin + q.length or q.begin >= copy.begin + copy.length for q in kept
        ):
            kept.append(copy)
    return kept


few = st.lists(st.integers(0, 2), max_size=60)


@settings(max_examples=300)
@given(few, few, st.integers(1, 9), st.integers(1, 20))
def test_equals_a_search_by_hand(text, learned, k, piece):
    kept = copies._PIECE
    copies._PIECE = piece
    try:
        ours = Learned(np.array(learned, np.uint8)).copies([np.array(text, np.uint8)], k)[0]
    finally:
        copies._PIECE = kept
    theirs = by_hand(text, learned, k)
    assert [q[:2] for q in ours] == [q[:2] for q in theirs]
    for begin, length, place in ours:
        assert text[begin : begin + length] == learned[place : place + length]


@pytest.mark.parametrize("k", [1, 2, 3, 7, 32, 40, 63])
def test_hashes_are_those_of_the_polynomial(k):
    ids = np.random.default_rng(k).integers(0, 90, 200).astype(np.uint16)
    base, whole = int(copies._BASE), []
    for begin in range(200 - k + 1):
        value = 0
        for q in ids[begin : begin + k].tolist():
            value = (value * base + q + 1) % 2**64
        whole.append(value)
    assert copies._hashes(ids, k).tolist() == whole
    assert copies._hashes(ids[: k - 1], k).size == 0


def test_a_hash_that_lies_is_found_out(monkeypatch):
    monkeypatch.setattr(
        copies, "_hashes", lambda ids, k: np.zeros(max(0, ids.size - k + 1), np.uint64)
    )
    text = np.arange(20, dtype=np.uint8)
    learned = np.arange(19, -1, -1, dtype=np.uint8)
    assert Learned(learned).copies([text], 4) == [[]]
    assert Learned(text[5:15]).copies([text], 4) == [[Copy(5, 10, 0)]]


def test_several_texts_in_one_pass_keep_to_themselves():
    learned = np.arange(100, dtype=np.uint8)
    texts = [learned[10:30], learned[30:33], learned[:0], np.r_[learned[90:], learned[:5]]]
    found = Learned(learned).copies(texts, 4)
    assert found == [[Copy(0, 20, 10)], [], [], [Copy(0, 10, 90), Copy(10, 5, 0)]]


def test_a_ruled_line_a_thousand_times_over():
    line = "-" * 70 + "\n"
    learned = np.frombuffer((line * 20_000 + "-" * 90 + "!").encode(), np.uint8)
    text = np.frombuffer(("-" * 500).encode(), np.uint8)
    found = Learned(learned).copies([text], 40)[0]
    assert [q.length for q in found] == [90] * 5 + [50]


LINE = "The quick brown fox jumps over a lazy dog 0123456789\n"


@pytest.fixture
def parrot(charlm, tmp_path):
    """A run that has learned one line by heart."""
    (tmp_path / "line.txt").write_text(LINE * 60)
    code, _, err = charlm(
        "train", "line.txt", "--hidden", 32, "--layers", 1, "--steps", 120, "--lr", 0.03,
        "--dropout", 0, "--batch-size", 4, "--seq-len", 32, "--set", "train.sample_length=0",
    )  # fmt: skip
    assert code == 0, err
    return charlm


def test_the_program_tells_what_it_quotes(parrot):
    asked = ("sample", "--temp", 0, "-n", 160, "--seed", 1)
    code, out, err = parrot(*asked, "--check-copy")
    assert code == 0
    assert out == parrot(*asked)[1], "stdout holds the text alone"
    assert LINE in out
    told = err.splitlines()[1:]
    assert len(told) == 1
    assert told[0].startswith("copy: 160 characters from 0 on stand in the learned text, from "), (
        told
    )
    assert "…" in told[0]
    texts = parrot(*asked, "--check-copy", "--count", 2)[2].splitlines()
    assert [line for line in texts if line.startswith("copy: 160 characters from 0 of text ")]
    assert {line[:37] for line in texts if line.startswith("copy")} == {
        "copy: 160 characters from 0 of text 1",
        "copy: 160 characters from 0 of text 2",
    }


def test_the_program_tells_that_it_quotes_nothing(parrot):
    err = parrot("sample", "-n", 20, "--seed", 1, "--check-copy")[2]
    assert err.splitlines()[1:] == [
        "no copy: nothing of 32 characters or more stands in the learned text"
    ]


def test_weights_alone_cannot_be_checked(parrot, tmp_path):
    (tmp_path / "alone.npz").write_bytes((tmp_path / "checkpoints/line/best.npz").read_bytes())
    code, out, err = parrot("sample", "alone.npz", "--check-copy")
    assert (code, out) == (1, "")
    assert err == (
        "charlm: alone.npz: needs the text that it learned beside it, as ids.bin; name a run that "
        "was trained here\n"
    )


@pytest.mark.usefixtures("parrot")
def test_the_library_tells_it_too():
    model = charlm.load("line")
    assert model.copies(LINE[4:40]) == [Copy(0, 36, 4)]
    assert model.copies(LINE[4:40], at_least=37) == []
    with pytest.raises(charlm.ConfigError, match="at_least: must be at least 1, got 0"):
        model.copies(LINE, at_least=0)
