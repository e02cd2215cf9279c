"""Errors that are the user's to mend: shown as one message, never as a traceback."""

import difflib
import sys
import warnings
from collections.abc import Iterable

DISTRIBUTION = "grokking-lab"  # what pip and pipx call this package


class GrokError(Exception):
    """Something failed; the message says what was wrong, what was expected and what to do.

    Attributes:
        exit_code: what the command line ends with: 1, or 2 of a `UsageError`.

    Examples:
        >>> try:
        ...     grok.load("nowhere")
        ... except grok.GrokError as error:
        ...     print(str(error).partition(";")[0])
        nowhere: no run there
    """

    exit_code = 1


class UsageError(GrokError):
    """What was typed cannot be done: a setting that is not valid, a run that is not there.

    Examples:
        >>> try:
        ...     run.cache(names="blocks.0.patern")
        ... except grok.UsageError as error:
        ...     print(str(error).partition(" expected")[0])
        the model has no step 'blocks.0.patern'; did you mean blocks.0.pattern?
    """

    exit_code = 2


class GrokWarning(UserWarning):
    """Something that went another way than asked for, and went on.

    Examples:
        >>> import warnings
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore", grok.GrokWarning)
        ...     model = run.model(step=57)  # of step 60, the nearest that there is
    """


def warn(message: str) -> None:
    """Give a `GrokWarning` whose line is that of the user's which called this package."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals["__name__"].startswith(f"{__package__}."):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, GrokWarning, stacklevel=level)


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


def suggestion(name: object, known: Iterable[str]) -> str:
    """What to type instead of an unknown name: the nearest, or else all."""
    known = list(known)
    return did_you_mean(name, known) or f"expected one of {', '.join(known)}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant; None if none is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.65)
    return near[0] if near else None
