"""What a user may ask of the diagnostics that cannot be done."""

import difflib
from collections.abc import Iterable

from grok_cli.errors import UsageError


class UnknownDiagnosticError(UsageError):
    """No diagnostic has this name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        known = list(known)
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
        hint = f" (nearest: '{near[0]}')" if near else ""
        super().__init__(f"unknown diagnostic '{name}'{hint}; expected one of {', '.join(known)}")


class NoInitialModelError(UsageError):
    """A diagnostic measures the distance from step 0, and the model at step 0 is not known."""
