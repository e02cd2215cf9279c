"""Facts of what a report says: texts, tables, which runs a page looks into, when it is made."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from grok_cli.report.medians import MOST_GROUPS, medians_of
from grok_cli.report.output import curves_table, runs_table, write_compact, write_html
from grok_cli.report.pages import (
    _milestones,
    _title,
    html_page,
    markdown_page,
    markdown_text,
    preview_address,
    reached_text,
    step_text,
)
from grok_cli.report.published import published
from grok_cli.report.replay import Reached
from grok_cli.report.report import Report, Spread, make_report
from grok_cli.report.server import HEADERS, LivePage
from grok_cli.sweeps.spec import spec_named
from tests.written_runs import Rows, make_run

REACHED = [(math.inf, 99), (math.inf, 98), (97, 98)]
ROWS: Rows = {"step": [10, 20], "test/loss": [2.0, 1.0], "test/accuracy": [0.1, 1.0]}


def noted(run: Path, **values: Any) -> None:
    """Write values into a run's summary."""
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps(summary | values))


def test_a_spread_has_its_range_where_there_is_one() -> None:
    spread = Spread((1000.0, 3000.0))
    assert (spread.mean, spread.range, str(spread)) == (
        "2,000",
        "1,000..3,000",
        "2,000 (1,000..3,000)",
    )
    assert str(Spread((0.25, 0.25), ".2f")) == "0.25"
    assert (str(Spread(())), Spread(()).range) == ("–", "")


def test_texts_of_steps_and_of_markdown() -> None:
    assert (step_text(math.inf), step_text(1234.6)) == ("never", "1,235")
    told = [reached_text(Reached("mean", ours, 9, ended, 99)) for ours, ended in REACHED]
    assert told == ["never", "> 98", "97"]
    assert markdown_text("a\nb_c") == r"a b\_c"
    for sign in "\\`*_{}[]<>#|~!":
        assert markdown_text(f"a{sign}b") == f"a\\{sign}b"


def test_the_preview_lies_beside_its_page() -> None:
    addresses = (
        "https://x.org/a/",
        "https://x.org/a.html",
        "https://x.org/a.htm",
        "https://x/html",
    )
    assert [preview_address(address) for address in addresses] == [
        "https://x.org/a/index.png",
        "https://x.org/a.png",
        "https://x.org/a.png",
        "https://x/html.png",
    ]


def test_a_published_group_has_the_papers_name_and_its_milestones() -> None:
    of_placement = SimpleNamespace(published=published().groups["pre"], accuracy=[], loss=[])
    assert _title(of_placement) == "pre (M+A*)"  # type: ignore[arg-type]
    other = SimpleNamespace(published=SimpleNamespace(name="batch-512"), accuracy=[], loss=[])
    assert _title(other) == "batch-512"  # type: ignore[arg-type]
    assert _milestones(other) == [("–", {})]  # type: ignore[arg-type]
    first, last = SimpleNamespace(which="first"), SimpleNamespace(which="last")
    both = SimpleNamespace(accuracy=[first, last], loss=[last])
    found: Any = _milestones(both)  # type: ignore[arg-type]
    assert found == [
        ("test accuracy ≥ 0.995", {"first": first, "last": last}),
        ("test loss ≤ 0.01", {"last": last}),
    ]


def test_a_report_says_how_complete_its_runs_are(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    make_run(root, ROWS, train__seed=1)
    assert make_report(root).state == ""
    make_run(root, ROWS, "running", train__seed=2)
    make_run(root, ROWS, "diverged", train__seed=3)
    assert make_report(root).state == (
        "2 of 3 runs are not finished and count only in medians and in the table of runs"
    )
    study = make_report(root, spec_named("ln-positions"))
    assert study.state.endswith("; none is one of the study's own 20: settings were changed")
    assert study.missing == []
    make_run(root, ROWS, model__ln_type="pre", train__seed=456)
    study = make_report(root, spec_named("ln-positions"))
    assert study.state.endswith("; 19 runs of the study have not been started")
    assert len(study.missing) == html_page(study).count("not started") == 19
    chosen = make_report(root, spec_named("ln-positions"), where=["train.seed=1"])
    assert (chosen.missing, chosen.state) == ([], "")  # who asks for some misses none
    assert study.question == spec_named("ln-positions").question
    assert (make_report(root).question, make_report(root).commands) == ("", ())


def test_of_branches_the_medians_are_told_and_parents_are_compared(tmp_path: Path) -> None:
    make_run(tmp_path, ROWS, model__ln_type="pre")
    assert make_report(tmp_path).verdict.startswith("Undecided")
    make_run(tmp_path, ROWS, model__ln_type="pre", branch__parent="0123456789", branch__at=5)
    report = make_report(tmp_path)
    assert report.verdict.startswith("Half")
    assert [one.published.name for one in report.comparisons] == ["pre"]
    assert report.comparisons[0].runs == 1


def test_only_finished_runs_with_metrics_are_averaged(tmp_path: Path) -> None:
    make_run(tmp_path, ROWS, train__seed=1)
    make_run(tmp_path, ROWS, "running", train__seed=2)
    make_run(tmp_path, {"step": [1]}, train__seed=3)
    report = make_report(tmp_path)
    assert [run.seed for run in report.finished.runs] == [1]
    assert (report.groups[0].runs, report.groups[0].finished) == (3, 2)
    assert [row.status for row in report.run_rows] == ["finished", "interrupted", "finished"]


@pytest.mark.parametrize(
    ("metric", "status", "said"),
    [
        ("test/accuracy", "running", "Nothing to say yet: no run is finished."),
        ("test/loss", "finished", "Nothing to say: test accuracy was not measured."),
    ],
)
def test_a_verdict_says_why_there_is_none(
    tmp_path: Path, metric: str, status: str, said: str
) -> None:
    make_run(tmp_path, {"step": [1, 2], metric: [0.1, 0.2]}, status, data__modulus=11)
    assert make_report(tmp_path).verdict == said


def test_a_run_is_a_row_with_what_differs_seed_status_and_message(tmp_path: Path) -> None:
    run = make_run(tmp_path, ROWS, train__seed=1, model__ln_type="pre", train__batch_size=32)
    other = make_run(tmp_path, ROWS, "diverged", train__seed=2, model__ln_type="post")
    noted(other, message="loss is nan", final="damaged", seconds=None)
    noted(run, seconds=90.4)
    report = make_report(tmp_path)
    assert report.settings_columns == ["model.ln_type", "train.batch_size"]
    rows = {row.name: row for row in report.run_rows}
    one, two = rows[run.name], rows[other.name]
    assert (one.settings, one.seed, one.status, one.message) == (
        ("pre", "32"),
        "1",
        "finished",
        "",
    )
    assert (two.settings, two.seed, two.status, two.message) == (
        ("post", "null"),
        "2",
        "diverged",
        "loss is nan",
    )
    assert one.summary["final"] == {"test/loss": 0.5}
    assert two.summary["final"] == {}
    assert one.command.startswith("grok train --set ")
    assert report.training_time == "0:01:30"


def test_facts_of_the_machines_are_told_once_each_in_the_order_that_they_came(
    tmp_path: Path,
) -> None:
    for seed, (python, cores) in enumerate([("3.12", 2), ("3.11", 2), ("3.12", None)], 1):
        run = make_run(tmp_path, ROWS, train__seed=seed)
        session = {"python": python, "cores": cores, "gpu": "", "unknown": "x", "host": "secret"}
        (run / "environment.json").write_text(json.dumps([session]))
    assert make_report(tmp_path).environment == {"python": "3.12, 3.11", "cores": "2"}


def test_what_was_published_of_a_group_is_its_reference(tmp_path: Path) -> None:
    """Of groups whose steps of generalisation were not published there is no range to be drawn."""
    make_run(tmp_path, ROWS, model__ln_type="mlp-pre")
    make_run(tmp_path, ROWS, model__ln_type="pre-v")
    report = make_report(tmp_path)
    (range_,) = (r for r in report.references if r.metric == "generalised_at")
    assert range_.settings["model.ln_type"] == "mlp-pre"
    ends = [end.tolist() for end in (range_.x, range_.low, range_.y, range_.high)]
    assert ends == [[747], [747], [955], [1228]]
    assert {r.settings["model.ln_type"] for r in report.references} == {"mlp-pre", "pre-v"}
    for reference in report.references:
        if reference is not range_:
            curves = published().groups[reference.settings["model.ln_type"]].curves
            kept = curves[reference.metric]
            assert reference.x is kept.steps
            assert (reference.low is kept.lowest, reference.high is kept.highest) == (True, True)


def test_of_two_runs_of_a_seed_the_longer_is_compared(tmp_path: Path) -> None:
    for steps, reached in ((10, 0.1), (20, 1.0)):
        grid: list[float | None] = list(range(1, steps + 1))
        rows: Rows = {"step": grid, "test/accuracy": [*[0.0] * (steps - 1), reached]}
        run = make_run(tmp_path, rows, model__ln_type="pre", train__steps=steps)
        noted(run, step=steps)
    (comparison,) = make_report(tmp_path).comparisons
    assert comparison.runs == 1
    assert [reached.ours for reached in comparison.accuracy] == [20, 20, 20]


# Tables.


def grouped(root: Path, *placements: str, steps: int = 40) -> Report:
    """Groups of two seeds: the first placement generalises first."""
    grid: list[float | None] = list(range(1, steps + 1))
    for place, placement in enumerate(placements, 1):
        for seed in (1, 2):
            at = place + seed
            rows: Rows = {"step": grid, "test/accuracy": [float((s or 0) >= at) for s in grid]}
            make_run(root, rows, data__modulus=11, train__seed=seed, model__ln_type=placement)
    return make_report(root)


def test_medians_stand_by_group_in_the_order_of_the_legend(tmp_path: Path) -> None:
    report = grouped(tmp_path, "pre", "off")
    found = medians_of(report)
    assert found is not None
    assert found.thresholds == (0.95, 0.99, 0.995)
    assert [(place, name) for place, name, _ in found.rows] == [
        (0, "off (No LN)"),
        (1, "pre (M+A*)"),
    ]
    steps = [[median.step for median in medians] for _, _, medians in found.rows]
    assert steps == [[3] * 3, [2] * 3]
    ((first, second, pair),) = found.pairs
    assert (first, second, pair.first, pair.second) == ("off (No LN)", "pre (M+A*)", 0, 1)


def test_every_two_of_few_groups_are_compared_the_clearest_first(tmp_path: Path) -> None:
    few = medians_of(grouped(tmp_path / "few", "off", "pre", "post", "mlp-pre", "attn-pre", "peri"))
    assert few is not None
    assert len(few.pairs) == 15 == MOST_GROUPS * (MOST_GROUPS - 1) // 2
    corrected = [pair.corrected for _, _, pair in few.pairs]
    known = [p for p in corrected if p is not None]
    assert known == sorted(known)
    assert corrected[: len(known)] == known  # those of which nothing is known come last
    many = medians_of(
        grouped(tmp_path / "many", "off", "pre", "post", "mlp-pre", "attn-pre", "peri", "pre-v")
    )
    assert many is not None
    assert (len(many.rows), many.pairs) == (7, ())
    one = medians_of(grouped(tmp_path / "one", "off"))
    assert one is not None
    assert one.pairs == ()


def test_groups_are_compared_at_the_strictest_threshold(tmp_path: Path) -> None:
    """Both reach 0.96 at step 1; 0.995 at 3 and at 6."""
    for placement, at in (("off", 6), ("pre", 3)):
        grid: list[float | None] = list(range(1, 9))
        rows: Rows = {"step": grid, "test/accuracy": [0.96 + 0.04 * ((s or 0) >= at) for s in grid]}
        make_run(tmp_path, rows, data__modulus=11, model__ln_type=placement)
    found = medians_of(make_report(tmp_path))
    assert found is not None
    steps = [[median.step for median in medians] for *_, medians in found.rows]
    assert steps == [[1, 6, 6], [1, 3, 3]]
    ((*_, pair),) = found.pairs
    assert pair.ratio.value == 2


def test_without_test_accuracy_there_are_no_medians(tmp_path: Path) -> None:
    make_run(tmp_path, {"step": [1], "train/loss": [1.0]})
    report = make_report(tmp_path)
    assert medians_of(report) is None
    assert "share of runs" not in html_page(report)


def test_kept_curves_have_six_digits_and_the_steps_of_all_seeds(tmp_path: Path) -> None:
    for seed, third in ((1, None), (2, 9.0)):
        rows: Rows = {
            "step": [1, 2, 3],
            "test/loss": [1.23456789, 2.0 + seed, third],
            "grads/update_norm": [1.0, 1.0, 1.0],
        }
        make_run(tmp_path, rows, data__modulus=11, train__seed=seed, model__ln_type="pre")
    make_run(tmp_path, ROWS, data__modulus=11, model__ln_type="off")
    make_run(tmp_path, ROWS, "running", data__modulus=11, model__ln_type="post")
    table = curves_table(make_report(tmp_path))
    assert set(table["group"]) == {"model.ln_type: off", "model.ln_type: pre"}
    assert set(table["metric"]) == {"test/loss", "test/accuracy"}  # norms of updates are not kept
    assert table.filter(pl.col("group").str.ends_with("pre")).rows() == [
        ("model.ln_type: pre", "test/loss", 1, 1.23457, 1.23457, 1.23457, 2),
        ("model.ln_type: pre", "test/loss", 2, 3.5, 3.0, 4.0, 2),
    ]
    assert table.columns == ["group", "metric", "step", "mean", "lowest", "highest", "runs"]


def test_long_curves_are_thinned_evenly_and_by_ratio(tmp_path: Path) -> None:
    def kept(steps: int) -> list[int]:
        rows: Rows = {"step": list(range(1, steps + 1)), "test/loss": [1.0] * steps}
        make_run(tmp_path / str(steps), rows)
        found: list[int] = curves_table(make_report(tmp_path / str(steps)))["step"].to_list()
        return found

    assert kept(200) == list(range(1, 201))
    some = kept(1000)
    assert (some[0], some[-1]) == (1, 1000)
    assert 100 < len(some) < 200
    assert max(np.diff(some)) <= 11  # 100 of them evenly
    assert {1, 2, 3, 4, 5, 6, 7, 8, 9, 10} <= set(some)  # 33 of the others in each decade


def test_a_compact_report_keeps_pictures_page_and_tables(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", ROWS | {"grads/update_norm": [1.0, 2.0]})
    report = make_report(tmp_path / "runs")
    write_compact(report, tmp_path / "kept")
    names = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert names == [
        "README.md",
        "accuracy.png",
        "curves.csv",
        "generalisation.png",
        "loss.png",
        "runs.csv",
        "times.png",
    ]
    assert pl.read_csv(tmp_path / "kept" / "curves.csv").rows() == curves_table(report).rows()
    assert len(pl.read_csv(tmp_path / "kept" / "runs.csv")) == len(runs_table(report)) == 1
    images = sorted((tmp_path / "kept").glob("*.png"))
    text = (tmp_path / "kept" / "README.md").read_text()
    assert all(f"]({image.name})" in text for image in images)
    for image in images:
        with Image.open(image) as picture:
            assert picture.mode == "P"
            assert len(picture.getcolors() or []) <= 128


def test_a_page_has_a_preview_only_where_it_is_to_be_published(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", ROWS)
    report = make_report(tmp_path / "runs")
    write_html(report, tmp_path / "page.html", command="grok report 'a b'")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["page.html"]
    page = (tmp_path / "page.html").read_text()
    assert "grok report &#39;a b&#39;" in page
    write_html(report, tmp_path / "page.html", url="https://x.org/page.html")
    with Image.open(tmp_path / "page.png") as picture:
        assert picture.size == (1200, 630)


def test_a_page_cites_this_version_and_lives_only_where_it_is_served(tmp_path: Path) -> None:
    from grok_cli.version import __version__

    make_run(tmp_path, ROWS)
    report = make_report(tmp_path)
    page = html_page(report)
    assert page.count("@software{grok_cli,") == 1
    assert f"version = {{{__version__}}}" in " ".join(page.split())
    assert "```" not in page
    assert '"abc"' not in page
    assert "abc" in html_page(report, live='"abc"')
    text = markdown_page(report, [Path("a b/c d.png")])
    assert "![c d](c%20d.png)" in text


# The slider.


def test_a_report_is_called_by_its_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path / "study", ROWS)
    monkeypatch.chdir(tmp_path / "study")
    assert make_report(Path()).title == "study"


# The page that renews itself.


def test_a_page_rests_ten_times_as_long_as_it_took_and_two_seconds_at_least(
    tmp_path: Path,
) -> None:
    run = make_run(tmp_path / "runs", ROWS)
    time, took, made = [100.0], [1.0], []

    def report() -> Report:
        time[0] += took[0]
        made.append(time[0])
        return make_report(tmp_path / "runs")

    page = LivePage(tmp_path / "runs", report, 0, lambda: time[0])

    def asked_at(moment: float) -> int:
        time[0] = moment
        with (run / "metrics.csv").open("a") as file:
            file.write(f"{20 + moment},1.0,0.5\n")
        page.now()
        return len(made)

    assert asked_at(100) == 1  # made at 101, so not before 111
    assert asked_at(110.9) == 1
    took[0] = 0.0
    assert asked_at(111) == 2
    assert asked_at(112.9) == 2
    assert asked_at(113) == 3


def test_a_page_is_kept_by_nobody_and_framed_by_nobody() -> None:
    assert HEADERS["Cache-Control"] == "no-store"
    assert HEADERS["X-Frame-Options"] == "DENY"
    assert HEADERS["X-Content-Type-Options"] == "nosniff"
    assert HEADERS["Cross-Origin-Resource-Policy"] == "same-origin"
