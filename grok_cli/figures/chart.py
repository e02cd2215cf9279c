"""What a figure shows, as data. Whoever draws it knows no figure by name.

A chart is made by a function of the catalogue and drawn by one of three: matplotlib.py (PNG, SVG,
PDF), svg.py (the report's page) and text.py (the terminal).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from grok_cli.figures.style import Look

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Axis:
    """An axis.

    Attributes:
        label: what it counts, with the unit.
        log: whether it is logarithmic.
        low, high: where it ends; None: where the values end.
        steps: whether its values are steps of training, written as whole numbers.
        rows: names, from the top, of an axis that counts nothing: row i lies at i.
    """

    label: str
    log: bool = False
    low: float | None = None
    high: float | None = None
    steps: bool = False
    rows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Key:
    """An entry of the legend: a group of runs, how it is called and how it looks.

    Attributes:
        full: all settings that name the group, where `name` has only what distinguishes it.
    """

    name: str
    look: Look
    full: str = ""


@dataclass(frozen=True)
class Legend:
    """The groups that are shown, and what their names have in common (may be empty)."""

    title: str
    keys: tuple[Key, ...]


@dataclass(frozen=True, eq=False)
class Line:
    """A curve through measured values, with the band of its seeds.

    Attributes:
        key: the number of its `Key`.
        metric: what was measured.
        x, y: the mean over the seeds, nan where it is not known.
        low, high: over the seeds, at each x.
        seeds: the values of each seed, to be drawn as thin lines instead of the band; may be {}.
        dashed: of the second metric of a chart.
    """

    key: int
    metric: str
    x: Array
    y: Array
    low: Array
    high: Array
    seeds: Mapping[str, Array] = field(default_factory=dict)
    dashed: bool = False


@dataclass(frozen=True, eq=False)
class Reference:
    """What others measured, to be drawn beneath what we did.

    Attributes:
        settings: of the group that it belongs to, e.g. {"model.ln_type": "pre"}.
        metric: what was measured; "generalised_at": the steps at which a group generalised.
        x, y, low, high: mean, lowest and highest seed at each x. Of "generalised_at" one number
            each, and `x` is not read.
        label: whose it is.
    """

    settings: Mapping[str, Any]
    metric: str
    x: Array
    y: Array
    low: Array
    high: Array
    label: str = "published"


@dataclass(frozen=True, eq=False)
class Band:
    """A reference in a chart: the mean dotted, with a band; or, with a row, a range along it."""

    key: int
    x: Array
    y: Array
    low: Array
    high: Array
    dashed: bool = False
    row: int | None = None


@dataclass(frozen=True)
class Level:
    """A value of the y axis with a name, such as the largest that is possible."""

    y: float
    name: str


@dataclass(frozen=True)
class Bar:
    """A bar along a row, from the low end of the x axis.

    Attributes:
        key: the number of its `Key`.
        row: the place on the y axis.
        end: where it ends; None if there is nothing to draw but the note.
        low, high: a line across its end, if both are known.
        note: beside it, e.g. of how many runs it is the mean; may be empty.
        numbers: what the terminal writes beside it.
        tip: shown on hover.
    """

    key: int
    row: int
    end: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""
    numbers: str = ""
    tip: str = ""


@dataclass(frozen=True)
class Point:
    """A marker of a group, and the text that it shows on hover.

    Attributes:
        sign: "" for the group's marker; "|" or "x" for a mark on a curve.
    """

    key: int
    x: float
    y: float
    tip: str = ""
    sign: Literal["", "|", "x"] = ""


@dataclass(frozen=True, eq=False)
class Cells:
    """Values on a grid, coloured: row i, column j at x = j, y = i, row 0 on top.

    Attributes:
        values: (rows, columns), nan where there is none.
        low, high: the ends of the colours.
        names: of values 0, 1, ..., where they are kinds and no numbers; each has its own colour.
        factors: scores whose softmax the values are, where they are: of row i, column j share
            number `factors.of` of exp(first[i]), exp(second[j]), 1.
    """

    values: Array
    low: float = 0.0
    high: float = 1.0
    names: tuple[str, ...] = ()
    factors: "Factors | None" = None


@dataclass(frozen=True, eq=False)
class Factors:
    """What a grid of shares is made of; `Cells` explains."""

    first: Array
    second: Array
    of: int


@dataclass(frozen=True, eq=False)
class Dots:
    """Points whose colour goes round a circle of colours.

    Attributes:
        x, y: (n,) where they are.
        turns: (n,) which colour, from 0 to 1; 1 is 0 again.
    """

    x: Array
    y: Array
    turns: Array


@dataclass(frozen=True, eq=False)
class Chart:
    """All that a figure shows.

    Attributes:
        name: of the catalogue, or a metric's.
        about: what it shows, in some words.
        note: more about that; may be empty.
        runs: of how many seeds, and of which runs; may be empty.
        title: what the user wants to stand above it; "": nothing; None: `about` and `runs`.
        x, y: the axes.
        legend: an entry a group; may hold more than are drawn.
        strokes: what solid and dashed lines are, if there are both.
        lines, bars, points: what is drawn.
        references, reference: what others measured, beneath, and whose that is.
        levels: values of y that have a name.
        diagonal: whether to draw the line of equal x and y.
        cells, dots: of a look into one network; drawn by matplotlib and on the page's canvas.
    """

    name: str
    about: str
    note: str
    x: Axis
    y: Axis
    legend: Legend
    runs: str = ""
    title: str | None = None
    strokes: tuple[str, ...] = ()
    lines: tuple[Line, ...] = ()
    bars: tuple[Bar, ...] = ()
    points: tuple[Point, ...] = ()
    references: tuple[Band, ...] = ()
    reference: str = ""
    levels: tuple[Level, ...] = ()
    diagonal: bool = False
    cells: Cells | None = None
    dots: Dots | None = None

    @property
    def heading(self) -> str:
        """What stands above it; may be empty."""
        if self.title is not None:
            return self.title
        return f"{self.about}: {self.runs}" if self.runs else self.about

    def x_values(self) -> Array:
        """All that is drawn, along x."""
        marks = [point.x for point in self.points]
        marks += [bar.end for bar in self.bars if bar.end is not None]
        marks += [end for band in self._ranges for end in (*band.low, *band.high)]
        lines = [line.x for line in self.lines]
        return np.concatenate([np.array(marks, np.float64), *lines])

    def y_values(self) -> Array:
        """All that is drawn, along y: bands from their lowest to their highest."""
        marks = [point.y for point in self.points] + [level.y for level in self.levels]
        bands = [values for line in self.lines for values in (line.low, line.high)]
        bands += [
            values
            for band in self.references
            if band.row is None
            for values in (band.low, band.high)
        ]
        return np.concatenate([np.array(marks, np.float64), *bands])

    @property
    def _ranges(self) -> list[Band]:
        return [band for band in self.references if band.row is not None]
