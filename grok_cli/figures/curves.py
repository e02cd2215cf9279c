"""A metric of a group of runs as arrays: mean over the seeds, lowest and highest, each seed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from grok_cli.errors import UsageError
from grok_cli.figures.chart import Array
from grok_cli.figures.names import in_order
from grok_cli.results import Group, Results
from grok_cli.results.run import STEP


@dataclass(frozen=True, eq=False)
class Curve:
    """A metric of one group.

    Attributes:
        steps: in order.
        mean, low, high: over the seeds, at each step where all of them have a value; elsewhere
            nan: a mean over other seeds than a step before would jump.
        seeds: the values of each seed, nan where it has none; {} if they are not known.
    """

    group: Group
    steps: Array
    mean: Array
    low: Array
    high: Array
    seeds: dict[str, Array]


def curve(group: Group, metric: str) -> Curve:
    """A metric of a group; without steps where nothing of it was measured."""
    table = group.mean(metric)
    everywhere = (table["runs"] == len(group.runs)).fill_null(True).to_numpy()
    mean, low, high = (
        np.where(everywhere, _array(table[name]), np.nan) for name in ("mean", "min", "max")
    )
    seeds = _seeds(group, metric) if group.runs and metric not in group.means else {}
    known = ~np.isnan(np.stack([mean, *seeds.values()])).all(axis=0)
    return Curve(
        group,
        _array(table[STEP])[known],
        mean[known],
        low[known],
        high[known],
        {seed: values[known] for seed, values in seeds.items()},
    )


def _seeds(group: Group, metric: str) -> dict[str, Array]:
    """The values of each run, by its seed, or by its name where two have one seed."""
    table = group.aligned(metric)
    by_seed = len({str(run.seed) for run in group.runs}) == len(group.runs)
    names = [str(run.seed) if by_seed else run.name for run in group.runs]
    return {name: _array(table[str(i)]) for i, name in enumerate(names)}


def _array(column: pl.Series) -> Array:
    values: Array = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return values


def curves_to_draw(
    results: Results, metrics: Sequence[str], each_seed: bool = False
) -> dict[str, list[Curve]]:
    """From each of the metrics that has any, its curves with something to draw.

    Args:
        each_seed: whether seeds are drawn by themselves, where the mean may be nan throughout.

    Raises:
        UsageError: there is none of the first metric.
    """
    found = {
        metric: [
            found
            for group in in_order(results.groups)
            if metric in group.metrics()
            for found in [curve(group, metric)]
            if np.isfinite(found.mean).any() or (each_seed and len(found.steps))
        ]
        for metric in metrics
    }
    if not found[metrics[0]]:
        raise UsageError(
            f"{metrics[0]}: nothing measured there; no step has a number from all seeds of a group"
        )
    return {metric: curves for metric, curves in found.items() if curves}
