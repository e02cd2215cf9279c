"""`grok plot`: what it reads, which files it leaves, what it refuses."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas
import pytest
from typer.testing import CliRunner

from grok_cli.cli.app import app
from grok_cli.errors import GrokError, UsageError
from grok_cli.figures.catalogue import CATALOGUE, make_chart
from grok_cli.figures.chart import Level
from grok_cli.figures.course import lines_chart
from grok_cli.figures.draft import Options
from grok_cli.figures.matplotlib import draw, save
from grok_cli.results import Results
from tests.groups import train_groups
from tests.typed import Grok
from tests.written_runs import make_run

MAGIC = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_groups(tmp_path_factory.mktemp("plot") / "runs")


def invoke(*arguments: object) -> str:
    """What `grok plot` prints; its error, if there is one, is raised."""
    result = CliRunner().invoke(app, ["plot", *map(str, arguments)])
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_drawn_mean_is_the_measured_one(runs: Path) -> None:
    found: dict[str, list[pandas.DataFrame]] = {"off": [], "pre": []}
    for directory in sorted(runs.iterdir()):
        rows = pandas.read_csv(directory / "metrics.csv").dropna(subset="test/loss")
        found["off" if "-off-" in directory.name else "pre"].append(rows)
    canvas = draw(make_chart("loss", Results.from_disk(runs)))
    lines = [line for line in canvas.axes[0].lines if line.get_linestyle() == "-"]
    assert len(lines) == 2  # test loss of off and pre
    for line, seeds in zip(lines, (found["off"], found["pre"]), strict=True):
        assert line.get_xdata().tolist() == seeds[0]["step"].tolist()
        mean = (seeds[0]["test/loss"].to_numpy() + seeds[1]["test/loss"].to_numpy()) / 2
        assert np.allclose(line.get_ydata(), mean, rtol=1e-12)


def test_exported_tables_give_the_same_figure_as_runs(runs: Path, tmp_path: Path) -> None:
    for kind in ("--per-seed", "--long"):
        out = tmp_path / kind.strip("-")
        arguments = ["export-csv", str(runs), "--metric", "test/accuracy", kind, "--out", str(out)]
        assert CliRunner().invoke(app, arguments).exit_code == 0
        (file,) = out.glob("*.csv")
        drawn = make_chart("test/accuracy", Results.from_csv(file))
        expected = make_chart("test/accuracy", Results.from_disk(runs))
        assert drawn.legend == expected.legend
        for line, other in zip(drawn.lines, expected.lines, strict=True):
            assert np.allclose(line.y, other.y, rtol=1e-12)
            assert np.array_equal(line.low, other.low)
            assert np.array_equal(line.x, other.x)


@pytest.mark.parametrize(
    ("style", "ending"), [("paper", ".pdf"), ("screen", ".svg"), ("dark", ".png")]
)
def test_file_is_of_the_kind_its_ending_says(
    runs: Path, tmp_path: Path, style: str, ending: str
) -> None:
    chart = make_chart("generalisation", Results.from_disk(runs), Options(title="a < b & $c"))
    file = tmp_path / f"figure{ending}"
    save(draw(chart, style), file, style)
    assert file.read_bytes().startswith(MAGIC[ending])


def test_equal_figures_are_equal_files(runs: Path, tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg"):
        chart = make_chart("rank", Results.from_disk(runs), Options(each_seed=True))
        save(draw(chart), tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_figure_that_cannot_be_written_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    chart = lines_chart("entropy", [("run", [1, 2], [1.0, 0.5])], [Level(1.1, "ln 3")])
    with pytest.raises(GrokError, match=r"cannot write .*none/e\.png"):
        save(draw(chart), tmp_path / "none" / "e.png")
    save(draw(chart), tmp_path / "e.png")
    assert (tmp_path / "e.png").read_bytes().startswith(MAGIC[".png"])
    assert [file.name for file in tmp_path.iterdir()] == ["e.png"]


def test_figure_through_a_link_or_a_pipe_leaves_what_is_there(tmp_path: Path) -> None:
    canvas = draw(lines_chart("entropy", [("run", [1, 2], [1.0, 0.5])]))
    link, pipe, target = tmp_path / "link.svg", tmp_path / "pipe.svg", tmp_path / "target.svg"
    link.symlink_to(target)
    save(canvas, link)
    assert link.is_symlink()
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as pool:
        read = pool.submit(pipe.read_bytes)
        save(canvas, pipe)
        assert read.result() == target.read_bytes()
    assert pipe.is_fifo()


def test_every_figure_name_works_on_the_command_line_help() -> None:
    from grok_cli.cli.plot import WHAT

    named = [
        name.strip(" .") for name in WHAT.replace("\n", " ").partition(" or any")[0].split(",")
    ]
    assert {name for name in named if name} <= CATALOGUE.keys()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["loss", "-t", "-o", "a.png"], "--out has no effect with --terminal"),
        (["loss", "-t", "--style", "screen"], "--style has no effect with --terminal"),
        (["loss", "table.csv", "--all"], "--all has no effect with CSV files"),
        (["generalization", "--y", "log"], "--y has no effect with generalisation"),
        (["compression", "--each-seed"], "--each-seed has no effect with compression"),
        (["loss", "nowhere"], "nowhere: no such file or directory"),
        (["loss", "-o", "figure.gif"], r"expected a file ending in \.png, \.svg, \.pdf"),
        (["loss", ".", "--where", "lntype"], "expected KEY=VALUE"),
        (["loss", ".", "table.csv"], "found both"),
    ],
)
def test_what_means_nothing_is_refused(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("table.csv").touch()
    with pytest.raises(UsageError, match=message):
        invoke(*arguments)
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]


def test_where_chooses_runs_and_group_by_takes_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for placement in ("off", "pre", "peri"):
        rows = {"step": [1, 2], "test/loss": [2.0, 1.0]}
        make_run(tmp_path / "runs", rows, model__ln_type=placement)
    shown = invoke("test/loss", "--terminal", "--where", "ln_type=off,pre")
    assert "off (No LN)" in shown
    assert "pre (M+A*)" in shown
    assert "peri" not in shown
    by = ["--group-by", "model.ln_type,opt.weight_decay", "--group-by", "data.task"]
    assert "off" in invoke("test/loss", "--terminal", *by)
    with pytest.raises(UsageError, match="no run there with ln_type=post"):
        invoke("test/loss", "--terminal", "--where", "ln_type=post")


def test_damaged_run_is_named_and_the_others_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = {"step": [1, 2], "test/loss": [2.0, 1.0]}
    for placement in ("off", "pre"):
        last = make_run(tmp_path / "runs", rows, model__ln_type=placement)
    (last / "config.yaml").write_text("model: [")
    result = CliRunner().invoke(app, ["plot", "test/loss", "--terminal"])
    assert result.exit_code == 1
    assert "off (No LN)" in result.stdout
    assert str(last.name) in result.stderr


def test_runs_of_two_lengths_in_one_folder_are_two_groups(tmp_path: Path) -> None:
    for steps in (2, 3):
        rows = {"step": list(range(1, steps + 1)), "test/loss": [1.0] * steps}
        make_run(tmp_path / "runs", rows, train__steps=steps)
    chart = make_chart("test/loss", Results.from_disk(tmp_path / "runs"))
    assert [len(line.x) for line in chart.lines] == [2, 3]
    assert [key.name for key in chart.legend.keys] == ["2", "3"]
    assert chart.legend.title == "steps"


def test_plot_command(typed: Grok, runs: Path, tmp_path: Path) -> None:
    drawn = typed("plot", "train/loss", str(runs), "--style", "paper")
    assert drawn.stdout.splitlines()[-1] == "train_loss.png"
    assert (tmp_path / "train_loss.png").stat().st_size > 1000
    shown = typed("plot", "accuracy", str(runs), "--terminal")
    assert "o off (No LN)" in shown.stdout
    assert "\x1b" not in shown.stdout
