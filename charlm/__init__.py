"""A character-level language model in NumPy: it learns a text, and writes more of it."""

__version__ = "0.1.0"
