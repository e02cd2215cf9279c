"""Several charts on one sheet, by matplotlib; places are fixed, so that frames do not jump."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np

from grok_cli.figures.chart import Array, Axis, Cells, Chart
from grok_cli.figures.style import ANSWERS, SETTINGS, WEIGHTS, WHEEL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 5
# In points of the picture: two rows of five make 1200 x 630.
PANEL, ROW, HEAD, SIDE, LEFT, BELOW = 240, 293, 44, 194, 38, 58
DPI = 100


def draw_sheet(
    charts: Sequence[Chart], title: str = "", caption: str = "", style: str = "screen"
) -> "Figure":
    """The charts in rows of five.

    Args:
        title, caption: above them, on the left and on the right.
    """
    from matplotlib.figure import Figure

    rows = -(-len(charts) // COLUMNS)
    width, height = COLUMNS * PANEL, HEAD + rows * ROW
    settings = SETTINGS[style] | {"font.size": 8, "figure.dpi": DPI, "savefig.bbox": None}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(width / DPI, height / DPI))
        for place, chart in enumerate(charts):
            row, column = divmod(place, COLUMNS)
            left, bottom = column * PANEL + LEFT, height - HEAD - (row + 1) * ROW + BELOW
            axes = figure.add_axes((left / width, bottom / height, SIDE / width, SIDE / height))
            _draw(axes, chart)
        middle = 1 - HEAD / 2 / height
        figure.text(0.01, middle, title, weight="bold", size=9.5, va="center")
        figure.text(0.99, middle, caption, size=9.5, va="center", ha="right")
        return figure


def _draw(axes: "Axes", chart: Chart) -> None:
    """One chart; axes without a label have no numbers either."""
    axes.set_title(chart.about, loc="left", size=8.5, pad=4)
    if chart.cells is not None:
        _draw_cells(axes, chart.cells)
    for line in chart.lines:
        key = chart.legend.keys[line.key]
        axes.plot(line.x, line.y, color=key.look.colour, lw=1, label=key.name)
    if len(chart.legend.keys) > 1:
        axes.legend(
            loc="lower right", bbox_to_anchor=(1.03, 0.97), ncols=2, fontsize=6.5, handlelength=0.8,
            columnspacing=0.7, handletextpad=0.4, borderpad=0.4,
        )  # fmt: skip
    if chart.dots is not None:
        dots = chart.dots
        order = np.argsort(dots.turns, kind="stable")
        ring = np.append(order, order[:1])
        axes.plot(dots.x[ring], dots.y[ring], color="#8a8d94", lw=0.4, alpha=0.6, zorder=1)
        axes.scatter(dots.x, dots.y, c=_wheel(dots.turns), s=9, lw=0, zorder=2)
        axes.set(xticks=[], yticks=[])
    for axis, place, described in ((axes.xaxis, "x", chart.x), (axes.yaxis, "y", chart.y)):
        _scale(axes, axis, place, described)


def _scale(axes: "Axes", axis: Any, place: Any, described: Axis) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set(**{f"{place}lim": (described.low, described.high)})
    if not len(axis.get_ticklocs()):
        return
    axis.set_label_text(described.label)
    axis.labelpad = 1
    axis.set_major_locator(MaxNLocator(5, integer=True))
    axes.tick_params(axis=place, length=2, pad=1.5, labelsize=7)


def _draw_cells(axes: "Axes", cells: Cells) -> None:
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    axes.grid(visible=False)
    colours: Any = ListedColormap(list(ANSWERS[: len(cells.names)])) if cells.names else WEIGHTS
    axes.imshow(
        cells.values, cmap=colours, vmin=cells.low, vmax=cells.high, interpolation="nearest"
    )
    if cells.names:
        patches = [
            Patch(color=colour, label=name)
            for colour, name in zip(ANSWERS, cells.names, strict=False)
        ]
        axes.legend(
            handles=patches, loc="upper center", bbox_to_anchor=(0.46, -0.13), ncols=2, fontsize=6,
            handlelength=1, handleheight=0.8, borderpad=0, columnspacing=0.8, labelspacing=0.15,
        )  # fmt: skip


def _wheel(turns: Array) -> list[str]:
    """The colour at each place of the circle of colours."""
    return [WHEEL[int(turn * len(WHEEL)) % len(WHEEL)] for turn in turns]
