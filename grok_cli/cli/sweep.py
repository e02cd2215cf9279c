"""`grok sweep`: many runs, side by side, and what came out of them."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from grok_cli.cli import sweep_queue
from grok_cli.cli.executor_options import TypedExecutor, with_executor_options
from grok_cli.cli.options import Typed, with_config_options
from grok_cli.cli.signals import stop_on_signals
from grok_cli.cli.sweep_queue import ACTIONS, print_status, typed_command
from grok_cli.cli.sweep_report import print_plan, report
from grok_cli.cli.sweep_view import SweepLog, SweepTable
from grok_cli.errors import UsageError
from grok_cli.executors.registry import EXECUTORS
from grok_cli.executors.worker import INTERRUPTED
from grok_cli.runs.directory import DONE
from grok_cli.runs.settings import layer
from grok_cli.sweeps.drive import Driver
from grok_cli.sweeps.plan import plan_runs
from grok_cli.sweeps.seeds import parse_seeds
from grok_cli.sweeps.spec import PAPER, Spec, find_spec, parse_grid, read_spec

FOLLOWING = (
    "following the jobs: Ctrl-C has them save and leave the queue; --detach, or closing the "
    "terminal, leaves them to Slurm"
)


@with_executor_options
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
    executor: TypedExecutor,
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
    retries: Annotated[int, typer.Option(min=0, help="New attempts after a crash.")] = 1,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop everything at the first failure.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the runs and the estimated time only.")
    ] = False,
    status: Annotated[
        bool, typer.Option("--status", help="Print where each run stands, and do nothing.")
    ] = False,
    detach: Annotated[
        bool,
        typer.Option(
            "--detach", help="Queue the jobs and return.", rich_help_panel="With --executor slurm"
        ),
    ] = False,
    cancel: Annotated[
        bool,
        typer.Option(
            "--cancel",
            help="Have queued and running jobs save and leave the queue.",
            rich_help_panel="With --executor slurm",
        ),
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
    options = executor.resolve(spec.executor, file or "sweep")
    threads = fixed.get("run.threads")
    given = zip((status, detach, cancel, dry_run), ACTIONS, strict=True)
    actions = [flag for is_given, flag in given if is_given]
    if len(actions) > 1:
        raise UsageError(f"{' and '.join(actions)}: choose one")
    if (detach or cancel) and not options.queued:
        kinds = " or ".join(kind for kind, each in EXECUTORS.usable().items() if each.queued)
        raise UsageError(f"{actions[0]}: needs --executor {kinds}; runs elsewhere end with `grok`")
    if (detach or cancel) and (as_json or fail_fast):
        raise UsageError(f"{actions[0]}: --json and --fail-fast have no meaning with it")
    if dry_run:
        workers, _ = options.at_once(len(runs), threads) or (None, None)
        print_plan(runs, summaries, directory, workers, as_json)
        return
    if status and not options.queued:
        print_status(runs, summaries, None, as_json)
        return
    chosen: Any = options.make(directory, len(runs), threads)
    if status:
        print_status(runs, summaries, chosen, as_json)
        return
    if detach or cancel:
        (sweep_queue.detach if detach else sweep_queue.cancel)(runs, chosen, directory)
        return
    console = Console(stderr=True)
    if spec.question:
        console.print(spec.question, highlight=False, markup=False)
    if options.queued:
        console.print(FOLLOWING, highlight=False, markup=False, soft_wrap=True)
    interrupted = stop_on_signals()
    driver = Driver(
        runs,
        chosen,
        SweepTable(console) if console.is_terminal else SweepLog(console),
        retries=retries,
        fail_fast=fail_fast,
        should_stop=interrupted,
    )
    entries = driver.run()
    report(entries, directory, as_json)
    if interrupted():
        typer.echo(f"interrupted; go on with the same command: {typed_command()}", err=True)
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
    return replace(spec, grid=spec.grid | typed_grid), fixed, directory / path.stem
