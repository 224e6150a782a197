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

An error prints as `<where>: <problem>; <advice>`, one line; the command line exits with 1. Errors
about a value are `ValueError`s too. `assert` is for what charlm itself guarantees, never for what
it is given.
"""

from charlm.terminal import printable


class CharlmError(Exception):
    """An error in one line; what does not print in it is written as an escape.

    Attributes:
        where: the file, setting or option that it is about; may be empty.
        problem: what is wrong, with the value found.
        advice: what to do; may be empty.
    """

    def __init__(self, where: object, problem: str, advice: str = "") -> None:
        self.where, self.problem, self.advice = map(printable, (str(where), problem, advice))
        super().__init__(self.where, self.problem, self.advice)

    def __str__(self) -> str:
        """Return `<where>: <problem>; <advice>`."""
        line = f"{self.where}: {self.problem}" if self.where else self.problem
        return f"{line}; {self.advice}" if self.advice else line


class ConfigError(CharlmError, ValueError):
    """A setting or argument is invalid."""


class TextError(CharlmError, ValueError):
    """A text is invalid."""


class UnknownCharacter(TextError):
    """A text holds a character that the vocabulary lacks."""


class CheckpointError(CharlmError):
    """A checkpoint file is invalid."""


class RunError(CharlmError):
    """A run's folder cannot be used as asked."""


class ExchangeError(CharlmError):
    """An export or import failed."""


class DrawingError(CharlmError):
    """A figure or page cannot be drawn or written."""


class Diverged(CharlmError):
    """The loss, the gradient or a weight is no longer finite."""
