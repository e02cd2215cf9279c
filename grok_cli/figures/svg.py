"""Draws a chart for a page: SVG in a box of 480 units across, and the values to show on hover.

Colours come from the page: what belongs to group i has the class g{i}, and the page says `--group`
for it and draws its marker as `#shape{i}`.

A line is thinned to what a column of the drawing can show: of the points in a column, the first,
the last, the lowest and the highest are kept, which draws the same line. (Jugel et al. 2014, "M4:
a visualization-oriented time series data aggregation".) No value is averaged away.
"""

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from grok_cli.figures.chart import Array, Band, Chart, Line
from grok_cli.figures.names import shortened
from grok_cli.figures.scale import axis_scale, spread_out, tick_text

WIDTH, HEIGHT = 480, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 10, 44
ROW, BAR = 44.0, 16.0  # of bars: a name above each
NAME = 62  # letters of a name above a bar
COLUMNS = 400
MARKERS = 5  # a line
HOVERED = 150  # steps with values on hover, a line
DIGITS = 5


class Box:
    """Where the values of a chart lie in its drawing."""

    def __init__(self, chart: Chart) -> None:
        self.rows = bool(chart.y.rows)
        self.left = RIGHT if self.rows else LEFT
        self.height = TOP + BOTTOM + ROW * len(chart.y.rows) + BAR / 2 if self.rows else HEIGHT
        self.bottom = self.height - BOTTOM
        self.x_scale = axis_scale(chart.x, chart.x_values())
        self.y_scale = axis_scale(chart.y, chart.y_values())

    def x(self, values: Array) -> Array:
        """Places from the left."""
        place: Array = self.left + self.x_scale.place(values) * (WIDTH - self.left - RIGHT)
        return place

    def y(self, values: Array) -> Array:
        """Places from the top."""
        if self.rows:
            return TOP + ROW * (values + 1) - BAR / 2 - 4
        place: Array = self.bottom - self.y_scale.place(values) * (self.bottom - TOP)
        return place

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The place of one point."""
        return float(self.x(np.array([x]))[0]), float(self.y(np.array([y]))[0])


def figure_html(chart: Chart) -> Markup:
    """The chart as the HTML element <figure>, with its title, and values to show on hover."""
    box = Box(chart)
    title = escape(chart.title or chart.about)
    told = "; ".join(filter(None, (chart.note, chart.runs, _reference_note(chart))))
    note = f"<span>{escape(told)}</span>" if told else ""
    label = escape(f"{chart.about} against {chart.x.label}")
    shapes = "\n".join(_shapes(chart, box))
    data = hover_data(chart, box)
    script = f'<script type="application/json">{script_json(data)}</script>' if data else ""
    return Markup(
        f'<figure class="chart" data-chart="{escape(chart.name)}">\n'
        f"<figcaption><b>{title}</b>{note}</figcaption>\n"
        f'<svg viewBox="0 0 {WIDTH} {box.height:g}" role="img" aria-label="{label}">\n'
        f'{shapes}\n</svg>\n<div class="tip" hidden></div>\n{script}</figure>'
    )


def _reference_note(chart: Chart) -> str:
    if not chart.reference:
        return ""
    return f"{'grey line' if chart.y.rows else 'dotted'}: {chart.reference}"


def _shapes(chart: Chart, box: Box) -> Iterator[str]:
    """The drawing, from back to front."""
    yield from _grid(chart, box)
    if chart.diagonal:
        yield f'<path class="diagonal" d="M{box.left} {box.bottom}L{WIDTH - RIGHT} {TOP}"/>'
    for reference in chart.references:
        yield from _reference(reference, box)
    for level in chart.levels:
        _, y = box.at(1, level.y)
        yield f'<path class="diagonal" d="M{box.left} {y:.1f}H{WIDTH - RIGHT}"/>'
        yield (
            f'<text class="tick" x="{WIDTH - RIGHT}" y="{y - 4:.1f}" text-anchor="end">'
            f"{escape(level.name)}</text>"
        )
    drawings = [(line, *_drawing(line, len(chart.legend.keys), box)) for line in chart.lines]
    for line, _, band, _ in drawings:
        if band:
            yield f'<path class="band g{line.key}" d="{band}"/>'
    for line, path, _, _ in drawings:
        if path:
            dashed = " dashed" if line.dashed else ""
            yield f'<path class="line g{line.key}{dashed}" d="{path}"/>'
    for line, _, _, markers in drawings:
        for x, y in markers:
            yield _marker("marker", line.key, x, y)
    yield from _bars(chart, box)
    for point in chart.points:
        x, y = box.at(point.x, point.y)
        if point.sign:
            d = "v10" if point.sign == "|" else "m-4 1l8 8m0 -8l-8 8"
            told = f'data-tip="{escape(point.tip)}" tabindex="0"'
            yield f'<path class="sign g{point.key}" d="M{x:.1f} {y - 5:.1f}{d}" {told}/>'
        else:
            yield _marker("point", point.key, x, y, point.tip)
    yield f'<path class="axis" d="M{box.left} {TOP}V{box.bottom}H{WIDTH - RIGHT}"/>'
    yield (
        f'<text class="axis-title" x="{WIDTH - RIGHT}" y="{box.height - 6}" text-anchor="end">'
        f"{escape(chart.x.label)}</text>"
    )
    yield '<path class="cursor" d="" visibility="hidden"/>'


def _grid(chart: Chart, box: Box) -> Iterator[str]:
    for tick in box.x_scale.ticks(7):
        x, _ = box.at(tick, 0)
        yield f'<path class="grid" d="M{x:.1f} {TOP}V{box.bottom}"/>'
        yield (
            f'<text class="tick" x="{x:.1f}" y="{box.bottom + 17}" text-anchor="middle">'
            f"{tick_text(tick)}</text>"
        )
    if box.rows:
        return
    for tick in box.y_scale.ticks(6):
        _, y = box.at(0, tick)
        yield f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
        yield (
            f'<text class="tick" x="{LEFT - 7}" y="{y + 4.5:.1f}" text-anchor="end">'
            f"{tick_text(tick)}</text>"
        )


def _reference(band: Band, box: Box) -> Iterator[str]:
    """What others measured: a dotted mean and its band; of a row a line below its bar."""
    if band.row is not None:
        for low, high in zip(band.low, band.high, strict=True):
            start, y = box.at(low, band.row)
            end, _ = box.at(high, band.row)
            yield (
                f'<path class="reference range" d="M{start:.1f} {y + BAR / 2 + 4:.1f}H{end:.1f}"/>'
            )
        return
    line = Line(band.key, "", band.x, band.y, band.low, band.high)
    path, area, _ = _drawing(line, 1, box)
    dashed = " dashed" if band.dashed else ""
    if area:
        yield f'<path class="reference band g{band.key}" d="{area}"/>'
    if path:
        yield f'<path class="reference line g{band.key}{dashed}" d="{path}"/>'


def _bars(chart: Chart, box: Box) -> Iterator[str]:
    for bar in chart.bars:
        if bar.end is None:
            continue
        end, y = box.at(bar.end, bar.row)
        yield (
            f'<rect class="bar g{bar.key}" x="{box.left}" y="{y - BAR / 2}" '
            f'width="{end - box.left:.1f}" height="{BAR:g}" data-tip="{escape(bar.tip)}" '
            'tabindex="0"/>'
        )
        if bar.low is not None and bar.high is not None:
            start, _ = box.at(bar.low, bar.row)
            stop, _ = box.at(bar.high, bar.row)
            yield f'<path class="line g{bar.key}" d="M{start:.1f} {y:.1f}H{stop:.1f}"/>'
    for bar in chart.bars:
        _, y = box.at(1, bar.row)
        text = ": ".join(filter(None, (shortened(chart.y.rows[bar.row], NAME), bar.note)))
        full = escape(chart.legend.keys[bar.key].full)
        yield (
            f'<text class="row" x="{box.left + 2}" y="{y - BAR / 2 - 6:.1f}">{escape(text)}'
            f"<title>{full}</title></text>"
        )


def _marker(kind: str, key: int, x: float, y: float, tip: str = "") -> str:
    told = f' data-tip="{escape(tip)}" tabindex="0"' if tip else ""
    return f'<use class="{kind} g{key}" href="#shape{key}" x="{x:.1f}" y="{y:.1f}"{told}/>'


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


def _drawable(line: Line, box: Box) -> NDArray[np.bool_]:
    """Where the curve has a finite value and the axis has the step: a log axis has no step 0."""
    place = np.nan_to_num(box.x_scale.place(line.x), nan=-1.0)
    drawable: NDArray[np.bool_] = (place >= -1e-9) & (place <= 1 + 1e-9)
    for values in (line.y, line.low, line.high):
        drawable &= np.isfinite(values)
    return drawable


def _drawing(line: Line, groups: int, box: Box) -> tuple[str, str, list[tuple[float, float]]]:
    """SVG paths of the mean and of the band, and the places of the markers."""
    known = _drawable(line, box)
    places = box.x(line.x[known])
    mean, low, high = (box.y(values[known]) for values in (line.y, line.low, line.high))
    columns = np.floor(places / WIDTH * COLUMNS).astype(np.int64)
    seen = np.isfinite(mean)
    kept = np.flatnonzero(seen)[thinned(columns[seen], mean[seen])]
    if not len(kept):
        return "", "", []
    path = "M" + "L".join(f"{places[i]:.1f} {mean[i]:.1f}" for i in kept)
    offset = line.key / groups
    wanted = LEFT + (np.arange(MARKERS) + offset) / MARKERS * (WIDTH - LEFT - RIGHT)
    marked = kept[np.unique(np.searchsorted(places[kept], wanted).clip(0, len(kept) - 1))]
    markers = [] if line.dashed else [(float(places[i]), float(mean[i])) for i in marked]
    return path, _area(places, columns, low, high, box.bottom), markers


def _area(places: Array, columns: NDArray[np.int64], low: Array, high: Array, bottom: float) -> str:
    """The band, in each column from the lowest to the highest value."""
    seen = ~np.isnan(high)  # where only the lowest has no place on a log axis, the band is cut off
    if not seen.any():
        return ""
    places, columns, high = places[seen], columns[seen], high[seen]
    low = np.nan_to_num(low[seen], nan=bottom)
    starts = np.flatnonzero(np.diff(columns, prepend=-1))
    top, lowest = np.minimum.reduceat(high, starts), np.maximum.reduceat(low, starts)
    x = places[starts]
    there = [f"{a:.1f} {b:.1f}" for a, b in zip(x, top, strict=True)]
    back = [f"{a:.1f} {b:.1f}" for a, b in zip(x[::-1], lowest[::-1], strict=True)]
    return "M" + "L".join(there + back) + "Z"


def hover_data(chart: Chart, box: Box) -> dict[str, Any]:
    """For the hovering over curves; {} where marks have texts of their own."""
    if not chart.lines:
        return {}
    scale = box.x_scale
    return {
        "low": scale.low,
        "high": scale.high,
        "log": scale.log,
        "left": LEFT / WIDTH,
        "right": 1 - RIGHT / WIDTH,
        "series": [_series(line, box) for line in chart.lines],
    }


def _series(line: Line, box: Box) -> dict[str, Any]:
    """Values on hover, of some of the measured steps."""
    known = np.flatnonzero(_drawable(line, box))
    chosen = known[spread_out(len(known), HOVERED)]
    return {
        "group": line.key,
        "metric": line.metric,
        "steps": [int(step) for step in line.x[chosen]],
        "mean": _digits(line.y[chosen]),
        "low": _digits(line.low[chosen]),
        "high": _digits(line.high[chosen]),
    }


def _digits(values: Array) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in values]


def script_json(data: dict[str, Any]) -> str:
    """JSON that ends no script element."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
