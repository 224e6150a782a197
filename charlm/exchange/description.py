"""The description beside the tensors of an exported file: a JSON text under the name `charlm`.

    {"format": 1, "config": {"model": {...}}, "vocabulary": {...}}

Of the settings it has the model's only; the text and the training are not exported.
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
    model = {"model": config.as_dict()["model"]}
    return json.dumps({"format": FORMAT, "config": model, "vocabulary": vocabulary.as_dict()})


def from_text(text: object, where: str) -> Description:
    """Read the JSON text of an exported file.

    Args:
        text: what was found under the name `charlm`; None where there was nothing.
        where: the file, for the message.

    Raises:
        ExchangeError: it is missing, not charlm's, or of a later format.
        CheckpointError: the vocabulary is not valid.
        ConfigError: it has a setting that this version does not know.
    """
    if text is None:
        raise ExchangeError(
            where,
            f"has no entry '{KEY}', so its vocabulary and layout are unknown",
            "keep that entry of the exported file beside the state dict, as docs/exchange.md shows",
        )
    try:
        content = json.loads(text)  # type: ignore[arg-type]
        version, model = content["format"], content["config"]["model"]
        vocabulary = content["vocabulary"]
    except (ValueError, LookupError, TypeError, RecursionError):
        content = model = None
    if not isinstance(content, dict) or not isinstance(model, dict):
        raise ExchangeError(
            where, f"its entry '{KEY}' cannot be read", "copy that of the exported file unchanged"
        )
    if version != FORMAT:
        raise ExchangeError(
            where,
            f"its entry '{KEY}' has format {brief(version)}, this charlm reads {FORMAT}",
            "update charlm",
        )
    return Description(
        kind="best",
        config=from_dict(where, {"model": model}),
        vocabulary=Vocabulary.from_dict(vocabulary if isinstance(vocabulary, dict) else {}, where),
    )
