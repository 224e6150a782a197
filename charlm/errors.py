"""Every exception that charlm raises on purpose.

    CharlmError
    ├── ConfigError              a setting is unknown, out of range, or at odds with another
    ├── TextError                a text cannot be fetched or read, is no UTF-8, too short or changed
    │   └── UnknownCharacter     a text holds a character that the vocabulary lacks
    ├── CheckpointError          a checkpoint is missing, damaged, foreign, or of another version
    ├── RunError                 a run is missing, or cannot be made, resumed or saved
    ├── ExchangeError            weights cannot go elsewhere, or come from there
    ├── DrawingError             a picture cannot be drawn, or its page not be written
    └── Diverged                 the loss, the gradient or a weight is no longer a finite number

A message reads `<where>: <what is wrong>, got <value>; <what to do>`. The command line prints it
as one line and exits with 1. `assert` is for what charlm itself guarantees, never for what it is
given.
"""

from charlm.terminal import printable


class CharlmError(Exception):
    """Say what went wrong, where, and what to do about it, in one line.

    Args:
        message: the line; of names and values in it, what does not print becomes escapes.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class ConfigError(CharlmError):
    """Reject a setting."""


class TextError(CharlmError):
    """Reject a text."""


class UnknownCharacter(TextError):
    """Name a character that the vocabulary lacks, and its position."""


class CheckpointError(CharlmError):
    """Reject a checkpoint file."""


class RunError(CharlmError):
    """Reject a run's folder, or what was asked of it."""


class ExchangeError(CharlmError):
    """Reject an export or import, its file, or the lack of its library."""


class DrawingError(CharlmError):
    """Reject a picture's or a page's file, or the lack of the library that draws it."""


class Diverged(CharlmError):
    """Stop a training whose loss, gradient or weights became infinite or not a number."""
