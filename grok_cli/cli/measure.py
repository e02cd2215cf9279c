"""`grok measure`: any diagnostic, from snapshots."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.console import Console
from rich.text import Text

from grok_cli.cli import completion
from grok_cli.cli.options import listed
from grok_cli.cli.output import (
    Column,
    can_redraw,
    escape,
    print_json,
    print_table,
    say,
    write_csv,
)
from grok_cli.cli.parameters import Csv, Json, Snapshots, Where, option
from grok_cli.cli.selection import end, say_problems
from grok_cli.diagnostics.registry import DIAGNOSTICS
from grok_cli.errors import UsageError
from grok_cli.runs.directory import find_snapshots, run_of_snapshot
from grok_cli.runs.settings import flat_settings

if TYPE_CHECKING:
    from grok_cli.runs.measuring import Measurement

One = TypeVar("One")
STEP_WIDTH = 12  # of a column in the table
LOG_SECONDS = 10.0


def measure(
    paths: Snapshots = None,
    names: Annotated[
        list[str] | None,
        option(
            "Diagnostics to compute (repeatable); --list explains them.",
            *("--measure", "-m"),
            metavar="NAME,...",
            autocompletion=completion.diagnostics,
        ),
    ] = None,
    earlier_names: Annotated[list[str] | None, typer.Option("--metrics", hidden=True)] = None,
    where: Where = None,
    list_all: Annotated[bool, option("Explain the diagnostics and exit.", "--list")] = False,
    csv: Csv = None,
    as_json: Json = False,
) -> None:
    """Compute diagnostics from snapshots.

    The values of a run's snapshots are also kept in its measured.csv, which export-csv and the
    figures read along with metrics.csv.
    """
    wanted = listed([*(names or []), *(earlier_names or [])])
    if list_all:
        if paths or wanted or as_json or csv:
            raise UsageError("--list: explains all diagnostics; leave the rest out")
        _explain()
        return
    if not wanted:
        raise UsageError("--measure: expected names such as rank,ntk; see `grok measure --list`")
    if not paths:
        raise UsageError("PATH: expected snapshots or run directories; `grok runs` lists runs")
    DIAGNOSTICS.check(wanted)

    from grok_cli.runs.measuring import measure_snapshots

    damaged: list[str] = []
    measured = measured_in(paths, where, lambda files: measure_snapshots(files, wanted, damaged))
    say_problems(damaged)
    if not measured:
        end(damaged)
    records = [one.record() for one in measured]
    write_csv(csv, records)
    if as_json:
        print_json(records)
    else:
        _print(measured)
    end(damaged)


def measured_in(
    paths: Sequence[str],
    where: Sequence[str] | None,
    compute: "Callable[[list[Path]], Iterator[Measurement]]",
) -> "list[Measurement]":
    """What is computed of the snapshots that paths and `--where` mean; stderr says how far it is.

    Raises:
        UsageError: there are none, or an expression means nothing.
    """
    files = _within(find_snapshots(paths), where or [])
    return list(_watched(compute(files), len(files)))


def by_place(measured: "Iterable[Measurement]") -> "dict[Path, list[Measurement]]":
    """The same, run by run."""
    found: dict[Path, list[Measurement]] = {}
    for one in measured:
        found.setdefault(one.place, []).append(one)
    return found


def _watched(measured: "Iterable[Measurement]", total: int) -> "Iterator[Measurement]":
    """The same, with a bar on stderr while they are computed, or now and then a line where a bar
    cannot be drawn."""
    from rich.progress import track

    console = Console(stderr=True)
    if can_redraw(console):
        yield from track(measured, "measuring", total, transient=True, console=console)
        return
    said = time.monotonic()
    for count, one in enumerate(measured, 1):
        if time.monotonic() - said > LOG_SECONDS:
            said = time.monotonic()
            say(f"measured {count} of {total} snapshots")
        yield one


def _within(files: list[Path], where: Sequence[str]) -> list[Path]:
    """The snapshots of runs that all expressions (`--where`) ask for."""
    if not where:
        return files
    from grok_cli.results.where import parse_where

    wanted = parse_where(where)
    chosen: dict[Path, bool] = {}
    for file in files:
        run = run_of_snapshot(file)
        if run is None:
            raise UsageError(f"--where: {file} belongs to no run, whose settings could be asked")
        if run.path not in chosen:
            chosen[run.path] = wanted(flat_settings(run.config()), run.summary())
    kept = [file for file in files if chosen[file.parent.parent]]
    if not kept:
        raise UsageError(f"--where {' --where '.join(where)}: no run there has these settings")
    return kept


def _explain() -> None:
    """Print every diagnostic: its name, cost, metrics, formula and source."""
    from grok_cli.core.model_config import ModelConfig

    console = Console(highlight=False)
    for name, diagnostic in DIAGNOSTICS.items():
        columns = diagnostic.columns(ModelConfig())
        shown = ", ".join(columns[:6]) + (f", ... ({len(columns)})" if len(columns) > 6 else "")
        console.print(Text.assemble((name, "bold"), "  ", (diagnostic.cost, "dim")))
        for text in (diagnostic.formula, f"metrics: {shown}", f"source: {diagnostic.source}"):
            console.print(Text(f"  {text}"), soft_wrap=not console.is_terminal)


def _print(measured: "Sequence[Measurement]") -> None:
    """A table with a row a metric and a column a step, run by run."""
    console, runs = Console(highlight=False), by_place(measured)
    for place, group in runs.items():
        metrics = list(group[0].values)
        shown: Sequence[Measurement] = group
        if console.is_terminal:
            room = (console.width - max(map(len, metrics))) // STEP_WIDTH
            shown = thin_out(group, max(room, 2))
        elif len(runs) > 1:
            console.file.write(f"{escape(place)}\n")
        steps = {str(one.snapshot.step): one.values for one in shown}
        columns = [Column("metric", "step"), *(Column(step, number=True) for step in steps)]
        rows = [
            {"metric": metric, **{step: values[metric] for step, values in steps.items()}}
            for metric in metrics
        ]
        print_table(columns, rows, str(place), console)
        if len(shown) < len(group):
            note = f"{len(shown)} of {len(group)} snapshots shown; all: --json, --csv"
            console.print(Text(note, style="dim"))


def thin_out(measured: Sequence[One], most: int) -> Sequence[One]:
    """At most so many of them, evenly spaced, the first and the last among them."""
    if len(measured) <= most:
        return measured
    return [measured[round(i * (len(measured) - 1) / (most - 1))] for i in range(most)]
