"""The seeds of a sweep."""

from typing import Any

from grok_cli.runs.settings import SettingsError

PAPER_SEEDS = (456, 789, 111, 222, 333)  # arXiv 2602.06702
FURTHER_SEEDS = 1000  # the sixth seed; the seventh is one more, and so on
MOST_SEEDS = 10_000
DIGITS = 10  # of a seed, at most: seeds are below 2**31


def first_seeds(count: int) -> list[int]:
    """The first `count` seeds: the paper's five, then 1000, 1001, 1002, ..."""
    further = range(FURTHER_SEEDS, FURTHER_SEEDS + max(0, count - len(PAPER_SEEDS)))
    return [*PAPER_SEEDS[:count], *further]


def parse_seeds(text: str) -> list[int]:
    """The seeds that `--seeds` means: "5" is a number of seeds, "456,789" (or "456,") names them.

    Raises:
        SettingsError: neither, or more seeds than a sweep may have.
    """
    parts = [part.strip() for part in text.split(",")]
    named = [part for part in parts if part]
    if not named or not all(part.isdecimal() for part in named):
        raise SettingsError(
            f"--seeds {text:.60}: expected how many, e.g. 5, or the seeds themselves, e.g. 456,789 "
            "(a single one: 456,)"
        )
    if any(len(part) > DIGITS for part in named):
        raise SettingsError(f"--seeds {text:.60}: expected numbers below 2**31")
    if len(parts) == 1:
        return _counted(int(text), "--seeds ", f" (the seed itself: --seeds {named[0]},)")
    return list(dict.fromkeys(int(part) for part in named))


def seeds_of_file(value: Any, source: str) -> list[int] | None:
    """The seeds that a sweep file states: how many, or a list of them; None if it states none.

    Raises:
        SettingsError: neither, or more seeds than a sweep may have.
    """
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return _counted(value, f"{source}: seeds: ", " (a single seed: [456])")
    if isinstance(value, list) and value and all(type(seed) is int for seed in value):
        return list(dict.fromkeys(value))
    raise SettingsError(
        f"{source}: seeds: expected how many, or a list of seeds; found {value!r:.60}"
    )


def _counted(count: int, where: str, hint: str) -> list[int]:
    if count < 1:
        raise SettingsError(f"{where}{count}: expected at least 1")
    if count > MOST_SEEDS:
        raise SettingsError(f"{where}{count}: expected at most {MOST_SEEDS} seeds{hint}")
    return first_seeds(count)
