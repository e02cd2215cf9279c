"""Draws a chart as text. Groups differ by letter as well as by colour."""

from dataclasses import replace

import numpy as np
from rich.console import Group
from rich.text import Text

from grok_cli.figures.chart import Array, Chart
from grok_cli.figures.names import shortened
from grok_cli.figures.scale import Scale, axis_scale, tick_text

SIGNS = "ox+*#@%&=~"
COLOURS = ("cyan", "yellow", "green", "magenta", "red", "blue", "white")
DOT = "·"
MARGIN = 10  # columns left of the axes


class Canvas:
    """A grid of characters with axes."""

    def __init__(self, x: Scale, y: Scale, width: int, height: int) -> None:
        self.x, self.y, self.width, self.height = x, y, max(width - MARGIN - 1, 10), height
        self.cells = [[(" ", "")] * self.width for _ in range(height)]

    def draw(self, xs: Array, ys: Array, number: int, instead: str = "") -> None:
        """Mark points that are joined, so also the rows between neighbouring columns."""
        columns, rows = self._places(self.x, xs, self.width), self._places(self.y, ys, self.height)
        sign, colour = sign_of(number)
        sign = instead or sign
        before: int | None = None
        for column, row in zip(columns, rows, strict=True):
            if np.isnan(column) or np.isnan(row):
                before = None
                continue
            end = int(row)
            start = before if before is not None else end
            for between in range(min(start, end), max(start, end) + 1):
                self.cells[self.height - 1 - between][int(column)] = (sign, colour)
            before = end

    def _places(self, scale: Scale, values: Array, size: int) -> Array:
        place = np.round(scale.place(values) * (size - 1))
        return np.where((place >= 0) & (place < size), place, np.nan)

    def lines(self) -> list[Text]:
        """The canvas as lines, with the numbers of the axes."""
        numbers = {
            self.height - 1 - int(row): tick_text(tick)
            for tick in self.y.ticks(max(2, self.height // 4))
            for row in self._places(self.y, np.array([tick]), self.height)
            if not np.isnan(row)
        }
        lines = []
        for i, row in enumerate(self.cells):
            line = Text(f"{numbers.get(i, ''):>{MARGIN - 1}} │", no_wrap=True)
            for sign, colour in row:
                line.append(sign, colour)
            lines.append(line)
        lines.append(Text(" " * MARGIN + "└" + "─" * self.width))
        lines.append(Text(" " * (MARGIN + 1) + self._x_numbers()))
        return lines

    def _x_numbers(self) -> str:
        text = ""
        for tick in self.x.ticks(max(2, self.width // 10)):
            (column,) = self._places(self.x, np.array([tick]), self.width)
            number = tick_text(tick)
            at = min(int(column), self.width - len(number)) if not np.isnan(column) else 0
            if at >= len(text) + bool(text):
                text = text.ljust(at) + number
        return text


def sign_of(number: int) -> tuple[str, str]:
    """The sign and the colour of a group."""
    return SIGNS[number % len(SIGNS)], COLOURS[number % len(COLOURS)]


def render(chart: Chart, width: int, height: int = 20) -> Group:
    """The chart as text; what is dashed elsewhere is drawn in dots."""
    if chart.y.rows:
        return _bars(chart, width)
    canvas = Canvas(
        axis_scale(chart.x, chart.x_values()),
        axis_scale(chart.y, _means(chart)),
        width,
        height,
    )
    for line in sorted(chart.lines, key=lambda line: not line.dashed):
        canvas.draw(line.x, line.y, line.key, DOT if line.dashed else "")
    for point in chart.points:
        canvas.draw(np.array([point.x]), np.array([point.y]), point.key, point.sign)
    title = Text(chart.heading, overflow="fold")
    if chart.strokes:
        title.append(f"  ({chart.strokes[1]}: {DOT})", "dim")
    return Group(title, *canvas.lines(), _legend(chart, width))


def _means(chart: Chart) -> Array:
    """What is drawn along y, where there are no bands."""
    marks = np.array([point.y for point in chart.points], np.float64)
    return np.concatenate([marks, *(line.y for line in chart.lines)])


def _bars(chart: Chart, width: int) -> Group:
    """A line a row: its name, a bar with a sign for each point, and the numbers."""
    names = [shortened(name, max(12, width // 3)) for name in chart.y.rows]
    side = max(map(len, names))
    numbers = max(len(bar.numbers) for bar in chart.bars)
    room = max(width - side - numbers - 4, 10)
    scale = axis_scale(replace(chart.x, high=None), chart.x_values())
    lines = [Text(chart.heading), Text(f"{chart.x.label}: mean, earliest..latest seed", "dim")]
    for bar in chart.bars:
        sign, colour = sign_of(bar.key)
        line = Text(f"{names[bar.row]:>{side}} ")
        if bar.end is not None:
            cells = ["━"] * round(scale.place(np.array([bar.end]))[0] * room)
            cells = [*cells, *" " * (room + 1 - len(cells))]
            for point in chart.points:
                if point.y == bar.row:
                    cells[round(scale.place(np.array([point.x]))[0] * room)] = sign
            line.append("".join(cells), colour).append(" ")
        lines.append(line.append(bar.numbers))
    return Group(*lines)


def _legend(chart: Chart, width: int) -> Group:
    """The groups' signs and names, in lines that are broken between names."""
    legend = chart.legend
    lines = [Text(" " * (MARGIN + 1) + (f"{legend.title}: " if legend.title else ""))]
    for number, key in enumerate(legend.keys):
        sign, colour = sign_of(number)
        name = f"{sign} {key.name}"
        if len(lines[-1]) + len(name) > width:
            lines.append(Text(" " * (MARGIN + 1)))
        lines[-1].append(f"{name}   ", colour)
    for line in lines:
        line.rstrip()
    return Group(*lines)
