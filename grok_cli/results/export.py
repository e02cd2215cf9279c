"""The tables of an export: a table a metric as the W&B console downloads it, long, and summary.

A table of a metric has a row a step and, for every group, the mean, minimum and maximum over the
runs of the group that have a value at that step. Runs of different length, or evaluated at other
steps, leave empty cells; no value is made up.
"""

from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Any

import polars as pl

from grok_cli.core.phases import PHASE_STEPS
from grok_cli.errors import UsageError, did_you_mean
from grok_cli.results.cells import name_cell
from grok_cli.results.group import Group, side_by_side, statistics
from grok_cli.results.run import PLANNED, SEED, STEP
from grok_cli.results.table import Results
from grok_cli.results.times import median_told
from grok_cli.runs.files import make_folder, stream_output


def chosen_metrics(results: Results, globs: Sequence[str]) -> list[str]:
    """The metrics that globs match, in the order of the runs' columns; all of them for none.

    Raises:
        UsageError: nothing was measured, or a glob matches nothing.
    """
    names = results.metrics
    if not names:
        raise UsageError("these runs hold no metrics yet")
    for glob in globs:
        if not any(fnmatchcase(name, glob) for name in names):
            hint = did_you_mean(glob, names) or f"there are {', '.join(names)}"
            raise UsageError(f"--metric {glob}: no such metric; {hint}")
    return [name for name in names if any(fnmatchcase(name, glob) for glob in globs or ["*"])]


def write_tables(
    results: Results, metrics: Sequence[str], out: Path, *, std: bool, per_seed: bool
) -> Iterator[Path]:
    """Write a file a metric, in the columns of `metric_table`; yields each once it is written.

    Raises:
        GrokError: a file cannot be written.
    """
    files = _unique([metric.replace("/", "_") for metric in metrics])
    for metric, name in zip(metrics, files, strict=True):
        table = metric_table(results, metric, std=std, per_seed=per_seed)
        # W&B quotes every cell.
        yield _write(out / f"{name}.csv", lambda file: table.write_csv(file, quote_style="always"))  # noqa: B023


def write_long(results: Results, metrics: Sequence[str], out: Path) -> Path:
    """Write "long.csv", in the columns of `long_tables`, a run at a time; return its path.

    Raises:
        GrokError: the file cannot be written.
    """

    def write(file: IO[bytes]) -> None:
        for number, table in enumerate(long_tables(results, metrics)):
            table.write_csv(file, include_header=number == 0)

    return _write(out / "long.csv", write)


def write_summaries(results: Results, out: Path) -> Iterator[Path]:
    """Write "summary.csv", in the columns of `summary_table`, and "groups.csv", in those of
    `group_table`; yields each once it is written.

    Raises:
        GrokError: a file cannot be written.
    """
    yield _write(out / "summary.csv", summary_table(results).write_csv)
    yield _write(out / "groups.csv", group_table(results).write_csv)


def _write(path: Path, write: Callable[[IO[bytes]], object]) -> Path:
    make_folder(path.parent)
    stream_output(path, write)
    return path


def metric_table(
    results: Results, metric: str, *, std: bool = False, per_seed: bool = False
) -> pl.DataFrame:
    """A metric of all groups, in the columns of a download from the W&B console.

    Args:
        std: also the sample standard deviation over the runs (empty for a single one).
        per_seed: also a column a run.

    Returns:
        Columns "Step" and, for each group, "GROUP - METRIC", "GROUP - METRIC__MIN",
        "GROUP - METRIC__MAX", then "...__STD" and "...__SEED_456" as asked. Groups that never
        measured the metric have no columns.
    """
    names = _unique([group.name for group in results.groups])
    frames = [
        _group_table(group, f"{name} - {metric}", metric, std=std, per_seed=per_seed)
        for group, name in zip(results.groups, names, strict=True)
    ]
    filled = [frame for frame in frames if frame.height]
    if not filled:
        return pl.DataFrame(schema={"Step": pl.Int64})
    return side_by_side(filled).rename({STEP: "Step"})


def _group_table(
    group: Group, name: str, metric: str, *, std: bool, per_seed: bool
) -> pl.DataFrame:
    titles = {"mean": name, "min": f"{name}__MIN", "max": f"{name}__MAX"}
    if std:
        titles["std"] = f"{name}__STD"
    if not group.runs:
        return group.mean(metric).select(STEP, **{new: pl.col(old) for old, new in titles.items()})
    seeds = [f"{name}__SEED_{run.seed}" for run in group.runs]
    if len(set(seeds)) < len(seeds):  # grouped by less than what varies
        seeds = _unique([f"{name}__RUN_{run.name}" for run in group.runs])
    table = group.aligned(metric)
    columns = table.columns[1:]
    found = statistics(columns)
    means = {new: found[old] for old, new in titles.items()}
    each = {new: pl.col(old) for old, new in zip(columns, seeds, strict=True)}
    return table.select(STEP, **means, **(each if per_seed else {}))


def _unique(names: Sequence[str]) -> list[str]:
    """The names, those that were there before with a number behind them."""
    found: list[str] = []
    for name in names:
        number, unique = 1, name
        while unique in found:
            number += 1
            unique = f"{name} ({number})"
        found.append(unique)
    return found


def long_tables(results: Results, metrics: Sequence[str]) -> Iterator[pl.DataFrame]:
    """A tidy table a run and metric: columns group, seed, step, metric, value; no empty values."""
    for group in results.groups:
        for run in group.runs:
            for metric in metrics:
                yield run.series(metric).select(
                    pl.lit(group.name).alias("group"),
                    pl.lit(run.seed).alias("seed"),
                    pl.col(STEP),
                    pl.lit(metric).alias("metric"),
                    pl.col(metric).alias("value"),
                )


def group_table(results: Results) -> pl.DataFrame:
    """A row a group: name, settings, and when its runs memorised and generalised.

    All runs that have begun count, also those that the results left out as not finished: a run
    that ended before the event is known to be slower (see `survival`).

    Returns:
        Columns "group", the settings of `Results.keys`, "runs", and of either event "..._events"
        (to how many it came), "..._median" (a step; empty if not reached), "..._median_low",
        "..._median_high" (its 95 % interval; empty where there is no bound), "..._last" (the last
        step of which anything is known).
    """
    every = Results.of([*results.runs, *results.left_out], results.keys)
    rows: list[dict[str, Any]] = []
    for group in every.groups:
        settings = {key: name_cell(value) for key, value in group.settings.items()}
        row = {"group": name_cell(group.name), **settings, "runs": len(group.runs)}
        for event in ("memorised", "generalised"):
            median = median_told(group.runs, f"{event}_at")
            row[f"{event}_events"] = median.events if median else 0
            row[f"{event}_median"] = median.step if median else None
            row[f"{event}_median_low"] = median.low if median else None
            row[f"{event}_median_high"] = median.high if median else None
            row[f"{event}_last"] = median.last if median else None
        rows.append(row)
    return pl.from_dicts(rows, infer_schema_length=None, strict=False)


def summary_table(results: Results) -> pl.DataFrame:
    """A row a run: name, group, settings, seed, steps planned, status, phases, last metrics.

    Phases are steps. `csv.read_groups` reads it again.
    """
    rows: list[dict[str, Any]] = [
        {
            "run": name_cell(run.name),
            "group": name_cell(group.name),
            **{key: name_cell(run.settings.get(key)) for key in results.keys},
            SEED: run.seed,
            PLANNED: run.settings.get(PLANNED),
            "status": run.status,
            "step": run.summary.get("step"),
            **{name: run.summary.get(name) for name in PHASE_STEPS},
            **run.summary.get("final", {}),
        }
        for group in results.groups
        for run in group.runs
    ]
    return pl.from_dicts(rows, infer_schema_length=None, strict=False)
