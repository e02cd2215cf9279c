"""`grok sweep`: many runs, side by side, and what came out of them."""

import json
import shlex
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from grok_cli.cli.options import Typed, with_config_options
from grok_cli.cli.signals import stop_on_signals
from grok_cli.cli.sweep_view import SweepLog, SweepTable
from grok_cli.errors import UsageError
from grok_cli.runs.directory import DONE, find_runs
from grok_cli.runs.settings import flat_settings, layer
from grok_cli.sweeps.drive import Driver, Entry, last_lines
from grok_cli.sweeps.local import LocalExecutor, available_cores, share_cores
from grok_cli.sweeps.plan import PlannedRun, measured_speed, plan_runs, steps_left
from grok_cli.sweeps.seeds import parse_seeds
from grok_cli.sweeps.specfile import PAPER, Spec, find_spec, parse_grid, read_spec
from grok_cli.sweeps.summary import Group, summarise

INTERRUPTED = 130
LOG_LINES = 5  # of a failed run's log that are shown


@with_config_options(without=("--seed",))
def sweep(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE.yaml|NAME]",
            help=escape("A sweep file (or W&B's). [default: six placements of the norms]"),
        ),
    ] = None,
    *,
    typed: Typed,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="N|S,S,...",
            help=escape("How many seeds, or which: 456,789 (a single one: 456,). [default: 5]"),
        ),
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=V,V,...", help="Values of a setting (repeatable: all combinations)."
        ),
    ] = None,
    runs_dir: Annotated[
        Path | None,
        typer.Option(
            help=escape("Directory of the runs. [default: runs; of a sweep file: runs/NAME]")
        ),
    ] = None,
    jobs: Annotated[
        str, typer.Option(metavar="N|auto", help="Runs at a time; auto: as the cores allow.")
    ] = "auto",
    retries: Annotated[int, typer.Option(min=0, help="New attempts after a crash.")] = 1,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop everything at the first failure.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the runs and the estimated time only.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON on stdout.")
    ] = False,
) -> None:
    """Run many settings on many seeds.

    Without FILE and --grid: six placements of the norms (arXiv 2602.06702) on the paper's five
    seeds. The same command again skips what is finished and goes on with what is not. The
    directory is the last line on stdout.
    """
    spec, fixed, directory = _wanted(file, grid or [], typed)
    if seeds is not None and "train.seed" in spec.grid:
        raise UsageError("train.seed: given by a grid and by --seeds; leave one out")
    directory = runs_dir or directory
    runs = plan_runs(spec, fixed, parse_seeds(seeds) if seeds is not None else None, directory)
    summaries = [planned.summary() for planned in runs]
    # By all runs, not by those that are left: with `train.engine=plain` another number of threads
    # gives other last digits, and the same sweep typed again must go on as it began.
    workers, threads = share_cores(
        len(runs), _workers(jobs), fixed.get("train.threads"), available_cores()
    )
    if dry_run:
        _print_plan(runs, summaries, directory, workers, as_json)
        return
    console = Console(stderr=True)
    if spec.question:
        console.print(spec.question, highlight=False, markup=False)
    interrupted = stop_on_signals()
    driver = Driver(
        runs,
        LocalExecutor(workers, threads),
        SweepTable(console) if console.is_terminal else SweepLog(console),
        retries=retries,
        fail_fast=fail_fast,
        should_stop=interrupted,
    )
    entries = driver.run()
    _report(entries, directory, as_json)
    if interrupted():
        typer.echo(f"interrupted; go on with the same command: {_command()}", err=True)
        raise typer.Exit(INTERRUPTED)
    if any(entry.state not in DONE for entry in entries):
        typer.echo("not all runs finished; the same command goes on with them", err=True)
    if any(entry.state != "finished" for entry in entries):
        raise typer.Exit(1)


def _wanted(file: str | None, grid: list[str], typed: Typed) -> tuple[Spec, dict[str, Any], Path]:
    """The sweep, the settings that are typed and so win over it, and the directory of its runs."""
    fixed, origin = layer(typed.file, typed.flags, typed.sets)
    typed_grid = parse_grid(grid)
    for key in typed_grid:
        if key in fixed:
            raise UsageError(f"{key}: given by --grid and by {origin[key]}; leave one out")
    directory = Path("runs")
    if file is None:
        return Spec(grid=typed_grid) if typed_grid else PAPER, fixed, directory
    path = find_spec(file)
    spec = read_spec(path)
    spec = Spec(spec.question, spec.base, spec.grid | typed_grid, spec.points, spec.seeds)
    return spec, fixed, directory / path.stem


def _workers(jobs: str) -> int | None:
    if jobs == "auto":
        return None
    if not jobs.isdecimal() or int(jobs) < 1:
        raise UsageError(f"--jobs {jobs}: expected a number of runs at a time, or auto")
    return int(jobs)


def _command() -> str:
    return shlex.join(["grok", *sys.argv[1:]])


def _print_plan(
    runs: Sequence[PlannedRun],
    summaries: Sequence[dict[str, Any]],
    directory: Path,
    workers: int,
    as_json: bool,
) -> None:
    """Every run and its state; what is still to do, and how long that will take."""
    steps = sum(map(steps_left, runs, summaries))
    speed = measured_speed(summaries) or measured_speed(
        run.recorded_summary() for run in find_runs(directory)
    )
    left = sum(summary["status"] not in DONE for summary in summaries)
    seconds = steps / (speed * min(workers, max(left, 1))) if speed else None
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
    typer.echo(f"{len(runs)} runs, {done} done, {steps} steps to go, {workers} at a time")
    if seconds is not None:
        typer.echo(f"about {timedelta(seconds=round(seconds))} at the speed of the finished runs")
    elif steps:
        typer.echo("time unknown: no run is finished here yet; `grok bench` measures the speed")


def _report(entries: Sequence[Entry], directory: Path, as_json: bool) -> None:
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
