"""The figures by name: each a function from what was measured to a chart.

A new figure is one function here (and an entry), or a line if it is metrics against the step. It
is then on the command line, in reports and in the terminal.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from grok_cli.errors import UsageError, did_you_mean
from grok_cli.figures.chart import Axis, Band, Bar, Chart, Level, Line, Point, Reference
from grok_cli.figures.curves import Curve, curves_to_draw
from grok_cli.figures.names import in_order, legend_of
from grok_cli.results import Group, Results
from grok_cli.results.phases import Generalised, compressed, generalised_groups
from grok_cli.results.times import EVENTS, End, GroupTimes, times_to


@dataclass(frozen=True)
class Options:
    """What may be asked of any figure.

    Attributes:
        log_x, log_y: None: as suits the figure.
        each_seed: a thin line a seed instead of the band from the lowest to the highest.
        title: above the figure; "": nothing; None: what it shows, of how many seeds.
        source: which runs these are, for the title.
        groups: all groups in their order, where the legend has more than are drawn.
        references: what others measured, to be drawn beneath. What fits no group is left out.
    """

    log_x: bool | None = None
    log_y: bool | None = None
    each_seed: bool = False
    title: str | None = None
    source: str = ""
    groups: Sequence[Group] = ()
    references: Sequence[Reference] = ()


Build = Callable[[Results, Options], Chart]


@dataclass(frozen=True)
class Course:
    """Metrics against the step.

    Attributes:
        metrics: drawn in one chart; the first is solid, a second dashed.
        label: of the y axis: what they are, with their unit.
        log_x, log_y: whether an axis is logarithmic unless asked otherwise.
    """

    metrics: tuple[str, ...]
    label: str
    log_x: bool = True
    log_y: bool = False


@dataclass(frozen=True)
class Figure:
    """An entry of the catalogue.

    Attributes:
        build: makes the chart; raises UsageError where nothing of it was measured.
        without: options that have no effect on it.
        unfinished: whether runs that are not finished count, too.
    """

    build: Build
    without: tuple[str, ...] = ()
    unfinished: bool = False


def make_chart(name: str, results: Results, options: Options | None = None) -> Chart:
    """The figure of that name, or a metric's course.

    Raises:
        UsageError: no such figure or metric, or nothing of it was measured.
    """
    options = options or Options()
    name = SPELLINGS.get(name, name)
    if name in CATALOGUE:
        return CATALOGUE[name].build(results, options)
    if name in results.metrics:
        return _course(name, Course((name,), name), results, options)
    known = [*CATALOGUE, *results.metrics]
    hint = did_you_mean(name, known) or f"expected one of {', '.join(known)}"
    raise UsageError(f"{name}: no such figure or metric; {hint}")


def charts_of(results: Results, options: Options | None = None) -> list[Chart]:
    """All figures of what was measured, in the order of the catalogue."""
    charts = []
    for name in CATALOGUE:
        try:
            charts.append(make_chart(name, results, options))
        except UsageError:
            continue  # it was not measured
    return charts


def _course(name: str, course: Course, results: Results, options: Options) -> Chart:
    """Metrics against the step."""
    if course.metrics[0] not in results.metrics:
        raise _not_measured(name, course.metrics[0], results)
    curves = curves_to_draw(results, course.metrics, options.each_seed)
    # The metric of most groups gives their order; another may have been measured elsewhere.
    fullest = sorted(curves.values(), key=len, reverse=True)
    groups = _groups(options, (curve.group for found in fullest for curve in found))
    strokes = tuple(map(_short, curves)) if len(curves) > 1 else ()
    lines = [
        _line(curve, metric, groups, course, options.each_seed)
        for metric, found in curves.items()
        for curve in found
    ]
    references = [
        Band(key, r.x, r.y, r.low, r.high, dashed=r.metric != course.metrics[0])
        for r, key in _fitting(options, groups)
        if r.metric in course.metrics
    ]
    return Chart(
        name=name,
        about=course.label,
        note=f"solid {strokes[0]}, dashed {strokes[1]}" if strokes else course.metrics[0],
        x=Axis("step", _either(options.log_x, course.log_x), steps=True),
        y=Axis(course.label, _either(options.log_y, course.log_y)),
        legend=legend_of(groups),
        runs=_which(results, options),
        title=options.title,
        strokes=strokes,
        lines=tuple(lines),
        references=tuple(references),
        reference=_whose(options) if references else "",
    )


def _line(
    curve: Curve, metric: str, groups: Sequence[Group], course: Course, each_seed: bool
) -> Line:
    return Line(
        _place(curve.group, groups),
        metric,
        curve.steps,
        curve.mean,
        curve.low,
        curve.high,
        curve.seeds if each_seed else {},
        dashed=metric != course.metrics[0],
    )


def _generalisation(results: Results, options: Options) -> Chart:
    """When each group generalised: a bar to the mean over its seeds, and a point a seed."""
    found = generalised_groups(Results(tuple(in_order(results.groups))))
    groups = _groups(options, (one.group for one in found))
    legend = legend_of(groups)
    keys = [_place(one.group, groups) for one in found]
    names = [legend.keys[key].name for key in keys]
    rows = {key: row for row, key in enumerate(keys)}
    references = [
        Band(key, r.x, r.y, r.low, r.high, row=rows[key])
        for r, key in _fitting(options, groups)
        if r.metric == "generalised_at" and key in rows
    ]
    steps = [step for one in found for step in (one.earliest, one.latest, one.middle) if step]
    steps += [float(end) for band in references for end in (*band.low, *band.high)]
    log = options.log_x is not False and bool(steps)
    points = [
        Point(key, step, row, f"{name}, seed {run.seed}: {step:,}")
        for row, (one, key, name) in enumerate(zip(found, keys, names, strict=True))
        for run, step in zip(one.group.runs, one.steps, strict=False)
        if step is not None
    ]
    return Chart(
        name="generalisation",
        about=" by ".join(filter(None, ("step of generalisation", legend.title))),
        note="first evaluation with test accuracy ≥ 0.995: bar mean, points seeds",
        x=Axis(
            "step of generalisation (test accuracy ≥ 0.995)",
            log,
            10 ** math.floor(math.log10(min(steps) * 0.999)) if log else 0,
            _with_room(steps, log),
            steps=True,
        ),
        y=Axis("", rows=tuple(names)),
        legend=legend,
        runs=_which(results, options),
        title=options.title,
        bars=tuple(
            _bar(one, key, row, name)
            for row, (one, key, name) in enumerate(zip(found, keys, names, strict=True))
        ),
        points=tuple(points),
        references=tuple(references),
        reference=f"{_whose(options)}, first to last seed" if references else "",
    )


def _with_room(steps: Sequence[float], log: bool) -> float:
    """The end of an axis with room for a few words beside the last step."""
    if not steps:
        return 1
    low, high = min(steps), max(steps)
    if not log:
        return high * 1.2
    floor = 10 ** math.floor(math.log10(low * 0.999))
    return float(high * (high / floor) ** 0.18)


def _bar(found: Generalised, key: int, row: int, name: str) -> Bar:
    stats = found.stats
    some = 0 < stats.events < stats.runs
    if found.middle is None:
        note = f"not reached ({stats.count})" if stats.runs else "not reached"
        return Bar(key, row, None, note=note, numbers=note)
    count = f", {stats.count}" if stats.runs else ""
    return Bar(
        key,
        row,
        found.middle,
        None if stats.events else found.earliest,
        None if stats.events else found.latest,
        note=stats.count if some else "",
        numbers=f"{found.middle:,.0f}, {found.earliest}..{found.latest}{count}",
        tip=f"{name}: mean {found.middle:,.0f}{count}",
    )


def _compression(results: Results, options: Options) -> Chart:
    """Compression step against generalisation step, a point a run."""
    found = compressed(Results(tuple(in_order(results.groups))))
    if not found:
        raise UsageError(
            "compression: no run has both generalised and compressed; it needs values by seed of "
            "test/accuracy and of alpha_req/effective_rank_test (the diagnostic `rank`)"
        )
    groups = _groups(options, (one.group for one in found))
    legend = legend_of(groups)
    every = [step for one in found for point in one.points for step in point]
    ends = min(every) / 1.3, max(every) * 1.3
    points = [
        Point(key, x, y, f"{legend.keys[key].name}: compressed {x:,}, generalised {y:,}")
        for key, one in ((_place(one.group, groups), one) for one in found)
        for x, y in one.points
    ]
    return Chart(
        name="compression",
        about="step of generalisation against step of compression",
        note="compression: first measured step at which the effective rank of Z on test rows has "
        "fallen half-way from its maximum to its last value",
        x=Axis("step of compression", options.log_x is not False, *ends, steps=True),
        y=Axis("step of generalisation", options.log_y is not False, *ends, steps=True),
        legend=legend,
        runs=_which(results, options),
        title=options.title,
        points=tuple(points),
        diagonal=True,  # compressed when it generalised
    )


def _times(results: Results, options: Options) -> Chart:
    """The share of runs that have not generalised, by Kaplan and Meier, with its band."""
    every = Results.of([*results.runs, *results.left_out], results.keys)
    times = times_to(replace(every, groups=tuple(in_order(every.groups))), "generalised", 0.995)
    groups = _groups(options, (found.group for found in times.groups))
    keys = [_place(found.group, groups) for found in times.groups]
    legend = legend_of(groups)
    last = 1.04 * max(found.sample.last for found in times.groups)
    marks = [
        _mark(key, found, end, legend.keys[key].name)
        for key, found in zip(keys, times.groups, strict=True)
        for end in found.ends
        if not end.happened
    ]
    lines = [_stairs(key, found, last) for key, found in zip(keys, times.groups, strict=True)]
    log = options.log_x is not False
    first = max(min(found.sample.steps.min() for found in times.groups) * 0.999, 1)
    low = 10 ** math.floor(math.log10(first)) if log else 0
    return Chart(
        name="times",
        about="share of runs that have not generalised",
        note=f"Kaplan–Meier, 95 % band; {EVENTS['generalised'].about} {times.threshold}; "
        "| a run that ended before, × one that diverged",
        x=Axis("step", log, low, last, steps=True),
        y=Axis("share not generalised", low=-0.03, high=1.03),
        legend=legend,
        runs=_which(every, options),
        title=options.title,
        lines=tuple(lines),
        points=tuple(sorted(marks, key=lambda point: (point.key, point.sign))),
    )


def _stairs(key: int, found: GroupTimes, last: float) -> Line:
    """A curve that falls in steps, known at every one: some between, and both ends of each fall."""
    end = last if math.isinf(found.curve.end) else found.curve.end
    falls = found.sample.steps[found.sample.happened]
    between = [np.linspace(0, end, 200), np.geomspace(1, max(end, 1), 600)]
    steps = np.unique(np.concatenate([*map(np.rint, between), falls, falls - 1]))
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


def lines_chart(
    label: str,
    lines: Sequence[tuple[str, Sequence[float], Sequence[float]]],
    levels: Sequence[Level] = (),
) -> Chart:
    """A chart of what is not of groups of runs: lines as (name, steps, values)."""
    curves = [(np.array(x, np.float64), np.array(y, np.float64)) for _, x, y in lines]
    log = sum((x > 0).sum() for x, _ in curves) > len(curves)  # more than a point a line
    return Chart(
        name=label,
        about=label,
        note="",
        x=Axis("step", bool(log), steps=True),
        y=Axis(label),
        legend=legend_of([Group({}, text=name) for name, _, _ in lines]),
        lines=tuple(Line(key, label, x, y, y, y) for key, (x, y) in enumerate(curves)),
        levels=tuple(levels),
    )


def _groups(options: Options, found: Iterable[Group]) -> list[Group]:
    """The groups of the legend: those asked for, else those found, each once."""
    groups: list[Group] = list(options.groups)
    if not groups:
        for group in found:
            if not any(_same(group, other) for other in groups):
                groups.append(group)
    return groups


def _place(group: Group, groups: Sequence[Group]) -> int:
    return next(number for number, other in enumerate(groups) if _same(group, other))


def _same(group: Group, other: Group) -> bool:
    return group.settings == other.settings and group.text == other.text


def _fitting(options: Options, groups: Sequence[Group]) -> list[tuple[Reference, int]]:
    """Each reference with the number of the group that it belongs to."""
    return [
        (reference, number)
        for reference in options.references
        for number, group in enumerate(groups)
        if reference.settings and reference.settings.items() <= dict(group.settings).items()
    ]


def _whose(options: Options) -> str:
    return ", ".join(dict.fromkeys(reference.label for reference in options.references))


def _which(results: Results, options: Options) -> str:
    """Of how many seeds a figure is, and of which runs: "5 seeds a group, runs/ln-positions"."""
    counts = sorted({len(group.runs) for group in results.groups if group.runs})
    seeds = ""
    if counts:
        number = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0])
        several = " a group" if len(results.groups) > 1 else ""
        seeds = f"{number} seed{'s' * (counts[-1] > 1)}{several}"
    return ", ".join(filter(None, (seeds, options.source)))


def _short(metric: str) -> str:
    """ "train" or "test", where the rest goes without saying."""
    split, _, what = metric.partition("/")
    return split if what in ("loss", "accuracy") else metric


def _not_measured(name: str, metric: str, results: Results) -> UsageError:
    others = ", ".join(other for other in results.metrics if other != metric)
    return UsageError(f"{name}: not measured there ({metric}); there are {others}")


def _either(asked: bool | None, usual: bool) -> bool:
    return usual if asked is None else asked


# Metrics against the step, by the names that `grok plot` takes.
COURSES = {
    "accuracy": Course(("test/accuracy", "train/accuracy"), "accuracy"),
    "loss": Course(("test/loss", "train/loss"), "loss (nats)"),
    "entropy": Course(("attention/attn_score_entropy",), "attention entropy (nats)"),
    "attention-rank": Course(
        ("attention/answer_out_effective_rank",), "effective rank of attention's output"
    ),
    "rank": Course(("alpha_req/effective_rank_test",), "effective rank of Z, test rows"),
    "numerical-rank": Course(("alpha_req/rank_test",), "numerical rank of Z, test rows"),
    "alpha": Course(("alpha_req/alpha_test",), "power-law exponent α of Z's spectrum, test rows"),
    "fourier": Course(("fourier/col_energy",), "Fourier column energy of the embedding"),
    "ntk": Course(("ntk/relative_distance",), "distance of the tangent kernel from its start"),
    "spec": Course(
        ("train/spec_loss", "train/loss"),
        "training loss (nats): on directions only, as trained",
        log_y=True,
    ),
    "progress": Course(
        ("progress/restricted_loss", "progress/excluded_loss"),
        "loss (nats): key waves alone, all but these",
        log_y=True,
    ),
    "circularity": Course(("circularity/embed",), "circularity of the embedding"),
    "htsr": Course(("htsr/alpha",), "power-law exponent α of the weights, mean"),
    "update-norm": Course(("grads/update_norm",), "norm of an update", log_y=True),
    "grad-norm": Course(("grads/grad_norm",), "norm of the gradient", log_y=True),
    "weight-norm": Course(("grads/weight_norm",), "norm of all weights"),
}
FIRST = ("accuracy", "loss")  # of a report; then when the groups generalised
_COURSES = {name: Figure(partial(_course, name, course)) for name, course in COURSES.items()}
CATALOGUE = {
    **{name: _COURSES[name] for name in FIRST},
    "times": Figure(_times, without=("--y", "--each-seed", "--all"), unfinished=True),
    "generalisation": Figure(_generalisation, without=("--y", "--each-seed")),
    **_COURSES,
    "compression": Figure(_compression, without=("--each-seed",)),
}
SPELLINGS = {"generalization": "generalisation"}
