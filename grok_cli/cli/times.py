"""`grok times`: when the runs of each group memorise or generalise, and how groups differ."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from grok_cli.cli.options import listed
from grok_cli.cli.output import Column, print_json, print_table, say, write_csv
from grok_cli.cli.parameters import Csv, Directories, GroupBy, Json, Where, option
from grok_cli.cli.selection import check_found, directories_of_runs, end
from grok_cli.errors import UsageError

if TYPE_CHECKING:
    from grok_cli.results import Group
    from grok_cli.results.times import Pair, Times

SHOWN = 20  # pairs of groups that are printed
NEEDED = (
    Column("threshold", number=True),
    Column("ratio", number=True),
    Column("spread", "spread of log steps", number=True),
    Column("seeds", "seeds a group", number=True),
)


def times(
    directory: Directories = None,
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
    count, also those that diverged. `grok docs times` says how to read it.
    """
    from grok_cli.results import Results
    from grok_cli.results.times import EVENTS, group_rows, pair_rows, times_to

    thresholds = _thresholds(listed(threshold))
    if power is not None and (power <= 0 or power == 1):
        raise UsageError(f"--power {power:g}: expected a positive ratio other than 1, e.g. 1.5")
    directories = directories_of_runs(directory)
    results = Results.from_disk(directories, listed(group_by), include="all", where=where or [])
    check_found(results, where)
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


def _thresholds(texts: Sequence[str]) -> list[float]:
    """The thresholds typed, or the usual ones; in order."""
    from grok_cli.results.times import THRESHOLDS

    try:
        found = sorted({float(text) for text in texts}) or list(THRESHOLDS)
    except ValueError:
        found = [0.0]
    if not all(0 < share <= 1 for share in found):
        raise UsageError(f"--threshold {','.join(texts)}: expected numbers above 0, at most 1")
    return found


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
