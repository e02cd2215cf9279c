"""`grok sweep --status`, and `--detach` and `--cancel` of a Slurm cluster."""

import json
import shlex
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from grok_cli.executors.base import QueueExecutor
from grok_cli.runs.directory import DONE
from grok_cli.sweeps.drive import Driver, SweepWatcher, job_of
from grok_cli.sweeps.plan import PlannedRun

ACTIONS = ("--status", "--detach", "--cancel", "--dry-run")
POLL_SECONDS = 0.5


def print_status(
    runs: Sequence[PlannedRun],
    summaries: Sequence[dict[str, Any]],
    executor: QueueExecutor | None,
    as_json: bool,
) -> None:
    """A line a run: how far it is and, on a Slurm cluster, its job in the queue."""
    jobs = [job_of(planned) for planned in runs if planned.run.exists()]
    tasks = {} if executor is None else executor.where(jobs)
    training = {
        tasks[planned.run.path].id
        for planned, summary in zip(runs, summaries, strict=True)
        if summary["status"] == "running" and planned.run.path in tasks
    }
    rows: list[dict[str, Any]] = []
    for planned, summary in zip(runs, summaries, strict=True):
        state, task = summary["status"], tasks.get(planned.run.path)
        if task is not None and state not in (*DONE, "running"):
            # A task that trains another run comes to this one later.
            state = "queued" if task.waits() or task.id in training else "starting"
        rows.append(
            {
                "path": str(planned.run.path),
                "state": state,
                "step": int(summary.get("step", 0)),
                "steps": planned.config.train.steps,
                "phase": summary.get("phase"),
                "job": task and task.id,
                "note": task and task.note,
            }
        )
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        job = f"  job {row['job']} ({row['note']})" if row["job"] else ""
        phase = f"  {row['phase']}" if row["phase"] else ""
        typer.echo(
            f"{row['state']:<12} {row['path']}  step {row['step']}/{row['steps']}{phase}{job}"
        )
    counts = Counter(row["state"] for row in rows)
    states = ", ".join(f"{count} {state}" for state, count in counts.most_common())
    typer.echo(f"{len(rows)} runs: {states}")


def detach(runs: Sequence[PlannedRun], executor: QueueExecutor, directory: Path) -> None:
    """Queue what is to be trained and leave it to Slurm."""
    Driver(runs, executor, SweepWatcher()).begin()
    typer.echo(f"{executor.busy()} of {len(runs)} runs are queued or running", err=True)
    if executor.waiting:
        typer.echo(
            f"{len(executor.waiting)} more are not: Slurm takes no more jobs of yours now. The "
            "same command queues them later; without --detach it waits for room; with a larger "
            "--runs-per-job they need fewer jobs",
            err=True,
        )
    typer.echo(f"look:   {typed_command('--status')}", err=True)
    typer.echo(f"cancel: {typed_command('--cancel')}", err=True)
    typer.echo(f"follow: {typed_command()}", err=True)
    typer.echo(directory)


def cancel(runs: Sequence[PlannedRun], executor: QueueExecutor, directory: Path) -> None:
    """Have every job of the sweep save and leave the queue; waits until none is left."""
    jobs = [job_of(planned) for planned in runs if planned.run.exists()]
    count = len(executor.attach(jobs))
    executor.stop()
    while executor.busy():
        executor.poll()
        time.sleep(POLL_SECONDS)
    typer.echo(f"{count} runs taken out of the queue; go on with: {typed_command()}", err=True)
    typer.echo(directory)


def typed_command(*more: str) -> str:
    """The command that was typed, with other actions."""
    kept = [argument for argument in sys.argv[1:] if argument not in ACTIONS]
    return shlex.join(["grok", *kept, *more])
