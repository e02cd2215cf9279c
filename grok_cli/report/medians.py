"""The report's first table: when each group generalises, at several thresholds, and how groups
differ."""

from dataclasses import dataclass

from grok_cli.errors import UsageError
from grok_cli.report.report import Report
from grok_cli.results.survival import Median
from grok_cli.results.times import THRESHOLDS, Pair, Times, times_to

MOST_GROUPS = 6  # of which every two are compared


@dataclass(frozen=True)
class Medians:
    """When groups generalise.

    Attributes:
        thresholds: of test accuracy.
        rows: of each group its number in the legend, its name, and a median a threshold.
        pairs: of every two groups their names and how they differ at the strictest threshold; ()
            where there are too many groups.
    """

    thresholds: tuple[float, ...]
    rows: tuple[tuple[int, str, tuple[Median, ...]], ...]
    pairs: tuple[tuple[str, str, Pair], ...]


def medians_of(report: Report) -> Medians | None:
    """The medians of a report's runs, finished or not; None if none measured test accuracy."""
    try:
        found = [times_to(report.results, "generalised", share) for share in THRESHOLDS]
    except UsageError:
        return None
    names = [report.names[group.group.name] for group in found[-1].groups]
    places = [list(report.names).index(group.group.name) for group in found[-1].groups]
    rows = tuple(
        (place, name, tuple(times.groups[i].median for times in found))
        for i, (place, name) in enumerate(zip(places, names, strict=True))
    )
    return Medians(THRESHOLDS, rows, _pairs(found[-1], names))


def _pairs(times: Times, names: list[str]) -> tuple[tuple[str, str, Pair], ...]:
    if not 1 < len(names) <= MOST_GROUPS:
        return ()
    pairs = sorted(times.pairs(), key=lambda pair: 2 if pair.corrected is None else pair.corrected)
    return tuple((names[pair.first], names[pair.second], pair) for pair in pairs)
