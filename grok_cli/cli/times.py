"""`grok times`: when the runs of each group memorise or generalise, and how groups differ."""

from collections.abc import Iterable, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape as plain

from grok_cli.cli.completion import run_directories
from grok_cli.cli.options import listed
from grok_cli.cli.output import Column, escape, print_json, print_table, write_csv
from grok_cli.cli.selection import (
    GroupBy,
    Where,
    check_directory,
    end,
    refuse_empty,
    say_problems,
)
from grok_cli.errors import UsageError

if TYPE_CHECKING:
    from grok_cli.results import Group, Results
    from grok_cli.results.times import Pair, Times

SHOWN = 20  # pairs of groups that are printed


class Event(str, Enum):
    """What happens to a run."""

    memorised = "memorised"
    generalised = "generalised"
    sustained = "sustained"


def times(
    directory: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[DIR]...",
            help=plain("Where the runs are. [default: runs]"),
            show_default=False,
            autocompletion=run_directories,
        ),
    ] = None,
    event: Annotated[
        Event, typer.Option(help="Train accuracy reached, test accuracy, or it stayed.")
    ] = Event.generalised,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SHARE",
            help=plain("Accuracies, side by side. [default: 0.95,0.99,0.995]"),
            show_default=False,
        ),
    ] = None,
    power: Annotated[
        float | None,
        typer.Option(
            metavar="RATIO",
            help="Also how many seeds it takes to see this ratio of medians at 80 % power.",
        ),
    ] = None,
    where: Where = None,
    group_by: GroupBy = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="Also write a CSV file, a row a group."),
    ] = None,
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
    directories = directory or [Path("runs")]
    for place in directories:
        check_directory(place, "`grok train --runs-dir` makes one")
    results = Results.from_disk(directories, listed(group_by), include="all", where=where or [])
    say_problems(results.problems)
    refuse_empty(results, where)
    found = [times_to(results, event.value, share) for share in thresholds]
    _say_unmeasured(results, found[0])
    pairs = [one.pairs() for one in found]
    needed = [] if power is None else [_needed(one, power) for one in found]
    if csv is not None:
        rows = [row for one in found for row in group_rows(one)]
        write_csv(csv, [Column(key, is_name=key == "group") for key in rows[0]], rows)
    if as_json:
        print_json(
            {
                "event": event.value,
                "about": EVENTS[event.value].about,
                "groups": [row for one in found for row in group_rows(one)],
                "pairs": [
                    row
                    for one, its in zip(found, pairs, strict=True)
                    for row in pair_rows(one, its)
                ],
                "power": needed,
            }
        )
    else:
        _print_groups(found, EVENTS[event.value].about)
        _print_pairs(found, pairs)
        _print_needed(needed)
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


def _say_unmeasured(results: "Results", times: "Times") -> None:
    """Name on stderr the runs of which nothing is known."""
    known = {end.run.name for group in times.groups for end in group.ends}
    for run in results.runs:
        if run.name not in known:
            typer.echo(f"left out: {escape(run.name)} ({escape(run.status)}, no metrics)", err=True)


def _names(groups: Sequence["Group"]) -> list[str]:
    from grok_cli.figures.names import distinguishing, name_of

    keys = distinguishing(groups)
    return [name_of(group, keys) for group in groups]


def _print_groups(found: Sequence["Times"], about: str) -> None:
    """A row a group: at each threshold the median, and to how many of the runs the event came."""
    strictest = found[-1]
    rows: list[dict[str, Any]] = []
    for place, name in enumerate(_names([group.group for group in strictest.groups])):
        medians = [times.groups[place].median for times in found]
        group = strictest.groups[place]
        mean = group.curve.restricted_mean(strictest.horizon)
        rows.append(
            {"group": name, "mean": f"{mean:,.0f}", "diverged": group.diverged}
            | _by_place(f"{median}, {median.count}" for median in medians)
        )
    columns = [
        Column("group", is_name=True),
        *_columns(found),
        Column("mean", f"mean to {strictest.horizon:,.0f}", number=True, drop=2),
        Column("diverged", number=True, drop=1),
    ]
    print_table(columns, rows, title=f"median of the {about} ...")
    typer.echo("(..): 95 % interval, – no bound; n of m: to how many runs the event came", err=True)


def _print_pairs(found: Sequence["Times"], pairs: Sequence[Sequence["Pair"]]) -> None:
    """A row for every two groups, those that differ most first."""
    if not pairs[-1]:
        return
    names = _names([group.group for group in found[-1].groups])
    strictest = [2 if pair.corrected is None else pair.corrected for pair in pairs[-1]]
    order = sorted(range(len(strictest)), key=strictest.__getitem__)
    rows: list[dict[str, Any]] = []
    for place in order[:SHOWN]:
        beside = [its[place] for its in pairs]
        name = f"{names[beside[-1].first]} / {names[beside[-1].second]}"
        texts = [f"{pair.ratio}, {_probability(pair.corrected)}" for pair in beside]
        rows.append({"groups": name} | _by_place(texts))
    typer.echo()
    print_table([Column("groups", "ratio of medians", is_name=True), *_columns(found)], rows)
    if len(order) > SHOWN:
        typer.echo(f"and {len(order) - SHOWN} more pairs; --json has all", err=True)
    corrected = f", corrected for {len(order)} pairs (Holm)" if len(order) > 1 else ""
    typer.echo(f"p: log-rank test{corrected}", err=True)


def _columns(found: Sequence["Times"]) -> list[Column]:
    """One a threshold; on a narrow terminal the strictest stays."""
    last = len(found) - 1
    return [
        Column(
            str(place),
            f"≥ {times.threshold:g}",
            number=True,
            drop=0 if place == last else 9 - place,
        )
        for place, times in enumerate(found)
    ]


def _by_place(texts: Iterable[str]) -> dict[str, str]:
    return {str(place): text for place, text in enumerate(texts)}


def _probability(p: float | None) -> str:
    return "p –" if p is None else "p < 0.001" if p < 0.001 else f"p {p:.3f}"


def _needed(times: "Times", ratio: float) -> dict[str, Any]:
    """How many seeds it takes to see a ratio, from how far apart the runs of each group are."""
    from grok_cli.results.survival import seeds_needed, spread

    deviation = spread([group.sample for group in times.groups])
    return {
        "threshold": times.threshold,
        "ratio": ratio,
        "spread": deviation,
        "seeds": None if deviation is None else seeds_needed(ratio, deviation),
    }


def _print_needed(needed: Sequence[dict[str, Any]]) -> None:
    if not needed:
        return
    typer.echo()
    columns = [
        Column("threshold", number=True),
        Column("ratio", number=True),
        Column("spread", "spread of log steps", number=True),
        Column("seeds", "seeds a group", number=True),
    ]
    print_table(columns, needed)
    typer.echo("seeds: two-sided t-test on log steps at 0.05, 80 % power, not paired", err=True)
