"""Figures of metrics against the step: one chart, whatever the metrics."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from grok_cli.errors import UsageError
from grok_cli.figures.chart import Axis, Band, Chart, Level, Line
from grok_cli.figures.curves import curves_to_draw
from grok_cli.figures.draft import Draft, Options
from grok_cli.figures.names import legend_of
from grok_cli.results import Group, Results


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

    def axes(self, options: Options) -> tuple[Axis, Axis]:
        """The axes, logarithmic as asked or as usual."""
        log_x = self.log_x if options.log_x is None else options.log_x
        log_y = self.log_y if options.log_y is None else options.log_y
        return Axis("step", log_x, steps=True), Axis(self.label, log_y)


def course_chart(name: str, course: Course, results: Results, options: Options) -> Chart:
    """The metrics of a course, of every group.

    Raises:
        UsageError: the first was not measured.
    """
    first = course.metrics[0]
    if first not in results.metrics:
        others = ", ".join(results.metrics)
        raise UsageError(f"{name}: not measured there ({first}); there are {others}")
    curves = curves_to_draw(results, course.metrics, options.each_seed)
    # The metric of most groups gives their order; another may have been measured elsewhere.
    fullest = sorted(curves.values(), key=len, reverse=True)
    draft = Draft(results, options, (curve.group for found in fullest for curve in found))
    strokes = tuple(map(_short, curves)) if len(curves) > 1 else ()
    lines = [
        curve.line(draft.key(curve.group), metric, dashed=metric != first)
        for metric, found in curves.items()
        for curve in found
    ]
    references = [
        Band(key, r.x, r.y, r.low, r.high, dashed=r.metric != first)
        for r, key in draft.references(*course.metrics)
    ]
    return draft.chart(
        name,
        course.label,
        f"solid {strokes[0]}, dashed {strokes[1]}" if strokes else first,
        *course.axes(options),
        strokes=strokes,
        lines=tuple(lines),
        references=tuple(references),
        reference=draft.whose() if references else "",
    )


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


def _short(metric: str) -> str:
    """ "train" or "test", where the rest goes without saying."""
    split, _, what = metric.partition("/")
    return split if what in ("loss", "accuracy") else metric
