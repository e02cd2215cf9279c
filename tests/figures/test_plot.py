"""Figures: what they read, what they draw, and that nothing is smoothed."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from grok_cli.cli import entropy
from grok_cli.cli.app import app
from grok_cli.errors import GrokError, UsageError
from grok_cli.exports.source import local_runs
from grok_cli.exports.tables import long_tables, make_groups, metric_table
from grok_cli.figures.bands import Band, Measured, read_paths, table_bands
from grok_cli.figures.catalogue import CATALOGUE, Options, charts_of, make_chart
from grok_cli.figures.matplotlib import draw, save
from grok_cli.figures.names import name_groups, parse_label
from grok_cli.figures.phases import compression_points, compression_step, generalised
from grok_cli.figures.scale import Scale, tick_text
from grok_cli.figures.style import looks
from grok_cli.figures.svg import thinned
from tests.conftest import small_config
from tests.groups import train_groups
from tests.written_runs import Rows, make_run

Grok = Callable[..., "subprocess.CompletedProcess[str]"]
MAGIC = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_groups(tmp_path_factory.mktemp("plot") / "runs")


def table(**columns: list[float | None]) -> pl.DataFrame:
    """A table of test accuracy of a group "pre", columns by seed."""
    name = "model.ln_type: pre - test/accuracy"
    seeds = {f"{name}__SEED_{seed}": values for seed, values in columns.items()}
    frame = pl.DataFrame({"Step": [10, 20, 30], **seeds})
    return frame.with_columns(
        pl.mean_horizontal(list(seeds)).alias(name),
        pl.min_horizontal(list(seeds)).alias(f"{name}__MIN"),
        pl.max_horizontal(list(seeds)).alias(f"{name}__MAX"),
    )


def test_drawn_mean_is_the_measured_one(runs: Path) -> None:
    found = {run.settings["model.ln_type"]: [] for run in local_runs(runs)}
    for run in local_runs(runs):
        rows = pandas.read_csv(runs / run.name / "metrics.csv").dropna(subset="test/loss")
        found[run.settings["model.ln_type"]].append(rows)
    canvas = draw(make_chart("loss", read_paths([runs])))
    lines = [line for line in canvas.axes[0].lines if line.get_linestyle() == "-"]
    assert len(lines) == 2  # test loss of off and pre
    for line, seeds in zip(lines, (found["off"], found["pre"]), strict=True):
        assert line.get_xdata().tolist() == seeds[0]["step"].tolist()
        mean = (seeds[0]["test/loss"].to_numpy() + seeds[1]["test/loss"].to_numpy()) / 2
        assert np.allclose(line.get_ydata(), mean, rtol=1e-12)


def test_exported_tables_give_the_same_bands_as_runs(runs: Path, tmp_path: Path) -> None:
    groups = make_groups(local_runs(runs), ["model.ln_type"])
    wide, long = tmp_path / "wide.csv", tmp_path / "long.csv"
    metric_table(groups, "test/accuracy", per_seed=True).write_csv(wide, quote_style="always")
    pl.concat(list(long_tables(groups, ["test/accuracy"]))).write_csv(long)
    expected = read_paths([runs]).bands("test/accuracy")
    for file in (wide, long):
        bands = read_paths([file]).bands("test/accuracy")
        assert [band.label for band in bands] == [band.label for band in expected]
        for band, other in zip(bands, expected, strict=True):
            assert np.allclose(band.mean, other.mean, rtol=1e-12)
            assert np.array_equal(band.low, other.low)
            assert np.array_equal(band.steps, other.steps)
            assert band.seeds.keys() == other.seeds.keys()


def test_run_that_is_found_twice_counts_once(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", {"step": [1, 2], "train/loss": [2.0, 1.0]})
    (band,) = read_paths([run, run.parent, run]).bands("train/loss")
    assert list(band.seeds) == ["456"]


def test_runs_of_one_name_and_seed_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    for place, loss in (("one", 2.0), ("two", 4.0)):
        make_run(tmp_path / place, {"step": [1], "train/loss": [loss]})
    (band,) = read_paths([tmp_path / "one", tmp_path / "two"]).bands("train/loss")
    assert band.mean.tolist() == [3.0]
    assert [Path(seed).parent.name for seed in band.seeds] == ["one", "two"]


def test_long_table_with_two_runs_of_one_group_and_seed_is_refused(tmp_path: Path) -> None:
    for weight_decay in (0.1, 1.0):
        rows: Rows = {"step": [1, 2], "train/loss": [2.0, 1.0]}
        make_run(tmp_path / "runs", rows, opt__weight_decay=weight_decay)
    groups = make_groups(local_runs(tmp_path / "runs"), ["model.ln_type"])
    pl.concat(list(long_tables(groups, ["train/loss"]))).write_csv(tmp_path / "long.csv")
    with pytest.raises(UsageError, match=r"long\.csv: several values of one group, seed and step"):
        read_paths([tmp_path / "long.csv"])


def test_mean_ends_where_a_seed_ends() -> None:
    (band,) = table_bands(table(a=[0.1, 0.2, 0.3], b=[0.3, 0.4, None]), "test/accuracy")
    assert band.mean[:2].tolist() == pytest.approx([0.2, 0.3])
    assert np.isnan(band.mean[2])
    assert band.seeds["a"][2] == 0.3


def test_generalisation_is_of_each_seed_and_of_the_mean_curve() -> None:
    frame = table(a=[0.2, 1.0, 1.0], b=[0.2, 0.98, 0.996])
    measured = Measured(["test/accuracy"], lambda metric: table_bands(frame, metric))
    (group,) = generalised(measured)
    assert group.seeds == {"a": 20, "b": 30}
    assert (group.middle, group.of_mean, group.earliest, group.latest) == (25.0, 30, 20, 30)


def test_without_seeds_extremes_are_those_of_the_lowest_and_highest_curve() -> None:
    frame = table(a=[0.2, 1.0, 1.0], b=[0.2, 0.98, 0.996]).select(pl.exclude("^.*__SEED_.*$"))
    measured = Measured(["test/accuracy"], lambda metric: table_bands(frame, metric))
    (group,) = generalised(measured)
    assert (group.middle, group.earliest, group.latest) == (30, 20, 30)


def test_compression_is_half_way_down_from_the_maximum() -> None:
    steps = np.array([1.0, 200, 400, 600, 800, 1000])
    rank = np.array([2.0, 30, 40, 26, 25, 10])  # half-way between 40 and 10 is 25
    assert compression_step(steps, rank) == 800
    assert compression_step(steps, np.array([1.0, 2, 3, 4, 5, 6])) is None
    assert compression_step(steps, np.array([10.0, 10, 10, 9.9, 9.9, 9.9])) is None
    assert compression_step(steps, np.full(6, np.nan)) is None


def test_compression_pairs_a_run_with_itself() -> None:
    ranks = {"a": np.array([9.0, 3, 1]), "b": np.array([9.0, 8, 1])}
    accuracies = {"a": np.array([0.1, 1, 1]), "b": np.array([0.1, 0.1, 1])}
    steps, nothing = np.array([10.0, 20, 30]), np.zeros(3)
    bands = {
        "alpha_req/effective_rank_test": Band("g", steps, nothing, nothing, nothing, ranks),
        "test/accuracy": Band("g", steps, nothing, nothing, nothing, accuracies),
    }
    measured = Measured(list(bands), lambda metric: [bands[metric]])
    assert compression_points(measured) == {"g": [(20, 20), (30, 30)]}


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


def test_groups_carry_the_papers_names() -> None:
    names = name_groups(["model.ln_type: pre", "model.ln_type: off"])
    assert names.names["model.ln_type: pre"] == "pre (M+A*)"
    assert names.title == "norm placement"
    numbers = name_groups(["opt.weight_decay: 0.1", "opt.weight_decay: 1"])
    assert (numbers.title, numbers.numbers) == ("weight decay", True)
    both = name_groups(["opt.learning_rate: 0.003, opt.weight_decay: 0.3333333333333333"])
    assert list(both.names.values()) == ["learning rate 0.003, weight decay 0.3333"]


def test_label_is_split_at_settings_only() -> None:
    label = 'measure.diagnostics: {"a": 1, "b": 2}, model.ln_type: pre'
    assert parse_label(label) == {
        "measure.diagnostics": '{"a": 1, "b": 2}',
        "model.ln_type": "pre",
    }


@pytest.mark.parametrize("dark", [False, True])
def test_groups_differ_by_colour_and_by_marker(dark: bool) -> None:
    for labels in (
        [f"model.ln_type: {name}" for name in ("off", "attn-pre", "pre", "mlp-pre")],
        [f"opt.weight_decay: {value}" for value in (0.1, 0.2, 0.5, 0.75, 1, 1.5)],
        [f"data.task: {name}" for name in "abcdefgh"],
    ):
        chosen = looks(labels, name_groups(labels)).values()
        assert len({look.marker for look in chosen}) == len(labels)
        assert len({look.dark if dark else look.light for look in chosen}) == len(labels)


@pytest.mark.parametrize(
    ("style", "ending"), [("paper", ".pdf"), ("screen", ".svg"), ("dark", ".png")]
)
def test_file_is_of_the_kind_its_ending_says(
    runs: Path, tmp_path: Path, style: str, ending: str
) -> None:
    chart = make_chart("generalisation", read_paths([runs]), Options(title="a < b & $c"))
    file = tmp_path / f"figure{ending}"
    save(draw(chart, style), file, style)
    assert file.read_bytes().startswith(MAGIC[ending])


def test_equal_figures_are_equal_files(runs: Path, tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg"):
        chart = make_chart("rank", read_paths([runs]), Options(each_seed=True))
        save(draw(chart), tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_metric_that_was_not_measured_is_named_with_those_that_were(runs: Path) -> None:
    with pytest.raises(UsageError, match=r"ntk: not measured there .*train/loss"):
        make_chart("ntk", read_paths([runs]))
    with pytest.raises(UsageError, match="did you mean test/loss"):
        make_chart("test/los", read_paths([runs]))


def measured_of(**metrics: dict[str, list[float]]) -> Measured:
    """Metrics at steps 1, 2, ...: by the metric's name with __ for /, by group, the values."""
    bands = {
        name.replace("__", "/"): [
            Band(group, np.arange(1.0, len(v) + 1), *[np.array(v)] * 3, {"456": np.array(v)})
            for group, v in groups.items()
        ]
        for name, groups in metrics.items()
    }
    return Measured(list(bands), lambda metric: bands.get(metric, []))


def test_group_without_a_number_is_left_out() -> None:
    nan = float("nan")
    measured = measured_of(test__loss={"a": [nan, nan], "b": [2.0, 1.0]}, train__loss={"a": [nan]})
    lines = draw(make_chart("loss", measured)).axes[0].lines
    assert [line.get_ydata().tolist() for line in lines if line.get_linestyle() != "None"] == [
        [2.0, 1.0]
    ]


@pytest.mark.parametrize("values", [[], [float("nan")] * 2])
def test_metric_without_a_number_is_said_to_have_none(values: list[float]) -> None:
    measured = measured_of(progress__restricted_loss={"a": values}, test__accuracy={})
    with pytest.raises(UsageError, match="restricted_loss: nothing measured there"):
        make_chart("progress", measured)
    assert charts_of(measured) == []


def test_table_of_empty_cells_has_no_bands() -> None:
    frame = table(a=[None, None, None]).with_columns(pl.all().cast(pl.Float64))
    assert table_bands(frame, "test/accuracy") == []


def test_groups_of_the_second_metric_alone_are_drawn() -> None:
    values = [2.0, 1.0]
    measured = measured_of(train__spec_loss={"b": values}, train__loss={"a": values, "b": values})
    canvas = draw(make_chart("spec", measured))
    names = [text.get_text() for text in canvas.legends[0].get_texts()]
    assert names[:2] == ["a", "b"]


def test_generalisation_without_test_accuracy_is_refused() -> None:
    measured = measured_of(train__loss={"a": [1.0]})
    with pytest.raises(UsageError, match=r"not measured there \(test/accuracy\)"):
        make_chart("generalisation", measured)


def test_entropies_that_cannot_be_written_are_an_error_that_names_the_file(tmp_path: Path) -> None:
    snapshot = SimpleNamespace(step=1, config=small_config())
    attention = SimpleNamespace(score_entropy=1.0)
    row: Any = SimpleNamespace(
        snapshot=snapshot, layer=0, attention=attention, run="run", place=tmp_path
    )
    with pytest.raises(GrokError, match=r"cannot write .*none/e\.png"):
        entropy._plot(tmp_path / "none" / "e.png", [row])
    with pytest.raises(GrokError, match=r"cannot write .*none/e\.csv"):
        entropy._write_csv(tmp_path / "none" / "e.csv", [{"entropy": 1.0}])
    entropy._plot(tmp_path / "e.png", [row])
    assert (tmp_path / "e.png").read_bytes().startswith(MAGIC[".png"])


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
        (["loss", "--group-by", "weight_decay"], "did you mean opt.weight_decay"),
    ],
)
def test_options_without_effect_are_refused(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("table.csv").touch()
    result = CliRunner().invoke(app, ["plot", *arguments])
    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)


def test_plot_command(grok: Grok, runs: Path, tmp_path: Path) -> None:
    drawn = grok("plot", "train/loss", str(runs), "--style", "paper")
    assert drawn.stdout.splitlines()[-1] == "train_loss.png"
    assert (tmp_path / "train_loss.png").stat().st_size > 1000
    shown = grok("plot", "accuracy", str(runs), "--terminal")
    assert "o off (No LN)" in shown.stdout
    assert "\x1b" not in shown.stdout
    refused = grok("plot", "loss", str(runs), "-o", "figure.gif")
    assert refused.returncode == 2
    assert ".png, .svg, .pdf" in refused.stderr
    nothing = grok("plot", "loss", "nowhere")
    assert nothing.returncode == 2
    assert "no such file or directory" in nothing.stderr
