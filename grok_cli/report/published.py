"""Published numbers, and which runs may be compared with them."""

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from grok_cli.core.config import Config
from grok_cli.report.replay import Curves
from grok_cli.results.group import SEEDS
from grok_cli.runs.settings import flat_settings, read_yaml

FILE = Path(__file__).with_name("published.yaml")
CURVES = FILE.with_suffix(".csv")
DRAWS = "model.init_draws"
# Settings of the train section that change how a network trains (as against how it is watched).
TRAINING = ("train.batch_size", "train.dtype", "train.loss_dtype")


# Steps at which a threshold is reached by the best curve of any seed ("first"), by the mean over
# the seeds ("mean") and by the worst curve ("last"); infinite for "never", left out if not known.
# The worst curve reaches it when the last seed first does, or later, if by then another one has
# fallen back.
Milestones = dict[str, float]


@dataclass(frozen=True, eq=False)
class PublishedGroup:
    """Published runs that differ in seeds only.

    Attributes:
        name: of the group, for messages.
        settings: in which it differs from the defaults, as {"section.key": value}.
        accuracy, loss: when test accuracy is first >= 0.995, test loss first <= 0.01.
        compressed: compression epochs by metric.
        curves: by metric, thinned.
    """

    name: str
    settings: dict[str, Any]
    accuracy: Milestones
    loss: Milestones
    compressed: dict[str, int]
    curves: dict[str, Curves]


@dataclass(frozen=True)
class Published:
    """All published numbers, with their source.

    Attributes:
        seeds: of the runs of every group.
        length: how many steps they were trained.
        groups: by name.
    """

    source: str
    seeds: tuple[int, ...]
    length: int
    groups: dict[str, PublishedGroup]

    def group_of(self, settings: Mapping[str, Any]) -> PublishedGroup | None:
        """The group that a run with these settings repeats; None if it repeats none.

        A run repeats a group if nothing else than its seed, its length and whose random numbers
        its initial weights are drawn from tells the two apart. The split of the data must follow
        the seed, as it does there. A branch repeats none: up to its step it had other settings.
        """
        if settings.get("data.split_seed") not in (None, settings.get("train.seed")):
            return None
        if settings.get("branch.at") is not None:
            return None
        return next((g for g in self.groups.values() if _repeats(settings, g.settings)), None)

    def exact_start(self, runs: Iterable[Mapping[str, Any]]) -> bool:
        """Whether runs of a group hold the published ones: all their seeds, their own weights."""
        seeds = {run.get("train.seed") for run in runs if run.get(DRAWS) == "published"}
        return seeds >= set(self.seeds)


@cache
def published() -> Published:
    """The published numbers."""
    content = read_yaml(FILE)
    curves = _read_curves()
    groups = {
        name: PublishedGroup(
            name,
            dict(entry["settings"]),
            _milestones(entry.get("accuracy", {})),
            _milestones(entry["loss"]),
            dict(entry.get("compressed", {})),
            curves[name],
        )
        for name, entry in content["groups"].items()
    }
    return Published(content["source"].strip(), tuple(content["seeds"]), content["length"], groups)


def _milestones(steps: Mapping[str, Any]) -> Milestones:
    return {which: math.inf if step == "never" else step for which, step in steps.items()}


def _read_curves() -> dict[str, dict[str, Curves]]:
    """The published curves by group and metric; a cell is empty where nothing was measured."""
    with CURVES.open(newline="") as file:
        header, *rows = csv.reader(file)
    steps = np.array(header[3:], dtype=float)
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for group, metric, curve, *cells in rows:
        values = np.array([float(cell) if cell else math.nan for cell in cells])
        found.setdefault(group, {}).setdefault(metric, {})[curve] = values
    return {
        group: {metric: _curves(steps, curves) for metric, curves in metrics.items()}
        for group, metrics in found.items()
    }


def _curves(steps: Any, curves: Mapping[str, Any]) -> Curves:
    known = ~np.isnan(curves["mean"])
    unknown = np.full(len(steps), math.nan)
    lowest, highest = curves.get("lowest", unknown), curves.get("highest", unknown)
    return Curves(steps[known], curves["mean"][known], lowest[known], highest[known])


def _repeats(settings: Mapping[str, Any], group: Mapping[str, Any]) -> bool:
    return all(
        _equal(settings.get(key), value)
        for key, value in {**_protocol(), **group}.items()
        if key not in (DRAWS, *SEEDS)
    )


@cache
def _protocol() -> dict[str, Any]:
    """The settings that make a published run, where a group says nothing else: the defaults."""
    return {
        key: value
        for key, value in flat_settings(Config()).items()
        if key.startswith(("data.", "model.", "opt.")) or key in TRAINING
    }


def _equal(ours: Any, theirs: Any) -> bool:
    """Whether two values of a setting are the same; 1.7777777777777779e-3 is 1e-3 / 0.75^2."""
    numbers = (int, float)
    if isinstance(ours, numbers) and isinstance(theirs, numbers):
        return math.isclose(ours, theirs, rel_tol=1e-9)
    return bool(ours == theirs)
