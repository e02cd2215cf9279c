"""What a user may ask of the diagnostics that cannot be done."""

from collections.abc import Iterable

from grok_cli.errors import UsageError, did_you_mean


class UnknownDiagnosticError(UsageError):
    """No diagnostic has this name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        known = list(known)
        hint = f"{did_you_mean(name, known)} expected one of {', '.join(known)}".strip()
        super().__init__(f"unknown diagnostic '{name}'; {hint}")


class NoInitialModelError(UsageError):
    """A diagnostic measures the distance from step 0, and the model at step 0 is not known."""
