"""A metric of a group of runs as arrays: mean over the seeds, lowest and highest, each seed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from grok_cli.errors import UsageError
from grok_cli.figures.chart import Array, Line
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

    def line(self, key: int, metric: str, *, first: float = 0, dashed: bool = False) -> Line:
        """As it is drawn, from the step `first` on."""
        after = slice(int(np.searchsorted(self.steps, first)), None)
        seeds = {seed: values[after] for seed, values in self.seeds.items()}
        steps, mean, low, high = (p[after] for p in (self.steps, self.mean, self.low, self.high))
        return Line(key, metric, steps, mean, low, high, seeds, dashed)


def curve(group: Group, metric: str, each_seed: bool = True) -> Curve:
    """A metric of a group; without steps where nothing of it was measured.

    Args:
        each_seed: whether the values of each seed are wanted.
    """
    if metric in group.means:
        return _known_mean(group, metric)
    steps, values = group.values(metric)
    known = ~np.isnan(values).all(axis=0)
    if not known.all():  # else the steps stay those that all groups share
        steps, values = steps[known], values[:, known]
    mean = values.mean(axis=0)  # nan wherever one is, and so are the lowest and the highest
    low, high = values.min(axis=0), values.max(axis=0)
    return Curve(group, steps, mean, low, high, _seeds(group, values) if each_seed else {})


def _known_mean(group: Group, metric: str) -> Curve:
    """A metric of a group of which a file holds nothing but the mean."""
    table = group.mean(metric)
    mean, low, high = (_array(table[name]) for name in ("mean", "min", "max"))
    known = ~np.isnan(mean)
    return Curve(group, _array(table[STEP])[known], mean[known], low[known], high[known], {})


def _seeds(group: Group, values: Array) -> dict[str, Array]:
    """The values of each run, by its seed, or by its name where two have one seed."""
    by_seed = len({str(run.seed) for run in group.runs}) == len(group.runs)
    names = [str(run.seed) if by_seed else run.name for run in group.runs]
    return dict(zip(names, values, strict=True))


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
            for group in results.in_order.groups
            if metric in group.metrics()
            for found in [curve(group, metric, each_seed)]
            if np.isfinite(found.mean).any() or (each_seed and len(found.steps))
        ]
        for metric in metrics
    }
    if not found[metrics[0]]:
        raise UsageError(
            f"{metrics[0]}: nothing measured there; no step has a number from all seeds of a group"
        )
    return {metric: curves for metric, curves in found.items() if curves}
