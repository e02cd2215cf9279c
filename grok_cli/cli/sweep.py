"""`grok sweep`: many runs, side by side, and what came out of them."""

import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from grok_cli.cli.executor_options import TypedExecutor, with_executor_options
from grok_cli.cli.options import Typed, with_config_options
from grok_cli.cli.output import can_redraw, say
from grok_cli.cli.parameters import SummaryJson, argument, option
from grok_cli.cli.signals import stop_on_signals
from grok_cli.cli.sweep_report import print_detached, print_plan, print_status, report
from grok_cli.cli.sweep_view import SweepLog, SweepTable
from grok_cli.errors import UsageError
from grok_cli.executors.registry import EXECUTORS
from grok_cli.executors.worker import INTERRUPTED
from grok_cli.runs.directory import DONE
from grok_cli.runs.settings import layer
from grok_cli.sweeps import sweep as sweeps
from grok_cli.sweeps.lacks import measure_missing, missing_measures
from grok_cli.sweeps.seeds import parse_seeds
from grok_cli.sweeps.spec import PAPER, Spec, parse_grid, spec_named
from grok_cli.sweeps.sweep import Sweep

SLURM = "With --executor slurm"  # a heading of the help
FOLLOWING = (
    "following the jobs: Ctrl-C has them save and leave the queue; --detach, or closing the "
    "terminal, leaves them to Slurm"
)


@with_executor_options
@with_config_options(without=("--seed",))
def sweep(
    file: Annotated[
        str | None,
        argument(
            "[FILE.yaml|NAME]",
            "A sweep file (or W&B's). [default: six placements of the norms]",
        ),
    ] = None,
    *,
    typed: Typed,
    executor: TypedExecutor,
    seeds: Annotated[
        str | None,
        option(
            "How many seeds, or which: 456,789 (a single one: 456,). [default: 5]",
            metavar="N|S,S,...",
        ),
    ] = None,
    grid: Annotated[
        list[str] | None,
        option("Values of a setting (repeatable: all combinations).", metavar="KEY=V,V,..."),
    ] = None,
    runs_dir: Annotated[
        Path | None,
        option("Directory of the runs. [default: runs; of a sweep file: runs/NAME]"),
    ] = None,
    reuse: Annotated[
        list[Path] | None,
        option(
            "Take over runs trained below this directory (repeatable); those in the directories "
            "beside --runs-dir are taken over anyway.",
            metavar="DIR",
        ),
    ] = None,
    no_reuse: Annotated[
        bool, option("Train every run here, even if it is elsewhere.", "--no-reuse")
    ] = False,
    yes: Annotated[bool, option("Do not ask, however much there is to do.", "--yes", "-y")] = False,
    retries: Annotated[int, option("New attempts after a crash.", min=0)] = 1,
    fail_fast: Annotated[
        bool, option("Stop everything at the first failure.", "--fail-fast")
    ] = False,
    dry_run: Annotated[
        bool, option("Print the runs and the estimated time only.", "--dry-run")
    ] = False,
    status: Annotated[
        bool, option("Print where each run stands, and do nothing.", "--status")
    ] = False,
    detach: Annotated[
        bool, option("Queue the jobs and return.", "--detach", rich_help_panel=SLURM)
    ] = False,
    cancel: Annotated[
        bool,
        option(
            "Have queued and running jobs save and leave the queue.",
            "--cancel",
            rich_help_panel=SLURM,
        ),
    ] = False,
    as_json: SummaryJson = False,
) -> None:
    """Run many settings on many seeds.

    Without FILE and --grid: six placements of the norms (arXiv 2602.06702) on the paper's five
    seeds. The same command again skips what is finished and goes on with what is not. The
    directory is the last line on stdout.
    """
    spec, fixed = _wanted(file, grid or [], typed)
    if seeds is not None and "train.seed" in spec.grid:
        raise UsageError("train.seed: given by a grid and by --seeds; leave one out")
    if no_reuse and reuse:
        raise UsageError("--reuse and --no-reuse: choose one")
    planned = sweeps.plan_sweep(
        spec,
        executor.resolve(spec.executor, file or "sweep"),
        runs_dir,
        fixed=fixed,
        seeds=parse_seeds(seeds) if seeds is not None else None,
        reuse=None if no_reuse else reuse or [],
    )
    given = zip(ACTIONS, (status, detach, cancel, dry_run), strict=True)
    actions = [flag for flag, is_given in given if is_given]
    if len(actions) > 1:
        raise UsageError(f"{' and '.join(actions)}: choose one")
    if (detach or cancel) and not planned.options.queued:
        kinds = " or ".join(kind for kind, each in EXECUTORS.usable().items() if each.queued)
        raise UsageError(f"{actions[0]}: needs --executor {kinds}; runs elsewhere end with `grok`")
    if (detach or cancel) and (as_json or fail_fast):
        raise UsageError(f"{actions[0]}: --json and --fail-fast have no meaning with it")
    if not yes and not (status or cancel or dry_run):
        _ask(planned, seeds)
    if actions:
        ACTIONS[actions[0]](planned, as_json)
    else:
        _run(planned, as_json, retries, fail_fast)


def _dry_run(sweep: Sweep, as_json: bool) -> None:
    print_plan(sweep, sweeps.look_ahead(sweep, measure=True), as_json)


def _status(sweep: Sweep, as_json: bool) -> None:
    print_status(sweeps.where_runs_stand(sweep), as_json)


def _detach(sweep: Sweep, as_json: bool) -> None:
    queued, waiting = sweeps.leave_to_cluster(sweep, typed_command())
    print_detached(sweep, queued, waiting, typed_command)


def _cancel(sweep: Sweep, as_json: bool) -> None:
    count = sweeps.take_out_of_queue(sweep)
    say(f"{count} runs taken out of the queue; go on with: {typed_command()}")
    typer.echo(sweep.directory)


ACTIONS: dict[str, Callable[[Sweep, bool], None]] = {
    "--status": _status,
    "--detach": _detach,
    "--cancel": _cancel,
    "--dry-run": _dry_run,
}


def _run(sweep: Sweep, as_json: bool, retries: int, fail_fast: bool) -> None:
    """Drive the runs to their end, measure what they lack, and print what came out."""
    console = Console(stderr=True)
    if sweep.spec.question:
        console.print(sweep.spec.question, highlight=False, markup=False)
    if sweep.options.queued:
        console.print(FOLLOWING, highlight=False, markup=False, soft_wrap=True)
    interrupted = stop_on_signals()
    try:
        entries = sweeps.run_sweep(
            sweep,
            typed_command(),
            watcher(console),
            retries=retries,
            fail_fast=fail_fast,
            should_stop=interrupted,
        )
    except KeyboardInterrupt:
        say(f"killed; the same command goes on from what was saved: {typed_command()}")
        raise
    lacking = [] if interrupted() else missing_measures(entries)
    problems = measure_missing(lacking, say, interrupted)
    report(entries, sweep.directory, as_json)
    for problem in problems:
        say(f"not measured: {problem}")
    if interrupted():
        say(f"interrupted; go on with the same command: {typed_command()}")
        raise typer.Exit(INTERRUPTED)
    if any(entry.state not in DONE for entry in entries):
        say("not all runs finished; the same command goes on with them")
    if problems or any(entry.state != "finished" for entry in entries):
        raise typer.Exit(1)


def watcher(console: Console) -> SweepTable | SweepLog:
    """A live table, or lines where the terminal cannot redraw, or is none."""
    return SweepTable(console) if can_redraw(console) else SweepLog(console)


def _ask(sweep: Sweep, seeds: str | None) -> None:
    """Ask about a sweep that is unusually large.

    Raises:
        UsageError: the answer is no, or there is no terminal to ask at.
    """
    why = sweeps.why_ask(sweep)
    if why is None:
        return
    hint = ""
    if seeds is not None and "," not in seeds:
        hint = (
            f" --seeds {seeds} means {seeds} seeds; the seed {seeds} alone: --seeds {seeds}, (one "
            f"run of it: grok train --seed {seeds})."
        )
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"{why}.{hint} Is that meant? Then add --yes; --dry-run shows the runs")
    say(f"{why}.{hint}")
    if not typer.confirm("Start?", err=True):
        raise UsageError("nothing was started")


def _wanted(file: str | None, grid: list[str], typed: Typed) -> tuple[Spec, dict[str, Any]]:
    """The sweep, and the settings that are typed and so win over it."""
    fixed, origin = layer(typed.file, typed.flags, typed.sets)
    typed_grid = parse_grid(grid)
    for key in typed_grid:
        if key in fixed:
            raise UsageError(f"{key}: given by --grid and by {origin[key]}; leave one out")
    if file is None:
        return Spec(grid=typed_grid) if typed_grid else PAPER, fixed
    spec = spec_named(file)
    return replace(spec, grid={**spec.grid, **typed_grid}), fixed


def typed_command(*more: str) -> str:
    """The command that was typed, with other actions."""
    kept = [argument for argument in sys.argv[1:] if argument not in ACTIONS]
    return shlex.join(["grok", *kept, *more])
