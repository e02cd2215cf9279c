"""When groups of runs memorise, generalise and compress, and how many of their runs did.

The terms are defined in core/phases.py. A mean over the runs that got somewhere says little without
the number of those that did not: here the two are never apart.
"""

import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from grok_cli.core.phases import GENERALISED
from grok_cli.errors import UsageError
from grok_cli.results.group import Group
from grok_cli.results.run import STEP, Run, number
from grok_cli.results.table import Results

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

ACCURACY = "test/accuracy"
RANK = "alpha_req/effective_rank_test"
SMALLEST_FALL = 0.1  # of the maximum; less than that is no compression


@dataclass(frozen=True)
class PhaseStats:
    """What is known of something that happens at a step, over some runs.

    Attributes:
        runs: how many runs there are.
        events: in how many of them it happened.
        mean, min, max: of the steps at which it did; None where it never happened.
    """

    runs: int
    events: int
    mean: float | None
    min: int | None
    max: int | None

    @classmethod
    def of(cls, steps: Iterable[int | None]) -> "PhaseStats":
        """Of the steps at which it happened in each run, None where it did not."""
        steps = list(steps)
        found = [step for step in steps if step is not None]
        mean = statistics.fmean(found) if found else None
        lowest, highest = min(found, default=None), max(found, default=None)
        return cls(len(steps), len(found), mean, lowest, highest)

    @property
    def count(self) -> str:
        """In how many of the runs it happened: "3 of 5"."""
        return f"{self.events} of {self.runs}"

    def __str__(self) -> str:
        """The mean, beside the count unless it happened in all runs: "380 (1 of 4)"."""
        mean = "never" if self.mean is None else f"{self.mean:,.0f}"
        return mean if self.events == self.runs > 0 else f"{mean} ({self.count})"


def phase_stats(runs: Iterable[Run], name: str) -> PhaseStats:
    """Of one of `PHASE_STEPS`, as the summaries of runs tell it."""
    told = (number(run.summary.get(name)) for run in runs)
    return PhaseStats.of(None if step is None else int(step) for step in told)


@dataclass(frozen=True)
class GroupPhases:
    """What came out of a group, as the summaries of its runs tell it.

    Attributes:
        finished: how many of its runs trained to their end.
    """

    group: Group
    finished: int
    memorised: PhaseStats
    generalised: PhaseStats

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "label": self.group.name,
            "settings": dict(self.group.settings),
            "runs": len(self.group.runs),
            "finished": self.finished,
            "memorised": self.memorised.events,
            "generalised": self.generalised.events,
            **{
                f"generalised_{name}": value
                for name, value in asdict(self.generalised).items()
                if name in ("mean", "min", "max")
            },
        }


def group_phases(results: Results) -> list[GroupPhases]:
    """What came out of each group."""
    return [
        GroupPhases(
            group,
            sum(run.status == "finished" for run in group.runs),
            phase_stats(group.runs, "memorised_at"),
            phase_stats(group.runs, "generalised_at"),
        )
        for group in results.groups
    ]


@dataclass(frozen=True)
class Generalised:
    """When a group generalised, by its metrics: first step with test accuracy >= 0.995.

    Attributes:
        steps: that step of each of the group's runs, None where it was not reached; () where a
            file holds nothing but the group's mean.
        of_mean: that step of the curve of the mean over the runs.
        earliest, latest: over the runs that generalised. Where only the mean is known, where the
            highest and the lowest curve cross.
    """

    group: Group
    steps: tuple[int | None, ...]
    of_mean: int | None
    earliest: int | None
    latest: int | None

    @property
    def stats(self) -> PhaseStats:
        """How many of the runs generalised, and when."""
        return PhaseStats.of(self.steps)

    @property
    def middle(self) -> float | None:
        """Mean over the runs that generalised, else where the mean curve crosses."""
        return self.of_mean if self.stats.mean is None else self.stats.mean


def generalised(results: Results) -> list[Generalised]:
    """When each group generalised; groups without test accuracy are left out."""
    return [_generalised(group) for group in results.groups if ACCURACY in group.metrics()]


def generalised_groups(results: Results) -> list[Generalised]:
    """`generalised`, of which there must be some.

    Raises:
        UsageError: test accuracy was not measured.
    """
    groups = generalised(results)
    if not groups:
        others = [metric for metric in results.metrics if metric != ACCURACY]
        raise UsageError(
            f"generalisation: not measured there ({ACCURACY}); there are {', '.join(others)}"
        )
    return groups


def _generalised(group: Group) -> Generalised:
    each = tuple(step_reached(run, ACCURACY, GENERALISED) for run in group.runs)
    stats = PhaseStats.of(each)
    if ACCURACY not in group.means:
        steps, values = group.values(ACCURACY)
        of_mean = first_at_least(steps, values.mean(axis=0), GENERALISED)  # of all runs, else nan
        return Generalised(group, each, of_mean, stats.min, stats.max)
    curve = group.means[ACCURACY]

    def crossing(name: str) -> int | None:
        return first_at_least(curve[STEP].to_numpy(), curve[name].to_numpy(), GENERALISED)

    if each:
        return Generalised(group, each, crossing("mean"), stats.min, stats.max)
    return Generalised(group, each, crossing("mean"), crossing("max"), crossing("min"))


def step_reached(run: Run, metric: str, threshold: float) -> int | None:
    """First step at which a run's metric is at least `threshold`; None if it never is."""
    return first_at_least(*run.arrays(metric), threshold)


def first_at_least(steps: "Array", values: "Array", threshold: float) -> int | None:
    """First step whose value is at least `threshold`; nan is not."""
    above = (values >= threshold).nonzero()[0]
    return int(steps[above[0]]) if len(above) else None


def compression_step(steps: "Array", rank: "Array") -> int | None:
    """The compression epoch of a run, by our own definition.

    The first step, after the effective rank of Z on the test rows has been largest, at which it
    has fallen at least half-way from that maximum to its last value. None if it never falls by a
    tenth of the maximum. Its resolution is that of the diagnostic's steps.
    """
    import numpy as np

    known = ~np.isnan(rank)
    steps, rank = steps[known], rank[known]
    if not len(rank):
        return None
    top = int(rank.argmax())
    if rank[top] - rank[-1] < SMALLEST_FALL * rank[top]:
        return None
    half = (rank[top] + rank[-1]) / 2
    return int(steps[top + int(np.flatnonzero(rank[top:] <= half)[0])])


@dataclass(frozen=True)
class Compressed:
    """When a group compressed, and when it generalised.

    Attributes:
        points: (compression step, generalisation step) of each run that has both.
        runs: how many runs the group has.
    """

    group: Group
    points: tuple[tuple[int, int], ...]
    runs: int


def compressed(results: Results) -> list[Compressed]:
    """When the runs of each group did both; groups in which no run did are left out."""
    found = []
    for group in results.groups:
        points = tuple(point for run in group.runs if (point := _both(run)) is not None)
        if points:
            found.append(Compressed(group, points, len(group.runs)))
    return found


def _both(run: Run) -> tuple[int, int] | None:
    step = compression_step(*run.arrays(RANK))
    generalised_at = step_reached(run, ACCURACY, GENERALISED)
    return None if step is None or generalised_at is None else (step, generalised_at)
