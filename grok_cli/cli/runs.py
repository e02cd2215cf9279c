"""`grok runs`: what is in directories of runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape as plain

from grok_cli.cli.completion import run_directories
from grok_cli.cli.output import Column, print_json, print_table, write_csv
from grok_cli.cli.selection import Where, check_directory, end, say_problems
from grok_cli.results import Results, Run
from grok_cli.results.group import last_part, shown, varying_keys
from grok_cli.results.where import full_key

STATUS_STYLE = {"finished": "green", "running": "cyan", "diverged": "red", "interrupted": "yellow"}
FINAL = ("train/loss", "test/loss", "test/accuracy")
# Of a narrow terminal's columns those of the highest numbers go first.
STATUS = (
    Column("status", drop=1, style=lambda status: STATUS_STYLE.get(status, "")),
    Column("step", number=True, drop=3),
    Column("memorised_at", "memorised", number=True, drop=6),
    Column("generalised_at", "generalised", number=True, drop=2),
    Column("delay", number=True, drop=7),
    Column("train/loss", "train loss", number=True, drop=9),
    Column("test/loss", "test loss", number=True, drop=8),
    Column("test/accuracy", "test acc", number=True, drop=4),
)
DROP_SETTING = 5


def runs(
    directory: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[DIR]...",
            help=plain("Where the runs are. [default: runs]"),
            show_default=False,
            autocompletion=run_directories,
        ),
    ] = None,
    where: Where = None,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="By a column or a setting, e.g. generalised_at, test/loss, seed; -KEY: from the "
            "highest down.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Also write a CSV file.")
    ] = None,
) -> None:
    """List runs with status, phases and last metrics.

    Only settings that differ between the runs get a column. In a pipe a run is a line, its cells
    separated by tabs; on a narrow terminal columns are left out. A run that cannot be read is
    named on stderr, and the exit code is then 1.
    """
    directories = directory or [Path("runs")]
    for place in directories:
        check_directory(place, "`grok train --runs-dir` makes one")
    results = Results.from_disk(directories, include="all", where=where or [], metrics=False)
    say_problems(results.problems)
    found = sorted(results.runs, key=lambda run: run.name)
    if not found and not results.problems:
        typer.echo(f"no run there with {' and '.join(where or [])}", err=True)
    varying = varying_keys([run.settings for run in found]) if found else []
    if sort is not None:
        found = _sorted(found, sort)
    columns = [Column("run", is_name=True), *map(_setting_column, varying), *STATUS]
    rows = [_row(run) for run in found]
    if as_json:
        if csv is not None:
            write_csv(csv, columns, rows)
        print_json([_record(run, varying) for run in found])
    else:
        print_table(columns, rows, csv=csv)
    end(results.problems)


def _row(run: Run) -> dict[str, Any]:
    """All that can be told of a run, by the names that columns and `--sort` have for it."""
    final = run.summary.get("final", {})
    return {**run.settings, **run.summary, **final, "run": run.name, "status": run.status}


def _record(run: Run, varying: Sequence[str]) -> dict[str, Any]:
    """A run in JSON."""
    settings = {key: run.settings.get(key) for key in varying}
    return {"path": str(run.path), "settings": settings, **run.summary}


def _setting_column(key: str) -> Column:
    return Column(key, last_part(key), drop=DROP_SETTING, text=shown, is_name=True)


def _sorted(runs: Sequence[Run], sort: str) -> list[Run]:
    """Runs by one of their values: numbers by size, then texts; those without it come last."""
    key = sort.removeprefix("-")
    rows = {run.name: _row(run) for run in runs}
    titles = {column.title: column.key for column in STATUS if column.title}
    known = dict.fromkeys(name for row in rows.values() for name in row)
    key = titles.get(key) or full_key(key, list(known), "--sort")
    present = [run for run in runs if rows[run.name].get(key) is not None]
    present.sort(key=lambda run: _place(rows[run.name][key]), reverse=sort.startswith("-"))
    return present + [run for run in runs if rows[run.name].get(key) is None]


def _place(value: Any) -> tuple[bool, float, str]:
    number = isinstance(value, (int, float))
    return not number, value if number else 0, "" if number else shown(value)
