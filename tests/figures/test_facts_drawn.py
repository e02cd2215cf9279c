"""Facts of what is drawn: every value at its place, in matplotlib, on the page, in the terminal."""

import json
import re
from typing import Any

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.colors import same_color, to_hex, to_rgba

from grok_cli.diagnostics.inside import look
from grok_cli.figures.chart import Axis, Band, Bar, Chart, Key, Legend, Level, Line, Point
from grok_cli.figures.matplotlib import LEGEND, MIDDLE, draw
from grok_cli.figures.network import caption, panels
from grok_cli.figures.packed import palettes
from grok_cli.figures.scale import Scale, spread_out
from grok_cli.figures.sheet import draw_sheet
from grok_cli.figures.style import ANSWERS, BLUE, GREEN, MARKERS, ORANGE, RAMP, SHAPES, WHEEL, Look
from grok_cli.figures.style import _ramp as ramp
from grok_cli.figures.svg import figure_html
from grok_cli.figures.text import Canvas, render
from tests.diagnostics.builders import small_subject
from tests.figures.test_catalogue import text_of


def numbers(*values: float) -> Any:
    return np.array(values, np.float64)


X = numbers(1, 10, 1000)
LEGEND_OF_THREE = Legend(
    "", (Key("a", Look(BLUE, "o")), Key("b", Look(ORANGE, "s")), Key("not drawn", Look(GREEN, "D")))
)
SOLID = Line(0, "m", X, numbers(2, 4, 8), numbers(1, 3, 7), numbers(3, 6, 9))
DASHED = Line(1, "n", X, numbers(1, 1, 3), numbers(1, 1, 3), numbers(1, 1, 3), dashed=True)
CURVES = Chart(
    *("name", "about", "note"),
    Axis("step", True, 1, 1000, steps=True),
    Axis("y", low=0, high=10),
    LEGEND_OF_THREE,
    lines=(SOLID, DASHED),
    points=(Point(0, 100, 5, "tip"), Point(1, 10, 6, "end", "|"), Point(1, 1, 6, "gone", "x")),
    levels=(Level(9, "most"),),
    references=(Band(1, numbers(1, 100), numbers(3, 4), numbers(2, 2), numbers(5, 6)),),
    strokes=("test", "train"),
    reference="published",
)
ROWS = Chart(
    *("name", "about", "note"),
    Axis("step", low=0, high=100),
    Axis("", rows=("one", "two")),
    LEGEND_OF_THREE,
    bars=(Bar(0, 0, 60, 50, 70, "2 of 3", "60, 50..70", "a tip"), Bar(1, 1, None, note="never")),
    points=(Point(0, 80, 0),),
    references=(Band(0, *[numbers(65)] * 2, numbers(40), numbers(90), row=0),),
    reference="published",
)


def lines_in(axes: Any, colour: str) -> list[tuple[str, list[float], list[float]]]:
    """Line style (or marker), x and y of what is drawn in a colour."""
    return [
        (
            line.get_linestyle() if line.get_linestyle() != "None" else line.get_marker(),
            list(map(float, line.get_xdata())),
            list(map(float, line.get_ydata())),
        )
        for line in axes.lines
        if same_color(line.get_color(), colour)
    ]


def test_matplotlib_draws_curves_bands_marks_and_levels_where_they_are() -> None:
    figure = draw(CURVES)
    (axes,) = figure.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    assert (axes.get_xlim(), axes.get_ylim()) == ((1, 1000), (0, 10))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "y")
    of_a, of_b = lines_in(axes, BLUE), lines_in(axes, ORANGE)
    assert of_a[0] == ("-", [1, 10, 1000], [2, 4, 8])
    marker, xs, ys = of_a[1]
    assert marker == "o"
    assert {*zip(xs, ys, strict=True)} <= {(1, 2), (10, 4), (1000, 8)}
    assert of_a[2:] == [("o", [100], [5])]
    assert [style for style, *_ in of_b] == ["--", "--", "|", "x"]
    assert [(x, y) for _, x, y in of_b] == [
        *(([1, 100], [3, 4]), ([1, 10, 1000], [1, 1, 3]), ([10], [6]), ([1], [6]))
    ]
    assert [(y[0], y[-1]) for *_, y in lines_in(axes, MIDDLE)] == [(9, 9)]
    bands = [collection.get_datalim(axes.transData).intervaly for collection in axes.collections]
    assert [(low, high) for low, high in bands] == [(2, 6), (1, 9), (1, 3)]
    (legend,) = figure.legends
    said = [text.get_text() for text in legend.get_texts()]
    assert said == ["a", "b", "test", "train", "published"]
    assert [handle.get_linestyle() for handle in legend.legend_handles] == [
        *("-", "-", "-", "--", "--")
    ]


def test_matplotlib_draws_bars_to_their_ends_in_their_rows() -> None:
    (axes,) = draw(ROWS).axes
    (bar,) = axes.patches
    assert (bar.get_x(), bar.get_width()) == (0, 60)
    assert bar.get_y() + bar.get_height() / 2 == pytest.approx(0)
    assert lines_in(axes, BLUE) == [("-", [50, 70], [0, 0]), ("o", [80], [0])]
    assert lines_in(axes, MIDDLE) == [("-", [40, 90], [0.4, 0.4])]
    texts = {text.get_text(): text for text in axes.texts}
    assert texts["2 of 3"].xy == (80, 0)  # beside the last mark
    assert texts["never"].get_position()[1] == 1
    assert [label.get_text() for label in axes.get_yticklabels()] == ["one", "two"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # from the top


def test_seeds_one_by_one_are_lines_without_a_band() -> None:
    one = Line(
        *(0, "m", X, SOLID.y, SOLID.low, SOLID.high), {"1": numbers(1, 3, 7), "2": numbers(3, 5, 9)}
    )
    (axes,) = draw(Chart("n", "a", "", CURVES.x, CURVES.y, LEGEND_OF_THREE, lines=(one,))).axes
    assert not axes.collections
    assert [y for *_, y in lines_in(axes, BLUE)][2:] == [[1, 3, 7], [3, 5, 9]]


def test_of_a_long_legend_the_first_are_named_and_the_rest_counted() -> None:
    keys = tuple(Key(f"k{i}", Look(BLUE, "o")) for i in range(LEGEND + 3))
    lines = tuple(Line(i, "m", X, SOLID.y, SOLID.y, SOLID.y) for i in range(LEGEND + 3))
    chart = Chart("n", "a", "", CURVES.x, CURVES.y, Legend("title", keys), lines=lines)
    (legend,) = draw(chart).legends
    said = [text.get_text() for text in legend.get_texts()]
    assert said == [*(f"k{i}" for i in range(LEGEND)), "and 3 more"]
    assert legend.get_title().get_text() == "title"


# On the page: a drawing of 480 by 300 units, whose axes go from 58 to 468 and from 256 to 10.


def test_the_page_draws_curves_bands_marks_and_levels_where_they_are() -> None:
    html = figure_html(CURVES)
    third = 58 + 410 / 3  # a decade of three

    def drawn(kind: str) -> list[str]:
        return re.findall(rf'class="{kind}"[^>]*? d="([^"]*)"', html)

    def at(x: float, value: float) -> str:
        return f"{x:.1f} {256 - 24.6 * value:.1f}"

    ticks = re.findall(r'<text class="tick" x="(.*?)" y="(.*?)" text-anchor="(.*?)">(.*?)<', html)
    along_x = {text: x for x, _, anchor, text in ticks if anchor == "middle"}
    assert {text: float(x) for text, x in along_x.items() if text in ("1", "10", "1,000")} == {
        **{"1": 58, "10": pytest.approx(third, abs=0.1), "1,000": 468}
    }
    along_y = {text: float(y) - 4.5 for _, y, anchor, text in ticks if anchor == "end"}
    assert {text: along_y[text] for text in ("0", "4", "10")} == pytest.approx(
        {"0": 256, "4": 256 - 24.6 * 4, "10": 10}, abs=0.1
    )
    assert drawn("line g0") == [f"M{at(58, 2)}L{at(third, 4)}L{at(468, 8)}"]
    assert drawn("line g1 dashed") == [f"M{at(58, 1)}L{at(third, 1)}L{at(468, 3)}"]
    top = [at(58, 3), at(third, 6), at(468, 9)]
    bottom = [at(468, 7), at(third, 3), at(58, 1)]
    assert drawn("band g0") == [f"M{'L'.join(top + bottom)}Z"]
    assert drawn("reference line g1") == [f"M{at(58, 3)}L{at(58 + 820 / 3, 4)}"]
    assert drawn("diagonal") == [f"M58 {256 - 24.6 * 9:.1f}H468"]
    point = re.search(r'<use class="point g0" [^>]*?x="(.*?)" y="(.*?)" data-tip="(.*?)"', html)
    assert point is not None
    assert (f"{point[1]} {point[2]}", point[3]) == (at(58 + 820 / 3, 5), "tip")
    marks = set(re.findall(r'<use class="marker g0" [^>]*?x="(.*?)" y="(.*?)"', html))
    assert marks <= {tuple(at(*p).split()) for p in ((58, 2), (third, 4), (468, 8))}
    assert 'class="marker g1"' not in html
    assert [tip for tip in ("end", "gone") if f'data-tip="{tip}"' in html] == ["end", "gone"]
    assert "dotted: published" in html
    data = json.loads(html.partition('json">')[2].partition("</script>")[0])
    assert (data["low"], data["high"], data["log"]) == (1, 1000, True)
    assert (data["left"], data["right"]) == (58 / 480, 468 / 480)
    first, second = data["series"]
    assert first == {
        **{"group": 0, "metric": "m", "steps": [1, 10, 1000]},
        **{"mean": [2, 4, 8], "low": [1, 3, 7], "high": [3, 6, 9]},
    }
    assert (second["group"], second["metric"], second["mean"]) == (1, "n", [1, 1, 3])


def test_the_page_draws_bars_to_their_ends_in_their_rows() -> None:
    """The axis goes from 12 to 468; a row is 44 high, its bar 16."""
    html = figure_html(ROWS)
    (bar,) = re.findall(r'<rect class="bar g0" x="(.*?)" y="(.*?)" width="(.*?)" height="16"', html)
    middle = float(bar[1]) + 8
    assert (bar[0], float(bar[2])) == ("12", pytest.approx(0.6 * 456, abs=0.1))
    ends = re.findall(r'class="(.*?)" d="M([\d.]+) ([\d.]+)H([\d.]+)"', html)
    found = {kind: tuple(map(float, place)) for kind, *place in ends}
    assert found["line g0"] == pytest.approx((12 + 0.5 * 456, middle, 12 + 0.7 * 456), abs=0.1)
    left, below, right = found["reference range"]
    assert (left, right) == pytest.approx((12 + 0.4 * 456, 12 + 0.9 * 456), abs=0.1)
    assert below > middle + 8
    names = re.findall(r'<text class="row" [^>]*y="(.*?)">(.*?)<', html)
    assert [text for _, text in names] == ["one: 2 of 3", "two: never"]
    assert float(names[1][0]) - float(names[0][0]) == 44
    assert float(names[0][0]) < middle - 8
    assert 'data-tip="a tip"' in html


@pytest.mark.parametrize(
    ("y", "drawn"), [(numbers(2, np.nan, 8), 2), (numbers(np.nan, np.nan, np.nan), 0)]
)
def test_the_page_leaves_out_what_is_not_known(y: Any, drawn: int) -> None:
    line = Line(0, "m", X, y, y, y)
    html = figure_html(Chart("n", "a", "", CURVES.x, CURVES.y, LEGEND_OF_THREE, lines=(line,)))
    data = json.loads(html.partition('json">')[2].partition("</script>")[0])
    assert len(data["series"][0]["steps"]) == drawn
    assert html.count('class="line g0"') == bool(drawn)


# In the terminal.


def test_the_terminal_joins_points_within_the_axes_and_not_over_gaps() -> None:
    canvas = Canvas(Scale(0, 10), Scale(0, 10), 22, 11)  # 11 columns of 11 rows
    canvas.draw(numbers(0, 4, 5, 11), numbers(0, 0, 3, 3), 0)
    canvas.draw(numbers(7, 8, 9), numbers(10, np.nan, 8), 1, "·")
    marks = {
        (column, 10 - row): sign
        for row, cells in enumerate(canvas.cells)
        for column, (sign, _) in enumerate(cells)
        if sign != " "
    }
    joined = {(0, 0), (4, 0), *((5, row) for row in range(4))}
    assert marks == dict.fromkeys(joined, "o") | {(7, 10): "·", (9, 8): "·"}
    rows = [line.plain for line in canvas.lines()]
    assert rows[0].split()[0] == "10"
    assert rows[10].split()[0] == "0"
    assert rows[-1].split() == ["0", "10"]
    assert rows[-1].index("10") == 11 + 10 - 1  # its end below the last column


def test_the_terminal_names_groups_by_their_signs_and_dashed_lines_by_dots() -> None:
    shown = text_of(CURVES, 60)
    assert "o a" in shown
    assert "x b" in shown
    assert "about  (train: ·)" in shown
    assert shown.count("·") > 3


def test_the_terminal_draws_bars_as_long_as_they_are() -> None:
    lines = [line.rstrip() for line in text_of(ROWS, 60).splitlines()]
    one, two = (next(line for line in lines if line.startswith(name)) for name in ("one", "two"))
    room = 60 - 3 - len("60, 50..70") - 4
    assert one.count("━") == round(60 / 90 * room)  # the axis ends with the last value
    assert one.index("o", 3) == 4 + round(80 / 90 * room)
    assert one.endswith(" 60, 50..70")
    assert "━" not in two
    assert render(ROWS, 60).renderables[1].plain.startswith("step: mean")  # type: ignore[union-attr]


# Networks.


def test_a_sheet_shows_each_panel_as_it_is_five_in_a_row() -> None:
    inside = look(small_subject(p=7, n_heads=4))
    charts = panels(inside)
    figure = draw_sheet(charts, "a run", caption(inside))
    assert len(figure.axes) == len(charts) > 5
    assert [text.get_text() for text in figure.texts] == ["a run", caption(inside)]
    places = [axes.get_position() for axes in figure.axes]
    assert places[5].x0 == pytest.approx(places[0].x0)
    assert places[5].y0 < places[4].y0 == pytest.approx(places[0].y0)
    assert places[1].x0 > places[0].x0
    for chart, axes in zip(charts, figure.axes, strict=True):
        assert axes.get_title(loc="left") == chart.about
        assert axes.get_xlim() == (chart.x.low, chart.x.high)
        assert axes.get_ylim() == (chart.y.low, chart.y.high)
        if chart.cells is not None:
            (image,) = axes.images
            np.testing.assert_array_equal(image.get_array(), chart.cells.values)
            assert image.get_clim() == (chart.cells.low, chart.cells.high)
            if chart.cells.names:
                assert [image.cmap(kind)[:3] for kind in range(4)] == [
                    to_rgba(colour)[:3] for colour in ANSWERS
                ]
        if chart.dots is not None:
            (dots,) = axes.collections
            assert dots.get_offsets().tolist() == np.c_[chart.dots.x, chart.dots.y].tolist()
            wheel = [to_rgba(WHEEL[int(turn * len(WHEEL))]) for turn in chart.dots.turns]
            assert [tuple(colour) for colour in dots.get_facecolors()] == wheel
            (ring,) = axes.lines
            order = np.argsort(chart.dots.turns)
            assert ring.get_xdata().tolist() == chart.dots.x[[*order, order[0]]].tolist()
        else:
            assert [line.get_ydata().tolist() for line in axes.lines] == [
                line.y.tolist() for line in chart.lines
            ]


def test_colours_of_a_page_are_those_of_the_figures() -> None:
    told = palettes()
    ends = [told["ramp"][0], told["ramp"][-1]]
    assert ends == [to_hex(colormaps["cividis"](end)) for end in (0.0, 1.0)]
    assert (told["kinds"], told["wheel"]) == (list(ANSWERS), list(WHEEL))
    assert [ramp(place) for place in (0, 0.5, 1)] == list(RAMP)
    assert set(MARKERS) <= SHAPES.keys()


@pytest.mark.parametrize(("count", "most"), [(0, 5), (1, 5), (5, 5), (1000, 20), (10_000, 150)])
def test_of_many_values_some_are_told_evenly_and_by_ratio_with_both_ends(
    count: int, most: int
) -> None:
    some = spread_out(count, most).tolist()
    assert some == sorted(set(some))
    assert len(some) <= 2 * most
    if count <= most:
        assert some == list(range(count))
        return
    assert (some[0], some[-1]) == (0, count - 1)
    assert max(np.diff(some)) <= count / (most - 1) + 1
    assert {0, 1} <= set(some)
    assert sum(place < count / 10 for place in some) > most / 2  # dense at the start
