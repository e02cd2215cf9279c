"""Draws a chart with matplotlib, as PNG, SVG or PDF. Every line goes through measured values."""

from io import BytesIO
from itertools import groupby
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from numpy.typing import NDArray

from grok_cli.errors import UsageError
from grok_cli.figures.chart import Array, Band, Bar, Chart, Key, Line
from grok_cli.figures.style import SETTINGS
from grok_cli.runs.files import write_output

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = 6  # a curve
ENDINGS = (".png", ".svg", ".pdf")
SOLID, DASHED, DOTTED = "-", (0, (4, 2)), (0, (1, 1.5))
MIDDLE = "#8a8d94"  # for what is of no group, on light and dark ground
NAME = 24  # letters a line, of a group's name
ROOM = 2  # lines of a legend above the axes for which there is room
LEGEND = 24  # entries of a legend; more are left out and counted


def draw(chart: Chart, style: str = "screen") -> "Figure":
    """The chart as a figure of matplotlib's, in a style of `SETTINGS`."""
    from matplotlib.figure import Figure

    with matplotlib.rc_context(SETTINGS[style]):
        figure = Figure(layout="constrained")
        if chart.y.rows:
            width, height = figure.get_size_inches()
            lines = sum(name.count("\n") + 1 for name in _row_names(chart))
            figure.set_size_inches(width, height * (2 + max(len(chart.y.rows), 0.7 * lines)) / 7)
        axes = figure.subplots()
        _head(figure, axes, chart)
        for band in chart.references:
            _draw_reference(axes, band, chart)
        for line in chart.lines:
            _draw_line(axes, line, chart)
        for level in chart.levels:
            axes.axhline(level.y, color=MIDDLE, lw=0.8, linestyle=":")
            axes.annotate(
                level.name,
                (1, level.y),
                xycoords=axes.get_yaxis_transform(),
                color=MIDDLE,
                ha="right",
                va="bottom",
            )
        for bar in chart.bars:
            _draw_bar(axes, bar, chart)
        _draw_points(axes, chart)
        _scale(axes, chart)
        _legend(figure, chart, style)
        return figure


def _head(figure: "Figure", axes: "Axes", chart: Chart) -> None:
    """The title, in lines that fit, where there is one."""
    if not chart.heading:
        return
    letters = int(figure.get_size_inches()[0] * 72 / matplotlib.rcParams["font.size"] * 1.55)
    lines = (chart.about, chart.runs) if chart.title is None else chart.title.splitlines()
    text = "\n".join(fill(line, letters) for line in lines if line)
    axes.set_title(text, loc="left")


def save(figure: "Figure", path: Path, style: str = "screen", tight: bool = True) -> None:
    """Write a figure as PNG, SVG or PDF, by the file's ending.

    Args:
        tight: whether empty edges are cut off.

    Raises:
        UsageError: another ending.
        GrokError: the file cannot be written.
    """
    check_ending(path)
    kind = path.suffix.lower()
    # No date and fixed ids, so that equal figures are equal files.
    metadata: Any = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(kind, {})
    content = BytesIO()
    edges: Any = {"savefig.bbox": "tight" if tight else None}
    with matplotlib.rc_context({**SETTINGS[style], **edges, "svg.hashsalt": "grok"}):
        figure.savefig(content, format=kind[1:], metadata=metadata)
    write_output(path, content.getvalue())


def check_ending(path: Path) -> None:
    """Raise UsageError unless the file's ending is one that can be written."""
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"{path}: expected a file ending in {', '.join(ENDINGS)}")


def _draw_reference(axes: "Axes", band: Band, chart: Chart) -> None:
    colour = chart.legend.keys[band.key].look.colour
    if band.row is not None:
        for low, high in zip(band.low, band.high, strict=True):
            axes.plot([low, high], [band.row + 0.4] * 2, color=MIDDLE, lw=3, solid_capstyle="butt")
        return
    stroke: Any = (0, (1, 4)) if band.dashed else DOTTED
    axes.fill_between(
        band.x,
        band.low,
        band.high,
        facecolor="none",
        edgecolor=colour,
        alpha=0.35,
        hatch="////",
        lw=0,
        zorder=1,
    )
    axes.plot(band.x, band.y, color=colour, linestyle=stroke, zorder=2)


def _draw_line(axes: "Axes", line: Line, chart: Chart) -> None:
    look, stroke = chart.legend.keys[line.key].look, DASHED if line.dashed else SOLID
    axes.plot(line.x, line.y, color=look.colour, linestyle=stroke, zorder=3)
    if not line.dashed and len(line.x):
        at = _marked(line.x, line.key / len(chart.legend.keys), chart.x.log)
        axes.plot(line.x[at], line.y[at], look.marker, color=look.colour, zorder=4)
    for values in line.seeds.values():
        axes.plot(line.x, values, color=look.colour, linestyle=stroke, lw=0.5, alpha=0.5)
    if not line.seeds:
        axes.fill_between(line.x, line.low, line.high, color=look.colour, alpha=0.15, lw=0)


def _marked(x: Array, offset: float, log: bool) -> NDArray[np.intp]:
    """Where a curve has its markers: a few places, evenly along the axis, not where others are."""
    place = np.log(np.maximum(x, 1)) if log else x
    wanted = (np.arange(MARKERS) + offset) / MARKERS * (place[-1] - place[0]) + place[0]
    return np.unique(np.searchsorted(place, wanted).clip(0, len(x) - 1))


def _draw_bar(axes: "Axes", bar: Bar, chart: Chart) -> None:
    if bar.end is None:
        axes.text(0.015, bar.row, bar.note, transform=axes.get_yaxis_transform(), va="center")
        return
    colour = chart.legend.keys[bar.key].look.colour
    axes.barh(bar.row, bar.end, height=0.6, color=colour, alpha=0.35, edgecolor=colour)
    if bar.low is not None and bar.high is not None:
        axes.plot([bar.low, bar.high], [bar.row, bar.row], color=colour)
    if bar.note:
        ends = [bar.end, *(point.x for point in chart.points if point.y == bar.row)]
        axes.annotate(
            bar.note, (max(ends), bar.row), (6, 0), textcoords="offset points", va="center"
        )


def _draw_points(axes: "Axes", chart: Chart) -> None:
    for (key, sign), points in groupby(chart.points, lambda point: (point.key, point.sign)):
        x, y = zip(*((point.x, point.y) for point in points), strict=True)
        look = chart.legend.keys[key].look
        edge = matplotlib.rcParams["axes.facecolor"]
        stroke: Any = {"mew": 1.2, "ms": 8} if sign else {"mec": edge, "mew": 0.5}
        axes.plot(x, y, sign or look.marker, color=look.colour, clip_on=False, **stroke)


def _scale(axes: "Axes", chart: Chart) -> None:
    if chart.y.rows:
        axes.set_yticks(range(len(chart.y.rows)), _row_names(chart))
        axes.set_ylim(len(chart.y.rows) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
    if chart.x.log:
        axes.set_xscale("log", nonpositive="mask")
    if chart.y.log:
        axes.set_yscale("log")
    if chart.diagonal and chart.x.low is not None and chart.x.high is not None:
        ends = [chart.x.low, chart.x.high]
        axes.plot(ends, ends, color=MIDDLE, lw=0.8, zorder=0)
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
    axes.set(xlabel=chart.x.label, ylabel=chart.y.label)
    if chart.lines:
        axes.margins(x=0.01)


def _row_names(chart: Chart) -> list[str]:
    return [_wrapped(name) for name in chart.y.rows]


def _wrapped(name: str) -> str:
    """A group's name in lines."""
    return fill(name, NAME, max_lines=3, placeholder=" …", break_on_hyphens=False)


def _plain_ticks(axis: Any, ratio: float) -> None:
    """Numbers such as 2000 rather than 2 x 10^3, and enough of them."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    if ratio < 120:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _legend(figure: "Figure", chart: Chart, style: str) -> None:
    """Outside the axes, where it hides no value: above in a narrow column, else on the right."""
    shown = {line.key for line in chart.lines} | {point.key for point in chart.points}
    keys = [] if chart.y.rows else [k for i, k in enumerate(chart.legend.keys) if i in shown]
    handles = [_handle(key, SOLID if chart.lines else "none") for key in keys[:LEGEND]]
    if len(keys) > LEGEND:
        handles.append(_stroke(f"and {len(keys) - LEGEND} more", "none"))
    if len(chart.strokes) > 1:
        handles += [
            _stroke(label, stroke)
            for label, stroke in zip(chart.strokes, (SOLID, DASHED), strict=True)
        ]
    if chart.reference:
        handles.append(_stroke(chart.reference, SOLID if chart.y.rows else DOTTED))
    if not handles:
        return
    title = chart.legend.title if keys else ""
    if style == "paper" or chart.y.rows:
        columns = 2 if len(handles) > 2 else len(handles)
        lines = sum(h.get_label().count("\n") + 1 for h in handles[:: columns or 1])
        if lines > ROOM:  # the axes keep their height
            width, height = figure.get_size_inches()
            more = (lines - ROOM) * 1.5 * matplotlib.rcParams["font.size"] / 72
            figure.set_size_inches(width, height + more)
        figure.legend(
            handles=handles, title=title, loc="outside upper left", ncols=columns, alignment="left"
        )
        return
    figure.legend(handles=handles, title=title, loc="outside right upper", alignment="left")


def _handle(key: Key, stroke: Any) -> Any:
    from matplotlib.lines import Line2D

    name = _wrapped(key.name)
    colour = key.look.colour
    return Line2D([], [], color=colour, marker=key.look.marker, linestyle=stroke, label=name)


def _stroke(label: str, stroke: Any) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=MIDDLE, linestyle=stroke, label=label)
