"""Figures as text. Groups differ by letter as well as by colour."""

import numpy as np
from rich.console import Group
from rich.text import Text

from grok_cli.figures.bands import Array, Measured, bands_to_draw
from grok_cli.figures.names import Figure, name_groups
from grok_cli.figures.phases import compression_points, generalised_groups
from grok_cli.figures.scale import Scale, tick_text

SIGNS = "ox+*#@%&=~"
COLOURS = ("cyan", "yellow", "green", "magenta", "red", "blue", "white")
MARGIN = 10  # columns left of the axes


class Page:
    """A grid of characters with axes."""

    def __init__(self, x: Scale, y: Scale, width: int, height: int) -> None:
        self.x, self.y, self.width, self.height = x, y, max(width - MARGIN - 1, 10), height
        self.cells = [[(" ", "")] * self.width for _ in range(height)]

    def draw(self, xs: Array, ys: Array, number: int, joined: bool = True) -> None:
        """Mark points, and where they are joined also the rows between neighbouring columns."""
        columns, rows = self._places(self.x, xs, self.width), self._places(self.y, ys, self.height)
        sign, colour = sign_of(number)
        before: int | None = None
        for column, row in zip(columns, rows, strict=True):
            if np.isnan(column) or np.isnan(row):
                before = None
                continue
            end = int(row)
            start = before if joined and before is not None else end
            for between in range(min(start, end), max(start, end) + 1):
                self.cells[self.height - 1 - between][int(column)] = (sign, colour)
            before = end

    def _places(self, scale: Scale, values: Array, size: int) -> Array:
        place = np.round(scale.place(values) * (size - 1))
        return np.where((place >= 0) & (place < size), place, np.nan)

    def lines(self) -> list[Text]:
        """The page as lines, with the numbers of the axes."""
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


def text_curves(
    measured: Measured,
    figure: Figure,
    log_x: bool | None,
    log_y: bool | None,
    width: int,
    height: int = 20,
) -> Group:
    """The first metric of a figure, mean over the seeds, against the step.

    Raises:
        UsageError: it has no value.
    """
    metric = figure.metrics[0]
    bands = bands_to_draw(measured, [metric])[metric]
    x = np.concatenate([band.steps for band in bands])
    y = np.concatenate([band.mean for band in bands])
    page = Page(
        Scale.of(x, figure.log_x if log_x is None else log_x),
        Scale.of(y, figure.log_y if log_y is None else log_y),
        width,
        height,
    )
    for number, band in enumerate(bands):
        page.draw(band.steps, band.mean, number)
    return Group(Text(metric), *page.lines(), _legend([band.label for band in bands], width))


def text_generalisation(measured: Measured, width: int) -> Group:
    """A line a group: a bar to the mean over its seeds, a sign a seed, the numbers.

    Raises:
        UsageError: test accuracy was not measured.
    """
    groups = generalised_groups(measured)
    names = name_groups([group.label for group in groups])
    side = max(len(name) for name in names.names.values())
    room = max(width - side - 32, 10)
    reached = [float(s) for g in groups for s in (*g.steps, g.middle) if s is not None]
    scale = Scale(0, max(reached, default=1))
    lines = [Text("step of generalisation (test accuracy >= 0.995): mean, earliest..latest seed")]
    for number, group in enumerate(groups):
        sign, colour = sign_of(number)
        line = Text(f"{names.names[group.label]:>{side}} ")
        if group.middle is None:
            lines.append(line.append("not reached"))
            continue
        bar = ["━"] * round(scale.place(np.array([group.middle]))[0] * room)
        bar = [*bar, *" " * (room + 1 - len(bar))]
        for step in group.steps:
            bar[round(scale.place(np.array([float(step)]))[0] * room)] = sign
        line.append("".join(bar), colour)
        count = f", {len(group.steps)} of {len(group.seeds)}" if group.seeds else ""
        line.append(f" {group.middle:.0f}, {group.earliest}..{group.latest}{count}")
        lines.append(line)
    return Group(*lines)


def text_compression(measured: Measured, width: int, height: int = 20) -> Group:
    """Compression step against generalisation step, a sign a run."""
    points = {label: np.array(p, float) for label, p in compression_points(measured).items()}
    if not points:
        return Group(Text("no run has both compressed and generalised"))
    every = np.concatenate([pairs.ravel() for pairs in points.values()])
    scale = Scale.of(every, log=True)
    page = Page(scale, scale, width, height)
    for number, pairs in enumerate(points.values()):
        page.draw(pairs[:, 0], pairs[:, 1], number, joined=False)
    title = Text("step of generalisation (up) against step of compression (right)")
    return Group(title, *page.lines(), _legend(list(points), width))


def _legend(labels: list[str], width: int) -> Group:
    """The groups' signs and names, in lines that are broken between names."""
    names = name_groups(labels)
    lines = [Text(" " * (MARGIN + 1) + (f"{names.title}: " if names.title else ""))]
    for number, label in enumerate(labels):
        sign, colour = sign_of(number)
        name = f"{sign} {names.names[label]}"
        if len(lines[-1]) + len(name) > width:
            lines.append(Text(" " * (MARGIN + 1)))
        lines[-1].append(f"{name}   ", colour)
    for line in lines:
        line.rstrip()
    return Group(*lines)
