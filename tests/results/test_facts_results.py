"""Facts of runs, groups and their texts that are known on paper."""

import json
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from grok_cli.core.config import MOVED
from grok_cli.core.phases import PHASE_STEPS
from grok_cli.errors import UsageError
from grok_cli.results import Results, disk
from grok_cli.results.branches import AT, PARENT, left_at, parents_of
from grok_cli.results.csv import read_groups
from grok_cli.results.export import summary_table, write_tables
from grok_cli.results.group import Group, group_keys, shown
from grok_cli.results.run import Run, Source
from grok_cli.results.series import _narrow
from grok_cli.results.survival import Median, Ratio
from grok_cli.results.where import full_key, parse_where
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
    group = Group({"a": 1}, (measured, Run("empty")), text="the name", usual={"b": 2})
    every = Results(
        (group, Group({"a": 2}, (Run("nothing"),))),
        ("a",),
        ("a",),
        (Run("left out"),),
        ("a problem",),
    )
    (kept,) = every.measured.groups
    for name in ("keys", "group_by", "left_out", "problems"):
        assert getattr(every.measured, name) == getattr(every, name)
    assert kept.runs == (measured,)
    for name in ("settings", "means", "text", "usual"):
        assert getattr(kept, name) == getattr(group, name)


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


@pytest.mark.parametrize(
    ("bound", "first"), [("MIN", (1, 2.0, 1.5, 2.0)), ("MAX", (1, 2.0, 2.0, 1.5))]
)
def test_a_mean_without_a_bound_is_that_bound(
    tmp_path: Path, bound: str, first: tuple[float, ...]
) -> None:
    """As W&B's console writes it, with the lowest or the highest alone."""
    name = "model.ln_type: pre - test/loss"
    file = tmp_path / "means.csv"
    pl.DataFrame({"Step": [1, 2], name: [2.0, 1.0], f"{name}__{bound}": [1.5, 1.0]}).write_csv(file)
    (group,) = read_groups([file])
    found = group.mean("test/loss").select("step", "mean", "min", "max").rows()
    assert found == [first, (2, 1.0, 1.0, 1.0)]
    with pytest.raises(UsageError, match="another file holds test/loss"):
        read_groups([file, file])


def test_of_no_runs_there_are_no_values() -> None:
    steps, values = Group({}).values("test/loss")
    assert (steps.tolist(), values.shape) == ([], (0, 0))


def test_a_branch_left_at_the_step_that_was_given_or_is_recorded(tmp_path: Path) -> None:
    RunDir(tmp_path).origin_file.write_text(json.dumps({"step": 120}))
    for at, step in ((50, 50), ("generalised", 120)):
        assert left_at(Run("branch", {PARENT: "abc", AT: at}, path=tmp_path)) == step
    assert left_at(Run("run", {PARENT: None, AT: 50}, path=tmp_path)) is None
    assert left_at(Run("elsewhere", {PARENT: "abc", AT: "generalised"})) is None


def test_a_parent_that_one_branch_finds_is_not_said_to_be_missing(tmp_path: Path) -> None:
    parent = make_run(tmp_path / "here", ROWS)
    digest = parent.name[-10:]
    branches = [
        Run(name, {PARENT: digest}, path=make_run(tmp_path / folder, ROWS, branch__parent=digest))
        for name, folder in (("moved", "far/away"), ("beside", "here"), ("again", "here/x"))
    ]
    problems: list[str] = []
    assert parents_of(branches[:1], problems) == []
    assert len(problems) == 1
    assert digest in problems[0]
    problems.clear()
    assert [run.path for run in parents_of(branches, problems)] == [parent]
    assert problems == []


def run_at(steps: list[int], *values: float, name: str = "run", **settings: object) -> Run:
    table = pl.DataFrame(
        {"step": steps, "test/loss": values}, {"step": pl.Int64, "test/loss": float}
    )
    keys = {key.replace("__", "."): value for key, value in settings.items()}
    return Run(name, keys, source=Source.of({"test/loss": table}))


def test_runs_that_were_measured_equally_often_at_other_steps_keep_theirs() -> None:
    group = Group({}, (run_at([1, 2, 4], 1.0, 2.0, 4.0), run_at([1, 3, 4], 10.0, 30.0, 40.0)))
    steps, values = group.values("test/loss")
    assert steps.tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(values, [[1, 2, math.nan, 4], [10, math.nan, 30, 40]])
    assert group.aligned("test/loss").sort("step").rows() == [
        *((1, 1.0, 10.0), (2, 2.0, None), (3, None, 30.0), (4, 4.0, 40.0))
    ]


def test_groups_stand_by_the_size_of_numbers_and_texts_after_them() -> None:
    values = [10, "a", 2.0, 0.5, None, -1]
    results = Results.of([run_at([1], 1.0, opt__eps=value) for value in values], ["opt.eps"])
    assert [group.settings["opt.eps"] for group in results.groups] == [-1, 0.5, 2.0, 10, "a", None]


def test_what_names_a_group_are_no_seeds_and_no_runs_that_a_branch_comes_from() -> None:
    seeds = ("train.seed", "data.split_seed", "branch.parent", "branch.donor")
    runs = [dict.fromkeys(seeds, number) | {"opt.eps": number} for number in (1, 2)]
    assert group_keys(runs) == ["opt.eps"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((1.0, "1"), (-2.0, "-2"), (0.5, "0.5"), (3, "3"), (1e16, "1e+16"), (1e-5, "1e-05")),
        *((None, "null"), (True, "true"), ("1.0", "1.0"), ([1, 2.0], "[1, 2.0]")),
        ({"opt.weight_decay": 2.0, "model.ln_type": "pre"}, "weight decay 2, pre"),
    ],
)
def test_settings_are_shown_as_wandb_does(value: object, text: str) -> None:
    assert shown(value) == text


def test_metrics_whose_files_would_have_one_name_have_a_file_each(tmp_path: Path) -> None:
    tables = {
        name: pl.DataFrame({"step": [1], name: [value]})
        for name, value in (("a/b", 1.0), ("a_b", 2.0))
    }
    results = Results.of([Run("run", {"train.seed": 1}, source=Source.of(tables))])
    files = list(write_tables(results, ["a/b", "a_b"], tmp_path, std=False, per_seed=False))
    assert [file.name for file in files] == ["a_b.csv", "a_b (2).csv"]
    read = Results.from_csv(files).groups[0]
    assert [read.mean(name)["mean"].to_list() for name in ("a/b", "a_b")] == [[1.0], [2.0]]


def test_a_summary_has_every_phase_and_the_steps_that_were_planned(tmp_path: Path) -> None:
    run = make_run(tmp_path, ROWS, train__steps=70)
    noted = {name: place for place, name in enumerate(PHASE_STEPS, 11)}
    summary = json.loads((run / "summary.json").read_text()) | noted
    (run / "summary.json").write_text(json.dumps(summary))
    (row,) = summary_table(Results.from_disk(tmp_path)).to_dicts()
    assert {name: row[name] for name in PHASE_STEPS} == noted
    assert (row["train.steps"], row["step"], row["status"]) == (70, 2, "finished")


def test_runs_that_are_chosen_are_grouped_by_what_differs_among_them() -> None:
    runs = [
        run_at([1], 1.0, name=f"{decay} {seed}", opt__weight_decay=decay, opt__eps=eps)
        for decay, eps, seed in ((1.0, 0.1, 1), (1.0, 0.2, 1), (2.0, 0.2, 1))
    ]
    results = Results.of(runs, left_out=[Run("unfinished")], problems=["a file"])
    chosen = results.where(["weight_decay=1"])
    assert (results.keys, chosen.keys) == (("opt.weight_decay", "opt.eps"), ("opt.eps",))
    assert ([run.name for run in chosen.left_out], chosen.problems) == (["unfinished"], ("a file",))
    asked = Results.of(runs, ["opt.weight_decay"]).where(["eps=0.2"])
    assert asked.keys == ("opt.weight_decay",)
    assert len(asked.groups) == 2


def test_means_of_a_file_are_chosen_by_the_settings_in_their_names() -> None:
    table = pl.DataFrame({"step": [1], "mean": [1.0], "min": [1.0], "max": [1.0]})
    groups = tuple(
        Group({"model.ln_type": name}, means={"m": table}, text=f"model.ln_type: {name}")
        for name in ("pre", "off")
    )
    chosen = Results(groups, ("model.ln_type",)).where(["ln_type=off"])
    assert [group.name for group in chosen.groups] == ["model.ln_type: off"]


def test_groups_of_placements_that_are_not_known_come_last() -> None:
    runs = [run_at([1], 1.0, model__ln_type=name) for name in ("another", "pre", None, "off")]
    settings = [group.settings["model.ln_type"] for group in Results.of(runs).in_order.groups]
    assert settings == ["off", "pre", "another", None]


@pytest.mark.parametrize(("seed", "told"), [(0, 0), (7, 7), (None, None), ("x", None)])
def test_a_tidy_table_has_every_seed_that_is_a_number(seed: object, told: int | None) -> None:
    table = Results.of([run_at([1], 1.0, train__seed=seed)]).frame()
    assert table["seed"].to_list() == [told]


@pytest.mark.parametrize(
    ("text", "value", "is_meant"),
    [
        *(("eps=1", 1.0, True), ("eps=1.0", 1, True), ("eps=1", "1", True), ("eps=1", 2, False)),
        *(("eps=1", True, False), ("eps=true", True, True), ("eps=null", None, True)),
        *(("eps=a,b", "a", True), ("eps=a,b", "a,b", True), ("eps=a, b", "b", True)),
        *(("eps!=a,b", "b", False), ("eps!=a,b", "c", True), ("opt.eps = 1", 1, True)),
        *(("eps=0", 0.0, True), ("eps=0", None, False), ("eps=-1e-3", -0.001, True)),
    ],
)
def test_a_filter_means_values_however_they_are_spelled(
    text: str, value: object, is_meant: bool
) -> None:
    assert parse_where([text])({"opt.eps": value}, {}) is is_meant


def test_a_filter_knows_settings_by_what_they_were_called() -> None:
    for old, new in MOVED.items():
        assert full_key(old, [new], "--where") == new
    assert parse_where(["phase=plateau"])({}, {"phase": "plateau"})
    assert not parse_where(["phase=plateau", "status=finished"])({}, {"phase": "plateau"})
