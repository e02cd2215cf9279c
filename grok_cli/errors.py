"""Errors that are the user's to mend: shown as one message, never as a traceback."""

import difflib
from collections.abc import Iterable

DISTRIBUTION = "grokking-lab"  # what pip and pipx call this package


class GrokError(Exception):
    """Something failed; the message says what was wrong, what was expected and what to do."""

    exit_code = 1


class UsageError(GrokError):
    """What was typed cannot be done."""

    exit_code = 2


class GrokWarning(UserWarning):
    """Something that went another way than asked for, and went on."""


def lacking(what: str, requirement: str) -> UsageError:
    """The refusal of what a package would do that is not installed."""
    return UsageError(
        f"{what} needs a package that is not installed: pip install '{requirement}' (with pipx: "
        f"pipx inject {DISTRIBUTION} '{requirement}')"
    )


def cause(error: OSError) -> str:
    """Why something could not be read or written, in words; never empty."""
    if error.strerror:
        return error.strerror
    text = str(error.args[0]) if error.args else ""  # of a library, without a number
    return " ".join(text.split()) or type(error).__name__


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """The question "did you mean ...?" with the nearest known name; "" if none is near."""
    near = nearest(str(name), known)
    return f"did you mean {near}?" if near else ""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant; None if none is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.65)
    return near[0] if near else None
