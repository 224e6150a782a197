"""Make the small files of the current format version, once, when there is a new one.

    .venv/bin/python tests/formats/make.py

They are never made again: what they hold is what that version wrote, and `tests/test_formats.py`
reads it for ever. What is printed are the values to pin there.
"""

import copy
import shutil
import tempfile
from pathlib import Path

import charlm
from charlm.exchange.formats import Format
from charlm.exchange.transfer import export
from charlm.runs.loading import load_model
from charlm.storage.checkpoint import FORMAT, load, save

HERE = Path(__file__).parent


def keep(path: Path, kept: Path) -> None:
    """Copy a checkpoint, but for where its text lay on the machine that wrote it."""
    checkpoint = load(path)
    meta = copy.deepcopy(dict(checkpoint.meta))
    meta["text"] |= {"path": "text.txt", "paths": ["text.txt"]}
    meta["config"]["data"]["path"] = ["text.txt"]
    save(kept, checkpoint.arrays, meta)


def main() -> None:
    """Train a model of a few numbers, and keep its files."""
    kept = HERE / str(FORMAT)
    kept.mkdir()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "text.txt").write_text("ab, cé\n한 b🙂a\n" * 30, encoding="utf-8", newline="")
        for cell in ("lstm", "gru", "rnn"):
            model = charlm.train(
                folder / "text.txt", checkpoints=folder, name=cell, cell=cell, hidden=3, layers=2,
                embedding=2, batch_size=2, seq_len=4, steps=40, validation=0.2,
            )  # fmt: skip
            keep(model.path, kept / f"{cell}.npz")
        (kept / "run").mkdir()
        keep(folder / "lstm" / "last.npz", kept / "run" / "last.npz")
        shutil.copy(folder / "lstm" / "ids.bin", kept / "run" / "ids.bin")
        for to in (Format.PYTORCH, Format.SAFETENSORS):
            export(load_model(kept / "lstm.npz"), to, kept / f"lstm{to.suffix}")
    for cell in ("lstm", "gru", "rnn"):
        model = charlm.load(kept / f"{cell}.npz")
        print(cell, [round(float(value), 6) for value in model.log_probs("ab, 한🙂")])


if __name__ == "__main__":
    main()
