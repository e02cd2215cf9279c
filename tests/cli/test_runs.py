"""`grok runs`, and what commands on many runs have in common."""

import io
import json
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from grok_cli.cli import runs as cli_runs
from tests.typed import type_in
from tests.written_runs import Rows, make_run

ROWS: Rows = {"step": [1, 2], "train/loss": [2.0, 1.0], "test/accuracy": [None, 0.5]}


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Runs of three placements, which generalised at 300, 20 and never."""
    for placement, step in (("off", 300), ("pre", 20), ("peri", None)):
        status = "finished" if step else "diverged"
        run = make_run(tmp_path / "runs", ROWS, status, model__ln_type=placement)
        summary = json.loads((run / "summary.json").read_text())
        (run / "summary.json").write_text(json.dumps(summary | {"generalised_at": step}))
    return tmp_path


_ENDS = ("", "__MIN", "__MAX")


def first_cells(text: str) -> list[str]:
    return [line.split("\t")[0].split("-")[1] for line in text.splitlines()[1:]]


def test_in_a_pipe_a_run_is_a_line_of_cells_between_tabs(three: Path) -> None:
    result = type_in(three, "runs")
    assert (result.returncode, result.stderr) == (0, "")
    head, *lines = result.stdout.splitlines()
    assert head.split("\t")[:4] == ["run", "ln type", "status", "step"]
    assert len(lines) == 3
    assert all(len(line.split("\t")) == len(head.split("\t")) for line in lines)


@pytest.mark.parametrize("width", [30, 50, 80, 140])
def test_on_a_terminal_columns_go_and_no_row_wraps(
    three: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=width, color_system=None)
    monkeypatch.setattr(cli_runs, "Console", lambda **options: console)
    assert type_in(three, "runs").returncode == 0
    lines = stream.getvalue().splitlines()
    assert all(len(line.rstrip()) <= width for line in lines[:4])
    assert [("off" in line, "peri" in line) for line in lines[1:4]] == [
        *((True, False), (False, True), (False, False))
    ]
    assert ("memorised" in lines[0]) == (width == 140)
    assert "status" in lines[0]


def test_sort_takes_columns_and_settings_and_puts_what_is_absent_last(three: Path) -> None:
    assert first_cells(type_in(three, "runs", "--sort", "generalised_at").stdout) == [
        *("pre", "off", "peri")
    ]
    assert first_cells(type_in(three, "runs", "--sort", "-generalised").stdout) == [
        *("off", "pre", "peri")
    ]
    assert first_cells(type_in(three, "runs", "--sort", "ln_type").stdout) == ["off", "peri", "pre"]
    wrong = type_in(three, "runs", "--sort", "generalisd_at")
    assert wrong.returncode == 2
    assert "did you mean generalised_at?" in wrong.stderr


def test_where_chooses_runs(three: Path) -> None:
    assert first_cells(type_in(three, "runs", "--where", "ln_type=pre,off").stdout) == [
        *("off", "pre")
    ]
    both = type_in(three, "runs", "--where", "status=finished", "--where", "ln_type!=pre")
    assert len(both.stdout.splitlines()) == 2
    none = type_in(three, "runs", "--where", "ln_type=post", "--json")
    assert (none.returncode, json.loads(none.stdout)) == (0, [])
    assert "no run there with ln_type=post" in none.stderr
    assert type_in(three, "runs", "--where", "pre").returncode == 2


def test_json_and_csv_hold_the_values(three: Path) -> None:
    result = type_in(three, "runs", "--json", "--csv", "runs.csv", "--sort", "ln_type")
    rows = json.loads(result.stdout)
    assert [row["settings"] for row in rows] == [
        {"model.ln_type": name} for name in ("off", "peri", "pre")
    ]
    assert [row["generalised_at"] for row in rows] == [300, None, 20]
    table = pd.read_csv(three / "runs.csv")
    assert table["model.ln_type"].tolist() == ["off", "peri", "pre"]
    assert table["generalised_at"].dropna().tolist() == [300, 20]
    assert table["test/loss"].tolist() == [0.5] * 3


@pytest.mark.parametrize("content", ["", "model: [", "- 1"])
@pytest.mark.parametrize(
    "command", [("runs",), ("export-csv",), ("export-csv", "--summary"), ("export-csv", "--long")]
)
def test_a_damaged_run_stops_no_other_and_ends_with_1(
    three: Path, command: tuple[str, ...], content: str
) -> None:
    bad = make_run(three / "runs", ROWS, train__seed=9)
    (bad / "config.yaml").write_text(content)
    result = type_in(three, *command)
    assert result.returncode == 1
    assert f"skipped: runs/{bad.name}/config.yaml" in result.stderr
    assert bad.name not in result.stdout
    assert len(result.stdout.splitlines()) >= 1


@pytest.mark.parametrize("command", ["plot train/loss -t", "times", "report runs --inside 0"])
def test_what_is_told_of_the_other_runs_ends_with_1(three: Path, command: str) -> None:
    bad = make_run(three / "runs", ROWS, train__seed=9)
    (bad / "config.yaml").write_text("- 1")
    result = type_in(three, *command.split())
    assert result.returncode == 1
    assert f"skipped: runs/{bad.name}/config.yaml" in result.stderr
    assert result.stdout


def test_where_all_runs_are_damaged_nothing_is_exported(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", ROWS)
    (run / "config.yaml").write_text("")
    result = type_in(tmp_path, "export-csv")
    assert result.returncode == 1
    assert "no run there could be read" in result.stderr
    assert not (tmp_path / "export").exists()


@pytest.mark.parametrize("command", ["runs", "export-csv", "plot loss", "report"])
def test_a_missing_path_is_exit_code_2(tmp_path: Path, command: str) -> None:
    assert type_in(tmp_path, *command.split(), "nowhere").returncode == 2


def test_control_characters_of_names_are_shown_escaped(tmp_path: Path) -> None:
    run = make_run(tmp_path / "made", ROWS, "diverged")
    (tmp_path / "runs").mkdir()
    run.rename(tmp_path / "runs" / "a\x1b[2J\nb")
    listed = type_in(tmp_path, "runs").stdout
    assert "a\\x1b[2J\\nb\t" in listed
    left_out = type_in(tmp_path, "export-csv")
    assert "left out: a\\x1b[2J\\nb (diverged)" in left_out.stderr


def test_export_takes_where_lists_and_the_old_spelling_of_all(three: Path) -> None:
    one = type_in(three, "export-csv", "--where", "ln_type=pre", "-m", "train/*,test/accuracy")
    assert one.stdout.split() == ["export/train_loss.csv", "export/test_accuracy.csv"]
    table = pd.read_csv(three / "export" / "train_loss.csv")
    assert list(table) == ["Step", *(f"model.ln_type: pre - train/loss{e}" for e in _ENDS)]
    old = type_in(three, "export-csv", "--include", "all", "--out", "old")
    new = type_in(three, "export-csv", "--all", "--out", "new")
    assert "peri" in (three / "new" / "train_loss.csv").read_text()
    assert (three / "old/train_loss.csv").read_bytes() == (
        three / "new/train_loss.csv"
    ).read_bytes()
    assert (old.returncode, new.returncode) == (0, 0)
    assert type_in(three, "export-csv", "--include", "most").returncode == 2


def test_names_that_a_spreadsheet_would_compute_are_marked_as_texts(tmp_path: Path) -> None:
    run = make_run(tmp_path / "made", ROWS)
    (tmp_path / "runs").mkdir()
    run.rename(tmp_path / "runs" / "=1+1")
    assert type_in(tmp_path, "export-csv", "--summary").returncode == 0
    assert type_in(tmp_path, "runs", "--csv", "runs.csv").returncode == 0
    for file in ("export/summary.csv", "runs.csv"):
        assert pd.read_csv(tmp_path / file)["run"].tolist() == ["'=1+1"]


def test_watch_once_prints_the_page_and_writes_nothing(three: Path) -> None:
    before = sorted(three.rglob("*"))
    printed = type_in(three, "watch", "runs", "--once")
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout.startswith("<!DOCTYPE html>")
    assert sorted(three.rglob("*")) == before
    assert type_in(three, "watch", "nowhere", "--once").returncode == 2


def test_a_report_on_standard_output_is_the_page_alone(
    three: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    told = type_in(three, "report", "runs", "--inside", "0", "--out", "-")
    assert (told.returncode, told.stdout) == (0, "")
    page = capfd.readouterr().out
    assert page.startswith("<!DOCTYPE html>")
    assert page.rstrip().endswith("</html>")
    for beside in (["--markdown"], ["--url", "https://example.org/a.html"]):
        refused = type_in(three, "report", "runs", "--out", "-", *beside)
        assert refused.returncode == 2
        assert "pictures are written beside the file" in refused.stderr


def test_watch_once_names_what_it_cannot_read(three: Path) -> None:
    damaged = min((three / "runs").iterdir()) / "config.yaml"
    damaged.write_text("[")
    printed = type_in(three, "watch", "runs", "--once")
    assert printed.returncode == 1
    assert printed.stdout.startswith("<!DOCTYPE html>")
    assert printed.stderr.startswith(f"skipped: {damaged.relative_to(three)}: not valid YAML")
