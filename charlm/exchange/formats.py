"""The exchange formats: their names and file suffixes.

Nothing here needs NumPy: the command line offers the formats before it is imported.
"""

from enum import StrEnum
from pathlib import Path


class Format(StrEnum):
    """A format; its name is also that of the extra in pyproject.toml, which HTML does not need."""

    PYTORCH = "pytorch"
    SAFETENSORS = "safetensors"
    ONNX = "onnx"
    HTML = "html"

    @property
    def suffix(self) -> str:
        """Return the suffix of the format's files."""
        return ".pt" if self is Format.PYTORCH else f".{self.value}"


def format_of(path: Path) -> Format | None:
    """Return a file's format by its suffix; `.pth` is PyTorch's as well as `.pt`."""
    suffix = path.suffix.lower().replace(".pth", ".pt")
    return next((known for known in Format if known.suffix == suffix), None)
