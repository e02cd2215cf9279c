"""Figures with matplotlib. Every line goes through the measured values: nothing is smoothed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from numpy.typing import NDArray

from grok_cli.errors import GrokError, UsageError
from grok_cli.figures.bands import Array, Measured, bands_to_draw
from grok_cli.figures.names import Figure, GroupNames, figure_named, name_groups
from grok_cli.figures.phases import Generalised, compression_points, generalised_groups
from grok_cli.figures.style import SETTINGS, Look, looks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

MARKERS = 6  # a curve
ENDINGS = (".png", ".svg", ".pdf")
SOLID, DASHED = "-", (0, (4, 2))


@dataclass(frozen=True)
class Options:
    """How a figure is drawn.

    Attributes:
        style: a key of `SETTINGS`.
        log_x, log_y: None: as suits the figure.
        each_seed: a thin line a seed instead of the band from the lowest to the highest.
        title: above the figure; may be empty.
    """

    style: str = "screen"
    log_x: bool | None = None
    log_y: bool | None = None
    each_seed: bool = False
    title: str = ""


def draw(what: str, measured: Measured, options: Options) -> "Canvas":
    """The figure of that name: "generalisation", "compression", of `FIGURES`, or a metric's.

    Raises:
        UsageError: no such figure, or nothing of it was measured.
    """
    with matplotlib.rc_context(SETTINGS[options.style]):
        if what == "generalisation":
            return _generalisation(measured, options)
        if what == "compression":
            return _compression(measured, options)
        return _curves(measured, figure_named(what, measured.metrics), options)


def _curves(measured: Measured, figure: Figure, options: Options) -> "Canvas":
    """Metrics against the step: mean over the seeds, and a band from lowest to highest seed."""
    bands = bands_to_draw(measured, figure.metrics, options.each_seed)
    present = list(bands)
    # The metric of most groups gives their order; another one may have been measured elsewhere.
    fullest = sorted(bands.values(), key=len, reverse=True)
    labels = list(dict.fromkeys(band.label for found in fullest for band in found))
    names, canvas, axes = _start(labels, options)
    chosen = looks(labels, names)
    log_x = figure.log_x if options.log_x is None else options.log_x
    for metric, line in zip(present, (SOLID, DASHED), strict=False):
        for band in bands[metric]:
            look, colour = chosen[band.label], _colour(chosen[band.label], options)
            axes.plot(band.steps, band.mean, color=colour, linestyle=line, zorder=3)
            if line == SOLID:
                offset = labels.index(band.label) / len(labels)
                at = _marked(band.steps, offset, log_x)
                axes.plot(band.steps[at], band.mean[at], look.marker, color=colour, zorder=4)
            if options.each_seed:
                for values in band.seeds.values():
                    axes.plot(band.steps, values, color=colour, linestyle=line, lw=0.5, alpha=0.5)
            else:
                axes.fill_between(band.steps, band.low, band.high, color=colour, alpha=0.15, lw=0)
    if log_x:
        _log_x(axes)
    if figure.log_y if options.log_y is None else options.log_y:
        axes.set_yscale("log")
    axes.set(xlabel="step", ylabel=figure.title)
    axes.margins(x=0.01)
    handles = [_handle(chosen[label], names.names[label], options) for label in labels]
    if len(present) > 1:
        handles += [_line_handle(m, line) for m, line in zip(present, (SOLID, DASHED), strict=True)]
    _legend(canvas, handles, names, options)
    return canvas


def _marked(steps: Array, offset: float, log: bool) -> NDArray[np.intp]:
    """Where a curve has its markers: a few places, evenly along the axis, not where others are."""
    place = np.log(np.maximum(steps, 1)) if log else steps
    wanted = (np.arange(MARKERS) + offset) / MARKERS * (place[-1] - place[0]) + place[0]
    return np.unique(np.searchsorted(place, wanted).clip(0, len(steps) - 1))


def _generalisation(measured: Measured, options: Options) -> "Canvas":
    """When each group generalised: a bar to the mean over its seeds, and a point a seed.

    Raises:
        UsageError: test accuracy was not measured.
    """
    groups = generalised_groups(measured)
    labels = [group.label for group in groups]
    names, canvas, axes = _start(labels, options)
    width, height = canvas.get_size_inches()
    canvas.set_size_inches(width, height * (1.5 + len(groups)) / 7)
    chosen = looks(labels, names)
    for row, group in enumerate(groups):
        _draw_bar(axes, row, group, chosen[group.label], options)
    axes.set_yticks(range(len(groups)), [names.names[label] for label in labels])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    reached = [step for group in groups for step in (group.earliest, group.of_mean) if step]
    if options.log_x is not False and reached:
        axes.set_xscale("log")
        axes.set_xlim(left=10 ** np.floor(np.log10(min(reached) * 0.999)))
        _plain_ticks(axes.xaxis, axes.get_xlim()[1] / axes.get_xlim()[0])
    axes.set(xlabel="step of generalisation (test accuracy ≥ 0.995)", ylabel=names.title)
    return canvas


def _draw_bar(axes: "Axes", row: int, group: Generalised, look: Look, options: Options) -> None:
    colour = _colour(look, options)
    if group.middle is None:
        axes.text(0.02, row, "not reached", transform=axes.get_yaxis_transform(), va="center")
        return
    axes.barh(row, group.middle, height=0.6, color=colour, alpha=0.35, edgecolor=colour)
    if group.steps:
        axes.plot(
            group.steps, [row] * len(group.steps), look.marker, color=colour, mec="white", mew=0.5
        )
    elif group.earliest is not None and group.latest is not None:
        axes.plot([group.earliest, group.latest], [row, row], color=colour)
    missing = len(group.seeds) - len(group.steps)
    if missing:
        note = f"  {missing} not"
        axes.text(max(group.steps, default=group.middle), row, note, va="center")


def _compression(measured: Measured, options: Options) -> "Canvas":
    """Compression step against generalisation step, a point a run.

    Raises:
        UsageError: no run has both.
    """
    points = compression_points(measured)
    if not points:
        raise UsageError(
            "compression: no run has both generalised and compressed; it needs values by seed of "
            "test/accuracy and of alpha_req/effective_rank_test (the diagnostic `rank`)"
        )
    labels = list(points)
    names, canvas, axes = _start(labels, options)
    chosen = looks(labels, names)
    for label, pairs in points.items():
        x, y = zip(*pairs, strict=True)
        colour = _colour(chosen[label], options)
        axes.plot(x, y, chosen[label].marker, color=colour, mec="white", mew=0.5, alpha=0.9)
    if options.log_x is not False:
        axes.set_xscale("log")
    if options.log_y is not False:
        axes.set_yscale("log")
    every = [step for pairs in points.values() for pair in pairs for step in pair]
    ends = [min(every) / 1.3, max(every) * 1.3]
    axes.plot(ends, ends, color="0.6", lw=0.8, zorder=0)  # compressed when it generalised
    axes.set(xlim=ends, ylim=ends, xlabel="step of compression", ylabel="step of generalisation")
    axes.set_aspect("equal")
    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            _plain_ticks(axis, ends[1] / ends[0])
    handles = [_handle(chosen[x], names.names[x], options, line=False) for x in labels]
    _legend(canvas, handles, names, options)
    return canvas


def save(canvas: "Canvas", path: Path, options: Options) -> None:
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
        with matplotlib.rc_context({**SETTINGS[options.style], "svg.hashsalt": "grok"}):
            canvas.savefig(path, metadata=metadata)
    except OSError as error:
        raise GrokError(f"cannot write {path}: {error.strerror}") from None


def check_ending(path: Path) -> None:
    """Raise UsageError unless the file's ending is one that can be written."""
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"{path}: expected a file ending in {', '.join(ENDINGS)}")


def _start(labels: Sequence[str], options: Options) -> tuple[GroupNames, "Canvas", "Axes"]:
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(layout="constrained")
    axes = canvas.subplots()
    if options.title:
        axes.set_title(options.title, loc="left")
    return name_groups(list(labels)), canvas, axes


def _colour(look: Look, options: Options) -> str:
    return look.dark if options.style == "dark" else look.light


def _log_x(axes: "Axes") -> None:
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    _plain_ticks(axes.xaxis, high / max(low, 1))


def _plain_ticks(axis: Any, ratio: float) -> None:
    """Numbers such as 2000 rather than 2 x 10^3, and enough of them."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    if ratio < 120:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _handle(look: Look, name: str, options: Options, line: bool = True) -> Any:
    from matplotlib.lines import Line2D

    style: Any = SOLID if line else "none"
    colour = _colour(look, options)
    return Line2D([], [], color=colour, marker=look.marker, linestyle=style, label=name)


def _line_handle(metric: str, line: Any) -> Any:
    from matplotlib.lines import Line2D

    label = metric.partition("/")[0] if metric.startswith(("train/", "test/")) else metric
    label = metric if metric == "train/spec_loss" else label
    return Line2D([], [], color="0.5", linestyle=line, label=label)


def _legend(canvas: "Canvas", handles: list[Any], names: GroupNames, options: Options) -> None:
    """Outside the axes, where it hides no value: above in a narrow column, else on the right."""
    if options.style == "paper":
        columns = 2 if len(handles) > 2 else len(handles)
        canvas.legend(handles=handles, loc="outside upper left", ncols=columns)
        return
    canvas.legend(handles=handles, title=names.title, loc="outside right upper", alignment="left")
