"""The tables of an export: a table a metric as the W&B console downloads it, long, and summary.

A table of a metric has a row a step and, for every group, the mean, minimum and maximum over the
runs of the group that have a value at that step. Runs of different length, or evaluated at other
steps, leave empty cells; no value is made up.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from grok_cli.results.group import Group, side_by_side, statistics
from grok_cli.results.run import SEED, STEP
from grok_cli.results.table import Results

PHASES = ("memorised_at", "generalised_at", "sustained_at", "delay", "collapsed_at")


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
    frames = [_group_table(group, metric, std=std, per_seed=per_seed) for group in results.groups]
    filled = [frame for frame in frames if frame.height]
    if not filled:
        return pl.DataFrame(schema={"Step": pl.Int64})
    return side_by_side(filled).rename({STEP: "Step"})


def _group_table(group: Group, metric: str, *, std: bool, per_seed: bool) -> pl.DataFrame:
    name = f"{group.name} - {metric}"
    titles = {"mean": name, "min": f"{name}__MIN", "max": f"{name}__MAX"}
    if std:
        titles["std"] = f"{name}__STD"
    if not group.runs:
        return group.mean(metric).select(STEP, **{new: pl.col(old) for old, new in titles.items()})
    seeds = [f"{name}__SEED_{run.seed}" for run in group.runs]
    if len(set(seeds)) < len(seeds):  # grouped by less than what varies
        seeds = [f"{name}__RUN_{run.name}" for run in group.runs]
    table = group.aligned(metric)
    columns = table.columns[1:]
    found = statistics(columns)
    each = {new: pl.col(old) for old, new in zip(columns, seeds, strict=True)}
    means = {new: found[old] for old, new in titles.items()}
    return table.select(STEP, **means, **(each if per_seed else {}))


def long_tables(results: Results, metrics: Sequence[str]) -> Iterator[pl.DataFrame]:
    """A tidy table a run: columns group, seed, step, metric, value; no empty values."""
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


def summary_table(results: Results) -> pl.DataFrame:
    """A row a run: name, group, settings, seed, status, phases (as steps), last metrics."""
    rows: list[dict[str, Any]] = [
        {
            "run": run.name,
            "group": group.name,
            **{key: _plain(run.settings.get(key)) for key in results.keys},
            SEED: run.seed,
            "status": run.status,
            "step": run.summary.get("step"),
            **{name: run.summary.get(name) for name in PHASES},
            **run.summary.get("final", {}),
        }
        for group in results.groups
        for run in group.runs
    ]
    return pl.from_dicts(rows, infer_schema_length=None, strict=False)


def _plain(value: Any) -> Any:
    """A value that fits in a cell."""
    return value if isinstance(value, (str, int, float, type(None))) else str(value)
