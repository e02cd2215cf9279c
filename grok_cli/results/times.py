"""When the runs of a group memorise and generalise, at thresholds that the analysis chooses.

From what was measured, not from what a run noted of itself. A run that ended before the event is
censored: see `survival`. One that diverged will never get there: it stays among those that did not
for all the steps that it was to run (a competing end, on "censoring complete" data; Fine and Gray,
J. Am. Stat. Assoc. 94, 1999, section 3), so that a curve is the share of all runs begun.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

from grok_cli.core.phases import GENERALISED, MEMORISED, SUSTAINED_STEPS
from grok_cli.errors import UsageError
from grok_cli.results.group import Group
from grok_cli.results.phases import ACCURACY
from grok_cli.results.run import PLANNED, STEP, Run
from grok_cli.results.survival import (
    Curve,
    Median,
    Ratio,
    Sample,
    common_horizon,
    holm,
    log_rank,
    median_ratio,
)
from grok_cli.results.table import Results

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

THRESHOLDS = (0.95, 0.99, 0.995)
DIVERGED = "diverged"


@dataclass(frozen=True)
class Event:
    """Something that happens to a run.

    Attributes:
        metric: of which a threshold is reached.
        about: when it happens, in words, to be followed by the threshold.
        noted: the threshold at which a run's summary notes the step.
        span: steps for which the metric must stay there.
    """

    metric: str
    about: str
    noted: float
    span: int = 0


EVENTS = {
    "memorised": Event("train/accuracy", "first step with train accuracy ≥", MEMORISED),
    "generalised": Event(ACCURACY, "first evaluation with test accuracy ≥", GENERALISED),
    "sustained": Event(
        ACCURACY,
        f"first of the evaluations in a row, over {SUSTAINED_STEPS} steps, with test accuracy ≥",
        GENERALISED,
        SUSTAINED_STEPS,
    ),
}


@dataclass(frozen=True)
class End:
    """How it ended with a run.

    Attributes:
        step: of the event, else as far as it is known not to have come before.
        diverged: the step at which the run diverged before the event; None if it did not.
    """

    run: Run
    step: int
    happened: bool
    diverged: int | None = None

    @property
    def counted(self) -> int:
        """The step that counts: of a run that diverged the last that it was to make."""
        planned = self.run.settings.get(PLANNED)
        diverged = self.diverged is not None
        return max(self.step, planned) if diverged and isinstance(planned, int) else self.step


def time_to(steps: "Array", values: "Array", threshold: float, span: int = 0) -> tuple[int, bool]:
    """When a metric reaches a threshold and stays there over a span of steps.

    Args:
        steps, values: (n,) what was measured, by step; n > 0.

    Returns:
        The first step of that and True; or False and the last step before which it is known not to
        have begun: where the run ended or, if it ended too early in a row of such values, where
        that row began.
    """
    import numpy as np

    good = np.concatenate([[False], values >= threshold, [False]])
    starts = np.flatnonzero(good[1:] & ~good[:-1])
    ends = np.flatnonzero(~good[1:] & good[:-1]) - 1
    long = np.flatnonzero(steps[ends] - steps[starts] >= span) if len(starts) else starts
    if len(long):
        return int(steps[starts[long[0]]]), True
    still = len(starts) and ends[-1] == len(steps) - 1
    return int(steps[starts[-1]] if still else steps[-1]), False


def end_of(run: Run, event: str, threshold: float) -> End | None:
    """How it ended with a run, by its metrics; None if it measured nothing of it.

    Of a run that is a row of a table, the row tells it, at the threshold that is noted there.
    """
    what = EVENTS[event]
    series = run.series(what.metric)
    if not len(series):
        return _end_noted(run, event) if threshold == what.noted and is_row(run) else None
    steps = series[STEP].to_numpy()
    step, happened = time_to(steps, series[what.metric].to_numpy(), threshold, what.span)
    diverged = int(steps[-1]) if run.status == DIVERGED and not happened else None
    return End(run, step, happened, diverged)


def is_row(run: Run) -> bool:
    """Whether all that is known of a run is a row of a table."""
    return run.path is None and not run.metrics()


def _end_noted(run: Run, event: str) -> End | None:
    """How it ended with a run, as its row notes it; None if it did not begin, or nothing is noted.

    Where a run ends, a row of good evaluations may have begun that is still too short to tell: not
    before the first good one, and not before the span that it lacks.
    """
    if f"{event}_at" not in run.summary:
        return None
    end, span = end_told(run, f"{event}_at"), EVENTS[event].span
    if end is None or end.happened or not span or end.diverged is not None:
        return end
    first = run.summary.get("generalised_at", 1)
    return end if first is None else replace(end, step=max(first, end.step - span, 1))


def end_told(run: Run, name: str) -> End | None:
    """How it ended with a run, as its summary tells it; None if it did not begin.

    Args:
        name: such as "generalised_at".
    """
    step, last = run.summary.get(name), run.summary.get("step")
    if isinstance(step, int):
        return End(run, step, True)
    if not isinstance(last, int) or last < 1:
        return None
    return End(run, last, False, last if run.status == DIVERGED else None)


def sample_of(ends: Iterable[End]) -> Sample:
    """Ends of runs as a sample."""
    ends = list(ends)
    return Sample.of(
        [end.counted for end in ends],
        [end.happened for end in ends],
        [end.run.seed for end in ends],
    )


def median_told(runs: Iterable[Run], name: str) -> Median | None:
    """The median step of an event as summaries tell it; None if no run has begun."""
    ends = [end for run in runs if (end := end_told(run, name)) is not None]
    return Curve.of(sample_of(ends)).median if ends else None


@dataclass(frozen=True, eq=False)
class GroupTimes:
    """When the event came to the runs of a group that measured it.

    Attributes:
        ends: a run each, in the group's order.
    """

    group: Group
    ends: tuple[End, ...]
    curve: Curve

    @property
    def sample(self) -> Sample:
        return self.curve.sample

    @property
    def median(self) -> Median:
        return self.curve.median

    @property
    def diverged(self) -> int:
        """How many runs diverged before the event came."""
        return sum(end.diverged is not None for end in self.ends)


@dataclass(frozen=True)
class Pair:
    """Two groups beside each other.

    Attributes:
        first, second: their places.
        p: of the log-rank test; None where it says nothing.
        corrected: the same, for as many tests as there are pairs.
        ratio: the first's median over the second's.
    """

    first: int
    second: int
    p: float | None
    corrected: float | None
    ratio: Ratio


@dataclass(frozen=True, eq=False)
class Times:
    """When an event came, at one threshold.

    Attributes:
        groups: those of which at least one run measured it.
        horizon: up to which step restricted means are taken: all curves are known until there.
    """

    event: str
    threshold: float
    groups: tuple[GroupTimes, ...]

    @property
    def horizon(self) -> float:
        return common_horizon([group.curve for group in self.groups])

    def pairs(self, seed: int = 0) -> list[Pair]:
        """Every two groups beside each other.

        Args:
            seed: of the bootstrap's generator; each pair has its own, so that none depends on
                which others there are.
        """
        import numpy as np

        places = list(combinations(range(len(self.groups)), 2))
        samples = [group.sample for group in self.groups]
        tests = [log_rank(samples[a], samples[b]) for a, b in places]
        pairs = []
        for (a, b), p, corrected in zip(places, tests, holm(tests), strict=True):
            ratio = median_ratio(samples[a], samples[b], np.random.default_rng(seed))
            pairs.append(Pair(a, b, p, corrected, ratio))
        return pairs


def times_to(results: Results, event: str, threshold: float) -> Times:
    """When an event of `EVENTS` came to the groups of results.

    Raises:
        UsageError: no run there measured what it takes.
    """
    found = []
    for group in results.groups:
        ends = tuple(
            end for run in group.runs if (end := end_of(run, event, threshold)) is not None
        )
        if ends:
            found.append(GroupTimes(group, ends, Curve.of(sample_of(ends))))
    if not found:
        metric = EVENTS[event].metric
        raise UsageError(f"times: no run there measured {metric}; `grok runs` lists what there is")
    return Times(event, threshold, tuple(found))


def group_rows(times: Times) -> list[dict[str, Any]]:
    """The groups as plain values, for JSON and CSV."""
    horizon = times.horizon
    return [
        {
            "event": times.event,
            "threshold": times.threshold,
            "group": found.group.name,
            "runs": found.median.runs,
            "events": found.median.events,
            "diverged": found.diverged,
            "median": found.median.step,
            "median_low": found.median.low,
            "median_high": found.median.high,
            "last_step": found.median.last,
            "restricted_mean": found.curve.restricted_mean(horizon),
            "horizon": horizon,
        }
        for found in times.groups
    ]


def pair_rows(times: Times, pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """Pairs as plain values, for JSON."""
    names = [found.group.name for found in times.groups]
    rows: list[dict[str, Any]] = []
    for pair in pairs:
        told: Mapping[str, Any] = asdict(pair.ratio)
        rows.append(
            {
                "event": times.event,
                "threshold": times.threshold,
                "group": names[pair.first],
                "other": names[pair.second],
                "log_rank_p": pair.p,
                "log_rank_p_holm": pair.corrected,
                **{f"ratio_{key}".replace("_value", ""): value for key, value in told.items()},
            }
        )
    return rows
