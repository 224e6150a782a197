"""A character-level language model in NumPy: it learns a text, and writes more of it.

import charlm

model = charlm.train("my-text.txt", hidden=256, minutes=3)
print(model.sample(500, start="Once"))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from charlm._version import __version__

if TYPE_CHECKING:
    from typing import Any

    from charlm.api import (
        Evaluation,
        Finding,
        LanguageModel,
        Training,
        check,
        gradients,
        load,
        report,
        resume,
        start,
        train,
    )
    from charlm.errors import (
        CharlmError,
        CheckpointError,
        ConfigError,
        Diverged,
        DrawingError,
        ExchangeError,
        RunError,
        TextError,
        UnknownCharacter,
    )
    from charlm.insight.gradients import Gradients
    from charlm.training.events import (
        Done,
        Event,
        RolledBack,
        Sampled,
        Saved,
        Started,
        Updated,
        Validated,
    )

_HOMES = {
    "charlm.api": "Evaluation Finding LanguageModel Training check gradients load report resume "
    "start train",
    "charlm.errors": "CharlmError CheckpointError ConfigError Diverged DrawingError ExchangeError "
    "RunError TextError UnknownCharacter",
    "charlm.insight.gradients": "Gradients",
    "charlm.training.events": "Done Event RolledBack Sampled Saved Started Updated Validated",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = [
    "CharlmError",
    "CheckpointError",
    "ConfigError",
    "Diverged",
    "Done",
    "DrawingError",
    "Evaluation",
    "Event",
    "ExchangeError",
    "Finding",
    "Gradients",
    "LanguageModel",
    "RolledBack",
    "RunError",
    "Sampled",
    "Saved",
    "Started",
    "TextError",
    "Training",
    "UnknownCharacter",
    "Updated",
    "Validated",
    "__version__",
    "check",
    "gradients",
    "load",
    "report",
    "resume",
    "start",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for, and nothing before: the command line parses without NumPy."""
    if name not in _HOME:
        raise AttributeError(f"module 'charlm' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
