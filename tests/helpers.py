"""What several test modules share."""

from pathlib import Path

from charlm.nn.model import Model
from charlm.runs.loading import pack
from charlm.settings.resolve import resolve
from charlm.settings.schema import Overrides
from charlm.storage.checkpoint import save
from charlm.text.vocabulary import Vocabulary

ROOT = Path(__file__).parent.parent
VOCABULARY = Vocabulary("\n .abcdeé", "\n")


def write_checkpoint(path: Path, vocabulary: Vocabulary = VOCABULARY, change=None) -> Path:
    """Save a model as a training would; it was never trained."""
    config = resolve([Overrides("test", {"model.hidden": 8, "model.embedding": 6})]).config
    model = Model(config.model, vocabulary.size, training=False)
    model.initialize(3)
    model.parameters.flat[:] *= 4
    if change is not None:
        change(model.parameters.views)
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = {"kind": "best", "config": config.as_dict(), "vocabulary": vocabulary.as_dict()}
    save(path, pack(model.parameters), meta)
    return path
