"""What a terminal, or a log, shows of a sweep while it runs."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from grok_cli.cli.sweep import watcher
from grok_cli.cli.sweep_view import SweepLog, SweepTable, SweepView
from grok_cli.sweeps.plan import PlannedRun, plan_runs
from grok_cli.sweeps.spec import PAPER
from grok_cli.sweeps.states import Entry


@pytest.fixture
def runs(tmp_path: Path) -> list[PlannedRun]:
    return plan_runs(PAPER, {"model.ln_type": "pre"}, [1, 2], tmp_path)


def test_lines_say_once_a_minute_how_far_a_sweep_is(runs: list[PlannedRun]) -> None:
    now = 0.0
    console = Console(file=io.StringIO(), width=100)
    log = SweepLog(console, clock=lambda: now)
    log.start([Entry(run, state="running") for run in runs])
    for now in (30.0, 59.0, 61.0, 90.0, 122.0):  # noqa: B007 -- the clock reads it
        log.refreshed()
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        "2 runs: 2 running",
        "2 running; ? left",
        "2 running; ? left",
    ]


def drawn(entries: list[Entry], width: int) -> list[str]:
    """The lines of the live table in a terminal of that width."""
    console = Console(file=io.StringIO(), width=width, height=20)
    table = SweepTable(console)
    SweepView.start(table, entries)
    table.is_stopping = False
    console.print(table.render())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(
    ("width", "titles"),
    [(30, "run state step"), (50, "run state step phase"), (60, "run state step phase test acc")],
)
def test_narrow_table_keeps_run_state_and_step(
    runs: list[PlannedRun], width: int, titles: str
) -> None:
    summary = {
        "status": "running",
        "step": 12345,
        "phase": "plateau",
        "final": {"test/accuracy": 0.5},
    }
    entries = [Entry(run, state="running", summary=summary) for run in runs]
    head, named, first, *_ = drawn(entries, width)
    assert head.startswith("0 of 2 done, ? left")
    assert named.split() == titles.split()
    assert first.split()[:4] == ["pre", "s1", "running", "12345"]


def test_a_wide_table_tells_speed_and_time_left_of_what_runs(runs: list[PlannedRun]) -> None:
    summary = {"status": "running", "step": 4000, "phase": "plateau", "steps_per_second": 20.0}
    running, crashed = (Entry(run, summary=summary, attempts=2) for run in runs)
    running.state, crashed.state = "running", "failed"
    head, titles, *rows = (line.rstrip() for line in drawn([crashed, running], 120)[:4])
    assert head == "0 of 2 done, 0:05:00 left  (1 running, 1 failed)"
    assert " ".join(titles.split()) == "run state progress step phase test acc steps/s left"
    first, second = ([c for c in row.split() if not set(c) <= set("━╸╺-")] for row in rows)
    told = ["(2)", "4000/10000", "plateau"]
    assert first == ["pre", "s1", "running", *told, "20.0", "0:05:00"]
    assert second == ["pre", "s2", "failed", *told]


def test_table_of_runs_that_ended_has_no_time_left(runs: list[PlannedRun]) -> None:
    head, *_ = drawn([Entry(run, state="finished") for run in runs], width=80)
    assert head.rstrip() == "2 of 2 done  (2 finished)"


def test_a_terminal_that_cannot_redraw_gets_lines() -> None:
    dumb = Console(force_terminal=True, _environ={"TERM": "dumb"})
    able = Console(force_terminal=True, _environ={"TERM": "xterm"})
    assert isinstance(watcher(dumb), SweepLog)
    assert isinstance(watcher(able), SweepTable)
    assert isinstance(watcher(Console(file=io.StringIO())), SweepLog)
