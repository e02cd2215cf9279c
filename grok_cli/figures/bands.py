"""Metrics of groups of runs as arrays: mean over the seeds, lowest and highest, each seed.

Whatever they are read from, they pass through the table that `grok export-csv` writes, so that a
figure of the CSV files is the figure of the runs.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from grok_cli.errors import UsageError
from grok_cli.exports.source import STEP, RunData, local_runs
from grok_cli.exports.tables import make_groups, metric_table
from grok_cli.figures.names import placement_order
from grok_cli.runs.groups import group_keys

Array = NDArray[np.float64]
COLUMN = re.compile(r"(?P<group>.+) - (?P<metric>.+?)(?:__(?P<kind>MIN|MAX|STD|SEED_\w+|RUN_.+))?")
LONG = {"group", "seed", "step", "metric", "value"}


@dataclass(frozen=True)
class Band:
    """A metric of one group.

    Attributes:
        label: the group's, e.g. "model.ln_type: pre".
        steps: in order.
        mean, low, high: over the seeds, at each step where all seeds have a value; elsewhere nan,
            because a mean that changes whom it is of would jump.
        seeds: the values of each seed, nan where it has none; {} if they are not known.
    """

    label: str
    steps: Array
    mean: Array
    low: Array
    high: Array
    seeds: dict[str, Array]

    def crossing(self, threshold: float) -> int | None:
        """First step at which the mean is at least `threshold`."""
        return first_at_least(self.steps, self.mean, threshold)

    def crossings(self, threshold: float) -> dict[str, int | None]:
        """First step at which each seed is at least `threshold`."""
        return {
            seed: first_at_least(self.steps, values, threshold)
            for seed, values in self.seeds.items()
        }


def first_at_least(steps: Array, values: Array, threshold: float) -> int | None:
    """First step whose value is at least `threshold`; nan is not."""
    above = np.flatnonzero(values >= threshold)
    return int(steps[above[0]]) if len(above) else None


def first_at_most(steps: Array, values: Array, threshold: float) -> int | None:
    """First step whose value is at most `threshold`; nan is not."""
    return first_at_least(steps, -values, -threshold)


@dataclass(frozen=True)
class Measured:
    """The metrics of some runs, by group.

    Attributes:
        metrics: the names of those that were measured.
        bands: from a metric's name, its bands in the order of the groups.
    """

    metrics: list[str]
    bands: Callable[[str], list[Band]]


def read_runs(runs: Sequence[RunData], keys: Sequence[str] | None = None) -> Measured:
    """The metrics of runs, grouped by `keys`, else by all settings that vary but the seeds."""
    groups = make_groups(runs, keys or group_keys([run.settings for run in runs]))
    metrics = list(dict.fromkeys(name for run in runs for name in run.metrics()))

    def bands(metric: str) -> list[Band]:
        return table_bands(metric_table(groups, metric, per_seed=True), metric)

    return Measured(metrics, bands)


def read_csv(files: Sequence[Path]) -> Measured:
    """The metrics in files of `grok export-csv` (also with --long), or downloaded from W&B.

    Raises:
        UsageError: a file is not of that form.
    """
    tables: dict[str, list[pl.DataFrame]] = {}
    for file in files:
        for metric, table in _metric_tables(file).items():
            tables.setdefault(metric, []).append(table)

    def bands(metric: str) -> list[Band]:
        found = [band for table in tables.get(metric, []) for band in table_bands(table, metric)]
        return sorted(found, key=lambda band: placement_order(band.label))

    return Measured(list(tables), bands)


def read_paths(
    paths: Sequence[Path], *, unfinished: bool = False, keys: Sequence[str] | None = None
) -> Measured:
    """The metrics in directories of runs, or in CSV files.

    Args:
        unfinished: whether to take runs that are not finished, too.

    Raises:
        UsageError: nothing there, or both kinds.
    """
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: no such file or directory")
    files = [path for path in paths if path.is_file()]
    if files and len(files) < len(paths):
        raise UsageError("expected directories of runs or CSV files, found both")
    if files:
        return read_csv(files)
    runs = [run for path in paths for run in local_runs(path)]
    chosen = _distinct(
        [run for run in runs if run.files and (unfinished or run.status == "finished")]
    )
    if not chosen:
        raise UsageError(
            f"{', '.join(map(str, paths))}: no finished run there; --all takes the others"
        )
    return read_runs(chosen, keys)


def _distinct(runs: Sequence[RunData]) -> list[RunData]:
    """Each run once, however often it was found; runs of one name are named by their paths."""
    by_path = {run.files[0].parent.resolve(): run for run in runs}
    count = Counter(run.name for run in by_path.values())
    return [
        replace(run, name=str(run.files[0].parent)) if count[run.name] > 1 else run
        for run in by_path.values()
    ]


def drawn_bands(
    measured: Measured, metrics: Sequence[str], each_seed: bool = False
) -> dict[str, list[Band]]:
    """From each of the metrics that has any, its bands with something to draw.

    Args:
        each_seed: whether seeds are drawn by themselves, where the mean may be nan throughout.
    """
    found = {
        metric: [
            band
            for band in measured.bands(metric)
            if np.isfinite(band.mean).any() or (each_seed and len(band.steps))
        ]
        for metric in metrics
        if metric in measured.metrics
    }
    return {metric: bands for metric, bands in found.items() if bands}


def bands_to_draw(
    measured: Measured, metrics: Sequence[str], each_seed: bool = False
) -> dict[str, list[Band]]:
    """`drawn_bands`, of which there must be some of the first metric.

    Raises:
        UsageError: there is none.
    """
    bands = drawn_bands(measured, metrics, each_seed)
    if metrics[0] not in bands:
        raise UsageError(
            f"{metrics[0]}: nothing measured there; no step has a number from all seeds of a group"
        )
    return bands


def table_bands(table: pl.DataFrame, metric: str) -> list[Band]:
    """The bands of a metric in a table as `grok export-csv` writes it; none without a value."""
    steps = table[table.columns[0]].to_numpy().astype(np.float64)
    columns: dict[str, dict[str, Array]] = {}
    for name in table.columns[1:]:
        match = COLUMN.fullmatch(name)
        if match and match["metric"] == metric:
            values = table[name].cast(pl.Float64, strict=False).to_numpy()
            columns.setdefault(match["group"], {})[match["kind"] or ""] = values
    labels = sorted(columns, key=placement_order)
    bands = [_band(label, steps, columns[label]) for label in labels]
    return [band for band in bands if len(band.steps)]


def _band(label: str, steps: Array, kinds: dict[str, Array]) -> Band:
    seeds = {
        kind.partition("_")[2]: values
        for kind, values in kinds.items()
        if kind.startswith(("SEED_", "RUN_"))
    }
    mean = kinds.get("", np.full(len(steps), np.nan))
    low, high = kinds.get("MIN", mean), kinds.get("MAX", mean)
    if seeds:
        missing = np.isnan(np.stack(list(seeds.values()))).any(axis=0)
        mean, low, high = (np.where(missing, np.nan, values) for values in (mean, low, high))
    measured = ~np.isnan(np.stack([mean, *seeds.values()])).all(axis=0)
    return Band(
        label,
        steps[measured],
        mean[measured],
        low[measured],
        high[measured],
        {seed: values[measured] for seed, values in seeds.items()},
    )


def _metric_tables(file: Path) -> dict[str, pl.DataFrame]:
    """The tables of a CSV file by metric."""
    try:
        table = pl.read_csv(file, infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UsageError(f"{file}: cannot be read as CSV ({error})") from None
    if set(table.columns) >= LONG:
        if table.select("group", "seed", STEP, "metric").is_duplicated().any():
            raise UsageError(
                f"{file}: several values of one group, seed and step, as of an export with "
                "--group-by a part of what varies; export without --group-by, or plot the runs"
            )
        return {str(key[0]): _from_long(part) for key, part in table.group_by("metric")}
    metrics = [match["metric"] for name in table.columns if (match := COLUMN.fullmatch(name))]
    if not metrics or table.columns[0].lower() != STEP:
        raise UsageError(
            f'{file}: expected a file of `grok export-csv`, with columns "Step" and '
            f'"GROUP - METRIC", found {", ".join(table.columns[:4])}'
        )
    return dict.fromkeys(metrics, table)


def _from_long(table: pl.DataFrame) -> pl.DataFrame:
    """A tidy table of one metric in the columns of a wide one."""
    metric = table["metric"][0]
    column = pl.concat_str("group", pl.lit(f" - {metric}__SEED_"), pl.col("seed").cast(pl.String))
    wide = (
        table.with_columns(column.alias("column"))
        .pivot("column", index=STEP, values="value", maintain_order=True)
        .sort(STEP)
    )
    for group in table["group"].unique(maintain_order=True):
        seeds = [name for name in wide.columns if name.startswith(f"{group} - {metric}__SEED_")]
        wide = wide.with_columns(
            pl.mean_horizontal(seeds).alias(f"{group} - {metric}"),
            pl.min_horizontal(seeds).alias(f"{group} - {metric}__MIN"),
            pl.max_horizontal(seeds).alias(f"{group} - {metric}__MAX"),
        )
    return wide
