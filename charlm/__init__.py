"""A character-level language model in NumPy: it learns a text, and writes more of it.

import charlm

model = charlm.train("my-text.txt", hidden=256, minutes=3)
print(model.sample(500, start="Once"))
"""

from typing import TYPE_CHECKING, Any

from charlm._version import __version__ as __version__

if TYPE_CHECKING:
    from charlm.api import Training as Training
    from charlm.api import TrainingPlan as TrainingPlan
    from charlm.api import check as check
    from charlm.api import compare as compare
    from charlm.api import describe as describe
    from charlm.api import export as export
    from charlm.api import gradients as gradients
    from charlm.api import import_ as import_
    from charlm.api import list_runs as list_runs
    from charlm.api import report as report
    from charlm.api import resume as resume
    from charlm.api import save_page as save_page
    from charlm.api import start as start
    from charlm.api import train as train
    from charlm.environment import chosen_threads as chosen_threads
    from charlm.environment import set_threads as set_threads
    from charlm.errors import CharlmError as CharlmError
    from charlm.errors import CheckpointError as CheckpointError
    from charlm.errors import ConfigError as ConfigError
    from charlm.errors import Diverged as Diverged
    from charlm.errors import DrawingError as DrawingError
    from charlm.errors import ExchangeError as ExchangeError
    from charlm.errors import RunError as RunError
    from charlm.errors import TextError as TextError
    from charlm.errors import UnknownCharacter as UnknownCharacter
    from charlm.evaluation.score import Score as Score
    from charlm.exchange.formats import Format as Format
    from charlm.exchange.formats import format_of as format_of
    from charlm.generation.copies import AT_LEAST as AT_LEAST
    from charlm.generation.copies import Copy as Copy
    from charlm.generation.sampler import Sampler as Sampler
    from charlm.insight.comparison import Network as Network
    from charlm.insight.comparison import compare_cells as compare_cells
    from charlm.insight.gradients import STREAMS as STREAMS
    from charlm.insight.gradients import Gradients as Gradients
    from charlm.insight.gradients import rate as rate
    from charlm.insight.oddities import Heat as Heat
    from charlm.insight.oddities import Oddity as Oddity
    from charlm.insight.reading import Saturation as Saturation
    from charlm.insight.reading import Surprise as Surprise
    from charlm.insight.units import TextStates as TextStates
    from charlm.insight.units import UnitFinding as UnitFinding
    from charlm.language_model import Drawing as Drawing
    from charlm.language_model import Evaluation as Evaluation
    from charlm.language_model import LanguageModel as LanguageModel
    from charlm.language_model import Sample as Sample
    from charlm.language_model import load as load
    from charlm.pages.gradient_figure import check_figure as check_figure
    from charlm.pages.gradient_figure import draw_gradients as draw_gradients
    from charlm.runs.check import Finding as Finding
    from charlm.runs.folder import find_checkpoint as find_checkpoint
    from charlm.runs.summary import RunSummary as RunSummary
    from charlm.settings.schema import FIELDS as FIELDS
    from charlm.settings.schema import Config as Config
    from charlm.settings.schema import Overrides as Overrides
    from charlm.settings.schema import Settings as Settings
    from charlm.storage.fetch import KNOWN_TEXTS as KNOWN_TEXTS
    from charlm.storage.fetch import KnownText as KnownText
    from charlm.storage.fetch import fetch as fetch
    from charlm.storage.history import History as History
    from charlm.storage.history import Reading as Reading
    from charlm.text.vocabulary import ByteVocabulary as ByteVocabulary
    from charlm.text.vocabulary import Vocabulary as Vocabulary
    from charlm.training.events import Done as Done
    from charlm.training.events import Event as Event
    from charlm.training.events import RolledBack as RolledBack
    from charlm.training.events import Sampled as Sampled
    from charlm.training.events import Saved as Saved
    from charlm.training.events import Started as Started
    from charlm.training.events import Updated as Updated
    from charlm.training.events import Validated as Validated

# Where each public name is defined; it is imported when it is asked for, so that the command line
# is parsed without NumPy.
_EXPORTS = {
    "charlm.api": (
        "Training TrainingPlan check compare describe export gradients import_ list_runs "
        "report resume save_page start train"
    ),
    "charlm.environment": "chosen_threads set_threads",
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
    "charlm.insight.units": "TextStates UnitFinding",
    "charlm.language_model": "Drawing Evaluation LanguageModel Sample load",
    "charlm.pages.gradient_figure": "check_figure draw_gradients",
    "charlm.runs.check": "Finding",
    "charlm.runs.folder": "find_checkpoint",
    "charlm.runs.summary": "RunSummary",
    "charlm.settings.schema": "Config FIELDS Overrides Settings",
    "charlm.storage.fetch": "KNOWN_TEXTS KnownText fetch",
    "charlm.storage.history": "History Reading",
    "charlm.text.vocabulary": "ByteVocabulary Vocabulary",
    "charlm.training.events": "Done Event RolledBack Sampled Saved Started Updated Validated",
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
