"""Results that are written down here: nothing is trained, nothing is read."""

from typing import Any

import polars as pl

from grok_cli.figures.chart import Axis, Chart, Legend
from grok_cli.results import Results, Run
from grok_cli.results.run import Source

NAN = float("nan")
Values = dict[str, list[float]]


def run(settings: dict[str, Any], values: Values, seed: int = 456, every: int = 1) -> Run:
    """A finished run with metrics (with __ for /) at steps `every`, 2 `every`, ..."""
    series = {
        name.replace("__", "/"): pl.DataFrame(
            {
                "step": range(every, every * len(v) + 1, every),
                name.replace("__", "/"): list(map(float, v)),
            }
        )
        for name, v in values.items()
    }
    summary = {"status": "finished"}
    name = "-".join([*map(str, settings.values()), f"s{seed}"])
    return Run(name, settings | {"train.seed": seed}, summary, source=Source.of(series))


def placements(**metrics: dict[str, list[list[float]]]) -> Results:
    """Groups by placement: by the metric's name, by placement, the values of each seed."""
    names = list(dict.fromkeys(name for groups in metrics.values() for name in groups))
    runs = []
    for placement in names:
        seeds = max(len(groups.get(placement, [])) for groups in metrics.values())
        for seed in range(seeds):
            values = {
                metric: groups[placement][seed]
                for metric, groups in metrics.items()
                if placement in groups
            }
            runs.append(run({"model.ln_type": placement}, values, seed))
    return Results.of(runs)


def accuracies(reached: dict[str, list[int | None]], steps: int = 300) -> Results:
    """Groups by placement whose seeds generalise at these steps, with what all figures need."""
    runs = []
    for placement, seeds in reached.items():
        for seed, at in enumerate(seeds):
            runs.append(run({"model.ln_type": placement}, every_metric(at, steps), seed, every=10))
    return Results.of(runs)


def every_metric(at: int | None, steps: int = 300) -> Values:
    """Values of all metrics of the catalogue, of a run that generalises at step `at`."""
    from grok_cli.figures.catalogue import COURSES

    grid = range(10, steps + 1, 10)
    falling = [1 / step for step in grid]
    values = {name.replace("/", "__"): falling for c in COURSES.values() for name in c.metrics}
    accuracy = [0.0 if at is None or step < at else 1.0 for step in grid]
    return values | {"test__accuracy": accuracy, "train__accuracy": [0.5] * len(grid)}


def chart_of(**parts: Any) -> Chart:
    """A chart of nothing but these parts."""
    return Chart("name", "about", "note", Axis("x"), Axis("y"), Legend("", ()), **parts)
