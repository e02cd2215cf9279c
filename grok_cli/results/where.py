"""Filters on runs: `--where key=value`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from grok_cli.core.config import KEYS, present_spelling
from grok_cli.errors import UsageError, did_you_mean
from grok_cli.results.group import shown

FACTS = ("status", "phase")  # of a summary, by which runs are found, too
Test = Callable[[Mapping[str, Any], Mapping[str, Any]], bool]


def parse_where(expressions: Iterable[str], known: Sequence[str] = KEYS) -> Test:
    """Whether a run, given its settings and its summary, is what all expressions ask for.

    An expression is "key=value", or "key=value,value" for any of these values, or with "!=" for
    none of them. The key is "section.key", the last part alone where that means one setting, or
    "status" or "phase".

    Args:
        known: the settings that there are.

    Raises:
        UsageError: another form, or no such setting.
    """
    tests = [_parse(text, known) for text in expressions]
    return lambda settings, summary: all(test(settings, summary) for test in tests)


def _parse(text: str, known: Sequence[str]) -> Test:
    key, equals, values = text.partition("=")
    if not equals or not key.strip("! "):
        raise UsageError(f"--where {text}: expected KEY=VALUE, e.g. model.ln_type=pre")
    wanted = not key.endswith("!")
    name = full_key(key.rstrip("! ").strip(), [*known, *FACTS], "--where")
    accepted = {value.strip() for value in (values, *values.split(","))}

    def test(settings: Mapping[str, Any], summary: Mapping[str, Any]) -> bool:
        found = summary.get(name) if name in FACTS else settings.get(name)
        return any(_means(text, found) for text in accepted) is wanted

    return test


def _means(text: str, value: Any) -> bool:
    """Whether a text stands for a value: 1 and 1.0 do for 1."""
    if text == shown(value):
        return True
    try:
        return not isinstance(value, bool) and float(text) == value
    except ValueError:
        return False


def full_key(text: str, known: Sequence[str], option: str) -> str:
    """The setting that was meant by its name or the last part of it.

    Raises:
        UsageError: none, or several.
    """
    if present_spelling(text) in known:
        return present_spelling(text)
    named = [key for key in known if key.rpartition(".")[2] == text]
    if len(named) == 1:
        return named[0]
    hint = f"expected one of {', '.join(named)}" if named else did_you_mean(text, known)
    raise UsageError(
        f"{option} {text}: no such setting; {hint or '`grok config schema` lists them'}"
    )
