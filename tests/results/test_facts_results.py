"""Facts of runs, groups and their texts that are known on paper."""

import json
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from grok_cli.results import Results, disk
from grok_cli.results.branches import AT, PARENT, left_at
from grok_cli.results.csv import read_groups
from grok_cli.results.export import summary_table
from grok_cli.results.group import Group
from grok_cli.results.run import Run
from grok_cli.results.series import _narrow
from grok_cli.results.survival import Median, Ratio
from grok_cli.runs.directory import RunDir
from tests.written_runs import Rows, make_run

ROWS: Rows = {"step": [1, 2], "test/loss": [2.0, 1.0]}


def test_a_median_is_told_with_the_bounds_that_it_has() -> None:
    assert str(Median(5, 3, 6920, 4100, None, 10_000)) == "6,920 (4,100..–)"
    assert str(Median(5, 2, None, 8200, None, 10_000)) == "> 10,000 (8,200..–)"
    assert str(Median(5, 5, 6920, 4100, 9000, 10_000)) == "6,920 (4,100..9,000)"
    assert str(Median(1, 0, None, None, None, 10_000)) == "> 10,000"


def test_a_ratio_is_told_with_its_interval() -> None:
    assert str(Ratio(1.52, "", None, 1.1, 2.3)) == "1.52 (1.1..2.3)"
    assert str(Ratio(None, ">", 2.4, 1.8, math.inf)) == "> 2.4 (1.8..∞)"
    assert str(Ratio(None, "", None, 0.5, 2.0)) == "– (0.5..2)"


def test_numbers_of_32_bits_are_kept_as_such_and_no_others() -> None:
    for values, kind in (([0.5, math.nan], np.float32), ([0.1], np.float64), ([1e300], np.float64)):
        kept = _narrow(np.array(values))
        assert kept.dtype == kind
        np.testing.assert_array_equal(kept, values)


def test_the_summary_names_each_run_and_its_last_step(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, ROWS, train__seed=seed) for seed in (1, 2)]
    table = summary_table(Results.from_disk(tmp_path))
    assert table["run"].to_list() == [run.name for run in runs]
    assert table["step"].to_list() == [2, 2]
    assert table["train.seed"].to_list() == [1, 2]


def test_a_tidy_table_says_which_metric_a_value_is_of(tmp_path: Path) -> None:
    make_run(tmp_path, {**ROWS, "train/loss": [4.0, 3.0]}, train__seed=1)
    table = Results.from_disk(tmp_path).frame()
    values = table.select("step", "metric", "value").rows()
    assert set(values) == {
        *((1, "test/loss", 2.0), (2, "test/loss", 1.0)),
        *((1, "train/loss", 4.0), (2, "train/loss", 3.0)),
    }


def test_runs_are_chosen_by_their_status_while_they_are_read(tmp_path: Path) -> None:
    make_run(tmp_path, ROWS, train__seed=1)
    diverged = make_run(tmp_path, ROWS, "diverged", train__seed=2)
    (chosen,) = Results.from_disk(tmp_path, include="all", where=["status=diverged"]).runs
    assert chosen.name == diverged.name
    assert chosen.metrics() == ["test/loss"]


def test_what_measured_nothing_is_left_out_and_the_rest_keeps_its_name(tmp_path: Path) -> None:
    make_run(tmp_path, ROWS, train__seed=1)
    (measured,) = Results.from_disk(tmp_path).runs
    group = Group({"a": 1}, (measured, Run("empty")), text="the name")
    (kept,) = Results((group, Group({"a": 2}, (Run("nothing"),)))).measured.groups
    assert (kept.settings, kept.runs, kept.text) == ({"a": 1}, (measured,), "the name")


def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path, ROWS)
    for error, place in (
        (PermissionError(13, "Permission denied", "/x/config.yaml"), "/x/config.yaml"),
        (PermissionError(13, "Permission denied"), run),
    ):
        problems: list[str] = []

        def refuse(*_: object, error: OSError = error) -> Run:
            raise error

        monkeypatch.setattr(disk, "_describe", refuse)
        assert disk.find_on_disk([tmp_path], problems, lambda run: True) == []
        assert problems == [f"{place}: cannot be read: Permission denied"]


def test_a_mean_without_bounds_is_its_own(tmp_path: Path) -> None:
    """As W&B's console writes it, with the lowest alone."""
    name = "model.ln_type: pre - test/loss"
    file = tmp_path / "means.csv"
    pl.DataFrame({"Step": [1, 2], name: [2.0, 1.0], f"{name}__MIN": [1.5, 0.5]}).write_csv(file)
    (group,) = read_groups([file])
    found = group.mean("test/loss").select("step", "mean", "min", "max").rows()
    assert found == [(1, 2.0, 1.5, 2.0), (2, 1.0, 0.5, 1.0)]


def test_of_no_runs_there_are_no_values() -> None:
    steps, values = Group({}).values("test/loss")
    assert (steps.tolist(), values.shape) == ([], (0, 0))


def test_a_branch_left_at_the_step_that_was_given_or_is_recorded(tmp_path: Path) -> None:
    RunDir(tmp_path).origin_file.write_text(json.dumps({"step": 120}))
    for at, step in ((50, 50), ("generalised", 120)):
        assert left_at(Run("branch", {PARENT: "abc", AT: at}, path=tmp_path)) == step
    assert left_at(Run("run", {PARENT: None, AT: 50}, path=tmp_path)) is None
    assert left_at(Run("elsewhere", {PARENT: "abc", AT: "generalised"})) is None
