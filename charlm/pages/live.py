"""A page with a trained model inside, which it runs in the browser: it writes, and shows how.

Its scripts are plain files under live/, put into the page as they are; live/network.js has the
equations. The weights are base64, in float16 or float32.
"""

import base64
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from charlm._version import __version__
from charlm.errors import ExchangeError
from charlm.insight.characters import characters
from charlm.insight.reading import Reader
from charlm.insight.units import TextStates, paragraph_end
from charlm.pages.page import MARK, data, policy, read, safe
from charlm.runs.loading import Trained
from charlm.storage.files import open_file
from charlm.text.source import STRING
from charlm.text.vocabulary import UNKNOWN, ByteVocabulary, Vocabulary
from charlm.types import Ids

# In the order in which the page loads them: what reports have too, the model, then what is drawn.
SCRIPTS = (
    "page.js", "live/weights.js", "live/vocabulary.js", "live/network.js", "live/reader.js",
    "live/sampler.js", "live/gradient.js", "live/labels.js", "live/text.js", "live/bars.js",
    "live/units.js", "live/strips.js", "live/cell.js", "live/app.js",
)  # fmt: skip
# Bytes of a page: browsers open larger ones, but slowly, and phones not at all.
LARGEST = 50_000_000
# Characters of the text that the page opens with, at most.
_SHOWN = 600


def live_page(name: str, trained: Trained, ids: Ids | None, *, float32: bool = False) -> str:
    """Return the page of a model.

    Args:
        name: the run's.
        trained: its model.
        ids: a text that the page begins with, and in which units are sought; None for none.
        float32: keep the weights as they are, instead of in float16.

    Raises:
        ExchangeError: the model is too large for a page, or a weight for float16.
    """
    weights = _weights(trained, float32=float32)
    model = data("model", _description(name, trained, ids) | weights)
    scripts = [read(script) for script in SCRIPTS]
    page = Template(read("live/live.html")).substitute(
        title=safe(name),
        policy=policy(*scripts),
        css=read("page.css") + read("live/live.css"),
        model=model,
        scripts="\n".join(f"<script>{script}</script>" for script in scripts),
    )
    return MARK + page


def is_live_page(path: Path) -> bool:
    """Return whether a file is a page of a model."""
    try:
        with open_file(path) as file:
            return b'content="charlm export"' in file.read(1_000)
    except OSError:
        return False


def _weights(trained: Trained, *, float32: bool) -> dict[str, Any]:
    """Return the arrays in base64, their type, and the bytes that they take in the page."""
    parameters, dtype = trained.model.parameters, "float32" if float32 else "float16"
    nbytes = parameters.size * np.dtype(dtype).itemsize
    if (in_page := nbytes * 4 // 3) > LARGEST:
        most, size = f"{LARGEST / 1e6:.0f} MB", f"{in_page / 1e6:,.0f} MB in {dtype}"
        advice = "leave out --float32" if float32 else "export it to onnx"
        problem = f"a page holds up to {most}, this model takes {size}"
        raise ExchangeError("--to html", problem, f"{advice}, or train a smaller one")
    arrays = []
    for name, array in parameters.copies().items():
        with np.errstate(over="ignore"):
            stored = array.astype(np.dtype(dtype).newbyteorder("<"))
        if not np.isfinite(stored).all():
            problem = f"'{name}' holds {np.abs(array).max():.3g}, float16 ends at 65504"
            raise ExchangeError("--to html", problem, "keep float32 with --float32")
        packed = base64.b64encode(stored.tobytes()).decode()
        arrays.append({"name": name, "shape": array.shape, "data": packed})
    return {"dtype": dtype, "bytes": in_page, "arrays": arrays}


def _description(name: str, trained: Trained, ids: Ids | None) -> dict[str, Any]:
    model, vocabulary, items = trained.config.model, trained.vocabulary, trained.config.data.items
    text, progress = trained.description.text, trained.description.progress
    arrays, is_bytes = trained.model.parameters.views, isinstance(vocabulary, ByteVocabulary)
    unknown = [UNKNOWN] * (vocabulary.unknown_id is not None)
    return {
        "name": name,
        "version": __version__,
        "cell": model.cell,
        "layers": model.layers,
        "hidden": model.hidden,
        "embedding": 0 if trained.model.one_hot else arrays["embedding.W"].shape[0],
        "symbols": vocabulary.size,
        "parameters": trained.model.parameters.size,
        "level": "byte" if is_bytes else "char",
        "items": items,
        "boundary": None if items is None else vocabulary.start_id,
        "start": vocabulary.start_id,
        "unknown": vocabulary.unknown_id,
        "vocabulary": None if is_bytes else [*vocabulary.symbols, *unknown],
        "validation": progress and progress.best_loss,
        "trained_on": Path(text.path).name if text and text.path != STRING else "",
        "units": [] if ids is None else _units(trained, ids),
        "text": "" if ids is None else _beginning(vocabulary, ids, items=items is not None),
    }


def _units(trained: Trained, ids: Ids) -> list[dict[str, Any]]:
    """Return the units that correlate with properties of a text, each with what is its own."""
    trained.model.refresh()
    vocabulary, items = trained.vocabulary, trained.config.data.items is not None
    spelled = characters(vocabulary, ids)
    states = Reader(trained.model, vocabulary.start_id, items=items).read(ids, states=True).states
    found = TextStates(spelled.text, spelled.lasts(states))
    return [
        {"layer": unit.layer, "unit": unit.unit, "property": unit.property,
         "r": round(unit.correlation, 3)}
        for unit in found.distinct(found.find_units())
    ]  # fmt: skip


def _beginning(vocabulary: Vocabulary, ids: Ids, *, items: bool) -> str:
    """Return the beginning of a text: whole paragraphs or lines, or items with their ends."""
    # A character has 4 bytes at most.
    text = vocabulary.decode(ids[: 8 * _SHOWN])
    end = min(_SHOWN, len(text))
    if items:
        return text[: text.rfind(vocabulary.start, 0, end) + 1 or end]
    return text[: paragraph_end(text, 0, end)]
