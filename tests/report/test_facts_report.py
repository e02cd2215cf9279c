"""Facts of reports on runs that are written by hand."""

import json
import math
import shlex
from pathlib import Path

import pytest

from grok_cli.core.config import Config
from grok_cli.report.output import runs_table, write_markdown
from grok_cli.report.pages import dash, html_page, markdown_page
from grok_cli.report.report import make_report, train_command
from grok_cli.report.verdict import halves
from grok_cli.results.survival import Curve, Sample
from grok_cli.runs.settings import flat_settings
from tests.written_runs import Rows, make_run

ROWS: Rows = {"step": [1, 2], "test/loss": [2.0, 0.001], "test/accuracy": [0.1, 1.0]}


def test_a_dash_stands_where_there_is_no_number() -> None:
    assert (dash(None), dash(math.nan, "%.2f")) == ("–", "–")
    assert (dash(0.5, "%.2f"), dash(0.0), dash(3), dash("", "%s")) == ("0.50", "0.0", "3", "")


def test_a_report_began_when_the_first_run_did(tmp_path: Path) -> None:
    for seed, started in ((1, ["2026-03-02T10:00", "2026-03-05T10:00"]), (2, ["2026-03-01T23:00"])):
        run = make_run(tmp_path / "runs", ROWS, train__seed=seed)
        sessions = [{"started": moment, "host": "here"} for moment in started]
        (run / "environment.json").write_text(json.dumps(sessions))
    assert make_report(tmp_path / "runs").started == "2026-03-01T23:00"


def test_a_command_names_what_differs_from_the_defaults_and_is_of_the_result() -> None:
    settings = {
        "model.ln_type": "pre",
        "train.batch_size": None,
        "train.seed": 3,
        "run.threads": 2,
        "wandb.mode": "offline",
        "opt.learning_rate": 0.01,
    }
    made = train_command(settings)
    assert "--set model.ln_type=pre" in made
    assert "--set opt.learning_rate=0.01 " in made
    assert "--set train.seed=3 " in f"{made} "
    usual = flat_settings(Config())
    for value, told in (
        (None, "null"),
        (True, "true"),
        (0, "0"),
        ("a b", "a b"),
        ([1, 2], "[1, 2]"),
    ):
        words = shlex.split(train_command(usual | {"opt.eps": value}))
        assert words == ["grok", "train", "--set", f"opt.eps={told}"]
    assert "run.threads" not in made
    assert "wandb" not in made


def test_the_table_of_runs_says_how_long_each_took(tmp_path: Path) -> None:
    for seed, seconds in ((1, 12.5), (2, None)):
        run = make_run(tmp_path / "runs", ROWS, train__seed=seed)
        summary = json.loads((run / "summary.json").read_text()) | {"seconds": seconds}
        (run / "summary.json").write_text(json.dumps(summary))
    report = make_report(tmp_path / "runs")
    assert runs_table(report)["seconds"].to_list() == [12.5, None]
    assert report.training_time == "0:00:12"


def test_without_published_numbers_the_verdict_tells_when_half_had_generalised(
    tmp_path: Path,
) -> None:
    for ln_type, early in (("off", 0.1), ("pre", 1.0)):
        rows: Rows = {"step": [10, 20], "test/accuracy": [early, 1.0]}
        make_run(tmp_path / "runs", rows, data__modulus=11, model__ln_type=ln_type)
    assert make_report(tmp_path / "runs").verdict == (
        "Half of the runs generalised by step 10 with pre (M+A*) (1 of 1), by step 20 with "
        "off (No LN) (1 of 1). No published number to compare with."
    )


def test_a_verdict_never_leaves_out_those_that_did_not() -> None:
    def told(**groups: list[int | None]) -> str:
        curves = {
            name: Curve.of(Sample.of([at or 900 for at in steps], [at is not None for at in steps]))
            for name, steps in groups.items()
        }
        return halves({name: curve.median for name, curve in curves.items()}).removesuffix(".")

    assert told(a=[10, 20, None]) == "Half of the runs generalised by step 20 (2 of 3)"
    assert told(a=[10, None, None]) == (
        "Fewer than half of the runs generalised within 900 steps (1 of 3)"
    )
    assert told(a=[None], b=[None]) == "No run generalised within 900 steps"
    assert told(a=[30], b=[10], c=[7, None, None], d=[None]) == (
        "Half of the runs generalised by step 10 with b (1 of 1), by step 30 with a (1 of 1); "
        "fewer than half within 900 steps with c (1 of 3), with d (0 of 1)"
    )
    assert told(**{name: [step] for step, name in enumerate("abcdef", 1)}) == (
        "Half of the runs generalised by step 1 with a (1 of 1), by step 6 with f (1 of 1), "
        "4 groups between them"
    )
    assert told(a=[1], **{name: [None] for name in "bcdefg"}).endswith("with e (0 of 1) and 2 more")


@pytest.fixture
def pre(tmp_path: Path) -> Path:
    """A run of a published group, in name only."""
    make_run(tmp_path / "runs", ROWS, model__ln_type="pre", train__seed=456)
    return tmp_path / "runs"


def test_a_page_calls_groups_and_criteria_by_their_names(pre: Path) -> None:
    report = make_report(pre)
    for page in (html_page(report), markdown_page(report, [])):
        assert "test accuracy ≥ 0.995" in page
        assert "test loss ≤ 0.01" in page
    assert "pre (M+A*)" in html_page(report)


def test_markdown_is_written_with_its_two_figures_beside_it(pre: Path, tmp_path: Path) -> None:
    report = make_report(pre)
    write_markdown(report, tmp_path / "found.md")
    images = [tmp_path / "found-accuracy.png", tmp_path / "found-generalisation.png"]
    assert (tmp_path / "found.md").read_text() == markdown_page(report, images)
    assert all(image.stat().st_size for image in images)
