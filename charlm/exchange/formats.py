"""The three formats: what they are called, what their files end in, and which library they need.

Nothing here needs NumPy: the command line offers the formats before it is imported.
"""

import importlib
from enum import StrEnum
from pathlib import Path
from typing import Any

from charlm.errors import ExchangeError


class Format(StrEnum):
    """Name a format; the name is also that of the extra in pyproject.toml."""

    PYTORCH = "pytorch"
    SAFETENSORS = "safetensors"
    ONNX = "onnx"

    @property
    def suffix(self) -> str:
        """Return what the format's files end in."""
        return ".pt" if self is Format.PYTORCH else f".{self.value}"

    @property
    def library(self) -> str:
        """Return the library that writes and reads the format."""
        return "torch" if self is Format.PYTORCH else self.value


def of(path: Path) -> Format | None:
    """Tell a file's format by its suffix; PyTorch's users write `.pth` as well as `.pt`."""
    suffix = path.suffix.lower()
    return next((q for q in Format if q.suffix == suffix.replace(".pth", ".pt")), None)


def library(format_: Format, where: str, part: str = "") -> Any:
    """Import a format's library, an optional extra.

    Args:
        format_: the format.
        where: what needs it, for the message.
        part: a module inside the library, such as `.numpy`.

    Raises:
        ExchangeError: it is not installed, or cannot be imported.
    """
    name = format_.library
    try:
        importlib.import_module(name)
        return importlib.import_module(name + part)
    except (ImportError, OSError) as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == name
        first_line = str(error).partition("\n")[0]
        state = "is not installed" if absent else f"cannot be imported ({first_line})"
        raise ExchangeError(
            where,
            f"needs {name}, which {state}",
            f"pip install {name}, or '.[{format_}]' in a checkout of charlm",
        ) from None
