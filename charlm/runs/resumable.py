"""What a resume begins with, and what stands in its way: `charlm info --check` says the same."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from charlm.errors import CheckpointError, RunError, TextError
from charlm.nn.model import blocks, shapes
from charlm.optim.optimizers import OPTIMIZERS
from charlm.runs.description import Description
from charlm.runs.folder import Run
from charlm.runs.loading import has_ids, read_description
from charlm.settings.schema import Config, split_ends
from charlm.storage.checkpoint import damaged, opened
from charlm.storage.files import open_file
from charlm.text.corpus import TextInfo, encode_to_file, open_ids
from charlm.text.items import draw_parts
from charlm.text.source import STRING, Source

# More than any encoding of Python's takes for a character: unicode_escape has \N{...} with a name
# of up to 83 letters, and a \r before a \n is no character of its own.
_MOST_BYTES = 200


class Resumable(NamedTuple):
    """A run that can be resumed."""

    description: Description
    text: TextInfo  # where it is now
    source: Source | None  # its files; None where they are gone
    intact: bool  # ids.bin holds its ids; where not, they are to be encoded again


def find_resumable(run: Run, moved_to: Sequence[Path] = ()) -> Resumable:
    """Find a run's description, text and ids; change nothing, and read no weights.

    Raises:
        CheckpointError: last.npz cannot be used.
        TextError: the text is not the run's, or it is gone and the ids are damaged.
        RunError: what stands at a file's place cannot be written or replaced.
    """
    description = read_description(run.last)
    if description.damage:
        raise description.damage
    if description.progress is None or description.plateau is None:
        raise CheckpointError(run.last, "lacks its progress", "it is no last.npz")
    if description.text is None:
        raise damaged(run.last, "names no text")
    for path in filter(os.path.isdir, run.replaced):
        raise RunError(path, "is a folder", "move it out of the way")
    try:
        with suppress(FileNotFoundError):
            open_file(run.history, "r+b").close()
    except OSError as error:
        problem = f"cannot be written ({error.strerror or error})"
        raise RunError(run.history, problem, "move it out of the way") from None
    config, vocabulary = description.config, description.vocabulary
    text, source = _find_text(run, description, moved_to)
    if intact := has_ids(run.ids, text, vocabulary):
        ids = open_ids(run.ids, vocabulary.dtype)
        if ids.max(initial=0) >= vocabulary.size:
            problem = "its text has symbols that it does not know"
            raise CheckpointError(run.last, problem, "it is damaged")
        if text.items and ids[text.ends[0] - 1] != vocabulary.start_id:
            raise damaged(run.last, "names other items than its text has")
        count = ids.size
    elif source is None:
        problem = f"no such file, and {run.ids} is damaged or missing"
        advice = f"name where the text is now: {run.resuming('TEXT')}"
        raise TextError(text.locations[0], problem, advice)
    else:
        count = sum(text.items)
        if count > source.nbytes:
            raise damaged(run.last, "names more items than its text has bytes")
        parts = draw_parts(count, config) if count else None
        encoded = encode_to_file(source, vocabulary, None, parts=parts)
        if encoded.ids_sha256 != text.ids_sha256:
            raise damaged(run.last, "names other ids than its text has")
        count = encoded.characters
    _check_fit(run.last, config, vocabulary.size, text, count)
    return Resumable(description, text, source, intact)


def _find_text(
    run: Run, description: Description, moved_to: Sequence[Path]
) -> tuple[TextInfo, Source | None]:
    """Return a run's text and its files, if they are there; raise TextError for another text."""
    text, data = description.text, description.config.data
    assert text is not None
    paths = list(moved_to) or text.locations
    if not moved_to and (text.path == STRING or not all(map(os.path.exists, paths))):
        return text, None
    # What is larger is another text, and need not be read.
    most = text.characters * (1 if data.level == "byte" else _MOST_BYTES)
    for find in (Source.find, Source.find_by_path):
        source = find(paths, data)
        size = source.nbytes - 4 * len(source.files)
        # Of items, what stands between them is not counted.
        is_possible = text.items or size <= most
        if found := is_possible and source.sha256() == text.sha256:
            break
    if not found:
        problem = f"is not the text that {run.folder} learns (its SHA-256 differs)"
        advice = f"name the right one: {run.resuming('TEXT')}; or another run with --name"
        raise TextError(paths[0], problem, advice)
    absolute = tuple(str(path.absolute()) for path in paths)
    return replace(text, path=source.name, paths=absolute), source


def _check_fit(path: Path, config: Config, V: int, text: TextInfo, count: int) -> None:
    """Raise CheckpointError where settings, text and arrays do not fit; allocates nothing."""
    train = config.train
    first, _ = split_ends(count, config.data.validation, config.data.test)
    T, B = train.seq_len, train.batch_size
    has_items = config.data.items is not None
    if train.steps is None or not isinstance(T, int) or bool(text.items) != has_items:
        raise damaged(path, "its settings do not fit its text")
    if not has_items and first // B < T:
        raise damaged(path, "its settings do not fit its text")
    with opened(path) as checkpoint:
        for name, shape in training_arrays(config, V).items():
            checkpoint.expect(name, shape)


def training_arrays(config: Config, V: int) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of the arrays of a last.npz."""
    model, train = config.model, config.train
    optimizer = OPTIMIZERS[train.optimizer]
    prefixes = ["", *(f"optimizer.{name}/" for name in optimizer.STATE)]
    prefixes += ["average/"] * (train.average > 0)
    weights = shapes(model, V).items()
    found = {prefix + name: shape for prefix in prefixes for name, shape in weights}
    for block in optimizer.matrix_blocks(blocks(model, V)):
        found |= {f"optimizer.{name}": shape for name, shape in block.shapes().items()}
    for k in range(model.layers):
        for name in ("h", "c") if model.cell == "lstm" else ("h",):
            found[f"state/{k}.{name}"] = (model.hidden, train.batch_size)
    return found
