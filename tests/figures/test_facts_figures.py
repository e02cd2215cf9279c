"""Facts of what figures are made of: axes, curves, names of lines and panels."""

import math

import numpy as np
import polars as pl
import pytest

from grok_cli.diagnostics.inside import look
from grok_cli.errors import UsageError
from grok_cli.figures.catalogue import CATALOGUE, make_chart
from grok_cli.figures.chart import Axis
from grok_cli.figures.course import Course, course_chart
from grok_cli.figures.curves import curve
from grok_cli.figures.draft import Options
from grok_cli.figures.network import logit_wave, panels, spectrum
from grok_cli.figures.scale import Scale, axis_scale
from grok_cli.results.group import Group
from tests.diagnostics.builders import small_subject
from tests.figures.written import NAN, accuracies, placements


def test_an_axis_is_the_smallest_that_holds_its_values() -> None:
    values = np.array([3.0, NAN, -1.0, math.inf, 0.0, 20.0])
    assert Scale.of(values) == Scale(-1, 20)
    assert Scale.of(values, log=True) == Scale(3, 20, True)
    assert Scale.of(np.array([5.0, 5.0])) == Scale(4.5, 5.5)
    assert Scale.of(np.array([5.0]), log=True) == Scale(2.5, 10, True)
    assert (Scale.of(np.array([NAN])), Scale.of(np.array([-1.0]), True)) == (
        Scale(0, 1),
        Scale(1, 10, True),
    )


def test_places_go_from_0_to_1() -> None:
    assert Scale(10, 30).place(np.array([10.0, 15, 30, 40])).tolist() == [0, 0.25, 1, 1.5]
    places = Scale(1, 100, True).place(np.array([1.0, 10, 100, 0, -1]))
    np.testing.assert_allclose(places, [0, 0.5, 1, NAN, NAN])


def test_an_axis_ends_where_it_is_said_to_else_with_its_values() -> None:
    values = np.array([10.0, 20.0])
    assert axis_scale(Axis("x", low=2, high=50), values) == Scale(2, 50)
    assert axis_scale(Axis("x", low=2), values) == Scale(2, 20)
    assert axis_scale(Axis("x", True, high=50), values) == Scale(10, 50, True)


@pytest.mark.parametrize(
    ("scale", "count", "ticks"),
    [
        (Scale(0, 10), 6, [0, 2, 4, 6, 8, 10]),
        (Scale(-1, 1), 3, [-1, 0, 1]),
        (Scale(0.1, 0.9), 5, [0.2, 0.4, 0.6, 0.8]),
        (Scale(1, 100, True), 7, [1, 2, 5, 10, 20, 50, 100]),
        (Scale(1, 100, True), 5, [1, 3, 10, 30, 100]),
        (Scale(1, 100, True), 3, [1, 10, 100]),
        (Scale(1, 1e10, True), 4, [1, 1e3, 1e6, 1e9]),
        (Scale(3, 4, True), 3, [3, 3.5, 4]),  # less than a decade: even steps
        (Scale(0.3, 0.9, True), 4, [0.4, 0.6, 0.8]),
    ],
)
def test_ticks_are_round_numbers(scale: Scale, count: int, ticks: list[float]) -> None:
    assert scale.ticks(count) == pytest.approx(ticks)


def test_a_mean_from_a_file_is_drawn_with_its_own_bounds() -> None:
    table = pl.DataFrame(
        {
            "step": [1, 2, 3],
            "mean": [5.0, None, 7.0],
            "min": [4.0, 1.0, 6.0],
            "max": [9.0, 2.0, None],
            "std": [None, None, None],
            "runs": [None, None, None],
        }
    )
    drawn = curve(Group({"model.ln_type": "pre"}, means={"m": table}), "m")
    assert (drawn.steps.tolist(), drawn.mean.tolist(), drawn.low.tolist()) == (
        [1, 3],
        [5, 7],
        [4, 6],
    )
    np.testing.assert_array_equal(drawn.high, [9, NAN])
    assert drawn.seeds == {}


def test_lines_are_told_apart_by_the_split_where_the_rest_goes_without_saying() -> None:
    rows = {"pre": [[1.0, 2.0]]}
    for one, two, said in (
        ("train/loss", "test/loss", ("train", "test")),
        ("alpha_req/rank_train", "alpha_req/rank_test", None),
    ):
        metrics = {name.replace("/", "__"): rows for name in (one, two)}
        chart = course_chart("x", Course((one, two), "y"), placements(**metrics), Options())
        solid, dashed = said or (one, two)
        assert chart.strokes == (solid, dashed)
        assert chart.note == f"solid {solid}, dashed {dashed}"
        assert [(line.metric, line.dashed) for line in chart.lines] == [(one, False), (two, True)]


@pytest.mark.parametrize("name", [n for n in CATALOGUE if not n.startswith("branches")])
def test_a_chart_is_called_as_in_the_catalogue(name: str) -> None:
    results = accuracies({"pre": [100, 150], "off": [200, None]})
    chart = make_chart(name, results)
    assert chart.name == name
    values = np.concatenate([line.y for line in chart.lines] or [np.zeros(0)])
    for axis, drawn in ((chart.y, values), (chart.x, np.array([p.x for p in chart.points]))):
        assert axis.low is None or not (drawn < axis.low).any()
        assert axis.high is None or not (drawn > axis.high).any()


def test_an_unknown_figure_is_refused_with_the_nearest_or_all() -> None:
    results = accuracies({"pre": [100]})
    with pytest.raises(UsageError, match=r"did you mean accuracy\?"):
        make_chart("acuracy", results)
    with pytest.raises(UsageError) as caught:
        make_chart("zzz", results)
    assert ", ".join(CATALOGUE) in str(caught.value)


def test_compression_and_generalisation_have_equal_axes_with_room() -> None:
    falling = [[9.0, 9.0, 1.0, 1.0, 1.0]]
    found = placements(
        **{
            "alpha_req__effective_rank_test": {"pre": falling},
            "test__accuracy": {"pre": [[0.0, 0.0, 0.0, 0.0, 1.0]]},
        }
    )
    chart = make_chart("compression", found)
    assert [(point.x, point.y) for point in chart.points] == [(3, 5)]
    for axis in (chart.x, chart.y):
        assert (axis.low, axis.high) == (pytest.approx(3 / 1.3), pytest.approx(5 * 1.3))
    assert chart.diagonal


def test_the_right_answer_is_in_the_middle_of_its_wave() -> None:
    inside = look(small_subject(p=7))
    chart = logit_wave(inside)
    (line,) = chart.lines
    assert line.x.tolist() == [-3, -2, -1, 0, 1, 2, 3]
    by_distance = inside.by_distance.tolist()
    assert line.y.tolist() == pytest.approx([by_distance[d % 7] for d in range(-3, 4)])
    assert (chart.x.low, chart.x.high, chart.x.label) == (-4, 4, "distance")
    assert chart.y.low == -chart.y.high
    assert chart.y.high > max(map(abs, by_distance))


def test_waves_are_shares_of_the_largest_from_frequency_1_on() -> None:
    inside = look(small_subject(p=7))
    for line, norms in zip(spectrum(inside).lines, (inside.embed, inside.unembed), strict=True):
        assert line.x.tolist() == [1, 2, 3]
        assert line.y.tolist() == pytest.approx((norms / norms.max()).tolist())


def test_cells_of_pairs_fill_their_panels_and_a_goes_downwards() -> None:
    for layers, prefix in ((1, ""), (2, "layer 1, ")):
        charts = panels(look(small_subject(p=5, n_layers=layers)), ("a", "b"))
        grids = [chart for chart in charts if chart.cells is not None]
        for chart in grids:
            assert (chart.x.label, chart.x.low, chart.x.high) == ("b", -0.5, 4.5)
            assert (chart.y.label, chart.y.low, chart.y.high) == ("a", 4.5, -0.5)
            assert chart.cells is not None
            assert chart.cells.values.shape == (5, 5)
        assert grids[-2].about == f"{prefix}head 1: = to b"
        assert grids[0].about == ("head 0: = to a" if layers == 1 else "layer 0, head 0: = to a")
