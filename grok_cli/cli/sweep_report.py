"""What `grok sweep` prints: the plan of a dry run, where runs stand, and what came out of them."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from grok_cli.cli.output import Column, duration, escape, print_json, print_table, say
from grok_cli.runs.directory import DONE
from grok_cli.runs.files import last_lines
from grok_cli.runs.settings import flat_settings
from grok_cli.sweeps.estimate import Forecast
from grok_cli.sweeps.plan import PlannedRun
from grok_cli.sweeps.states import Entry
from grok_cli.sweeps.sweep import Sweep

if TYPE_CHECKING:
    from grok_cli.results.phases import GroupPhases

LOG_LINES = 5  # of a failed run's log that are shown
MOST_FAILURES = 5  # of the same reason that are named
TERMS = (
    "memorised: train accuracy >= 0.99 was reached; generalised: test accuracy >= 0.995 was. "
    "median: the step by which half of the runs had, with its 95 % interval; min, max: over the "
    "runs that did (full batch: step = epoch). `grok times` tells more."
)


def print_plan(sweep: Sweep, ahead: Forecast, as_json: bool) -> None:
    """Every run and its state; what is taken from where, what is still to do, and how long that
    will take."""
    table = [(planned, told, place(planned)) for planned, told in sweep.standing()]
    if as_json:
        rows = [
            {"path": str(planned.run.path), "status": summary["status"], "taken_from": path}
            for planned, summary, path in table
        ]
        left = {"steps_left": ahead.steps, "workers": ahead.workers, "seconds": ahead.seconds}
        print_json({"runs": rows, **left})
        return
    for planned, summary, path in table:
        status = summary["status"]
        note = f"  (from step {summary.get('step', 0)})" if status == "interrupted" else ""
        note = "  (skipped)" if status in DONE else note
        note += f"  <- {path}" if path else ""
        typer.echo(escape(f"{status:<12} {planned.run.path}{note}"))
    for folder, count in _folders(path for _, _, path in table).items():
        typer.echo(escape(f"{count} taken from {folder}"))
    done = sum(summary["status"] in DONE for _, summary, _ in table)
    at_a_time = f", {ahead.workers} at a time" if ahead.workers else ""
    typer.echo(f"{len(sweep.runs)} runs, {done} done, {ahead.steps} steps to go{at_a_time}")
    if ahead.seconds:
        one = "" if ahead.workers else ", one run after the other"
        typer.echo(f"about {duration(ahead.seconds)} on this machine{one}")


def print_status(rows: Sequence[dict[str, Any]], as_json: bool) -> None:
    """A line a run: how far it is and, on a cluster, its job in the queue."""
    if as_json:
        print_json(list(rows))
        return
    for row in rows:
        job = f"  job {row['job']} ({row['note']})" if row["job"] else ""
        phase = f"  {row['phase']}" if row["phase"] else ""
        step = f"step {row['step']}/{row['steps']}"
        typer.echo(escape(f"{row['state']:<12} {row['path']}  {step}{phase}{job}"))
    counts = Counter(row["state"] for row in rows)
    states = ", ".join(f"{count} {state}" for state, count in counts.most_common())
    typer.echo(f"{len(rows)} runs: {states}")


def print_detached(sweep: Sweep, queued: int, waiting: int, command: Callable[..., str]) -> None:
    """How many runs the cluster has, and the commands that look after them."""
    say(f"{queued} of {len(sweep.runs)} runs are queued or running")
    if waiting:
        say(
            f"{waiting} more are not: Slurm takes no more jobs of yours now. The same command "
            "queues them later; without --detach it waits for room; with a larger --runs-per-job "
            "they need fewer jobs"
        )
    say(f"look:   {command('--status')}")
    say(f"cancel: {command('--cancel')}")
    say(f"follow: {command()}")
    typer.echo(sweep.directory)


def report(entries: Sequence[Entry], directory: Path, as_json: bool) -> None:
    """The groups, the runs that failed, and the directory as the last line."""
    from grok_cli.results.phases import group_phases
    from grok_cli.results.run import Run
    from grok_cli.results.table import Results

    planned = [entry.planned for entry in entries]
    results = Results.of(
        Run(run.name, flat_settings(run.config), entry.summary, run.run.path)
        for run, entry in zip(planned, entries, strict=True)
    )
    groups = group_phases(results)
    taken = [place(entry.planned) for entry in entries]
    if as_json:
        runs = [
            {
                "path": str(entry.planned.run.path),
                "taken_from": path,
                "state": entry.state,
                "reason": entry.reason,
                "log": str(entry.planned.run.log_file),
                "summary": entry.summary,
            }
            for entry, path in zip(entries, taken, strict=True)
        ]
        print_json(
            {
                "directory": str(directory),
                "groups": [group.as_dict() for group in groups],
                "runs": runs,
            }
        )
        return
    print_table(COLUMNS, [_row(group) for group in groups])
    typer.echo(TERMS)
    _print_failures([entry for entry in entries if entry.state in ("failed", "diverged")])
    for folder, count in _folders(taken).items():
        say(f"{count} of {len(entries)} runs are those of {folder}")
    typer.echo(directory)


COLUMNS = (
    Column("group"),
    Column("runs", number=True, drop=5),
    Column("finished", number=True, drop=3),
    Column("memorised", number=True, drop=4),
    Column("generalised", number=True),
    Column("median", number=True),
    Column("min", number=True, drop=7),
    Column("max", number=True, drop=6),
)


def place(planned: PlannedRun) -> str | None:
    """The directory that a run is taken from, as one would type it here; None if it is the
    sweep's own."""
    if planned.taken_from is None:
        return None
    path, here = planned.taken_from.path, Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _folders(taken: Iterable[str | None]) -> Counter[str]:
    """The directories that runs are taken from, with their numbers."""
    return Counter(str(Path(path).parent) for path in taken if path)


def _row(group: "GroupPhases") -> dict[str, Any]:
    from grok_cli.results.times import median_told

    steps = group.generalised
    return {
        "group": group.group.label,
        "runs": len(group.group.runs),
        "finished": group.finished,
        "memorised": group.memorised.count,
        "generalised": steps.count,
        "median": median_told(group.group.runs, "generalised_at"),
        "min": steps.min,
        "max": steps.max,
    }


def _print_failures(failed: Sequence[Entry]) -> None:
    """Each failure and the end of its log; many of one reason are named once."""
    by_reason: dict[tuple[str, str], list[Entry]] = {}
    for entry in failed:
        reason = entry.reason.replace(str(entry.planned.run.path), "DIR")
        by_reason.setdefault((entry.state, reason), []).append(entry)
    for entries in by_reason.values():
        for entry in entries[:MOST_FAILURES]:
            log = entry.planned.run.log_file
            say(f"{entry.state}: {entry.planned.run.path}: {entry.reason}")
            for line in last_lines(log, LOG_LINES):
                say(f"    {line}")
            if log.exists():
                say(f"    log: {log}")
        if len(entries) > MOST_FAILURES:
            say(f"and {len(entries) - MOST_FAILURES} more for the same reason")
