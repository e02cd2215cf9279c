"""The figure of branches: each from where it left its parent on, which is grey."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from grok_cli.errors import UsageError
from grok_cli.figures.chart import Chart, Key, Legend, Point
from grok_cli.figures.course import Course
from grok_cli.figures.curves import curve
from grok_cli.figures.draft import Draft, Options
from grok_cli.figures.names import distinguishing, name_of
from grok_cli.figures.style import GREY, MARKERS, Look, looks
from grok_cli.results import Group, Results
from grok_cli.results.branches import AT, PARENT, left_at, parents_of
from grok_cli.results.run import STEP, Run


def branches_chart(name: str, course: Course, results: Results, options: Options) -> Chart:
    """A metric of branches and of the runs that they left.

    Raises:
        UsageError: there are no branches, or none of it was measured.
    """
    metric = course.metrics[0]
    found = [run for run in results.runs if run.settings.get(PARENT) and run.series(metric).height]
    if not found:
        raise UsageError(f"{name}: no branches with {metric} there; `grok branch` makes them")
    problems: list[str] = []
    parents = Results.of(parents_of(found, problems)).in_order.groups
    branches = sorted(Results.of(found).in_order.groups, key=_step)
    draft = Draft(replace(results, groups=tuple(branches)), options, [*parents, *branches])
    draft.groups = [*parents, *branches]
    draft.legend = _legend(parents, branches)
    lines, points = [], []
    for key, group in enumerate(draft.groups):
        first = min((left_at(run) or 0 for run in group.runs), default=0)
        is_branch = key >= len(parents)
        drawn = curve(group, metric, options.each_seed)
        lines.append(drawn.line(key, metric, first=first if is_branch else 0))
        if is_branch:
            points += [p for run in group.runs for p in _left(key, draft.name(key), run, metric)]
    return draft.chart(
        name,
        f"{course.label} of branches",
        f"{metric}; grey: the runs that they left, markers: where"
        + (f" ({len(problems)} of them not found)" if problems else ""),
        *course.axes(options),
        lines=tuple(lines),
        points=tuple(points),
    )


def _left(key: int, name: str, run: Run, metric: str) -> list[Point]:
    """Where a branch left its parent, at the last value before."""
    step = left_at(run)
    series = run.series(metric)
    before = series.filter(pl.col(STEP) <= (step or 0))
    if step is None or not before.height:
        return []
    value = float(before[metric][-1])
    tip = f"{name}, seed {run.seed}: left at step {step:,}, {metric} {value:.4g}"
    return [Point(key, step, value, tip)] if np.isfinite(value) else []


def _step(group: Group) -> float:
    """The mean step at which the branches of a group left, by which they are ordered."""
    return float(np.mean([left_at(run) or 0 for run in group.runs]))


def _legend(parents: Sequence[Group], branches: Sequence[Group]) -> Legend:
    """Parents in grey; branches by where they left in colour, by what else they are in marker."""
    of_parents = distinguishing(parents)
    of_branches = tuple(dict.fromkeys((*distinguishing(branches), AT)))
    others = [[g.settings.get(key) for key in of_branches if key != AT] for g in branches]
    chosen = looks([group.settings.get(AT) for group in branches], others, False)
    grey = [
        Key(
            f"parent {name_of(group, of_parents)}",
            Look(GREY, MARKERS[number % len(MARKERS)]),
            group.name,
        )
        for number, group in enumerate(parents)
    ]
    return Legend(
        "",
        (
            *grey,
            *(
                Key(name_of(group, of_branches), look, group.name)
                for group, look in zip(branches, chosen, strict=True)
            ),
        ),
    )
