"""Charts of a report: shapes in a box of 480 x 300 units, and the values to show on hover.

A line is thinned to what a column of the drawing can show: of the points in a column, the first,
the last, the lowest and the highest are kept, which draws the same line. (Jugel et al. 2014, "M4:
a visualization-oriented time series data aggregation".) No value is averaged away.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grok_cli.figures.bands import Array, Band, Measured, drawn_bands
from grok_cli.figures.names import FIGURES, Figure, name_groups
from grok_cli.figures.phases import Generalised, compression_points, generalised
from grok_cli.figures.scale import Scale, tick_text

WIDTH, HEIGHT = 480, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 10, 44
COLUMNS = 400
MARKERS = 5  # a line
HOVERED = 150  # steps with values on hover, a line
DIGITS = 5


@dataclass(frozen=True)
class Tick:
    """A number on an axis, at a place in the box."""

    place: float
    text: str


@dataclass(frozen=True)
class Line:
    """A curve: SVG paths of the mean and of the band, places of markers, the group's number."""

    group: int
    dashed: bool
    path: str
    band: str
    markers: list[tuple[float, float]]


@dataclass(frozen=True)
class Mark:
    """A bar or a point, and the text that it shows on hover."""

    group: int
    x: float
    y: float
    text: str
    width: float = 0.0


@dataclass(frozen=True)
class Chart:
    """What a figure shows.

    Attributes:
        name: of `FIGURES`, or "generalisation", "compression".
        note: below the title; may be empty.
        data: for the hovering, as JSON; {} where marks have texts of their own.
        rows: names beside bars.
    """

    name: str
    title: str
    x_title: str
    note: str = ""
    x_ticks: list[Tick] = field(default_factory=list)
    y_ticks: list[Tick] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    points: list[Mark] = field(default_factory=list)
    bars: list[Mark] = field(default_factory=list)
    rows: list[Tick] = field(default_factory=list)
    diagonal: bool = False
    height: float = HEIGHT
    data: dict[str, Any] = field(default_factory=dict)


def curve_charts(measured: Measured, labels: list[str]) -> list[Chart]:
    """A chart for each of `FIGURES` whose first metric was measured."""
    charts = []
    for name, figure in FIGURES.items():
        bands = drawn_bands(measured, figure.metrics)
        if figure.metrics[0] in bands:
            charts.append(curve_chart(name, figure, bands, labels))
    return charts


def curve_chart(
    name: str, figure: Figure, measured: dict[str, list[Band]], labels: list[str]
) -> Chart:
    """Metrics against the step.

    Args:
        measured: the bands of each metric.
        labels: of all groups; a group's number is its place there.
    """
    present = list(measured)
    bands = [(metric, band) for metric in present for band in measured[metric]]
    x = Scale.of(_joined([band.steps for _, band in bands]), figure.log_x)
    y = Scale.of(_joined([v for _, band in bands for v in (band.low, band.high)]), figure.log_y)
    lines, series = [], []
    for metric, band in bands:
        dashed, group = metric != present[0], labels.index(band.label)
        lines.append(_line(band, x, y, group, dashed, group / len(labels)))
        series.append(_series(band, x, metric, group))
    solid, *dashed_names = [metric.removesuffix("_loss") for metric in present]
    note = f"solid {solid}, dashed {dashed_names[0]}" if dashed_names else present[0]
    return Chart(
        name=name,
        title=figure.title,
        x_title="step",
        note=note,
        x_ticks=_x_ticks(x),
        y_ticks=_y_ticks(y),
        lines=lines,
        data={
            "low": x.low,
            "high": x.high,
            "log": x.log,
            "left": LEFT / WIDTH,
            "right": 1 - RIGHT / WIDTH,
            "series": series,
        },
    )


def generalisation_chart(measured: Measured, labels: list[str]) -> Chart:
    """A bar a group to the mean step of generalisation, and a point a seed, on a log axis."""
    groups = generalised(measured)
    names = name_groups(labels).names
    low = min((g.earliest for g in groups if g.earliest), default=1)
    high = max((g.latest for g in groups if g.latest), default=10)
    scale = Scale(10 ** np.floor(np.log10(low * 0.999)), high * 1.1, log=True)
    each, height = 34.0, TOP + BOTTOM + 34.0 * len(groups)
    bars, points, rows = [], [], []
    for row, group in enumerate(groups):
        y, number = TOP + each * (row + 0.5), labels.index(group.label)
        rows.append(Tick(y, names[group.label] + _missing(group)))
        if group.middle is not None:
            end = float(_x(scale, np.array([group.middle]))[0])
            text = f"{names[group.label]}: mean {group.middle:,.0f}"
            bars.append(Mark(number, LEFT, y, text, end - LEFT))
        for seed, step in group.seeds.items():
            if step is not None:
                place = float(_x(scale, np.array([float(step)]))[0])
                text = f"{names[group.label]}, seed {seed}: {step:,}"
                points.append(Mark(number, place, y, text))
    return Chart(
        name="generalisation",
        title="step of generalisation",
        x_title="step",
        note="first evaluation with test accuracy ≥ 0.995: bar mean, points seeds",
        x_ticks=_x_ticks(scale),
        bars=bars,
        points=points,
        rows=rows,
        height=height,
    )


def _missing(group: Generalised) -> str:
    missing = sum(step is None for step in group.seeds.values())
    return f", {missing} of {len(group.seeds)} not" if missing else ""


def compression_chart(measured: Measured, labels: list[str]) -> Chart | None:
    """Compression step against generalisation step, a point a run; None if no run has both."""
    found = compression_points(measured)
    if not found:
        return None
    names = name_groups(labels).names
    every = np.array([step for pairs in found.values() for pair in pairs for step in pair], float)
    scale = Scale(every.min() / 1.3, every.max() * 1.3, log=True)
    points = []
    for label, pairs in found.items():
        places = np.array(pairs, float)
        x, y = _x(scale, places[:, 0]), _y(scale, places[:, 1])
        for (compressed, reached), at, up in zip(pairs, x, y, strict=True):
            text = f"{names[label]}: compressed {compressed:,}, generalised {reached:,}"
            points.append(Mark(labels.index(label), float(at), float(up), text))
    return Chart(
        name="compression",
        title="step of generalisation against step of compression",
        x_title="step of compression",
        note="compression: first measured step at which the effective rank of Z on test rows has "
        "fallen half-way from its maximum to its last value",
        x_ticks=_x_ticks(scale),
        y_ticks=_y_ticks(scale),
        points=points,
        diagonal=True,
    )


def thinned(columns: NDArray[np.int64], values: Array) -> NDArray[np.int64]:
    """Which points draw the same line: in each column the first, last, lowest and highest.

    Args:
        columns: of each point, in order.
        values: without nan.
    """
    kept: set[int] = set()
    starts = np.flatnonzero(np.diff(columns, prepend=-1)).tolist()
    for start, end in pairwise([*starts, len(columns)]):
        part = values[start:end]
        kept |= {start, end - 1, start + int(part.argmin()), start + int(part.argmax())}
    return np.array(sorted(kept), dtype=np.int64)


def _drawable(band: Band, x: Scale) -> NDArray[np.bool_]:
    """Where the curve has a finite value and the axis has the step: a log axis has no step 0."""
    drawable: NDArray[np.bool_] = np.isfinite(x.place(band.steps))
    for values in (band.mean, band.low, band.high):
        drawable &= np.isfinite(values)
    return drawable


def _line(band: Band, x: Scale, y: Scale, group: int, dashed: bool, offset: float) -> Line:
    known = _drawable(band, x)
    places = _x(x, band.steps[known])
    mean, low, high = (_y(y, values[known]) for values in (band.mean, band.low, band.high))
    columns = np.floor(places / WIDTH * COLUMNS).astype(np.int64)
    seen = np.isfinite(mean)
    kept = np.flatnonzero(seen)[thinned(columns[seen], mean[seen])]
    if not len(kept):
        return Line(group, dashed, "", "", [])
    path = "M" + "L".join(f"{places[i]:.1f} {mean[i]:.1f}" for i in kept)
    wanted = LEFT + (np.arange(MARKERS) + offset) / MARKERS * (WIDTH - LEFT - RIGHT)
    marked = kept[np.unique(np.searchsorted(places[kept], wanted).clip(0, len(kept) - 1))]
    markers = [] if dashed else [(float(places[i]), float(mean[i])) for i in marked]
    return Line(group, dashed, path, _area(places, columns, low, high), markers)


def _area(places: Array, columns: NDArray[np.int64], low: Array, high: Array) -> str:
    """The band, in each column from the lowest to the highest value."""
    seen = ~np.isnan(high)  # where only the lowest has no place on a log axis, the band is cut off
    if not seen.any():
        return ""
    places, columns, high = places[seen], columns[seen], high[seen]
    low = np.nan_to_num(low[seen], nan=HEIGHT - BOTTOM)
    starts = np.flatnonzero(np.diff(columns, prepend=-1))
    top, bottom = np.minimum.reduceat(high, starts), np.maximum.reduceat(low, starts)
    x = places[starts]
    there = [f"{a:.1f} {b:.1f}" for a, b in zip(x, top, strict=True)]
    back = [f"{a:.1f} {b:.1f}" for a, b in zip(x[::-1], bottom[::-1], strict=True)]
    return "M" + "L".join(there + back) + "Z"


def _series(band: Band, x: Scale, metric: str, group: int) -> dict[str, Any]:
    """Values on hover, of some of the measured steps."""
    known = np.flatnonzero(_drawable(band, x))
    count = len(known)
    dense = np.geomspace(1, max(count, 1), HOVERED).astype(int) - 1  # at the start, for a log axis
    even = np.linspace(0, max(count - 1, 0), min(HOVERED, count)).astype(int)  # to the end
    chosen = known[np.union1d(dense, even)[:count]]
    return {
        "group": group,
        "metric": metric,
        "steps": [int(step) for step in band.steps[chosen]],
        "mean": _short(band.mean[chosen]),
        "low": _short(band.low[chosen]),
        "high": _short(band.high[chosen]),
    }


def _short(values: Array) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in values]


def _joined(arrays: list[Array]) -> Array:
    return np.concatenate(arrays) if arrays else np.array([])


def _x(scale: Scale, values: Array) -> Array:
    return LEFT + scale.place(values) * (WIDTH - LEFT - RIGHT)


def _y(scale: Scale, values: Array) -> Array:
    place: Array = HEIGHT - BOTTOM - scale.place(values) * (HEIGHT - TOP - BOTTOM)
    return place


def _x_ticks(scale: Scale) -> list[Tick]:
    ticks = scale.ticks(7)
    return [
        Tick(float(p), tick_text(t)) for p, t in zip(_x(scale, np.array(ticks)), ticks, strict=True)
    ]


def _y_ticks(scale: Scale) -> list[Tick]:
    ticks = scale.ticks(6)
    return [
        Tick(float(p), tick_text(t)) for p, t in zip(_y(scale, np.array(ticks)), ticks, strict=True)
    ]
