"""Facts of what a page shows: each number in its column, in HTML and in Markdown; its figures."""

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from grok_cli.figures.catalogue import COURSES
from grok_cli.figures.chart import Chart
from grok_cli.report.medians import medians_of
from grok_cli.report.output import write_compact, write_preview
from grok_cli.report.pages import html_page, markdown_page
from grok_cli.report.published import published
from grok_cli.report.report import Report, make_report
from grok_cli.report.scrubber import make_scrubber
from tests.figures.test_packed import numbers
from tests.written_runs import Rows, make_run

ROWS: Rows = {"step": [10, 20], "test/loss": [2.0, 1.0], "test/accuracy": [0.1, 1.0]}
PRE = published().groups["pre"]
NOTED = {  # of two seeds
    "step": (20, 30),
    "memorised_at": (3, 5),
    "generalised_at": (14, 1018),
    "delay": (11, 1013),
    "seconds": (33.4, 65.6),
}
FINAL = {
    "test/accuracy": (0.9992, 1.0),
    "train/loss": (0.011, 0.033),
    "test/loss": (0.0022, 0.0066),
}


def noted(run: Path, **values: Any) -> None:
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps(summary | values))


def rows_of(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without those of its titles."""
    body = page.partition(f">{heading}</h")[2].partition("</table>")[0].partition("</thead>")[2]
    rows = re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]
    return [[unescape(re.sub("(<[^>]+>| )+", " ", cell)).strip() for cell in row] for row in cells]


def markdown_rows(text: str, first_title: str) -> list[list[str]]:
    """The cells of the table whose titles begin with this one."""
    table = text.partition(f"\n| {first_title}")[2].partition("|---")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()[1:]]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Two seeds of a group, whose summaries tell a number of its own for everything."""
    root = tmp_path_factory.mktemp("tables")
    for place in (0, 1):
        run = make_run(root, ROWS, data__modulus=11, train__seed=place + 1)
        final = {name: values[place] for name, values in FINAL.items()}
        noted(run, final=final, **{name: values[place] for name, values in NOTED.items()})
    return make_report(root)


def test_the_numbers_of_a_group_stand_in_their_columns(two: Report) -> None:
    (row,) = rows_of(html_page(two), "Groups")
    assert row[1:4] == ["2/2", "4 2 of 2: 3..5", "516 2 of 2: 14..1,018"]
    assert row[4:6] == [
        f"14 {str(two.groups[0].median)[3:]} 2\u00a0of\u00a02",
        "512 2 of 2: 11..1,013",
    ]
    assert row[6:] == ["0.9996 0.9992..1.0000", "0.022 0.011..0.033", "0.0044 0.0022..0.0066"]
    (row,) = markdown_rows(markdown_page(two, []), "norm placement")
    assert row[1:4] == ["2/2", "4 (2 of 2: 3..5)", "516 (2 of 2: 14..1,018)"]
    assert row[4:6] == [f"{two.groups[0].median}, 2 of 2", "512 (2 of 2: 11..1,013)"]
    assert row[6:] == ["0.9996 (0.9992..1.0000)", "0.022 (0.011..0.033)", "0.0044 (0.0022..0.0066)"]


def test_the_numbers_of_a_run_stand_in_their_columns(two: Report) -> None:
    _, second = rows_of(html_page(two), "Runs")
    assert second[1:] == [
        *("2", "finished", "30", "5", "1,018", "1,013", "1.0000", "0.0066", "66"),
    ]


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The published seeds of `pre` from their own weights, and one more: the mean of the published
    losses up to step 200, and twice that afterwards."""
    root = tmp_path_factory.mktemp("exact")
    curves, steps = PRE.curves["test/loss"], PRE.curves["test/loss"].steps
    far = np.where(steps > 200, 2.0, 1.0)
    for seed in (*published().seeds, 1):
        rows: Rows = {
            "step": [int(step) for step in steps],
            "test/accuracy": [float(step >= 1000 + seed) for step in steps],
            "test/loss": (curves.mean * far).tolist(),
            **{metric: (1.0 + steps[::-1]).tolist() for metric in PRE.compressed},
        }
        if seed == 1:
            rows["test/loss"] = [0.001] * len(steps)
        draws = {"model__init_draws": "published"}
        make_run(root, rows, model__ln_type="pre", train__seed=seed, **draws)  # type: ignore[arg-type]
    return make_report(root)


def test_published_seeds_are_compared_without_others(exact: Report) -> None:
    (comparison,) = exact.comparisons
    assert (comparison.runs, comparison.exact, len(comparison.steps)) == (5, True, 5)
    mean = next(found for found in comparison.agreements if found.curve == "mean")
    assert (mean.upto, mean.parted) == (mean.closely, mean.parted)
    assert mean.upto <= 200 < (mean.parted or 0)
    assert mean.ours == pytest.approx(2 * mean.published)


def test_what_is_compared_stands_in_its_columns(exact: Report) -> None:
    (comparison,) = exact.comparisons
    page, text = html_page(exact), markdown_page(exact, [])

    def step(value: float) -> str:
        return "never" if value == np.inf else f"{value:,.0f}"

    wanted = [
        [cell for one in reached for cell in (step(one.ours), step(one.published))]
        for reached in (comparison.accuracy, comparison.loss)
    ]
    assert [one.which for one in comparison.accuracy] == ["first", "mean", "last"]
    found = rows_of(page, "Measured and published")
    told = [row[-6:] for row in found]
    assert [cell.split(" ")[0] for cell in told[0]] == wanted[0]
    off = comparison.accuracy[0].off
    assert off is not None
    assert told[0][0] == f"{wanted[0][0]} {100 * off:+.1f} %"
    assert found[0][:3] == ["pre (M+A*)", f"{comparison.result} {comparison.reason}", "5"]
    (accuracy, loss) = markdown_rows(text, "published group | result")
    assert accuracy == [
        *(r"pre (M+A\*)", comparison.result, "5", "test accuracy ≥ 0.995", *wanted[0])
    ]
    (mean,) = comparison.loss  # the others were not published
    between = ["–", "–", step(mean.ours), step(mean.published), "–", "–"]
    assert loss[3:] == ["test loss ≤ 0.01", *between]
    assert [cell.split(" ")[0] for cell in told[1]] == between


def test_how_far_curves_agree_stands_in_its_columns(exact: Report) -> None:
    (comparison,) = exact.comparisons
    wanted = [
        [
            found.metric.partition("/")[0], found.curve, f"{found.closely:,}", f"{found.upto:,}",
            "nowhere" if found.parted is None else f"{found.parted:,}",
            *(f"{value:.5g}" for value in (found.ours, found.published)),
        ]
        for found in comparison.agreements
    ]  # fmt: skip
    assert [row[1] for row in wanted] == ["mean", "lowest", "highest"]
    page = rows_of(html_page(exact), "How far the curves are the published ones")
    assert [row[-7:] for row in page] == wanted
    text = markdown_rows(markdown_page(exact, []), "published group | loss")
    assert [row[1:] for row in text] == wanted
    compressed = [
        [metric, f"{ours:,}", f"{theirs:,}"] for _, metric, ours, theirs in exact.compressed
    ]
    assert [row[0] for row in compressed] == list(PRE.compressed)
    assert [row[1:] for row in rows_of(html_page(exact), "Compression epochs")] == compressed
    told = markdown_rows(markdown_page(exact, []), "published group | compression")
    assert [[row[1].replace("\\", ""), *row[2:]] for row in told] == compressed


def test_a_metric_that_one_seed_did_not_measure_is_not_compared(tmp_path: Path) -> None:
    without: Rows = {"step": [10, 20], "test/accuracy": [0.1, 1.0]}
    for seed, rows in ((456, ROWS), (789, without)):
        make_run(tmp_path, rows, model__ln_type="pre", train__seed=seed)
    (comparison,) = make_report(tmp_path).comparisons
    assert (len(comparison.accuracy), comparison.loss) == (3, ())


@pytest.mark.parametrize(("groups", "result"), [(3, "not reproduced"), (4, "undecided")])
def test_the_more_groups_are_tested_the_less_is_told_by_few_seeds(
    tmp_path: Path, groups: int, result: str
) -> None:
    """Four of ours before five published: p = 2 C(5, 5) / C(9, 5) = 1/63. Three times that is below
    0.05, four times is not."""
    for placement in ("off", "attn-pre", "pre", "mlp-pre")[:groups]:
        for seed in range(4):
            make_run(tmp_path, ROWS, model__ln_type=placement, train__seed=seed)
    found = make_report(tmp_path).comparisons
    assert [comparison.result for comparison in found] == [result] * groups
    names = [comparison.published.name for comparison in found]
    assert names == [name for name in published().groups if name in names]
    assert {comparison.test.p for comparison in found if comparison.test} == {1 / 63}


def test_a_group_that_repeats_a_published_one_in_part_has_no_reference(tmp_path: Path) -> None:
    for seed, split in ((1, None), (2, 7)):
        settings = {"train__seed": seed, "data__split_seed": split}
        make_run(tmp_path, ROWS, model__ln_type="pre", **settings)  # type: ignore[arg-type]
    report = make_report(tmp_path)
    assert [len(group.runs) for group in report.finished.groups] == [2]
    assert report.references == []


# The figures of the page.


def test_figures_are_of_finished_runs_each_once_and_in_the_colours_of_their_groups(
    tmp_path: Path,
) -> None:
    for placement in ("pre", "off"):
        make_run(tmp_path, ROWS, data__modulus=11, model__ln_type=placement)
    longer: Rows = {"step": [10, 40], "test/loss": [2.0, 1.0], "test/accuracy": [0.1, 0.2]}
    make_run(tmp_path, longer, "running", data__modulus=11, model__ln_type="off", train__seed=1)
    report = make_report(tmp_path)
    page = html_page(report)
    names = re.findall(r'data-chart="(.*?)"', page)
    assert len(set(names)) == len(names)
    assert names[0] == "times"
    assert {"loss", "accuracy", "generalisation"} <= set(names)
    data = json.loads(
        page.partition('data-chart="accuracy"')[2].partition('json">')[2].partition("</")[0]
    )
    assert [line["steps"] for line in data["series"]] == [[10, 20], [10, 20]]
    for place, key in enumerate(report.legend.keys):
        assert f".g{place} {{ --group: {key.look.colour}; }}" in page
        assert f'<path id="shape{place}" d="{key.look.shape}"/>' in page
    assert "started.then(live)" not in page
    assert "connect-src" not in page.partition("<title>")[0]
    assert "connect-src 'self'" in html_page(report, live='"a"').partition("<title>")[0]


def test_a_group_that_measured_nothing_leaves_the_others_their_places(tmp_path: Path) -> None:
    for placement in ("off", "attn-pre", "pre"):
        rows = {"step": [1], "train/loss": [1.0]} if placement == "attn-pre" else ROWS
        make_run(tmp_path, rows, data__modulus=11, model__ln_type=placement)  # type: ignore[arg-type]
    found = medians_of(make_report(tmp_path))
    assert found is not None
    assert [(place, name.split()[0]) for place, name, _ in found.rows] == [(0, "off"), (2, "pre")]


def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Chart]:
    """The charts that are drawn from now on, as empty pictures."""
    seen: list[Chart] = []

    def draw(chart: Chart) -> Figure:
        seen.append(chart)
        return Figure(figsize=(1, 1))

    monkeypatch.setattr("grok_cli.figures.matplotlib.draw", draw)
    return seen


def test_kept_figures_have_the_published_curves_and_say_of_which_runs_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path / "mine", ROWS | {"grads/weight_norm": [1.0, 2.0]}, model__ln_type="pre")
    charts = drawn(monkeypatch)
    write_compact(make_report(tmp_path / "mine"), tmp_path / "kept")
    assert {chart.name for chart in charts} == {"accuracy", "loss", "times", "generalisation"}
    for chart in charts:
        assert chart.runs == "1 seed, mine"
        assert bool(chart.references) is (chart.name != "times")


def test_the_preview_says_the_question_and_the_verdict_of_all_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path / "mine", ROWS, data__modulus=11)
    never = ROWS | {"test/accuracy": [0.1, 0.1]}
    make_run(tmp_path / "mine", never, "running", data__modulus=11, train__seed=1)
    charts, report = drawn(monkeypatch), make_report(tmp_path / "mine")
    write_preview(report, tmp_path / "page.png")
    (chart,) = charts
    assert (chart.name, chart.lines[0].y[-1]) == ("times", 0.5)
    assert " ".join((chart.title or "").split()) == f"mine {report.verdict}"


def test_the_slider_has_the_measured_steps_and_values(tmp_path: Path) -> None:
    from base64 import b64decode
    from zlib import decompress

    steps = [1, 2, 5, 300, 70_000]
    rows: Rows = {
        "step": list(steps),
        "train/accuracy": [0.0, 0.1, 0.2, 0.5, 1.0],
        "test/loss": [4.0, 9.0, 1.0, 0.1, 0.001],
    }
    make_run(tmp_path, rows)
    made = make_scrubber(make_report(tmp_path))
    assert made is not None
    (run,), data = json.loads(made.head)["runs"], decompress(b64decode(made.numbers))
    for curve in run["curves"]:
        at, count = curve["steps"]["at"], curve["steps"]["n"]
        assert np.frombuffer(data, "<u4", count, at).tolist() == steps
        values = rows[f"{curve['split']}/{curve['metric']}"]
        np.testing.assert_allclose(
            numbers(data, curve["values"]), np.array(values, float), rtol=1e-3, atol=1e-4
        )


def test_every_course_is_of_the_rows_that_its_label_names() -> None:
    for name, course in COURSES.items():
        for metric in course.metrics:
            assert ("test rows" in course.label) is metric.endswith("_test"), name
        assert ("nats" in course.label) is bool(re.search("loss|entropy", course.metrics[0])), name
    pairs = {name: c.metrics for name, c in COURSES.items() if len(c.metrics) == 2}
    assert {name: (a.split("/")[0], b.split("/")[0]) for name, (a, b) in pairs.items()} == {
        "accuracy": ("test", "train"),
        "loss": ("test", "train"),
        "spec": ("train", "train"),
        "progress": ("progress", "progress"),
    }
    assert {name for name, course in COURSES.items() if course.log_y} == {
        *("spec", "progress", "update-norm", "grad-norm")
    }
