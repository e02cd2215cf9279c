"""`grok times`: when the runs of each group memorise or generalise, and how groups differ."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from grok_cli.cli.options import listed
from grok_cli.cli.output import Column, print_json, print_table, say, write_csv
from grok_cli.cli.parameters import Csv, DirectoriesOrCsv, GroupBy, Json, Where, option
from grok_cli.cli.selection import check_found, csv_files, end
from grok_cli.errors import UsageError

if TYPE_CHECKING:
    from grok_cli.results import Group, Results
    from grok_cli.results.times import Pair, Times

SHOWN = 20  # pairs of groups that are printed
NEEDED = (
    Column("threshold", number=True),
    Column("ratio", number=True),
    Column("spread", "spread of log steps", number=True),
    Column("seeds", "seeds a group", number=True),
)


def times(
    directory: DirectoriesOrCsv = None,
    event: Annotated[
        Literal["memorised", "generalised", "sustained"],
        option("Train accuracy reached, test accuracy, or it stayed."),
    ] = "generalised",
    threshold: Annotated[
        list[str] | None,
        option("Accuracies, side by side. [default: 0.95,0.99,0.995]", metavar="SHARE"),
    ] = None,
    power: Annotated[
        float | None,
        option(
            "Also how many seeds it takes to see this ratio of medians at 80 % power.",
            metavar="RATIO",
        ),
    ] = None,
    where: Where = None,
    group_by: GroupBy = None,
    as_json: Json = False,
    csv: Csv = None,
) -> None:
    """When runs memorise and generalise, with those that did not counted as what they are.

    A run that ended before the event is known to be slower than its last step; it is not left out.
    Per group and threshold: the median step (Kaplan and Meier) with its 95 % interval, to how many
    of the runs the event came, and the mean step where later ones count as the horizon. Between
    groups: the ratio of medians with its interval (a bootstrap, by seed where groups share seeds),
    and the log-rank test's p corrected for the number of pairs (Holm). All runs that have begun
    count, also those that diverged. Of a file of `grok export-csv --summary` the steps are those
    that are noted there, at one threshold. `grok docs times` says how to read it.
    """
    from grok_cli.results.times import EVENTS, group_rows, pair_rows, times_to

    if power is not None and not (0 < power < math.inf and power != 1):
        raise UsageError(f"--power {power:g}: expected a positive ratio other than 1, e.g. 1.5")
    typed = _typed(listed(threshold))
    results = _read(directory or [Path("runs")], listed(group_by), where or [])
    check_found(results, where)
    thresholds = _thresholds(typed, results, event)
    found = [times_to(results, event, share) for share in thresholds]
    known = {end.run.name for group in found[0].groups for end in group.ends}
    for run in results.runs:
        if run.name not in known:
            say(f"left out: {run.name} ({run.status}, no metrics)")
    pairs = [one.pairs() for one in found]
    needed = [] if power is None else [_needed(one, power) for one in found]
    groups = [row for one in found for row in group_rows(one)]
    about = EVENTS[event].about
    write_csv(csv, groups)
    if as_json:
        beside = [row for one, its in zip(found, pairs, strict=True) for row in pair_rows(one, its)]
        print_json(
            {"event": event, "about": about, "groups": groups, "pairs": beside, "power": needed}
        )
    else:
        names = _names([group.group for group in found[-1].groups])
        _print_groups(found, names, about)
        if pairs[-1]:
            _print_pairs(found, pairs, names)
        if needed:
            typer.echo()
            print_table(NEEDED, needed)
            say("seeds: two-sided t-test on log steps at 0.05, 80 % power, not paired")
    end(results.problems)


def _read(paths: Sequence[Path], group_by: list[str], where: list[str]) -> "Results":
    """All runs in directories, or those that CSV files tell of."""
    from grok_cli.results import Results

    if not (files := csv_files(paths)):
        return Results.from_disk(paths, group_by, include="all", where=where)
    if group_by:
        raise UsageError("--group-by has no effect with CSV files; leave it out")
    return Results.from_csv(files).where(where)


def _typed(texts: Sequence[str]) -> list[float]:
    """The thresholds typed, in order."""
    try:
        found = sorted({float(text) for text in texts})
    except ValueError:
        found = [0.0]
    if not all(0 < share <= 1 for share in found):
        raise UsageError(f"--threshold {','.join(texts)}: expected numbers above 0, at most 1")
    return found


def _thresholds(typed: list[float], results: "Results", event: str) -> list[float]:
    """The thresholds typed, or the usual ones; of a table that notes steps, that of the table."""
    from grok_cli.results.times import EVENTS, THRESHOLDS, is_row

    if not any(map(is_row, results.runs)):
        return typed or list(THRESHOLDS)
    noted = EVENTS[event].noted
    if typed not in ([], [noted]):
        raise UsageError(
            f"--threshold: a summary notes when accuracy was {noted:g}, no more; leave it out, or "
            "name the directories of the runs"
        )
    return [noted]


def _names(groups: Sequence["Group"]) -> list[str]:
    from grok_cli.figures.names import distinguishing, name_of

    keys = distinguishing(groups)
    return [name_of(group, keys) for group in groups]


def _print_groups(found: Sequence["Times"], names: Sequence[str], about: str) -> None:
    """A row a group: at each threshold the median, and to how many of the runs the event came."""
    strictest = found[-1]
    rows = []
    for place, (name, group) in enumerate(zip(names, strictest.groups, strict=True)):
        medians = [times.groups[place].median for times in found]
        mean = group.curve.restricted_mean(strictest.horizon)
        rows.append(
            {"group": name, "mean": f"{mean:,.0f}", "diverged": group.diverged}
            | _by_threshold(f"{median}, {median.count}" for median in medians)
        )
    columns = [
        Column("group"),
        *_threshold_columns(found),
        Column("mean", f"mean to {strictest.horizon:,.0f}", number=True, drop=2),
        Column("diverged", number=True, drop=1),
    ]
    print_table(columns, rows, f"median of the {about} ...")
    say("(..): 95 % interval, – no bound; n of m: to how many runs the event came")


def _print_pairs(
    found: Sequence["Times"], pairs: Sequence[Sequence["Pair"]], names: Sequence[str]
) -> None:
    """A row for every two groups, those that differ most first."""
    rows = []
    for beside in zip(*pairs, strict=True):  # a pair at each threshold
        strictest = beside[-1]
        texts = (f"{pair.ratio}, {_probability(pair.corrected)}" for pair in beside)
        rows.append(
            {
                "groups": f"{names[strictest.first]} / {names[strictest.second]}",
                "p": 2 if strictest.corrected is None else strictest.corrected,
                **_by_threshold(texts),
            }
        )
    rows.sort(key=lambda row: row["p"])
    typer.echo()
    print_table([Column("groups", "ratio of medians"), *_threshold_columns(found)], rows[:SHOWN])
    if len(rows) > SHOWN:
        say(f"and {len(rows) - SHOWN} more pairs; --json has all")
    corrected = f", corrected for {len(rows)} pairs (Holm)" if len(rows) > 1 else ""
    say(f"p: log-rank test{corrected}")


def _threshold_columns(found: Sequence["Times"]) -> list[Column]:
    """One a threshold; on a narrow terminal the strictest stays."""
    last = len(found) - 1
    return [
        Column(str(i), f"≥ {times.threshold:g}", number=True, drop=0 if i == last else 9 - i)
        for i, times in enumerate(found)
    ]


def _by_threshold(texts: Iterable[str]) -> dict[str, Any]:
    """The cells of these columns."""
    return {str(i): text for i, text in enumerate(texts)}


def _probability(p: float | None) -> str:
    return "p –" if p is None else "p < 0.001" if p < 0.001 else f"p {p:.3f}"


def _needed(times: "Times", ratio: float) -> dict[str, Any]:
    """How many seeds it takes to see a ratio, from how far apart the runs of each group are."""
    from grok_cli.results.survival import seeds_needed, spread

    deviation = spread([group.sample for group in times.groups])
    seeds = None if deviation is None else seeds_needed(ratio, deviation)
    return {"threshold": times.threshold, "ratio": ratio, "spread": deviation, "seeds": seeds}
