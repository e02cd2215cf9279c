"""Charts as data: what is drawn is what was measured; nothing is smoothed."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from grok_cli.core.placement import PLACEMENTS
from grok_cli.errors import UsageError
from grok_cli.figures.catalogue import CATALOGUE, charts_of, make_chart
from grok_cli.figures.chart import Reference
from grok_cli.figures.draft import Options
from grok_cli.figures.matplotlib import draw
from grok_cli.figures.scale import Scale, tick_text
from grok_cli.figures.svg import figure_html, thinned
from grok_cli.figures.text import render
from grok_cli.results import Results, Run
from tests.figures.written import NAN, accuracies, every_metric, placements, run


def text_of(chart: Any, width: int = 80) -> str:
    console = Console(width=width, file=None, record=True, force_terminal=False)
    with console.capture() as captured:
        console.print(render(chart, width))
    return captured.get()


def branch(run: Run, at: int = 60) -> Run:
    """The run as one that left another, which is not on this disk."""
    settings = {**run.settings, "branch.parent": "0123456789", "branch.at": at}
    return replace(run, settings=settings)


def test_branch_begins_where_it_left_its_parent() -> None:
    runs = accuracies({"pre": [50, 70], "off": [100, 100]}).runs
    chart = make_chart("branches", Results.of([branch(runs[0]), branch(runs[2], 95), *runs[1:2]]))
    assert [key.name for key in chart.legend.keys] == ["off, at 60", "pre, at 95"]
    assert [line.x[0] for line in chart.lines] == [60, 100]
    assert [(point.key, point.x) for point in chart.points] == [(0, 60), (1, 95)]
    with pytest.raises(UsageError, match="no branches with test/accuracy"):
        make_chart("branches", Results.of(runs))


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_figure_is_drawn_by_all_three(name: str) -> None:
    results = accuracies({"pre": [50, 70], "off": [200, None]})
    if name.startswith("branches"):
        results = Results.of(map(branch, results.runs))
    chart = make_chart(name, results, Options(source="runs/x"))
    (axes, *_) = draw(chart).axes
    assert "2 seeds a group, runs/x" in axes.get_title(loc="left")
    html = figure_html(chart)
    assert html.count("<svg") == 1
    assert "nan" not in html
    assert 'role="img" aria-label="' in html
    assert text_of(chart).count("\n") > 2


def test_mean_is_drawn_where_all_seeds_have_a_value() -> None:
    results = placements(test__loss={"pre": [[2.0, 3.0, 4.0], [4.0, 5.0]]})
    (line,) = make_chart("test/loss", results).lines
    assert line.x.tolist() == [1, 2, 3]
    assert line.y[:2].tolist() == [3.0, 4.0]
    assert np.isnan(line.y[2])
    assert (line.low[0], line.high[0]) == (2.0, 4.0)
    (seeds,) = make_chart("test/loss", results, Options(each_seed=True)).lines
    assert seeds.seeds["0"].tolist() == [2.0, 3.0, 4.0]


def test_groups_stand_in_the_order_of_the_placements() -> None:
    results = placements(test__loss={name: [[1.0]] for name in sorted(PLACEMENTS)})
    names = [key.name.split()[0] for key in make_chart("test/loss", results).legend.keys]
    assert names == list(PLACEMENTS)


def test_group_without_a_number_is_left_out() -> None:
    results = placements(
        test__loss={"off": [[NAN, NAN]], "pre": [[2.0, 1.0]]}, train__loss={"off": [[NAN]]}
    )
    assert [line.y.tolist() for line in make_chart("loss", results).lines] == [[2.0, 1.0]]


@pytest.mark.parametrize("values", [[], [NAN] * 2])
def test_metric_without_a_number_is_said_to_have_none(values: list[float]) -> None:
    results = placements(progress__restricted_loss={"off": [values]})
    with pytest.raises(UsageError, match="restricted_loss: nothing measured there"):
        make_chart("progress", results)
    assert list(charts_of(results)) == []


def test_groups_of_the_second_metric_alone_are_drawn() -> None:
    values = [[2.0, 1.0]]
    results = placements(
        train__spec_loss={"pre": values}, train__loss={"off": values, "pre": values}
    )
    chart = make_chart("spec", results)
    assert [key.name for key in chart.legend.keys] == ["off (No LN)", "pre (M+A*)"]
    assert [(line.key, line.dashed) for line in chart.lines] == [(1, False), (0, True), (1, True)]


def test_metric_that_was_not_measured_is_named_with_those_that_were() -> None:
    results = placements(test__loss={"off": [[1.0]]})
    with pytest.raises(UsageError, match=r"ntk: not measured there .*test/loss"):
        make_chart("ntk", results)
    with pytest.raises(UsageError, match="did you mean test/loss"):
        make_chart("test/los", results)
    with pytest.raises(UsageError, match=r"not measured there \(test/accuracy\)"):
        make_chart("generalisation", results)


def test_generalisation_counts_the_runs_that_did() -> None:
    chart = make_chart("generalisation", accuracies({"pre": [50, 70, None], "off": [None, None]}))
    off, pre = chart.bars
    assert (off.end, off.note) == (None, "not reached (0 of 2)")
    assert (pre.end, pre.note) == (60, "2 of 3")
    assert [point.x for point in chart.points] == [50, 70]
    assert "3 seeds" in chart.runs


def test_bar_of_all_runs_needs_no_count() -> None:
    (bar,) = make_chart("generalisation", accuracies({"pre": [50, 70]})).bars
    assert bar.note == ""


@pytest.mark.parametrize("reached", [{"pre": [50], "off": [None]}, {"pre": [None], "off": [None]}])
def test_rows_without_a_bar_lie_within_the_axes(reached: dict[str, list[int | None]]) -> None:
    (axes,) = draw(make_chart("generalisation", accuracies(reached))).axes
    bottom, top = axes.get_ylim()
    assert bottom >= len(reached) - 1 + 0.5
    assert top <= -0.5


def test_names_above_bars_touch_no_point() -> None:
    html = figure_html(make_chart("generalisation", accuracies({"pre": [50, 70], "off": [60, 90]})))
    rows = [
        float(part.split('"')[0])
        for part in html.split('class="row"')[1:]
        for part in [part.split(' y="')[1]]
    ]
    points = [float(part.split(' y="')[1].split('"')[0]) for part in html.split('class="point')[1:]]
    assert all(abs(row - point) > 12 for row in rows for point in points)


def test_compression_pairs_a_run_with_itself() -> None:
    values = [
        {"test__accuracy": accuracy, "alpha_req__effective_rank_test": rank}
        for accuracy, rank in (([0.1, 1, 1], [9, 3, 1]), ([0.1, 0.1, 1], [9, 8, 1]))
    ]
    runs = [run({"model.ln_type": "pre"}, v, seed, every=10) for seed, v in enumerate(values)]
    chart = make_chart("compression", Results.of(runs))
    assert [(point.x, point.y) for point in chart.points] == [(20, 20), (30, 30)]


def test_published_values_lie_beneath_the_group_that_they_belong_to() -> None:
    x, y = np.array([1.0, 100.0]), np.array([0.2, 0.9])
    at = np.array([80.0])
    references = [
        Reference({"model.ln_type": "pre"}, "test/accuracy", x, y, y - 0.1, y + 0.1),
        Reference({"model.ln_type": "post"}, "test/accuracy", x, y, y, y),
        Reference({"model.ln_type": "pre"}, "generalised_at", at, at, at - 30, at + 900),
    ]
    results = accuracies({"off": [200], "pre": [50]})
    options = Options(references=references)
    chart = make_chart("accuracy", results, options)
    (band,) = chart.references
    assert chart.legend.keys[band.key].name == "pre (M+A*)"
    assert (chart.reference, band.y.tolist()) == ("published", y.tolist())
    assert 'class="reference band g1"' in figure_html(chart)
    rows = make_chart("generalisation", results, options)
    assert [(band.row, band.high.tolist()) for band in rows.references] == [(1, [980.0])]
    assert rows.x.high is not None
    assert rows.x.high > 980
    draw(chart), draw(rows)


def test_many_groups_with_six_settings_keep_their_names_in_the_figure() -> None:
    runs = [
        run(
            {
                "model.ln_type": placement, "opt.learning_rate": rate, "opt.weight_decay": decay,
                "data.modulus": modulus, "model.n_layers": layers, "data.task": task,
            },
            every_metric(50),
        )
        for placement in ("off", "pre")
        for rate in (0.001, 0.003)
        for decay in (0.5, 1.0)
        for modulus in (97, 113)
        for layers in (1, 2)
        for task in ("add", "subtract")
    ]  # fmt: skip
    chart = make_chart("generalisation", Results.of(runs))
    assert len({key.name for key in chart.legend.keys}) == 64
    assert max(map(len, chart.y.rows)) <= 60
    (axes,) = draw(chart).axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert max(len(line) for label in labels for line in label.split("\n")) <= 24


@given(
    st.lists(st.integers(-1000, 1000), min_size=1, max_size=200),
    st.integers(1, 20),
)
def test_thinned_line_has_the_same_extremes_in_every_column(values: list[int], width: int) -> None:
    columns = np.arange(len(values)) // width
    kept = thinned(columns, np.array(values, float))
    assert len(kept) <= 4 * (columns[-1] + 1)
    for column in range(columns[-1] + 1):
        all_of_it = [v for v, c in zip(values, columns, strict=True) if c == column]
        some = [values[i] for i in kept if columns[i] == column]
        assert (min(some), max(some)) == (min(all_of_it), max(all_of_it))
        assert (some[0], some[-1]) == (all_of_it[0], all_of_it[-1])


@given(
    st.floats(1e-9, 1e6),
    st.floats(1.01, 1e8),
    st.booleans(),
    st.integers(3, 9),
)
def test_ticks_lie_on_the_axis_and_are_few(low: float, ratio: float, log: bool, n: int) -> None:
    scale = Scale(low, low * ratio, log)
    ticks = scale.ticks(n)
    places = scale.place(np.array(ticks))
    assert len(ticks) <= n + 1
    assert all(-1e-6 <= place <= 1 + 1e-6 for place in places)
    assert ticks == sorted(set(ticks))


def test_tick_text() -> None:
    texts = [tick_text(v) for v in (0, 1, 2000.0, 0.05, 1e-6, 2e7, 0.30000000000000004)]
    assert texts == ["0", "1", "2,000", "0.05", "1e-6", "2e7", "0.3"]


def test_times_fall_at_each_event_and_mark_runs_without_one() -> None:
    results = accuracies({"pre": [50, 70, None, None]})
    diverged = replace(results.runs[3], summary={"status": "diverged"})
    chart = make_chart("times", Results.of([*results.runs[:3], diverged]))
    (line,) = chart.lines
    fall = int(np.flatnonzero(line.x == 50)[0])
    assert line.y[fall - 1 : fall + 1].tolist() == [1.0, 0.75]
    assert line.x[fall - 1] == 49
    assert line.y[-1] == 0.5
    assert [(point.sign, point.x, point.y) for point in chart.points] == [
        *(("x", 300, 0.5), ("|", 300, 0.5))
    ]
    tips = [point.tip.partition(", ")[2] for point in chart.points]
    assert tips == ["seed 3: diverged at step 300", "seed 2: not generalised by step 300"]
    assert 'class="sign' in figure_html(chart)


def test_times_begin_where_the_axis_does() -> None:
    chart = make_chart("times", accuracies({"pre": [50, None]}))
    assert chart.x.low == 10
    assert chart.lines[0].x[0] == 10
    path = figure_html(chart).partition('class="line')[2].partition(' d="M')[2]
    assert float(path.split()[0]) >= 58  # the left end of the axis


def test_a_run_that_diverged_before_all_others_has_its_mark_within_the_axis() -> None:
    results = accuracies({"pre": [200, 250]}, steps=300)
    early = run({"model.ln_type": "pre"}, every_metric(None, 10), seed=9, every=10)
    early = replace(early, summary=early.summary | {"status": "diverged"})
    settings = {**early.settings, "train.steps": 300}
    runs = [*results.runs, replace(early, settings=settings)]
    chart = make_chart("times", Results.of(runs, results.keys))
    (mark,) = [point for point in chart.points if point.sign == "x"]
    assert chart.x.low <= mark.x == 10


def test_lines_of_a_title_stay_lines() -> None:
    chart = make_chart("times", accuracies({"pre": [50]}), Options(title="study\nverdict"))
    assert draw(chart).axes[0].get_title(loc="left") == "study\nverdict"


def test_axis_of_groups_that_never_generalised_ends_with_the_runs() -> None:
    results = accuracies({"pre": [None, None]})
    runs = [replace(run, summary=run.summary | {"step": 300}) for run in results.runs]
    chart = make_chart("generalisation", Results.of(runs, results.keys))
    assert (chart.x.low, chart.x.high) == (0, 300)


def test_times_count_runs_that_were_left_out() -> None:
    results = accuracies({"pre": [50, None]})
    finished = Results.of(results.runs[:1], results.keys, left_out=results.runs[1:])
    assert make_chart("times", finished).lines[0].y[-1] == 0.5
