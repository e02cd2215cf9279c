"""What `grok sweep` prints: the plan of a dry run, and what came out of the runs."""

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from grok_cli.executors.worker import last_lines
from grok_cli.runs.directory import DONE, find_runs
from grok_cli.runs.settings import flat_settings
from grok_cli.sweeps.drive import Entry
from grok_cli.sweeps.plan import PlannedRun, measured_speed, steps_left
from grok_cli.sweeps.summary import Group, summarise

LOG_LINES = 5  # of a failed run's log that are shown


def print_plan(
    runs: Sequence[PlannedRun],
    summaries: Sequence[dict[str, Any]],
    directory: Path,
    workers: int | None,
    as_json: bool,
) -> None:
    """Every run and its state; what is still to do, and how long that will take.

    Args:
        workers: runs at a time; None if that is not known, as on a cluster.
    """
    steps = sum(map(steps_left, runs, summaries))
    speed = measured_speed(summaries) or measured_speed(
        run.recorded_summary() for run in find_runs(directory)
    )
    left = sum(summary["status"] not in DONE for summary in summaries)
    seconds = steps / (speed * min(workers or 1, max(left, 1))) if speed else None
    if as_json:
        rows = [
            {"path": str(planned.run.path), "status": summary["status"]}
            for planned, summary in zip(runs, summaries, strict=True)
        ]
        plan = {"runs": rows, "steps_left": steps, "workers": workers, "seconds": seconds}
        typer.echo(json.dumps(plan, indent=2))
        return
    for planned, summary in zip(runs, summaries, strict=True):
        status = summary["status"]
        note = f"  (from step {summary['step']})" if status == "interrupted" else ""
        note = "  (skipped)" if status in DONE else note
        typer.echo(f"{status:<12} {planned.run.path}{note}")
    done = sum(summary["status"] in DONE for summary in summaries)
    at_a_time = f", {workers} at a time" if workers else ""
    typer.echo(f"{len(runs)} runs, {done} done, {steps} steps to go{at_a_time}")
    if seconds is not None:
        one = "" if workers else ", one run after the other"
        typer.echo(
            f"about {timedelta(seconds=round(seconds))} at the speed of the finished runs{one}"
        )
    elif steps:
        typer.echo("time unknown: no run is finished here yet; `grok bench` measures the speed")


def report(entries: Sequence[Entry], directory: Path, as_json: bool) -> None:
    """The groups, the runs that failed, and the directory as the last line."""
    settings = [flat_settings(entry.planned.config) for entry in entries]
    groups = summarise(settings, [entry.summary for entry in entries])
    failed = [entry for entry in entries if entry.state in ("failed", "diverged")]
    if as_json:
        runs = [
            {
                "path": str(entry.planned.run.path),
                "state": entry.state,
                "reason": entry.reason,
                "log": str(entry.planned.run.log_file),
                "summary": entry.summary,
            }
            for entry in entries
        ]
        content = {
            "directory": str(directory),
            "groups": [group.as_dict() for group in groups],
            "runs": runs,
        }
        typer.echo(json.dumps(content, indent=2))
        return
    Console().print(_group_table(groups))
    for entry in failed:
        typer.echo(f"{entry.state}: {entry.planned.run.path}: {entry.reason}", err=True)
        for line in last_lines(entry.planned.run.log_file, LOG_LINES):
            typer.echo(f"    {line}", err=True)
        typer.echo(f"    log: {entry.planned.run.log_file}", err=True)
    typer.echo(directory)


def _group_table(groups: Sequence[Group]) -> Table:
    table = Table(
        box=None,
        header_style="bold",
        pad_edge=False,
        caption="memorised: train accuracy >= 0.99; grokked: test accuracy >= 0.995 was reached. "
        "mean, min, max: the step of that, over the runs that grokked (full batch: step = epoch).",
        caption_justify="left",
    )
    table.add_column("group", overflow="fold")
    for name in ("runs", "finished", "memorised", "grokked", "mean", "min", "max"):
        table.add_column(name, justify="right")
    for group in groups:
        mean, low, high = group.generalised_mean, group.generalised_min, group.generalised_max
        steps = ("–",) * 3 if mean is None else (f"{mean:.1f}", str(low), str(high))
        counts = (group.runs, group.finished, group.memorised, group.generalised)
        table.add_row(group.label, *map(str, counts), *steps)
    return table
