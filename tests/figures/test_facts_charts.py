"""Facts of charts: what stands above and beside them, where their axes end, what lies beneath."""

import json
import shutil
import zlib
from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from grok_cli.diagnostics.inside import look
from grok_cli.errors import UsageError
from grok_cli.figures.catalogue import charts_of, make_chart
from grok_cli.figures.chart import Band, Bar, Level, Line, Point, Reference
from grok_cli.figures.course import Course, course_chart, lines_chart
from grok_cli.figures.curves import curve
from grok_cli.figures.draft import Options, decade_below
from grok_cli.figures.names import legend_of, shortened
from grok_cli.figures.network import TO, panels
from grok_cli.figures.packed import Blob
from grok_cli.figures.style import GREY, OF_PLACEMENT
from grok_cli.results import Results
from grok_cli.results.group import Group
from grok_cli.runs.directory import RunDir
from tests.diagnostics.builders import small_subject
from tests.figures.written import accuracies, chart_of, placements, run
from tests.written_runs import Rows, make_run


def numbers(*values: float) -> Any:
    return np.array(values, np.float64)


def reference(metric: str, label: str = "published", **settings: str) -> Reference:
    named = {key.replace("__", "."): value for key, value in settings.items()}
    ends = (numbers(150.0), numbers(100.0), numbers(200.0))
    return Reference(named, metric, numbers(2), *ends, label=label)


def test_above_a_chart_stands_its_title_else_what_it_shows_and_of_which_runs() -> None:
    assert chart_of().heading == "about"
    assert chart_of(runs="2 seeds").heading == "about: 2 seeds"
    assert chart_of(runs="2 seeds", title="mine").heading == "mine"
    assert chart_of(runs="2 seeds", title="").heading == ""


def test_axes_hold_all_that_is_drawn() -> None:
    line = Line(0, "m", numbers(1, 2), numbers(5, 6), numbers(4, 5), numbers(7, 8))
    along_y = Band(0, numbers(50), numbers(60), numbers(40), numbers(70))
    along_x = Band(0, numbers(50), numbers(61), numbers(41), numbers(71), row=1)
    chart = chart_of(
        lines=(line,),
        points=(Point(0, 10, 20),),
        bars=(Bar(0, 0, 30), Bar(0, 1, None)),
        levels=(Level(99, "most"),),
        references=(along_y, along_x),
    )
    assert sorted(chart.x_values()) == [1, 2, 10, 30, 41, 71]
    assert sorted(chart.y_values()) == [4, 5, 7, 8, 20, 40, 70, 99]


def test_a_long_name_loses_its_middle_and_keeps_both_ends() -> None:
    assert shortened("abcdefghij", 10) == "abcdefghij"
    assert shortened("abcdefghij", 9) == "abcd…ghij"
    assert shortened("abcdefghij", 4) == "ab…j"


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        ({"pre": 1}, "1 seed, runs/x"),
        ({"pre": 3}, "3 seeds, runs/x"),
        ({"pre": 3, "off": 3}, "3 seeds a group, runs/x"),
        ({"pre": 1, "off": 3, "post": 2}, "1 to 3 seeds a group, runs/x"),
    ],
)
def test_a_figure_says_of_how_many_seeds_it_is(seeds: dict[str, int], said: str) -> None:
    results = placements(test__loss={name: [[1.0]] * count for name, count in seeds.items()})
    chart = make_chart("test/loss", results, Options(source="runs/x"))
    assert chart.runs == said
    assert chart.heading == f"test/loss: {said}"
    assert make_chart("test/loss", results, Options(title="mine")).heading == "mine"


def test_means_from_a_file_have_no_number_of_seeds() -> None:
    table = pl.DataFrame({"step": [1], "mean": [1.0], "min": [1.0], "max": [1.0]})
    results = Results((Group({}, means={"m": table}, text="one"),))
    assert make_chart("m", results).runs == ""


def test_what_others_measured_lies_beneath_the_group_of_its_settings() -> None:
    results = placements(test__loss={"pre": [[2.0, 1.0]], "off": [[3.0, 2.0]]})
    known = [
        reference("test/loss", "a paper", model__ln_type="pre"),
        reference("train/loss", "a paper", model__ln_type="off"),
        reference("generalised_at", "another", model__ln_type="off"),
        reference("test/loss", model__ln_type="post"),
        reference("test/loss"),  # of no settings: of which group is not known
    ]
    chart = make_chart("loss", results, Options(references=known))
    names = [chart.legend.keys[band.key].name.split()[0] for band in chart.references]
    assert (names, [band.dashed for band in chart.references]) == (["pre", "off"], [False, True])
    band = chart.references[0]
    assert (band.x, band.y, band.low, band.high, band.row) == (2, 150, 100, 200, None)
    assert chart.reference == "a paper, another, published"
    assert make_chart("loss", results, Options(references=known[2:])).reference == ""


def test_published_steps_lie_along_the_row_of_their_group() -> None:
    results = accuracies({"off": [50, 70], "pre": [120, 120]})
    known = [reference("generalised_at", model__ln_type="pre")]
    chart = make_chart("generalisation", results, Options(references=known))
    (band,) = chart.references
    assert chart.y.rows[band.row or 0].startswith("pre")
    assert chart.reference == "published, first to last seed"
    assert chart.x.high is not None
    assert chart.x.high > 200
    assert make_chart("generalisation", results).reference == ""


def test_a_bar_goes_to_the_mean_with_a_line_over_its_seeds_if_all_generalised() -> None:
    chart = make_chart("generalisation", accuracies({"off": [50, 70], "pre": [1200, None]}, 2000))
    off, pre = chart.bars
    assert (off.end, off.numbers, off.tip) == (
        60,
        "60, 50..70, 2 of 2",
        "off (No LN): mean 60, 2 of 2",
    )
    assert (pre.end, pre.numbers, pre.tip) == (
        1200,
        "1,200, 1200..1200, 1 of 2",
        "pre (M+A*): mean 1,200, 1 of 2",
    )
    tips = [point.tip for point in chart.points]
    assert tips == [
        "off (No LN), seed 0: 50",
        "off (No LN), seed 1: 70",
        "pre (M+A*), seed 0: 1,200",
    ]
    assert chart.about == "step of generalisation by norm placement"
    assert [bar.row for bar in chart.bars] == [0, 1]
    assert [point.y for point in chart.points] == [0, 0, 1]


def test_the_axis_of_generalisation_has_room_beside_the_last_seed() -> None:
    results = accuracies({"off": [50, 70], "pre": [200, None]})
    chart = make_chart("generalisation", results)
    assert (chart.x.log, chart.x.low) == (True, 10)
    assert chart.x.high == pytest.approx(200 * 20**0.18)
    even = make_chart("generalisation", results, Options(log_x=False))
    assert (even.x.log, even.x.low) == (False, 0)
    assert even.x.high == pytest.approx(240)


@pytest.mark.parametrize(("value", "decade"), [(10, 1), (11, 10), (99, 10), (100, 10), (101, 100)])
def test_an_axis_of_steps_begins_at_the_decade_below(value: float, decade: float) -> None:
    assert decade_below(value) == decade


def test_axes_are_logarithmic_as_asked_else_as_suits_the_figure() -> None:
    results = accuracies({"pre": [50, 70]})
    for name, usual in {
        "loss": (True, False),
        "grad-norm": (True, True),
        "compression": (True, True),
        "generalisation": (True, False),
        "times": (True, False),
    }.items():
        chart = make_chart(name, results)
        assert (chart.x.log, chart.y.log) == usual, name
        assert chart.x.steps
        asked = make_chart(name, results, Options(log_x=False, log_y=False))
        assert (asked.x.log, asked.y.log) == (False, False), name
    assert make_chart("loss", results, Options(log_y=True)).y.log
    even = course_chart("m", Course(("test/loss",), "m", log_x=False), results, Options())
    assert not even.x.log


def test_times_begin_and_end_with_the_runs() -> None:
    results = accuracies({"pre": [50, 70]})
    chart = make_chart("times", results)
    (line,) = chart.lines
    assert (chart.x.low, chart.y.low, chart.y.high) == (10, -0.03, 1.03)
    assert chart.x.high == pytest.approx(1.04 * 70)
    assert line.y[-1] == line.high[-1] == 0  # the band ends where all have generalised
    assert line.high[line.x < 70].min() > 0
    assert make_chart("times", results, Options(log_x=False)).x.low == 0
    never = make_chart("times", accuracies({"pre": [None]}, 40))
    assert never.x.high == pytest.approx(1.04 * 40)
    assert never.lines[0].x[-1] == 40


def test_each_seed_has_its_own_line_only_where_asked() -> None:
    results = placements(test__loss={"pre": [[2.0, 1.0], [4.0, 3.0]]})
    assert make_chart("test/loss", results).lines[0].seeds == {}
    seeds = make_chart("test/loss", results, Options(each_seed=True)).lines[0].seeds
    assert {seed: values.tolist() for seed, values in seeds.items()} == {
        "0": [2, 1],
        "1": [4, 3],
    }


def test_runs_of_one_seed_are_told_apart_by_their_names() -> None:
    one = run({"model.ln_type": "pre"}, {"m": [1.0]}, 7)
    group = Group({}, (replace(one, name="a"), replace(one, name="b")))
    assert list(curve(group, "m").seeds) == ["a", "b"]
    assert list(curve(Group({}, (one,)), "m").seeds) == ["7"]


def test_seeds_that_share_no_step_are_drawn_only_one_by_one() -> None:
    settings = {"model.ln_type": "pre"}
    results = Results.of([run(settings, {"m": [1.0]}, 0), run(settings, {"m": []}, 1)])
    assert len(make_chart("m", results, Options(each_seed=True)).lines) == 1
    with pytest.raises(UsageError, match="no step has a number from all seeds"):
        make_chart("m", results)


def test_a_chart_of_lines_is_called_by_what_they_are() -> None:
    chart = lines_chart("entropy", [("a", [1, 10], [1.0, 2.0]), ("b", [1, 10], [3.0, 4.0])])
    assert (chart.name, chart.about, chart.note, chart.x.label, chart.y.label) == (
        "entropy",
        "entropy",
        "",
        "step",
        "entropy",
    )
    assert [key.name for key in chart.legend.keys] == ["a", "b"]
    assert [(line.key, line.metric, line.y.tolist()) for line in chart.lines] == [
        (0, "entropy", [1, 2]),
        (1, "entropy", [3, 4]),
    ]
    assert (chart.x.log, chart.x.steps) == (True, True)
    assert not lines_chart("m", [("a", [1], [1.0])]).x.log  # a point has no course
    assert not lines_chart("m", [("a", [0, 1], [1.0, 1.0])]).x.log


def test_an_unnamed_setting_stands_beside_its_name() -> None:
    def names(**settings: list[Any]) -> list[str]:
        keys = [name.replace("__", ".") for name in settings]
        rows = zip(*settings.values(), strict=True)
        groups = [Group(dict(zip(keys, row, strict=True))) for row in rows]
        return [key.name for key in legend_of(groups).keys]

    assert names(train__batch_size=[None, 512, None], opt__weight_decay=[1.0, 1.0, 0.123456]) == [
        "batch none, wd 1",
        "batch 512, wd 1",
        "batch none, wd 0.1235",
    ]
    assert names(model__ln_type=["pre"]) == ["pre (M+A*)"]


def make_branches(root: Path) -> Path:
    """Two branches that left a run at its steps 3 and 2; returns that run."""
    steps: list[float | None] = [1, 2, 3, 4]
    parent = make_run(root, {"step": steps, "test/loss": [4.0, 3.0, 2.0, 1.0]})
    for at in (3, 2):
        rows: Rows = {"step": steps, "test/loss": [4.0, 3.0, 20.0, 10.0]}
        make_run(root, rows, branch__parent=parent.name[-10:], branch__at=at)
    return parent


def test_a_branch_is_drawn_from_where_it_left_its_grey_parent(tmp_path: Path) -> None:
    make_branches(tmp_path)
    chart = make_chart("branches-loss", Results.from_disk(tmp_path))
    assert [line.x.tolist() for line in chart.lines] == [[1, 2, 3, 4], [2, 3, 4], [3, 4]]
    assert [line.y.tolist() for line in chart.lines] == [[4, 3, 2, 1], [3, 20, 10], [20, 10]]
    for line in chart.lines:
        assert line.low.tolist() == line.high.tolist() == line.y.tolist()
        assert line.seeds == {}
    names, colours = zip(*((key.name, key.look.colour) for key in chart.legend.keys), strict=True)
    assert names[0].startswith("parent ")
    assert names[1:] == ("at 2", "at 3")
    assert colours[0] == GREY
    assert len(set(colours)) == 3
    assert [(point.key, point.x, point.y) for point in chart.points] == [(1, 2, 3), (2, 3, 20)]
    assert chart.points[0].tip == "at 2, seed 456: left at step 2, test/loss 3"
    assert (chart.about, chart.note) == (
        "test loss (nats) of branches",
        "test/loss; grey: the runs that they left, markers: where",
    )
    assert (chart.x.label, chart.x.log, chart.y.log) == ("step", True, True)


def test_a_branch_shows_its_seeds_and_says_which_parents_are_gone(tmp_path: Path) -> None:
    parent = make_branches(tmp_path / "runs")
    chart = make_chart("branches-loss", Results.from_disk(tmp_path), Options(each_seed=True))
    assert [line.seeds["456"].tolist() for line in chart.lines[1:]] == [[3, 20, 10], [20, 10]]
    shutil.rmtree(parent)
    chart = make_chart("branches-loss", Results.from_disk(tmp_path), Options(log_x=False))
    assert [key.name for key in chart.legend.keys] == ["at 2", "at 3"]
    assert chart.note.endswith("where (1 of them not found)")
    assert not chart.x.log


def test_a_placement_has_its_colour_and_marker_in_every_chart() -> None:
    chart = make_chart("test/loss", placements(test__loss={"pre": [[1.0]], "off": [[1.0]]}))
    found = {key.name.split()[0]: (key.look.colour, key.look.marker) for key in chart.legend.keys}
    assert found == {name: OF_PLACEMENT[name] for name in ("pre", "off")}


def test_of_a_logarithm_only_positive_numbers_are_known() -> None:
    blob = Blob()
    told = blob.levels(numbers(1, 0, -1, np.e), log=True)
    levels = np.frombuffer(zlib.decompress(b64decode(blob.text())), np.uint8, 4)
    assert levels.tolist() == [1, 0, 0, 255]
    assert (told["low"], told["step"]) == (0, pytest.approx(1 / 254))


def test_a_fall_is_drawn_between_two_steps_also_among_thousands() -> None:
    (line,) = make_chart("times", accuracies({"pre": [5010, None]}, 10_000)).lines
    fall = int(np.flatnonzero(line.x == 5010)[0])
    assert line.x[fall - 1] == 5009
    assert line.y[fall - 1 : fall + 1].tolist() == [1.0, 0.5]


def test_a_chart_says_how_its_numbers_are_defined() -> None:
    results = accuracies({"pre": [50, 70]})
    charts = [*charts_of(results), *panels(look(small_subject()), TO)]
    said = {chart.name: (chart.about, chart.note, chart.x.label, chart.y.label) for chart in charts}
    assert said["times"] == (
        "share of runs that have not generalised",
        "Kaplan–Meier, 95 % band; first evaluation with test accuracy ≥ 0.995; "
        "| a run that ended before, × one that diverged",
        "step",
        "share not generalised",
    )
    assert said["generalisation"][1:] == (
        "first evaluation with test accuracy ≥ 0.995: bar mean, points seeds",
        "step of generalisation (test accuracy ≥ 0.995)",
        "",
    )
    assert said["compression"] == (
        "step of generalisation against step of compression",
        "compression: first measured step at which the effective rank of Z on test rows has "
        "fallen half-way from its maximum to its last value",
        "step of compression",
        "step of generalisation",
    )
    assert said["loss"] == ("loss (nats)", "solid test, dashed train", "step", "loss (nats)")
    assert said["grad-norm"][1] == "grads/grad_norm"
    assert said["logits"] == (
        "mean logit",
        "of the class at that distance from the right answer, less the mean",
        "distance",
        "",
    )
    assert said["spectrum"][1:3] == ("of each frequency, as a share of the largest", "frequency")
    assert said["circle0"][1] == (
        "the embedding in the plane of a key frequency; radius 1: a circle that is all of it"
    )
    assert said["attention0b1"][:2] == (
        "head 1: = to b",
        "attention weight of the answer's position over all pairs, dark 0, light 1",
    )
    assert said["answers"][1] == "right and wrong, of all pairs; training pairs are marked"


def test_branches_that_left_at_a_phase_are_drawn_from_the_first_on(tmp_path: Path) -> None:
    steps: list[float | None] = [1, 2, 3, 4, 5]
    for seed, at in ((1, 4), (2, 2)):
        parent = make_run(tmp_path, {"step": steps, "test/loss": [9.0] * 5}, train__seed=seed)
        rows: Rows = {"step": steps, "test/loss": [float(seed), 2.0, 3.0, 4.0, 5.0]}
        settings = {"branch__parent": parent.name[-10:], "branch__at": "memorised"}
        run = make_run(tmp_path, rows, train__seed=seed, **settings)  # type: ignore[arg-type]
        RunDir(run).origin_file.write_text(json.dumps({"step": at}))
    chart = make_chart("branches-loss", Results.from_disk(tmp_path))
    parents, branches = chart.lines
    assert (parents.x.tolist(), parents.y.tolist()) == ([1, 2, 3, 4, 5], [9] * 5)
    assert branches.x.tolist() == [2, 3, 4, 5]
    assert [(point.x, point.y) for point in chart.points] == [(4, 4), (2, 2)]


def test_a_bar_of_a_mean_alone_has_a_line_from_its_highest_to_its_lowest_curve() -> None:
    table = pl.DataFrame(
        {"step": [10, 20, 30], "mean": [0.1, 1.0, 1.0], "min": [0.1, 0.9, 1.0], "max": [1.0] * 3}
    )
    results = Results((Group({}, means={"test/accuracy": table}, text="one"),))
    (bar,) = make_chart("generalisation", results).bars
    assert (bar.end, bar.low, bar.high) == (20, 10, 30)
    assert (bar.numbers, bar.tip, bar.note) == ("20, 10..30", "one: mean 20", "")
