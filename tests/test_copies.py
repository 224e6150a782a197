"""Copies: what a text quotes, found as a search by hand would find it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm import ConfigError, train
from charlm.generation import copies
from charlm.generation.copies import Copy, find_copies


def by_hand(text, learned, k):
    """The longest copy at each character whose left neighbours differ; then those apart."""
    found = []
    for begin in range(len(text)):
        best = 0, 0
        for place in range(len(learned)):
            if begin and place and text[begin - 1] == learned[place - 1]:
                continue
            n = 0
            while text[begin + n : begin + n + 1] == learned[place + n : place + n + 1] != []:
                n += 1
            best = max(best, (n, -place))
        if best[0] >= k:
            found.append(Copy(begin, best[0], -best[1]))
    kept = []
    for copy in sorted(found, key=lambda copy: (-copy.length, copy.begin)):
        begin, end = copy.begin, copy.begin + copy.length
        if all(begin >= other.begin + other.length or other.begin >= end for other in kept):
            kept.append(copy)
    return kept


few = st.lists(st.integers(0, 2), max_size=60)


@settings(max_examples=400)
@given(few, few, st.integers(1, 9), st.sampled_from([np.uint8, np.uint16, np.uint32]))
def test_equals_a_search_by_hand(text, learned, k, dtype):
    assert find_copies(np.array(learned, dtype), [np.array(text, dtype)], k) == [
        by_hand(text, learned, k)
    ]


def test_wide_ids_agree_as_a_whole():
    """An id of two bytes is not found at an odd place, nor by one of its bytes."""
    learned = np.array([0x0102, 0x0304, 0x0506, 0x0708], np.uint16)
    between = np.frombuffer(learned.tobytes()[1:-1], np.uint16)
    assert find_copies(learned, [between, learned[1:3]], 2) == [[], [Copy(0, 2, 1)]]


def test_several_texts_keep_to_themselves():
    learned = np.arange(100, dtype=np.uint8)
    texts = [learned[10:30], learned[30:33], learned[:0], np.r_[learned[90:], learned[:5]]]
    found = find_copies(learned, texts, 4)
    assert found == [[Copy(0, 20, 10)], [], [], [Copy(0, 10, 90), Copy(10, 5, 0)]]
    assert find_copies(learned[:0], texts) == [[]] * 4


def test_a_ruled_line_a_thousand_times_over():
    line = "-" * 70 + "\n"
    learned = np.frombuffer((line * 20_000 + "-" * 90 + "!").encode(), np.uint8)
    text = np.frombuffer(("-" * 500).encode(), np.uint8)
    found = find_copies(learned, [text], 40)[0]
    assert [copy.length for copy in found] == [90] * 5 + [50]
    # One letter throughout: a million places, each as good as the others.
    letter = np.zeros(1_000_000, np.uint8)
    assert find_copies(letter, [letter[:500]] * 2) == [[Copy(0, 500, 0)]] * 2


@pytest.mark.parametrize("piece", [1 << 20, 12, 3, 1])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_items_are_found_as_a_whole(monkeypatch, piece, dtype):
    monkeypatch.setattr(copies, "_PIECE", piece)

    def ids(item):
        # Ids of two bytes are in the range of surrogates here, which are no characters.
        return np.frombuffer(item, np.uint8) + dtype(0xD800 if dtype is np.uint16 else 0)

    learned = ids(b"anna\nmarianne\n\nmaria\nan")
    items = [b"anna", b"anne", b"maria", b"marianne", b"an", b"a", b"xyz"]
    for end in (b"", b"\n"):
        whole, boundary = np.r_[learned, ids(end)], int(ids(b"\n")[0])
        found = copies.find_items(whole, boundary, list(map(ids, items)))
        assert [item for item, known in zip(items, found, strict=True) if known] == [
            b"anna", b"maria", b"marianne", b"an",
        ]  # fmt: skip
    assert copies.find_items(learned[:0], 10, [ids(b"a")]) == [False]


def test_a_list_whose_lines_are_copied(charlm, tmp_path):
    (tmp_path / "names.txt").write_text("anna\nbob\ncarla\n" * 400)
    charlm("train", "names.txt", "--layers", 1, "--hidden", 24, "--steps", 150, "--lr", 0.02)
    options = ["sample", "--temp", 0.3, "--seed", 1, "-n", 12, "--check-copy"]
    _, out, err = charlm(*options, "--start", "ann")
    assert "copy: 3 of 3 whole lines are lines of the training text" in err, out
    assert "no copy: nothing of 32 characters or more stands in the training text" in err
    assert "whole line" not in charlm(*options, "-n", 1, "--start", "ann")[2]
    code, _, err = charlm(*options, "--start", "zzz", "--on-unknown", "replace")
    assert code == 0


LINE = "The quick brown fox jumps over a lazy dog 0123456789\n"


def test_a_run_that_has_learned_a_line_by_heart(charlm, tmp_path):
    (tmp_path / "line.txt").write_text(LINE * 60)
    model = train("line.txt", hidden=32, layers=1, steps=120, learning_rate=0.03, dropout=0.0,
                  batch_size=4, seq_len=32, sample_length=0)  # fmt: skip
    asked = ("sample", "--temp", 0, "-n", 160, "--seed", 1)
    code, out, err = charlm(*asked, "--check-copy")
    assert code == 0
    assert out == charlm(*asked)[1], "stdout holds the text alone"
    assert LINE in out
    line, lines = err.splitlines()[1:]
    assert line.startswith("copy: 160 characters from 0 on stand in the training text, from ")
    assert lines == "copy: 3 of 3 whole lines are lines of the training text"
    assert "…" in line
    texts = charlm(*asked, "--check-copy", "--count", 2)[2].splitlines()
    found = {line[:37] for line in texts if line.startswith("copy: 160")}
    assert found == {f"copy: 160 characters from 0 of text {k}" for k in (1, 2)}
    err = charlm("sample", "-n", 20, "--seed", 1, "--check-copy")[2]
    (line,) = err.splitlines()[1:]
    assert line.startswith("no copy: ")
    (tmp_path / "alone.npz").write_bytes((tmp_path / "checkpoints/line/best.npz").read_bytes())
    code, out, err = charlm("sample", "alone.npz", "--check-copy")
    assert (code, out) == (1, "")
    assert "needs the text that it learned beside it, as ids.bin" in err
    assert model.copies(LINE[4:40]) == [Copy(0, 36, 4)]
    assert model.copies(LINE[4:40], at_least=37) == []
    with pytest.raises(ConfigError, match="at_least: must be at least 1, got 0"):
        model.copies(LINE, at_least=0)
