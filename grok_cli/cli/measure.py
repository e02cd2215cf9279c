"""`grok measure`: any diagnostic, from snapshots."""

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.text import Text

from grok_cli.cli import completion
from grok_cli.cli.options import listed
from grok_cli.cli.output import Column, escape, print_json, print_table, write_csv
from grok_cli.cli.selection import Where
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
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH...",
            help="Snapshots, run directories, or globs of them.",
            autocompletion=completion.run_directories,
        ),
    ] = None,
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--measure",
            "-m",
            metavar="NAME,...",
            help="Diagnostics to compute (repeatable); --list explains them.",
            autocompletion=completion.diagnostics,
        ),
    ] = None,
    earlier_names: Annotated[list[str] | None, typer.Option("--metrics", hidden=True)] = None,
    where: Where = None,
    list_all: Annotated[
        bool, typer.Option("--list", help="Explain the diagnostics and exit.")
    ] = False,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Also write the values to a CSV file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compute diagnostics from snapshots.

    The values of a run's snapshots are also kept in its measured.csv, which export-csv and the
    figures read along with metrics.csv.
    """
    wanted = listed([*(names or []), *(earlier_names or [])])
    if list_all:
        if paths or wanted or as_json or csv:
            raise UsageError("--list: explains all diagnostics; leave the rest out")
        explain()
        return
    if not wanted:
        raise UsageError("--measure: expected names such as rank,ntk; see `grok measure --list`")
    if not paths:
        raise UsageError("PATH: expected snapshots or run directories; `grok runs` lists runs")
    DIAGNOSTICS.check(wanted)
    files = within(find_snapshots(paths), where or [])

    from grok_cli.runs.measuring import measure_snapshots

    measured = list(watched(measure_snapshots(files, wanted), len(files)))
    records = [one.record() for one in measured]
    if csv is not None:
        write_records(csv, records)
    if as_json:
        print_json(records)
    else:
        _print(measured)


def watched(measured: "Iterable[Measurement]", total: int) -> "Iterator[Measurement]":
    """The same, with a bar on stderr while they are computed, or now and then a line where a bar
    cannot be drawn."""
    from rich.progress import track

    console = Console(stderr=True)
    if console.is_terminal and not console.is_dumb_terminal:
        yield from track(measured, "measuring", total, transient=True, console=console)
        return
    said = time.monotonic()
    for count, one in enumerate(measured, 1):
        if time.monotonic() - said > LOG_SECONDS:
            said = time.monotonic()
            typer.echo(f"measured {count} of {total} snapshots", err=True)
        yield one


def within(files: Iterable[Path], where: Sequence[str]) -> list[Path]:
    """The snapshots of runs that all expressions (`--where`) ask for.

    Raises:
        UsageError: an expression has another form or no setting of that name, or there is none.
    """
    if not where:
        return list(files)
    from grok_cli.results.where import parse_where

    wanted = parse_where(where)
    chosen: dict[Path, bool] = {}
    kept = []
    for file in files:
        run = run_of_snapshot(file)
        if run is None:
            raise UsageError(f"--where: {file} belongs to no run, whose settings could be asked")
        if run.path not in chosen:
            chosen[run.path] = wanted(flat_settings(run.config()), run.summary())
        if chosen[run.path]:
            kept.append(file)
    if not kept:
        raise UsageError(f"--where {' --where '.join(where)}: no run there has these settings")
    return kept


def write_records(file: Path, records: Sequence[dict[str, Any]]) -> None:
    """Write a CSV file with a row a record and a column for every key in any of them."""
    keys = dict.fromkeys(key for record in records for key in record)
    write_csv(file, [Column(key, is_name=key in ("run", "snapshot")) for key in keys], records)


def explain() -> None:
    """Print every diagnostic: its name, cost, metrics, formula and source."""
    from grok_cli.core.config import ModelConfig

    console = Console(highlight=False)
    for name, diagnostic in DIAGNOSTICS.items():
        columns = diagnostic.columns(ModelConfig())
        shown = ", ".join(columns[:6]) + (f", ... ({len(columns)})" if len(columns) > 6 else "")
        console.print(Text.assemble((name, "bold"), "  ", (diagnostic.cost, "dim")))
        for text in (diagnostic.formula, f"metrics: {shown}", f"source: {diagnostic.source}"):
            console.print(Text(f"  {text}"), soft_wrap=not console.is_terminal)


def _print(measured: "Sequence[Measurement]") -> None:
    """A table with a row a metric and a column a step, run by run."""
    console = Console(highlight=False)
    by_place: dict[Path, list[Measurement]] = {}
    for one in measured:
        by_place.setdefault(one.place, []).append(one)
    for place, group in by_place.items():
        metrics = list(group[0].values)
        shown: Sequence[Measurement] = group
        if console.is_terminal:
            room = (console.width - max(map(len, metrics))) // STEP_WIDTH
            shown = thin_out(group, max(room, 2))
        elif len(by_place) > 1:
            console.file.write(f"{escape(place)}\n")
        columns = [
            Column("metric", "step"),
            *(Column(str(one.snapshot.step), number=True) for one in shown),
        ]
        rows = [
            {"metric": metric, **{str(one.snapshot.step): one.values[metric] for one in shown}}
            for metric in metrics
        ]
        print_table(columns, rows, title=str(place), console=console)
        if len(shown) < len(group):
            note = f"{len(shown)} of {len(group)} snapshots shown; all: --json, --csv"
            console.print(Text(note, style="dim"))


def thin_out(measured: Sequence[One], most: int) -> Sequence[One]:
    """At most so many of them, evenly spaced, the first and the last among them."""
    if len(measured) <= most:
        return measured
    return [measured[round(i * (len(measured) - 1) / (most - 1))] for i in range(most)]
