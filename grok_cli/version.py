"""Which version this is; `pyproject.toml` reads it, too."""

__version__ = "0.1.0"
