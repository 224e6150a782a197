"""The description beside the tensors of an exported file: a JSON text under the name `charlm`.

    {"format": 1, "config": {"model": {...}}, "vocabulary": {...}}

Of the settings it has the model's, and `data.items` where it is set; the text and the training are
not exported.
"""

import json

from charlm.errors import ExchangeError
from charlm.runs.description import Description
from charlm.settings.files import from_dict
from charlm.settings.schema import Config
from charlm.terminal import brief
from charlm.text.vocabulary import Vocabulary

KEY = "charlm"
FORMAT = 1


def to_text(config: Config, vocabulary: Vocabulary) -> str:
    """Return the JSON text, in ASCII."""
    settings = {"model": config.as_dict()["model"]}
    if config.data.items is not None:
        settings["data"] = {"items": config.data.items}
    return json.dumps({"format": FORMAT, "config": settings, "vocabulary": vocabulary.as_dict()})


def from_text(text: object, where: str) -> Description:
    """Parse what the file `where` holds under the name `charlm`; `text` is None where nothing is.

    Raises:
        ExchangeError: it is missing, cannot be read, or is of a later format.
    """
    if text is None:
        raise ExchangeError(
            where,
            f"has no entry '{KEY}', so its vocabulary and layout are unknown",
            "keep that entry of the exported file beside the state dict, as docs/exchange.md shows",
        )
    try:
        content = json.loads(text)  # type: ignore[arg-type]
        version, vocabulary = content["format"], {**(content["vocabulary"] or {})}
        model = {**content["config"]["model"]}
        items = {**content["config"].get("data", {})}.get("items")
    except (ValueError, LookupError, TypeError, RecursionError):
        problem, advice = "cannot be read", "copy that of the exported file unchanged"
        raise ExchangeError(where, f"its entry '{KEY}' {problem}", advice) from None
    if version != FORMAT:
        problem = f"has format {brief(version)}, this charlm reads {FORMAT}"
        raise ExchangeError(where, f"its entry '{KEY}' {problem}", "update charlm")
    return Description(
        kind="best",
        config=from_dict(where, {"model": model, "data": {"items": items}}),
        vocabulary=Vocabulary.from_dict(vocabulary, where),
    )
