"""Draws a chart with matplotlib, as PNG, SVG or PDF. Every line goes through measured values."""

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from numpy.typing import NDArray

from grok_cli.errors import GrokError, UsageError
from grok_cli.figures.chart import Array, Bar, Chart, Key, Line
from grok_cli.figures.style import SETTINGS, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = 6  # a curve
ENDINGS = (".png", ".svg", ".pdf")
SOLID, DASHED = "-", (0, (4, 2))
MIDDLE = 0.6  # of white, for what is of no group


def draw(chart: Chart, style: str = "screen") -> "Figure":
    """The chart as a figure of matplotlib's, in a style of `SETTINGS`."""
    from matplotlib.figure import Figure

    with matplotlib.rc_context(SETTINGS[style]):
        figure = Figure(layout="constrained")
        axes = figure.subplots()
        if chart.title:
            axes.set_title(chart.title, loc="left")
        if chart.y.rows:
            width, height = figure.get_size_inches()
            figure.set_size_inches(width, height * (1.5 + len(chart.y.rows)) / 7)
        for line in chart.lines:
            _draw_line(axes, line, chart, style)
        for bar in chart.bars:
            _draw_bar(axes, bar, chart, style)
        _draw_points(axes, chart, style)
        _scale(axes, chart)
        if not chart.y.rows:
            _legend(figure, chart, style)
        return figure


def save(figure: "Figure", path: Path, style: str = "screen") -> None:
    """Write a figure as PNG, SVG or PDF, by the file's ending.

    Raises:
        UsageError: another ending.
        GrokError: the file cannot be written.
    """
    check_ending(path)
    # No date and fixed ids, so that equal figures are equal files.
    metadata: Any = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(
        path.suffix.lower(), {}
    )
    try:
        with matplotlib.rc_context({**SETTINGS[style], "svg.hashsalt": "grok"}):
            figure.savefig(path, metadata=metadata)
    except OSError as error:
        raise GrokError(f"cannot write {path}: {error.strerror}") from None


def check_ending(path: Path) -> None:
    """Raise UsageError unless the file's ending is one that can be written."""
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"{path}: expected a file ending in {', '.join(ENDINGS)}")


def _draw_line(axes: "Axes", line: Line, chart: Chart, style: str) -> None:
    look = chart.legend.keys[line.key].look
    colour, stroke = _colour(look, style), DASHED if line.dashed else SOLID
    axes.plot(line.x, line.y, color=colour, linestyle=stroke, zorder=3)
    if not line.dashed:
        at = _marked(line.x, line.key / len(chart.legend.keys), chart.x.log)
        axes.plot(line.x[at], line.y[at], look.marker, color=colour, zorder=4)
    for values in line.seeds.values():
        axes.plot(line.x, values, color=colour, linestyle=stroke, lw=0.5, alpha=0.5)
    if not line.seeds:
        axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.15, lw=0)


def _marked(x: Array, offset: float, log: bool) -> NDArray[np.intp]:
    """Where a curve has its markers: a few places, evenly along the axis, not where others are."""
    place = np.log(np.maximum(x, 1)) if log else x
    wanted = (np.arange(MARKERS) + offset) / MARKERS * (place[-1] - place[0]) + place[0]
    return np.unique(np.searchsorted(place, wanted).clip(0, len(x) - 1))


def _draw_bar(axes: "Axes", bar: Bar, chart: Chart, style: str) -> None:
    if bar.end is None:
        axes.text(0.02, bar.row, bar.note, transform=axes.get_yaxis_transform(), va="center")
        return
    colour = _colour(chart.legend.keys[bar.key].look, style)
    axes.barh(bar.row, bar.end, height=0.6, color=colour, alpha=0.35, edgecolor=colour)
    if bar.low is not None and bar.high is not None:
        axes.plot([bar.low, bar.high], [bar.row, bar.row], color=colour)
    if bar.note:
        points = [point.x for point in chart.points if point.y == bar.row]
        axes.text(max(points, default=bar.end), bar.row, f"  {bar.note}", va="center")


def _draw_points(axes: "Axes", chart: Chart, style: str) -> None:
    for key, points in groupby(chart.points, lambda point: point.key):
        x, y = zip(*((point.x, point.y) for point in points), strict=True)
        look = chart.legend.keys[key].look
        alpha = None if chart.y.rows else 0.9
        colour = _colour(look, style)
        axes.plot(x, y, look.marker, color=colour, mec="white", mew=0.5, alpha=alpha)


def _scale(axes: "Axes", chart: Chart) -> None:
    if chart.y.rows:
        axes.set_yticks(range(len(chart.y.rows)), chart.y.rows)
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
    if chart.x.log:
        axes.set_xscale("log")
    if chart.y.log:
        axes.set_yscale("log")
    if chart.diagonal:
        ends = [chart.x.low, chart.x.high]
        axes.plot(ends, ends, color=str(MIDDLE), lw=0.8, zorder=0)  # type: ignore[arg-type]
        axes.set_aspect("equal")
    if (chart.x.low, chart.x.high) != (None, None):
        axes.set_xlim(chart.x.low, chart.x.high)
    if (chart.y.low, chart.y.high) != (None, None):
        axes.set_ylim(chart.y.low, chart.y.high)
    for axis, described, limits in (
        (axes.xaxis, chart.x, axes.get_xlim()),
        (axes.yaxis, chart.y, axes.get_ylim()),
    ):
        if described.log and described.steps:
            _plain_ticks(axis, limits[1] / max(limits[0], 1))
    axes.set(xlabel=chart.x.label, ylabel=chart.legend.title if chart.y.rows else chart.y.label)
    if chart.lines:
        axes.margins(x=0.01)


def _plain_ticks(axis: Any, ratio: float) -> None:
    """Numbers such as 2000 rather than 2 x 10^3, and enough of them."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    if ratio < 120:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _legend(figure: "Figure", chart: Chart, style: str) -> None:
    """Outside the axes, where it hides no value: above in a narrow column, else on the right."""
    handles = [_handle(key, style, SOLID if chart.lines else "none") for key in chart.legend.keys]
    if len(chart.strokes) > 1:
        handles += [
            _stroke(label, stroke)
            for label, stroke in zip(chart.strokes, (SOLID, DASHED), strict=True)
        ]
    if style == "paper":
        columns = 2 if len(handles) > 2 else len(handles)
        figure.legend(handles=handles, loc="outside upper left", ncols=columns)
        return
    figure.legend(
        handles=handles, title=chart.legend.title, loc="outside right upper", alignment="left"
    )


def _handle(key: Key, style: str, stroke: Any) -> Any:
    from matplotlib.lines import Line2D

    colour = _colour(key.look, style)
    return Line2D([], [], color=colour, marker=key.look.marker, linestyle=stroke, label=key.name)


def _stroke(label: str, stroke: Any) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color="0.5", linestyle=stroke, label=label)


def _colour(look: Look, style: str) -> str:
    return look.dark if style == "dark" else look.light
