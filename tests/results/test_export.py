"""CSV exports: shape, exactness, and what happens where runs do not match."""

import json
import random
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import polars as pl
import pytest
import wandb
from typer.testing import CliRunner

from grok_cli.__main__ import run
from grok_cli.cli.app import app
from grok_cli.core.config import MOVED
from grok_cli.errors import UsageError
from grok_cli.results import Results, Run
from grok_cli.results.export import chosen_metrics, group_table, metric_table
from grok_cli.results.group import Group, group_keys
from grok_cli.results.run import Source
from grok_cli.results.wandb import flat, history
from tests.written_runs import Rows, make_run


def export(*arguments: object) -> None:
    result = CliRunner().invoke(app, ["export-csv", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output


@pytest.fixture
def two_placements(tmp_path: Path) -> Path:
    """Two seeds of two placements; the second seed of `pre` is shorter and evaluated elsewhere."""
    runs = tmp_path / "runs"
    for seed in (1, 2):
        rows: Rows = {
            "step": [1, 2, 3],
            "train/loss": [seed, seed / 3, 0.1],
            "test/accuracy": [0.1 * seed, None, 0.5],
        }
        make_run(runs, rows, model__ln_type="off", train__seed=seed)
    long: Rows = {"step": [1, 2, 3], "train/loss": [4.0, 3.0, 2.0], "test/accuracy": [0.2, None, 1]}
    short: Rows = {"step": [1, 2], "train/loss": [8.0, 1.0], "test/accuracy": [0.4, 0.6]}
    make_run(runs, long, model__ln_type="pre", train__seed=1)
    make_run(runs, short, model__ln_type="pre", train__seed=2)
    return runs


def test_columns_are_those_of_the_wandb_console(two_placements: Path, tmp_path: Path) -> None:
    export(two_placements, "--out", tmp_path / "out", "--metric", "test/*")
    text = (tmp_path / "out" / "test_accuracy.csv").read_text()
    assert text.splitlines()[0] == (
        '"Step",'
        '"model.ln_type: off - test/accuracy","model.ln_type: off - test/accuracy__MIN",'
        '"model.ln_type: off - test/accuracy__MAX",'
        '"model.ln_type: pre - test/accuracy","model.ln_type: pre - test/accuracy__MIN",'
        '"model.ln_type: pre - test/accuracy__MAX"'
    )
    assert not (tmp_path / "out" / "train_loss.csv").exists()
    table = pd.read_csv(tmp_path / "out" / "test_accuracy.csv", float_precision="round_trip")
    assert table["Step"].tolist() == [1, 2, 3]
    assert table["model.ln_type: pre - test/accuracy"].tolist() == [(0.2 + 0.4) / 2, 0.6, 1.0]
    off = table["model.ln_type: off - test/accuracy"]
    assert off.isna().tolist() == [False, True, False]
    assert table["model.ln_type: off - test/accuracy__MIN"][0] == 0.1
    assert table["model.ln_type: off - test/accuracy__MAX"][0] == 0.2


def test_std_and_seeds_on_request(two_placements: Path, tmp_path: Path) -> None:
    export(two_placements, "--out", tmp_path, "--metric", "train/loss", "--std", "--per-seed")
    table = pd.read_csv(tmp_path / "train_loss.csv", float_precision="round_trip")
    pre = "model.ln_type: pre - train/loss"
    assert table[f"{pre}__SEED_1"].tolist() == [4.0, 3.0, 2.0]
    assert table[f"{pre}__SEED_2"].isna().tolist() == [False, False, True]
    assert table[f"{pre}__STD"][0] == pytest.approx(8**0.5)
    assert table[f"{pre}__STD"].isna().tolist() == [False, False, True]


def test_long_is_tidy(two_placements: Path, tmp_path: Path) -> None:
    export(two_placements, "--out", tmp_path, "--long")
    table = pd.read_csv(tmp_path / "long.csv", float_precision="round_trip")
    assert table.columns.tolist() == ["group", "seed", "step", "metric", "value"]
    assert len(table) == 3 * 3 + 2 + 3 * 2 + 2
    assert not table["value"].isna().any()
    means = table[table.metric == "train/loss"].groupby(["group", "step"])["value"].mean()
    assert means["model.ln_type: pre", 1] == 6.0


def test_summary_has_a_row_a_run(two_placements: Path, tmp_path: Path) -> None:
    export(two_placements, "--out", tmp_path, "--summary")
    table = pd.read_csv(tmp_path / "summary.csv", float_precision="round_trip")
    assert table["model.ln_type"].tolist() == ["off", "off", "pre", "pre"]
    assert table["train.seed"].tolist() == [1, 2, 1, 2]
    assert table["generalised_at"].tolist() == [7] * 4
    assert table["test/loss"].tolist() == [0.5] * 4


def test_a_summary_has_the_medians_of_all_runs_that_have_begun(tmp_path: Path) -> None:
    """Two of three generalised; the third ended unfinished and is left out of the rows a run."""
    for seed, step, status in ((1, 40, "finished"), (2, 60, "finished"), (3, None, "diverged")):
        run = make_run(tmp_path / "runs", {"step": [1, 100]}, status, train__seed=seed)
        phases = {"step": 100, "memorised_at": 10, "generalised_at": step}
        summary = json.loads((run / "summary.json").read_text()) | phases
        (run / "summary.json").write_text(json.dumps(summary))
    export(tmp_path / "runs", "--out", tmp_path, "--summary")
    assert len(pd.read_csv(tmp_path / "summary.csv")) == 2
    (row,) = pd.read_csv(tmp_path / "groups.csv").to_dict("records")
    assert (row["runs"], row["generalised_events"], row["memorised_events"]) == (3, 2, 3)
    assert (row["generalised_median"], row["generalised_median_low"]) == (60, 40)
    assert pd.isna(row["generalised_median_high"])
    assert row["memorised_median"] == 10
    assert row["generalised_last"] > 100  # one that diverged counts for all that it was to run


def test_metrics_are_chosen_in_the_order_of_their_columns_and_each_glob_means_one() -> None:
    table = pl.DataFrame({"step": [1], "x": [1.0]})
    names = ["train/loss", "test/loss", "test/accuracy"]
    tables = {name: table.rename({"x": name}) for name in names}
    results = Results.of([Run("run", source=Source.of(tables))])
    assert chosen_metrics(results, []) == names
    assert chosen_metrics(results, ["test/*", "train/*"]) == names
    assert chosen_metrics(results, ["*/accuracy", "test/*"]) == names[1:]
    with pytest.raises(UsageError, match=r"--metric rank: no such metric; there are train/loss"):
        chosen_metrics(results, ["test/*", "rank"])


def test_groups_of_a_summary_are_those_that_were_asked_for() -> None:
    runs = [
        Run(name, {"model.ln_type": name, "data.task": "add"}, {"step": 9, "generalised_at": at})
        for name, at in (("off", 7), ("pre", 5))
    ]
    (row,) = group_table(Results.of(runs[:1], ["data.task"], left_out=runs[1:])).to_dicts()
    assert (row["group"], row["data.task"], row["runs"]) == ("data.task: add", "add", 2)
    assert (row["generalised_median"], row["generalised_median_low"]) == (5, 5)
    assert (row["memorised_events"], row["memorised_median"], row["memorised_last"]) == (0, None, 9)


def test_numbers_round_trip_exactly(tmp_path: Path) -> None:
    draw = random.Random(0)
    values = [struct.unpack("d", draw.randbytes(8))[0] for _ in range(3000)]
    values = [v for v in values if v - v == 0.0] + [0.1, 1 / 3, 5e-324, 1e22, -0.0, 1e-7]
    rows: Rows = {"step": list(range(1, len(values) + 1)), "train/loss": values}
    make_run(tmp_path / "runs", rows)
    export(tmp_path / "runs", "--out", tmp_path, "--long")
    export(tmp_path / "runs", "--out", tmp_path)
    lines = (tmp_path / "long.csv").read_text().splitlines()[1:]
    assert [float(line.rpartition(",")[2]) for line in lines] == values
    lines = (tmp_path / "train_loss.csv").read_text().splitlines()[1:]
    assert [float(line.split(",")[1].strip('"')) for line in lines] == values


def test_unfinished_runs_are_left_out_or_kept_as_asked(
    two_placements: Path, tmp_path: Path
) -> None:
    rows: Rows = {"step": [1, 2], "train/loss": [1.0, float("nan")]}
    directory = make_run(two_placements, rows, "diverged", model__ln_type="peri", train__seed=1)
    file = directory / "metrics.csv"
    file.write_text(file.read_text() + "3,0.12")  # a row that was cut off
    runner, arguments = CliRunner(), ["export-csv", str(two_placements), "--out", str(tmp_path)]
    result = runner.invoke(app, arguments, catch_exceptions=False)
    assert f"left out: {directory.name} (diverged)" in result.stderr
    assert "peri" not in (tmp_path / "train_loss.csv").read_text()
    result = runner.invoke(app, [*arguments, "--all"], catch_exceptions=False)
    assert f"included: {directory.name} (diverged)" in result.stderr
    table = pd.read_csv(tmp_path / "train_loss.csv", float_precision="round_trip")
    assert table["model.ln_type: peri - train/loss"][0] == 1.0
    assert table["model.ln_type: peri - train/loss"].isna().tolist() == [False, True, True]


def test_measured_diagnostics_are_joined(tmp_path: Path) -> None:
    rows: Rows = {"step": [1, 2], "train/loss": [1.0, 2.0], "rank": [5.0, None]}
    directory = make_run(tmp_path, rows)
    (directory / "measured.csv").write_text("step,rank,extra\n0,9.0,1.0\n1,6.0,2.0\n2,7.0,3.0\n")
    (found,) = Results.from_disk(tmp_path).runs
    assert found.metrics() == ["train/loss", "rank", "extra"]
    assert found.series("rank").rows() == [(0, 9.0), (1, 5.0), (2, 7.0)]


def test_groups_are_named_by_what_varies_but_seeds() -> None:
    runs: list[dict[str, Any]] = [
        {"model.ln_type": n, "opt.weight_decay": w, "train.seed": s, "run.threads": s}
        for n, w, s in (("pre", 1.0, 1), ("off", 0.5, 2), ("pre", 1.0, 3))
    ]
    keys = group_keys(runs)
    assert keys == ["model.ln_type", "opt.weight_decay"]
    group = Group({key: runs[0][key] for key in keys})
    assert group.name == "model.ln_type: pre, opt.weight_decay: 1"
    assert group.label == "pre, weight decay 1"
    assert group_keys([runs[0], runs[2]]) == ["model.ln_type"]
    seeds = [{"train.seed": seed, "data.split_seed": seed + 1} for seed in (1, 2)]
    assert group_keys(seeds) == ["model.ln_type"]


def test_coarser_groups_average_over_the_rest(two_placements: Path, tmp_path: Path) -> None:
    arguments = ["--group-by", "data.task", "--per-seed", "--metric", "train/loss"]
    export(two_placements, "--out", tmp_path, *arguments)
    table = pd.read_csv(tmp_path / "train_loss.csv", float_precision="round_trip")
    assert table["data.task: add - train/loss"][0] == (1 + 2 + 4 + 8) / 4
    assert sum("__RUN_" in column for column in table.columns) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--metric", "test/accurcy"], "did you mean test/accuracy"),
        (["--group-by", "model.ln_typ"], "did you mean model.ln_type"),
    ],
)
def test_unknown_names_are_explained(
    two_placements: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        export(two_placements, "--out", tmp_path / "none", *arguments)
    assert not (tmp_path / "none").exists()


def test_groups_of_a_million_rows_are_made_in_seconds() -> None:
    steps = list(range(1, 100_001))
    series = pl.DataFrame({"step": steps, "loss": [1.0 / step for step in steps]})
    runs = [
        Run(str(seed), {"train.seed": seed}, source=Source.of({"loss": series}))
        for seed in range(10)
    ]
    started = time.monotonic()
    table = metric_table(Results.of(runs), "loss")
    assert table.height == 100_000
    assert table["model.ln_type: null - loss__MAX"].to_list() == [1.0 / s for s in steps]
    assert time.monotonic() - started < 60  # a loop over rows in Python would take minutes


class FakeRun:
    """What `wandb.Api().runs()` yields, as far as an export looks at it."""

    def __init__(self, name: str, state: str, ln_type: str, seed: int) -> None:
        self.name, self.state = name, state
        self.config = {"model": {"ln_type": ln_type}, "train": {"seed": seed, "diagnostics": {}}}
        self.summary = {"_step": 3, "test/loss": 0.25, "generalised_at": 2}

    def scan_history(self) -> Iterator[dict[str, Any]]:
        yield {"_step": 1, "_timestamp": 1.5, "train/loss": 1, "note": "text"}
        yield {"_step": 2, "_timestamp": 1.6, "train/loss": 1 / 3, "test/loss": None}
        yield {"_step": 3, "_timestamp": 1.7, "train/loss": "NaN", "test/loss": 0.25}


def test_wandb_projects_are_exported_like_directories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W&B's server is the boundary: its Api object is a stand-in here."""
    asked = []

    def runs(project: str) -> list[FakeRun]:
        asked.append(project)
        return [
            FakeRun("one", "finished", "pre", 1),
            FakeRun("two", "finished", "off", 1),
            FakeRun("three", "crashed", "off", 2),
        ]

    monkeypatch.setattr(wandb, "Api", lambda: SimpleNamespace(runs=runs))
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["export-csv", "wandb:me/mine", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert asked == ["me/mine"]
    assert "left out: three (crashed)" in result.stderr
    assert sorted(file.name for file in out.iterdir()) == ["test_loss.csv", "train_loss.csv"]
    table = pl.read_csv(out / "train_loss.csv")
    assert table["model.ln_type: pre - train/loss"].to_list()[:2] == [1.0, 1 / 3]
    assert table["Step"].to_list() == [1, 2, 3]
    assert pl.read_csv(out / "test_loss.csv")["Step"].to_list() == [3]


def test_export_command_lists_what_it_wrote(
    two_placements: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["export-csv", "runs"]) == 0
    assert capsys.readouterr().out.split() == ["export/train_loss.csv", "export/test_accuracy.csv"]
    assert run(["export-csv", "nowhere"]) == 2
    assert "no such directory" in capsys.readouterr().err


def test_a_history_is_by_step_and_the_first_value_of_a_step_counts() -> None:
    rows = [
        {"_step": 3, "_runtime": 9, "step": 3, "loss": 3.0, "note": "x", "right": True},
        {"_step": 1, "loss": 1.0},
        {"_step": 1, "loss": 7.0, "rate": "NaN"},
        {"_step": 2, "rate": "-Infinity"},
    ]
    found = history(SimpleNamespace(scan_history=lambda: iter(rows)))
    assert list(found) == ["loss", "rate"]
    assert found["loss"].rows() == [(1, 1.0), (3, 3.0)]
    assert [repr(value) for value in found["rate"]["rate"]] == ["nan", "-inf"]


def test_settings_of_another_program_are_read_by_their_present_names() -> None:
    nested = {"model": {"ln_type": "pre"}, "measure": {"diagnostics": {"rank": 5}}, "own": {"a": 1}}
    assert flat(nested) == {
        "model.ln_type": "pre",
        "measure.diagnostics": {"rank": 5},
        "own.a": 1,
    }
    for old, new in MOVED.items():
        section, _, name = old.partition(".")
        assert flat({section: {name: 1}}) == {new: 1}


def test_the_state_of_a_wandb_run_is_its_status_and_its_last_metrics_are_final(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = FakeRun("one", "crashed", "pre", 1)
    fake.summary |= {"test/note": "text", "status": "running", "epoch": 7}
    monkeypatch.setattr(wandb, "Api", lambda: SimpleNamespace(runs=lambda project: [fake]))
    told: list[Run] = []
    results = Results.from_wandb("me/mine", include="all", downloaded=told.append)
    (run,) = results.runs
    assert told == [run]
    assert (run.status, run.summary["step"], run.summary["generalised_at"]) == ("crashed", 3, 2)
    assert run.summary["final"] == {"test/loss": 0.25}
