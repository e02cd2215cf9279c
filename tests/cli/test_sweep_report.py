"""What a sweep says before it, while it runs, and at its end."""

import io
import json
from pathlib import Path
from typing import Any, get_args

import pytest
from rich.console import Console

from grok_cli.cli.sweep_report import COLUMNS, _row, print_plan, print_status, report
from grok_cli.cli.sweep_view import SHOWN_FIRST, STATE_STYLE, SweepLog, SweepTable, SweepView
from grok_cli.executors.local import LocalOptions
from grok_cli.results import Results, Run
from grok_cli.results.phases import group_phases
from grok_cli.sweeps.estimate import Forecast
from grok_cli.sweeps.plan import plan_runs
from grok_cli.sweeps.spec import Spec
from grok_cli.sweeps.states import ENDS, OPEN, Entry, State
from grok_cli.sweeps.sweep import plan_sweep
from tests.sweeps.test_reuse import done

SPEC = Spec(grid={"model.ln_type": ["off", "pre"]}, name="own.yaml")


def entries(directory: Path, count: int, **told: Any) -> list[Entry]:
    """Runs of one placement whose seeds are 1, 2, ..."""
    spec, seeds = Spec(grid={"model.ln_type": ["pre"]}), list(range(1, count + 1))
    return [Entry(run, **told) for run in plan_runs(spec, {}, seeds, directory)]


def test_the_closing_table_tells_the_median_of_all_runs_and_how_many_generalised() -> None:
    runs = [
        Run(
            f"s{seed}",
            {"train.seed": seed},
            {"status": status, "step": 100, "generalised_at": step},
        )
        for seed, step, status in ((1, 20, "finished"), (2, 30, "running"), (3, None, "diverged"))
    ]
    (group,) = group_phases(Results.of(runs))
    row = _row(group)
    assert str(row["median"]) == "30 (20..–)"
    assert row["generalised"] == "2 of 3"
    assert (row["runs"], row["finished"], row["memorised"]) == (3, 1, "0 of 3")
    assert (row["min"], row["max"]) == (20, 30)
    assert [column.key for column in COLUMNS if column.key in ("median", "mean")] == ["median"]


def test_a_plan_says_of_each_run_where_it_stands_and_where_it_is_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    done(plan_runs(SPEC, {}, [1], Path("runs/theirs"))[0])
    directory = Path("runs/mine")
    _, second, third = plan_runs(SPEC, {}, [1, 2], directory)[:3]
    done(second, "interrupted", 400)
    done(third)
    sweep = plan_sweep(SPEC, LocalOptions(), directory, fixed={}, seeds=[1, 2])
    print_plan(sweep, Forecast(19_600, 2, 3661.0), as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        f"finished     {sweep.runs[0].run.path}  (skipped)  <- runs/theirs/{sweep.runs[0].name}",
        f"interrupted  {sweep.runs[1].run.path}  (from step 400)",
        f"finished     {sweep.runs[2].run.path}  (skipped)",
        f"new          {sweep.runs[3].run.path}",
        "1 taken from runs/theirs",
        "4 runs, 2 done, 19600 steps to go, 2 at a time",
        "about 1:01:01 on this machine",
    ]
    print_plan(sweep, Forecast(5, None, 60.0), as_json=False)
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "4 runs, 2 done, 5 steps to go",
        "about 0:01:00 on this machine, one run after the other",
    ]
    print_plan(sweep, Forecast(5, 2, None), as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["steps_left"], told["workers"], told["seconds"]) == (5, 2, None)
    assert [run["status"] for run in told["runs"]] == ["finished", "interrupted", "finished", "new"]
    assert [bool(run["taken_from"]) for run in told["runs"]] == [True, False, False, False]


def test_a_status_counts_the_states(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"path": "runs/a", "step": 3, "steps": 10, "phase": None, "job": None, "note": None}
    queued = row | {"state": "queued", "job": "7_1", "note": "Priority"}
    rows = [queued, row | {"state": "running", "phase": "plateau"}, queued]
    print_status(rows, as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "queued       runs/a  step 3/10  job 7_1 (Priority)",
        "running      runs/a  step 3/10  plateau",
        "queued       runs/a  step 3/10  job 7_1 (Priority)",
        "3 runs: 2 queued, 1 running",
    ]


def test_failures_of_one_reason_are_named_five_times_with_the_end_of_their_logs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = entries(tmp_path, 7, state="failed")
    for entry in failed:
        entry.planned.create()
        entry.reason = f"cannot read {entry.planned.run.path}/x"
        entry.planned.run.log_file.write_text("".join(f"line {i}\n" for i in range(8)))
    failed[-1].state = "diverged"
    report(failed, tmp_path, as_json=False)
    told = capsys.readouterr()
    assert told.out.splitlines()[-1] == str(tmp_path)
    lines = told.err.splitlines()
    assert sum(line.startswith("failed: ") for line in lines) == 5
    assert sum(line.startswith("diverged: ") for line in lines) == 1
    assert "and 1 more for the same reason" in lines
    assert lines[:7] == [
        f"failed: {failed[0].planned.run.path}: {failed[0].reason}",
        *(f"    line {i}" for i in range(3, 8)),
        f"    log: {failed[0].planned.run.log_file}",
    ]


def test_what_came_out_is_told_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (one, two) = entries(tmp_path, 2)
    one.state, one.summary = "finished", {"status": "finished", "step": 9, "generalised_at": 7}
    two.state, two.reason = "failed", "why"
    report([one, two], tmp_path, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["directory"] == str(tmp_path)
    assert [(run["state"], run["reason"], run["summary"]["status"]) for run in told["runs"]] == [
        *(("finished", "", "finished"), ("failed", "why", "new"))
    ]
    assert [run["path"] for run in told["runs"]] == [str(e.planned.run.path) for e in (one, two)]
    (group,) = told["groups"]
    assert (group["runs"], group["finished"]) == (2, 1)


# While it runs.


def test_the_time_left_is_that_of_all_steps_at_the_speed_of_the_running_ones(
    tmp_path: Path,
) -> None:
    """Runs of 10,000 steps: 4,000 and 6,000 steps left of two at 15 and 5 a second, all of one."""
    found = entries(tmp_path, 4)
    for entry, (state, step, speed) in zip(
        found,
        (("running", 6000, 15.0), ("running", 4000, 5.0), ("waiting", 0, 90.0), ("failed", 5, 9.0)),
        strict=True,
    ):
        entry.state = state  # type: ignore[assignment]
        entry.summary = {"status": "running", "step": step, "steps_per_second": speed}
    view = SweepView(Console(file=io.StringIO()))
    view.start(found)
    assert view.time_left() == "0:16:40"  # 20,000 / 20 seconds
    assert view.counts() == "1 waiting, 2 running, 1 failed"
    assert [view.label(entry) for entry in found] == [f"pre s{seed}" for seed in (1, 2, 3, 4)]


def test_every_state_is_counted_and_has_its_place() -> None:
    states = sorted(get_args(State))
    assert sorted(STATE_STYLE) == sorted(SHOWN_FIRST) == sorted((*OPEN, *ENDS)) == states


def test_lines_say_what_became_of_a_run(tmp_path: Path) -> None:
    one, two = entries(tmp_path, 2)
    console = Console(file=io.StringIO(), width=100)
    log = SweepLog(console)
    log.start([one, two])
    for state, attempts, reason in (
        *(("running", 1, ""), ("waiting", 1, "killed"), ("running", 2, "killed")),
        *(("finished", 2, ""), ("diverged", 2, "loss"), ("interrupted", 2, "")),
    ):
        one.state, one.attempts, one.reason = state, attempts, reason  # type: ignore[assignment]
        one.summary = {"step": 40, "phase": "plateau"}
        log.changed(one)
    assert console.file.getvalue().splitlines()[1:] == [  # type: ignore[attr-defined]
        "[0/2] pre s1  running",
        "[0/2] pre s1  waiting for another attempt: killed",
        "[0/2] pre s1  running (attempt 2)",
        "[1/2] pre s1  finished at step 40, plateau",
        "[0/2] pre s1  diverged: loss",
        "[0/2] pre s1  interrupted",
    ]


def test_a_short_table_shows_what_runs_or_failed_first(tmp_path: Path) -> None:
    found = entries(tmp_path, 5)
    for entry, state in zip(
        found, ("finished", "waiting", "failed", "running", "interrupted"), strict=True
    ):
        entry.state = state  # type: ignore[assignment]
    console = Console(file=io.StringIO(), width=60, height=7)
    table = SweepTable(console)
    SweepView.start(table, found)
    table.is_stopping = False
    console.print(table.render())
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line.split()[1] for line in lines[2:5]] == ["s4", "s3", "s5"]
    assert lines[-1].strip() == "and 2 more"
