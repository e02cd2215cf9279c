"""The figure of the share of runs that have not generalised, by Kaplan and Meier."""

import math

import numpy as np

from grok_cli.figures.chart import Axis, Chart, Line, Point
from grok_cli.figures.draft import Draft, Options, decade_below
from grok_cli.results import Results
from grok_cli.results.times import EVENTS, End, GroupTimes, times_to


def times_chart(results: Results, options: Options) -> Chart:
    """The curve of each group with its band, and a mark where a run ended before the event."""
    every = results
    if results.left_out:
        every = Results.of([*results.runs, *results.left_out], results.keys)
    times = times_to(every.in_order, "generalised", 0.995)
    draft = Draft(every, options, (found.group for found in times.groups))
    table = [(draft.key(found.group), found) for found in times.groups]
    last = 1.04 * max(found.sample.last for found in times.groups)
    marks = [
        _mark(key, found, end, draft.name(key))
        for key, found in table
        for end in found.ends
        if not end.happened
    ]
    log = options.log_x is not False
    steps = [found.sample.steps.min() for found in times.groups] + [mark.x for mark in marks]
    first = decade_below(max(min(steps), 1.01))
    first = first if log else 0
    return draft.chart(
        "times",
        "share of runs that have not generalised",
        f"Kaplan–Meier, 95 % band; {EVENTS['generalised'].about} {times.threshold}; "
        "| a run that ended before, × one that diverged",
        Axis("step", log, first, last, steps=True),
        Axis("share not generalised", low=-0.03, high=1.03),
        lines=tuple(_stairs(key, found, first, last) for key, found in table),
        points=tuple(sorted(marks, key=lambda point: (point.key, point.sign))),
    )


def _stairs(key: int, found: GroupTimes, first: float, last: float) -> Line:
    """A curve from the axis's first step on that falls in steps, known at every one: some between,
    and both ends of each fall."""
    end = last if math.isinf(found.curve.end) else found.curve.end
    falls = found.sample.steps[found.sample.happened]
    between = [np.linspace(0, end, 200), np.geomspace(1, max(end, 1), 600)]
    steps = np.unique(np.concatenate([*map(np.rint, between), falls, falls - 1]))
    steps = steps[steps >= first]
    share, low, high = found.curve.at(steps)
    high = np.where(share > 0, high, 0.0)  # the band ends where all have
    return Line(key, "share not generalised", steps, share, low, high)


def _mark(key: int, found: GroupTimes, end: End, name: str) -> Point:
    """Where a run stopped that did not generalise."""
    stop = end.step if end.diverged is None else end.diverged
    share = float(found.curve.at(np.array([stop]))[0][0])
    how = "not generalised by" if end.diverged is None else "diverged at"
    tip = f"{name}, seed {end.run.seed}: {how} step {stop:,}"
    return Point(key, stop, share, tip, "|" if end.diverged is None else "x")
