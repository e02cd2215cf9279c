"""How far our runs are the published ones: where the curves agree, and when both generalise.

Runs that start from the published runs' own weights, on the same data, make the same updates; what
remains is the rounding of float32 on another processor. It is amplified step by step, at once where
a run passes through a slingshot (a short, steep rise of the loss), so that curves agree to many
digits up to some step and part there. Afterwards each seed is near the published one, not on it.

Agreement: at a step that both sides measured, our value and the published one differ by at most
0.01 nats, or by 1 % of the published value where it is above 1 nat. A curve agrees *up to* a step
if it does there and at all such steps before. It parts at the first where it does not. It agrees
*closely* with a tenth of that: 0.001 nats, or 0.1 %.

Generalisation: the first step at which a curve over the seeds reaches a threshold. The published
code evaluates each step, this program every tenth unless it is told otherwise, so that ours may be
later by up to that.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grok_cli.core.phases import GENERALISED

Array = NDArray[np.float64]
ACCURACY, TEST_LOSS, TRAIN_LOSS = "test/accuracy", "test/loss", "train/loss"
LOSSES = (TEST_LOSS, TRAIN_LOSS)  # whose curves are compared
TOLERANCE, FINE = 1e-2, 1e-3
NEAR = 0.1  # generalisation steps that differ by at most this part of the published one are near
CURVES = ("mean", "lowest", "highest")


@dataclass(frozen=True)
class Criterion:
    """What it means that a curve has generalised.

    Attributes:
        above: whether the metric must be at least the threshold, as an accuracy, or at most.
    """

    metric: str
    threshold: float
    above: bool

    def first(self, steps: Array, values: Array) -> float:
        """The first step at which it holds; infinite if there is none. It holds for no nan."""
        holds = values >= self.threshold if self.above else values <= self.threshold
        at = np.flatnonzero(holds)
        return float(steps[at[0]]) if len(at) else math.inf


BY_ACCURACY = Criterion(ACCURACY, GENERALISED, above=True)
BY_LOSS = Criterion(TEST_LOSS, 0.01, above=False)


@dataclass(frozen=True)
class Curves:
    """A metric over the seeds of a group: its mean, lowest and highest value at each step.

    Attributes:
        steps: in order.
        mean, lowest, highest: nan where it is not known.
    """

    steps: Array
    mean: Array
    lowest: Array
    highest: Array


@dataclass(frozen=True)
class Seeds:
    """A metric of the runs of a group, run by run.

    Attributes:
        steps: in order.
        values: a row a run, nan where it has no value.
    """

    steps: Array
    values: Array

    @property
    def curves(self) -> Curves:
        """Over the runs, at the steps at which all of them have a value."""
        whole = ~np.isnan(self.values).any(axis=0)
        values = self.values[:, whole]
        return Curves(
            self.steps[whole], values.mean(axis=0), values.min(axis=0), values.max(axis=0)
        )


@dataclass(frozen=True)
class Agreement:
    """How far one of our curves agrees with the published one.

    Attributes:
        metric, curve: which: "test/loss", and "mean", "lowest" or "highest".
        closely: the last step up to which it agrees closely; 0 if it never does.
        upto: the last step up to which it agrees; 0 if it never does.
        parted: the first step at which it does not; None if it agrees wherever both measured.
        ours, published: the values there; nan if it agrees everywhere.
    """

    metric: str
    curve: str
    closely: int
    upto: int
    parted: int | None
    ours: float
    published: float


def agreements(metric: str, ours: Curves, published: Curves) -> list[Agreement]:
    """How far each curve agrees; none for curves without a step that both sides measured."""
    found = []
    for curve in CURVES:
        steps, mine, theirs = _common(ours, published, curve)
        if not len(steps):
            continue
        closely, _ = _upto(steps, mine, theirs, FINE)
        upto, at = _upto(steps, mine, theirs, TOLERANCE)
        if at is None:
            found.append(Agreement(metric, curve, closely, upto, None, math.nan, math.nan))
        else:
            parted, *values = int(steps[at]), float(mine[at]), float(theirs[at])
            found.append(Agreement(metric, curve, closely, upto, parted, *values))
    return found


def _upto(steps: Array, mine: Array, theirs: Array, tolerance: float) -> tuple[int, int | None]:
    """The last step up to which values agree, and the place of the first that does not."""
    apart = np.flatnonzero(np.abs(mine - theirs) > tolerance * np.maximum(1, np.abs(theirs)))
    if not len(apart):
        return int(steps[-1]), None
    return (int(steps[apart[0] - 1]) if apart[0] else 0), int(apart[0])


def _common(ours: Curves, published: Curves, curve: str) -> tuple[Array, Array, Array]:
    """The steps that both measured, with our values and the published ones."""
    steps, here, there = np.intersect1d(ours.steps, published.steps, return_indices=True)
    mine, theirs = getattr(ours, curve)[here], getattr(published, curve)[there]
    known = ~np.isnan(mine) & ~np.isnan(theirs)
    return steps[known], mine[known], theirs[known]


@dataclass(frozen=True)
class Reached:
    """When our seeds reach a threshold, beside the published step.

    Attributes:
        which: "first", "mean" or "last" seed.
        ours, published: steps; infinite for never.
        ended: the last step at which all of ours were evaluated.
        length: how many steps the published runs were trained.
    """

    which: str
    ours: float
    published: float
    ended: int
    length: int

    @property
    def near(self) -> bool | None:
        """Whether both are near each other; None if ours ended too early to tell.

        "Never" stands for a step beyond the end, so that a step shortly before the end is near it.
        """
        mine = self.ours if self.ours <= self.length else math.inf
        if math.isinf(mine):
            end = min(self.ended, self.length)
            if math.isinf(self.published):
                return True if self.ended >= self.length else None
            return None if end < self.published * (1 + NEAR) else False
        if math.isinf(self.published):
            return mine * (1 + NEAR) >= self.length
        return abs(mine - self.published) <= NEAR * self.published

    @property
    def off(self) -> float | None:
        """By which part of the published step ours differs; None if a side never got there."""
        if math.isinf(self.ours) or math.isinf(self.published):
            return None
        return self.ours / self.published - 1


def reached(
    criterion: Criterion, ours: Curves, published: Mapping[str, float], length: int
) -> list[Reached]:
    """When the best curve, the mean and the worst curve of ours generalise.

    Args:
        published: that step by "first", "mean", "last", as far as it is known.
        length: how many steps the published runs were trained.
    """
    best, worst = ours.highest, ours.lowest
    if not criterion.above:
        best, worst = worst, best
    values = {"first": best, "mean": ours.mean, "last": worst}
    ended = int(ours.steps[-1]) if len(ours.steps) else 0
    return [
        Reached(which, criterion.first(ours.steps, values[which]), step, ended, length)
        for which, step in published.items()
    ]


def seed_steps(criterion: Criterion, ours: Seeds) -> list[tuple[float, float]]:
    """When each run generalised: the first such step (infinite if it did not), and the evaluation
    before (the last one, if it did not): it happened after that.
    """
    found = []
    for values in ours.values:
        steps = ours.steps[~np.isnan(values)]
        step = criterion.first(ours.steps, values)
        earlier = steps[steps < step]
        found.append((step, float(earlier[-1]) if len(earlier) else 0.0))
    return found


def compression_epoch(steps: Array, values: Array) -> int | None:
    """The compression epoch of a curve, as the published code defines it.

    Of the mean over the seeds, without its first row: the first measured step at which the metric
    is at most 1.1 times its minimum. None for a curve of one row.
    """
    known = ~np.isnan(values)
    steps, values = steps[known][1:], values[known][1:]
    if not len(values):
        return None
    return int(steps[np.flatnonzero(values <= 1.1 * values.min())[0]])
