"""`grok runs`: what is in directories of runs."""

import re
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console

from grok_cli.cli.output import Column, print_json, print_table, write_csv
from grok_cli.cli.parameters import Csv, Directories, Json, Where, option
from grok_cli.cli.selection import directories_of_runs, end, say_problems
from grok_cli.results import Results, Run
from grok_cli.results.group import last_part, order, shown, varying_keys
from grok_cli.results.where import full_key

STATUS_STYLE = {"finished": "green", "running": "cyan", "diverged": "red", "interrupted": "yellow"}
# Of a narrow terminal's columns those of the highest numbers go first.
STATUS = (
    Column("status", drop=10, style=lambda status: STATUS_STYLE.get(status, "")),
    Column("step", number=True, drop=30),
    Column("memorised_at", "memorised", number=True, drop=600),
    Column("generalised_at", "generalised", number=True, drop=20),
    Column("delay", number=True, drop=700),
    Column("train/loss", "train loss", number=True, drop=900),
    Column("test/loss", "test loss", number=True, drop=800),
    Column("test/accuracy", "test acc", number=True, drop=40),
)
DROP_SETTING = 50  # and one more for each setting before it
NARROW = 60  # columns of a terminal that has no room for the digests in the names of runs
DIGEST = re.compile(r"-[0-9a-f]{10}$")


def runs(
    directory: Directories = None,
    where: Where = None,
    sort: Annotated[
        str | None,
        option(
            "By a column or a setting, e.g. generalised_at, test/loss, seed; -KEY: from the "
            "highest down.",
            metavar="KEY",
        ),
    ] = None,
    as_json: Json = False,
    csv: Csv = None,
) -> None:
    """List runs with status, phases and last metrics.

    Only settings that differ between the runs get a column. In a pipe a run is a line, its cells
    separated by tabs; on a narrow terminal columns are left out. A run that cannot be read is
    named on stderr, and the exit code is then 1.
    """
    directories = directories_of_runs(directory)
    results = Results.from_disk(directories, include="all", where=where or [], metrics=False)
    say_problems(results.problems)
    found = sorted(results.runs, key=lambda run: run.name)
    if not found and not results.problems:
        typer.echo(f"no run there with {' and '.join(where or [])}", err=True)
    varying = varying_keys([run.settings for run in found]) if found else []
    if sort is not None:
        found = _sorted(found, sort)
    settings = [
        Column(key, last_part(key), drop=DROP_SETTING + place, text=shown)
        for place, key in enumerate(varying)
    ]
    columns, rows = [Column("run"), *settings, *STATUS], [_row(run) for run in found]
    keys = [column.key for column in columns]
    write_csv(csv, [{key: row.get(key) for key in keys} for row in rows], keys)
    if as_json:
        print_json([_record(run, varying) for run in found])
    else:
        console = Console(highlight=False)
        narrow = console.is_terminal and console.width < NARROW
        print_table(columns, _without_digests(rows) if narrow else rows, console=console)
    end(results.problems)


def _row(run: Run) -> dict[str, Any]:
    """All that can be told of a run, by the names that columns and `--sort` have for it."""
    final = run.summary.get("final", {})
    return {**run.settings, **run.summary, **final, "run": run.name, "status": run.status}


def _record(run: Run, varying: Sequence[str]) -> dict[str, Any]:
    """A run in JSON."""
    settings = {key: run.settings.get(key) for key in varying}
    return {"path": str(run.path), "settings": settings, **run.summary}


def _without_digests(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with short names of runs, if these still tell the runs apart."""
    short = [DIGEST.sub("", row["run"]) for row in rows]
    if len(set(short)) < len(short):
        return list(rows)
    return [row | {"run": name} for row, name in zip(rows, short, strict=True)]


def _sorted(runs: Sequence[Run], sort: str) -> list[Run]:
    """Runs by one of their values: numbers by size, then texts; those without it come last."""
    rows = {run.name: _row(run) for run in runs}
    titles = {column.title: column.key for column in STATUS if column.title}
    known = dict.fromkeys(name for row in rows.values() for name in row)
    typed = sort.removeprefix("-")
    key = titles.get(typed) or full_key(typed, list(known), "--sort")
    present = [run for run in runs if rows[run.name].get(key) is not None]
    present.sort(key=lambda run: order(rows[run.name], [key]), reverse=sort.startswith("-"))
    return present + [run for run in runs if rows[run.name].get(key) is None]
