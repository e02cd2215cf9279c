"""The figures by name: each a function from what was measured to a chart.

A new figure is one function here (and an entry), or a line if it is metrics against the step. It
is then on the command line, in reports and in the terminal.
"""

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from grok_cli.errors import UsageError
from grok_cli.figures.bands import Measured, bands_to_draw
from grok_cli.figures.chart import Axis, Bar, Chart, Key, Legend, Line, Point
from grok_cli.figures.names import name_groups
from grok_cli.figures.phases import Generalised, compression_points, generalised_groups
from grok_cli.figures.style import looks


@dataclass(frozen=True)
class Options:
    """What may be asked of any figure.

    Attributes:
        log_x, log_y: None: as suits the figure.
        each_seed: a thin line a seed instead of the band from the lowest to the highest.
        title: above the figure; may be empty.
        labels: of all groups in their order, where more are shown than this figure has.
    """

    log_x: bool | None = None
    log_y: bool | None = None
    each_seed: bool = False
    title: str = ""
    labels: Sequence[str] = ()


Build = Callable[[Measured, Options], Chart]


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
    """

    build: Build
    without: tuple[str, ...] = ()


def make_chart(name: str, measured: Measured, options: Options | None = None) -> Chart:
    """The figure of that name, or a metric's course.

    Raises:
        UsageError: no such figure or metric, or nothing of it was measured.
    """
    options = options or Options()
    if name in CATALOGUE:
        return CATALOGUE[name].build(measured, options)
    if name in measured.metrics:
        return _course(name, Course((name,), name), measured, options)
    known = [*CATALOGUE, *measured.metrics]
    nearest = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else f"expected one of {', '.join(known)}"
    raise UsageError(f"{name}: no such figure or metric; {hint}")


def charts_of(measured: Measured, options: Options | None = None) -> list[Chart]:
    """All figures of what was measured, in the order of the catalogue."""
    charts = []
    for name in CATALOGUE:
        try:
            charts.append(make_chart(name, measured, options))
        except UsageError:
            continue  # it was not measured
    return charts


def _course(name: str, course: Course, measured: Measured, options: Options) -> Chart:
    """Metrics against the step."""
    if course.metrics[0] not in measured.metrics:
        raise _not_measured(name, course.metrics[0], measured)
    bands = bands_to_draw(measured, course.metrics, options.each_seed)
    # The metric of most groups gives their order; another may have been measured elsewhere.
    fullest = sorted(bands.values(), key=len, reverse=True)
    labels = _labels(options, (band.label for found in fullest for band in found))
    strokes = tuple(map(_short, bands)) if len(bands) > 1 else ()
    lines = [
        Line(
            labels.index(band.label),
            metric,
            band.steps,
            band.mean,
            band.low,
            band.high,
            band.seeds if options.each_seed else {},
            dashed=metric != course.metrics[0],
        )
        for metric, found in bands.items()
        for band in found
    ]
    return Chart(
        name=name,
        title=options.title,
        about=course.label,
        note=f"solid {strokes[0]}, dashed {strokes[1]}" if strokes else course.metrics[0],
        x=Axis("step", _either(options.log_x, course.log_x), steps=True),
        y=Axis(course.label, _either(options.log_y, course.log_y)),
        legend=_legend(labels),
        strokes=strokes,
        lines=tuple(lines),
    )


def _generalisation(measured: Measured, options: Options) -> Chart:
    """When each group generalised: a bar to the mean over its seeds, and a point a seed."""
    groups = generalised_groups(measured)
    labels = _labels(options, (group.label for group in groups))
    legend = _legend(labels)
    names = [legend.keys[labels.index(group.label)].name for group in groups]
    reached = [step for group in groups for step in (group.earliest, group.of_mean) if step]
    log = options.log_x is not False and bool(reached)
    low = 10 ** float(np.floor(np.log10(min(reached) * 0.999))) if log else None
    points = [
        Point(labels.index(group.label), step, row, f"{name}, seed {seed}: {step:,}")
        for row, (group, name) in enumerate(zip(groups, names, strict=True))
        for seed, step in group.seeds.items()
        if step is not None
    ]
    return Chart(
        name="generalisation",
        title=options.title,
        about="step of generalisation",
        note="first evaluation with test accuracy ≥ 0.995: bar mean, points seeds",
        x=Axis("step of generalisation (test accuracy ≥ 0.995)", log, low, steps=True),
        y=Axis("", rows=tuple(names)),
        bars=tuple(
            _bar(group, labels.index(group.label), row, name)
            for row, (group, name) in enumerate(zip(groups, names, strict=True))
        ),
        points=tuple(points),
        legend=legend,
    )


def _bar(group: Generalised, key: int, row: int, name: str) -> Bar:
    if group.middle is None:
        return Bar(key, row, None, note="not reached", numbers="not reached")
    missing = len(group.seeds) - len(group.steps)
    count = f", {len(group.steps)} of {len(group.seeds)}" if group.seeds else ""
    return Bar(
        key,
        row,
        group.middle,
        None if group.steps else group.earliest,
        None if group.steps else group.latest,
        note=f"{missing} not" if missing else "",
        numbers=f"{group.middle:.0f}, {group.earliest}..{group.latest}{count}",
        tip=f"{name}: mean {group.middle:,.0f}",
    )


def _compression(measured: Measured, options: Options) -> Chart:
    """Compression step against generalisation step, a point a run."""
    found = compression_points(measured)
    if not found:
        raise UsageError(
            "compression: no run has both generalised and compressed; it needs values by seed of "
            "test/accuracy and of alpha_req/effective_rank_test (the diagnostic `rank`)"
        )
    labels = _labels(options, found)
    legend = _legend(labels)
    every = [step for pairs in found.values() for pair in pairs for step in pair]
    ends = min(every) / 1.3, max(every) * 1.3
    points = [
        Point(key, x, y, f"{legend.keys[key].name}: compressed {x:,}, generalised {y:,}")
        for key, pairs in ((labels.index(label), pairs) for label, pairs in found.items())
        for x, y in pairs
    ]
    return Chart(
        name="compression",
        title=options.title,
        about="step of generalisation against step of compression",
        note="compression: first measured step at which the effective rank of Z on test rows has "
        "fallen half-way from its maximum to its last value",
        x=Axis("step of compression", options.log_x is not False, *ends, steps=True),
        y=Axis("step of generalisation", options.log_y is not False, *ends, steps=True),
        points=tuple(points),
        diagonal=True,  # compressed when it generalised
        legend=legend,
    )


def _labels(options: Options, found: Iterable[str]) -> list[str]:
    return list(options.labels or dict.fromkeys(found))


def _legend(labels: list[str]) -> Legend:
    names = name_groups(labels)
    chosen = looks(labels, names)
    return Legend(names.title, tuple(Key(names.names[label], chosen[label]) for label in labels))


def _short(metric: str) -> str:
    """ "train" or "test", where the rest goes without saying."""
    split, _, what = metric.partition("/")
    return split if what in ("loss", "accuracy") else metric


def _not_measured(name: str, metric: str, measured: Measured) -> UsageError:
    others = ", ".join(other for other in measured.metrics if other != metric)
    return UsageError(f"{name}: not measured there ({metric}); there are {others}")


def _either(asked: bool | None, usual: bool) -> bool:
    return usual if asked is None else asked


# What the figure of a metric, or of two, is called on its y axis.
COURSES = {
    "accuracy": Course(("test/accuracy", "train/accuracy"), "accuracy"),
    "loss": Course(("test/loss", "train/loss"), "loss (nats)"),
    "entropy": Course(("attention/attn_score_entropy",), "attention entropy (nats)"),
    "attention-rank": Course(
        ("attention/attn_out_eff_rank",), "effective rank of attention's output"
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
_RAW = {name: Figure(partial(_course, name, course)) for name, course in COURSES.items()}
CATALOGUE = {
    **{name: _RAW[name] for name in FIRST},
    "generalisation": Figure(_generalisation, without=("--y", "--each-seed")),
    **_RAW,
    "compression": Figure(_compression, without=("--each-seed",)),
}
SPELLINGS = {"generalization": "generalisation"}
