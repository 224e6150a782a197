"""A character-level language model in NumPy: it learns a text, and writes more of it.

import charlm

model = charlm.train("my-text.txt", hidden=256, minutes=3)
print(model.sample(500, start="Once"))
"""

from typing import TYPE_CHECKING, Any

from charlm._version import __version__ as __version__

# fmt: off
if TYPE_CHECKING:
    from charlm.api import Training as Training, TrainingPlan as TrainingPlan, check as check
    from charlm.api import compare as compare, describe as describe, export as export
    from charlm.api import gradients as gradients, import_ as import_, list_runs as list_runs
    from charlm.api import page_path as page_path, report as report, resume as resume
    from charlm.api import save_page as save_page, start as start, train as train
    from charlm.environment import chosen_threads as chosen_threads, launched as launched
    from charlm.environment import set_threads as set_threads
    from charlm.errors import CharlmError as CharlmError, CheckpointError as CheckpointError
    from charlm.errors import ConfigError as ConfigError, Diverged as Diverged
    from charlm.errors import DrawingError as DrawingError, ExchangeError as ExchangeError
    from charlm.errors import RunError as RunError, TextError as TextError
    from charlm.errors import UnknownCharacter as UnknownCharacter
    from charlm.evaluation.score import Score as Score
    from charlm.generation.copies import AT_LEAST as AT_LEAST, Copy as Copy
    from charlm.generation.sampler import Sampler as Sampler
    from charlm.exchange.formats import Format as Format, format_of as format_of
    from charlm.insight.comparison import Network as Network, compare_cells as compare_cells
    from charlm.insight.gradients import Gradients as Gradients, STREAMS as STREAMS, rate as rate
    from charlm.insight.oddities import Heat as Heat, Oddity as Oddity
    from charlm.insight.reading import Saturation as Saturation, Surprise as Surprise
    from charlm.insight.units import TextStates as TextStates, UnitFinding as UnitFinding
    from charlm.insight.units import UnitTrace as UnitTrace
    from charlm.language_model import Drawing as Drawing, Evaluation as Evaluation
    from charlm.language_model import LanguageModel as LanguageModel, Sample as Sample
    from charlm.language_model import Samples as Samples, load as load
    from charlm.pages.gradient_figure import check_figure as check_figure
    from charlm.pages.gradient_figure import draw_gradients as draw_gradients
    from charlm.runs.check import Finding as Finding
    from charlm.runs.description import Description as Description, Progress as Progress
    from charlm.runs.folder import find_checkpoint as find_checkpoint
    from charlm.runs.summary import RunSummary as RunSummary
    from charlm.settings.schema import Config as Config, FIELDS as FIELDS, KEYS as KEYS
    from charlm.settings.schema import Overrides as Overrides, Settings as Settings
    from charlm.storage.fetch import KNOWN_TEXTS as KNOWN_TEXTS, KnownText as KnownText
    from charlm.storage.fetch import fetch as fetch
    from charlm.storage.history import History as History, Reading as Reading, Rollback as Rollback
    from charlm.text.corpus import TextInfo as TextInfo
    from charlm.text.vocabulary import ByteVocabulary as ByteVocabulary, Vocabulary as Vocabulary
    from charlm.training.events import Done as Done, Event as Event, RolledBack as RolledBack
    from charlm.training.events import Sampled as Sampled, Saved as Saved, Started as Started
    from charlm.training.events import Updated as Updated, Validated as Validated
    from charlm.training.progress import BAR_FORMAT as BAR_FORMAT
# fmt: on

# Where each public name is defined; it is imported when it is asked for, so that the command line
# is parsed without NumPy.
_EXPORTS = {
    "charlm.api": (
        "Training TrainingPlan check compare describe export gradients import_ list_runs "
        "page_path report resume save_page start train"
    ),
    "charlm.environment": "chosen_threads launched set_threads",
    "charlm.errors": (
        "CharlmError CheckpointError ConfigError Diverged DrawingError ExchangeError "
        "RunError TextError UnknownCharacter"
    ),
    "charlm.evaluation.score": "Score",
    "charlm.generation.copies": "AT_LEAST Copy",
    "charlm.generation.sampler": "Sampler",
    "charlm.exchange.formats": "Format format_of",
    "charlm.insight.comparison": "Network compare_cells",
    "charlm.insight.gradients": "Gradients STREAMS rate",
    "charlm.insight.oddities": "Heat Oddity",
    "charlm.insight.reading": "Saturation Surprise",
    "charlm.insight.units": "TextStates UnitFinding UnitTrace",
    "charlm.language_model": "Drawing Evaluation LanguageModel Sample Samples load",
    "charlm.pages.gradient_figure": "check_figure draw_gradients",
    "charlm.runs.check": "Finding",
    "charlm.runs.description": "Description Progress",
    "charlm.runs.folder": "find_checkpoint",
    "charlm.runs.summary": "RunSummary",
    "charlm.settings.schema": "Config FIELDS KEYS Overrides Settings",
    "charlm.storage.fetch": "KNOWN_TEXTS KnownText fetch",
    "charlm.storage.history": "History Reading Rollback",
    "charlm.text.corpus": "TextInfo",
    "charlm.text.vocabulary": "ByteVocabulary Vocabulary",
    "charlm.training.events": "Done Event RolledBack Sampled Saved Started Updated Validated",
    "charlm.training.progress": "BAR_FORMAT",
}
_HOME = {name: module for module, names in _EXPORTS.items() for name in names.split()}
__all__ = sorted(["__version__", *_HOME])


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'charlm' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
