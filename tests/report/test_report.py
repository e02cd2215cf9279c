"""Reports: what the page says, what is kept of it, and the command that makes it."""

import json
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
from PIL import Image, ImageColor

from grok_cli.figures.catalogue import make_chart
from grok_cli.figures.style import GREEN, SKY
from grok_cli.figures.svg import figure_html
from grok_cli.report.command import train_command
from grok_cli.report.output import curves_table, shrink
from grok_cli.report.pages import html_page, markdown_page, markdown_text
from grok_cli.report.published import published
from grok_cli.report.report import make_report
from grok_cli.results import Results
from grok_cli.runs.sweep_record import record_sweep
from grok_cli.sweeps.spec import STUDIES, read_spec, spec_named
from tests.conftest import SMALL_FLAGS, small_config
from tests.typed import Grok
from tests.written_runs import Rows, make_run


class Checker(HTMLParser):
    """Collects the elements that a page has, and fails on one that is closed in the wrong place."""

    VOID = ("meta", "link")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_step_zero_leaves_a_curve_on_its_logarithmic_axis(tmp_path: Path) -> None:
    """`grok measure` measures step 0, too, before any update."""
    rows: Rows = {"step": [0, 10, 20], "alpha_req/effective_rank_test": [9.0, 8.0, 2.0]}
    make_run(tmp_path / "runs", rows, model__ln_type="pre")
    report = make_report(tmp_path / "runs")
    paths = re.findall(r' d="([^"]*)"', html_page(report))
    assert not [path for path in paths if "nan" in path or "inf" in path]
    html = figure_html(make_chart("rank", Results.from_disk(tmp_path / "runs")))
    assert re.findall(r'class="line g0" d="([^"]*)"', html)[0].count("L") == 1  # from step 10 to 20
    assert json.loads(re.findall(r"<script[^>]*>(.*)</script>", html)[0])["series"][0]["steps"] == [
        10,
        20,
    ]


def test_damaged_files_beside_the_metrics_leave_a_report(tmp_path: Path) -> None:
    rows: Rows = {"step": [1, 2], "test/accuracy": [0.1, 1.0]}
    run = make_run(tmp_path / "runs", rows, model__ln_type="pre")
    (run / "environment.json").write_text('[{"python": "3.')
    (run / "summary.json").write_text('{"status": "finished"}')
    report = make_report(tmp_path / "runs")
    assert report.environment == {}
    assert report.started == ""
    assert [c.published.name for c in report.comparisons] == ["pre"]
    assert "<svg" in html_page(report)


def test_page_is_whole_and_needs_no_other_file(runs: Path) -> None:
    page = html_page(make_report(runs))
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    assert all(address.startswith(("#", "data:")) for address in checker.addresses)
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org)", page)


def test_what_runs_say_is_escaped(runs: Path) -> None:
    report = make_report(runs)
    page, text = html_page(report), markdown_page(report, [])
    checker = Checker()
    checker.feed(page)
    assert "img" not in checker.seen
    assert "&lt;/script&gt;&lt;img src=x" in page
    assert "{{7*7}}" in page
    assert "<img" not in text
    assert markdown_text("a|b <i>*c*_d_") == r"a\|b \<i\>\*c\*\_d\_"


def test_groups_count_and_average_the_summaries(runs: Path) -> None:
    report = make_report(runs)
    summaries = [run.summary for run in report.runs if run.settings["model.ln_type"] == "pre"]
    row = next(row for row in report.groups if row.name == "pre (M+A*)")
    assert (row.runs, row.finished) == (2, 2)
    losses = [summary["final"]["train/loss"] for summary in summaries]
    assert row.train_loss.values == tuple(losses)
    assert row.train_loss.mean == f"{sum(losses) / 2:.2g}"
    reached = sum(s["generalised_at"] is not None for s in summaries)
    assert (row.generalised.runs, row.generalised.events) == (2, reached)


def test_command_of_a_run_gives_its_settings(runs: Path) -> None:
    from grok_cli.runs.settings import layered

    for run in make_report(runs).runs:
        words = shlex.split(train_command(run.settings))
        assert words[:2] == ["grok", "train"]
        config, _ = layered(None, {}, [w for w in words[2:] if w != "--set"])
        assert config.run_name() == run.name


def test_other_training_is_not_compared_with_published_numbers(runs: Path) -> None:
    report = make_report(runs)
    assert report.comparisons == []
    assert "Measured and published" not in html_page(report)


def test_runs_of_other_settings_are_not_the_studys(runs: Path) -> None:
    spec = spec_named("ln-positions")
    report = make_report(runs, spec)
    assert report.state == "None is one of the study's own 20: settings were changed"
    assert "not started" not in html_page(report)
    assert report.commands == ("grok sweep ln-positions",)


def test_published_curves_are_drawn_beneath_ours(tmp_path: Path) -> None:
    """A group of ours that repeats a published one has its band; others have none."""
    rows: Rows = {"step": [1, 10], "test/accuracy": [0.1, 0.2], "test/loss": [4.7, 4.8]}
    make_run(tmp_path / "runs", rows, model__ln_type="pre")
    make_run(tmp_path / "runs", rows, model__ln_type="post")
    report = make_report(tmp_path / "runs")
    assert {r.settings["model.ln_type"] for r in report.references} == {"pre"}
    (loss,) = [r for r in report.references if r.metric == "test/loss"]
    known = published().groups["pre"].curves["test/loss"]
    assert (loss.x == known.steps).all()
    assert (loss.y == known.mean).all()
    (steps,) = [r for r in report.references if r.metric == "generalised_at"]
    assert (steps.low, steps.y, steps.high) == (2099, 3298, 3380)
    assert 'class="reference band' in html_page(report)


def test_a_typed_sweep_is_repeated_by_its_own_command(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", {"step": [1], "test/accuracy": [0.5]})
    command = "grok sweep --grid model.ln_type=pre,off --seeds '1,2'"
    record_sweep(tmp_path / "runs", command, None, 4)
    report = make_report(tmp_path / "runs")
    assert report.commands == (command,)
    assert "<code>grok sweep --grid model.ln_type=pre,off --seeds &#39;1,2&#39;" in html_page(
        report
    )
    assert f"$ {command}\n" in markdown_page(report, [])


def test_directory_of_a_run_that_never_began(tmp_path: Path) -> None:
    from grok_cli.runs.directory import create_run

    create_run(tmp_path / "runs" / "new", small_config())
    page = html_page(make_report(tmp_path / "runs"))
    assert "no run is finished" in page


def test_a_damaged_run_is_left_out_by_name(tmp_path: Path, typed: Grok) -> None:
    rows: Rows = {"step": [1, 2], "test/accuracy": [0.1, 1.0]}
    make_run(tmp_path / "runs", rows, model__ln_type="pre")
    make_run(tmp_path / "runs", rows, model__ln_type="off")
    bad = make_run(tmp_path / "runs", rows, model__ln_type="mlp-pre")
    (bad / "config.yaml").write_text("model: [")
    report = make_report(tmp_path / "runs")
    assert sorted(group.name for group in report.groups) == ["off (No LN)", "pre (M+A*)"]
    assert len(report.problems) == 1
    assert bad.name in html_page(report)
    made = typed("report", str(tmp_path / "runs"))
    assert made.returncode == 1
    assert bad.name in made.stderr
    assert (tmp_path / "runs" / "report.html").is_file()


def test_a_group_in_which_one_seed_generalised_is_not_said_to_have(tmp_path: Path) -> None:
    """A mean never stands without the number of runs that it is of."""
    for seed, reached in ((1, 1.0), (2, 0.5), (3, 0.5)):
        rows: Rows = {"step": [10, 380], "test/accuracy": [0.1, reached]}
        run = make_run(tmp_path / "runs", rows, data__modulus=11, train__seed=seed)
        summary = json.loads((run / "summary.json").read_text())
        summary["generalised_at"] = 380 if reached == 1 else None
        (run / "summary.json").write_text(json.dumps(summary))
    report = make_report(tmp_path / "runs")
    assert report.verdict.startswith(
        "Fewer than half of the runs generalised within 380 steps (1 of 3)."
    )
    assert "380<small>1 of 3</small>" in html_page(report)
    assert "380 (1 of 3)" in markdown_page(report, [])


def test_a_group_has_its_median_with_those_that_did_not_generalise(tmp_path: Path) -> None:
    """Of 20, 30 and nothing within 50 the median is 30; the mean of two would be 25."""
    for seed, step in ((1, 20), (2, 30), (3, None)):
        run = make_run(tmp_path / "runs", {"step": [1, 50]}, data__modulus=11, train__seed=seed)
        summary = json.loads((run / "summary.json").read_text())
        told = summary | {"step": 50, "generalised_at": step}
        (run / "summary.json").write_text(json.dumps(told))
    report = make_report(tmp_path / "runs")
    assert str(report.groups[0].median) == "30 (20..–)"
    assert "<td>30<small> (20..–) 2\u00a0of\u00a03</small></td>" in html_page(report)
    assert "| 30 (20..–), 2 of 3 |" in markdown_page(report, [])


def test_only_runs_that_were_asked_for_are_reported(runs: Path) -> None:
    report = make_report(runs, where=["model.ln_type=pre"])
    assert [group.name for group in report.groups] == ["pre (M+A*)"]


def test_small_marks_keep_their_colours_in_a_picture_with_few(tmp_path: Path) -> None:
    """Two colours of placements on a few pixels, beside a ramp of more shades than are kept."""
    picture = Image.new("RGB", (256, 40), "white")
    for x in range(256):
        for y in range(30):
            picture.putpixel((x, y), (255 - x // 3, 255 - x // 4, 255 - x // 5 - y))
    marks = {(10, 35): GREEN, (20, 35): SKY}
    for place, colour in marks.items():
        picture.putpixel(place, ImageColor.getrgb(colour))
    file = tmp_path / "marks.png"
    picture.save(file)
    shrink(file)
    with Image.open(file) as small:
        assert small.mode == "P"
        for place, colour in marks.items():
            kept = small.convert("RGB").getpixel(place)
            wanted = ImageColor.getrgb(colour)
            assert isinstance(kept, tuple)
            assert max(abs(a - b) for a, b in zip(kept, wanted, strict=True)) < 30


def test_compact_report_is_a_folder_of_its_own(runs: Path, tmp_path: Path, typed: Grok) -> None:
    folder = tmp_path / "kept" / "study"
    made = typed("report", str(runs), "--compact", str(folder))
    assert made.returncode == 0, made.stderr
    text = (folder / "README.md").read_text()
    images = re.findall(r"!\[.*\]\((.*)\)", text)
    assert {"accuracy.png", "loss.png", "generalisation.png"} <= set(images)
    files = {file.name: file.stat().st_size for file in folder.iterdir()}
    assert set(files) == {*images, "README.md", "curves.csv", "runs.csv"}
    assert sum(files.values()) < 1_000_000
    table = pl.read_csv(folder / "runs.csv")
    assert len(table) == 4
    assert (table["seconds"] > 0).all()
    refused = typed("report", str(runs), "--compact", str(folder), "--markdown")
    assert refused.returncode == 2


def test_kept_curves_are_the_means_and_extremes_of_the_finished_runs(tmp_path: Path) -> None:
    steps = [float(step) for step in range(1, 10_001)]
    for seed, factor in ((1, 1.0), (2, 3.0)):
        rows: Rows = {"step": list(range(1, 10_001)), "test/loss": [factor * s for s in steps]}
        make_run(tmp_path / "runs", rows, data__modulus=11, train__seed=seed)
    table = curves_table(make_report(tmp_path / "runs")).filter(metric="test/loss")
    assert 150 < len(table) <= 200
    assert table["step"].is_sorted()
    assert (table["step"][0], table["step"][-1]) == (1, 10_000)
    first = table.row(0, named=True)
    assert (first["mean"], first["lowest"], first["highest"], first["runs"]) == (2, 1, 3, 2)


def test_sweep_then_report_then_markdown(typed: Grok, tmp_path: Path) -> None:
    flags = [*SMALL_FLAGS, "--set=measure.diagnostics={rank: 20}"]
    swept = typed("sweep", "ln-positions", "--ln-type", "pre", "--seeds", "1", *flags)
    directory = swept.stdout.splitlines()[-1]
    assert directory == "runs/ln-positions"
    made = typed("report", directory)
    assert made.stdout == "runs/ln-positions/report.html\n", made.stderr
    question = read_spec(STUDIES / "ln-positions.yaml").question
    assert question in (tmp_path / directory / "report.html").read_text()
    made = typed("report", directory, "--markdown", "-o", "README.md")
    text = (tmp_path / "README.md").read_text()
    images = re.findall(r"!\[.*\]\((.*)\)", text)
    assert images == ["README-accuracy.png", "README-generalisation.png"]
    assert all((tmp_path / image).is_file() for image in images)
    assert "| add-pre |" not in text
    refused = typed("report", "nowhere")
    assert refused.returncode == 2
    assert "no such directory" in refused.stderr


def test_command_of_a_branch_makes_that_branch() -> None:
    from grok_cli.runs.branching import branch_config
    from grok_cli.runs.settings import flat_settings, layer
    from tests.conftest import small_config

    parent = small_config()
    changes = {"opt.weight_decay": 0.5, "branch.scale": 0.5, "branch.freeze": ["embed"]}
    branch = branch_config(parent, "memorised+5", {**changes, "train.steps": 90})
    words = shlex.split(train_command(flat_settings(branch)))
    assert words[:5] == ["grok", "branch", parent.digest(), "--at", "memorised+5"]
    values, _ = layer(None, {}, [word for word in words[5:] if word != "--set"])
    assert branch_config(parent, words[4], values) == branch
    assert values.keys() == {*changes, "train.steps"}
