"""Are our seeds compatible with the published ones? The test, and what follows from it.

Of the published runs of a group we know how many there are (n = 5) and the steps at which the
first and the last of them generalised; not the steps between. The test uses just that. It is the
two-sided precedence test (Nelson 1963, "Tables for a precedence life test", Technometrics 5):

    Hypothesis: our m steps and the n published ones are n + m draws from one distribution.
    Statistic:  s = max(number of ours before the first published,
                        number of ours after the last published).
    P-value:    the probability of at least s. All orders of the n + m draws are equally likely;
                the smallest s of them are all ours in C(n+m-s, n) of the C(n+m, n) ways to choose
                the published ones, likewise the largest s, and both in C(n+m-2s, n). So
                    p(s) = [2 C(n+m-s, n) - C(n+m-2s, n)] / C(n+m, n).

With 5 against 5: p(5) = 2/252 = 0.008, p(4) = 12/252 = 0.048, p(3) = 42/252 = 0.167. k groups are
tested at once; each is called incompatible if k p < 0.05 (Bonferroni), so that the chance of any
false alarm is below 5 %. With four groups that takes all five of ours on the same side of all five
published ones. Fewer seeds can then never be incompatible, and get no verdict.

Both sides use the same seeds, hence the same split into train and test pairs, and so agree more
than independent draws would: the test errs towards "compatible".

"Compatible" means that this test does not tell the two apart, not that they are equal.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from math import comb

import numpy as np

from grok_cli.core.phases import GENERALISED
from grok_cli.figures.bands import Band, first_at_least, first_at_most
from grok_cli.report.published import Published, PublishedGroup

LEVEL = 0.05
LOSS = 0.01
COMPATIBLE, INCOMPATIBLE, UNDECIDED = "compatible", "not compatible", "undecided"


def precedence_p(n: int, m: int, s: int) -> float:
    """P-value of the two-sided precedence test, for s as defined above. 1 for s = 0."""
    both = comb(n + m - 2 * s, n) if 2 * s <= m else 0
    return (2 * comb(n + m - s, n) - both) / comb(n + m, n)


@dataclass(frozen=True)
class Reached:
    """When a run generalised, as far as evaluations tell.

    Attributes:
        step: first evaluation with test accuracy >= 0.995; None if there was none.
        after: it happened after this step, the evaluation before (or the last one).
    """

    step: int | None
    after: int


@dataclass(frozen=True)
class Comparison:
    """A group of ours beside the published one.

    Attributes:
        seeds: when each of ours generalised.
        mean_accuracy, mean_loss: where our mean curve crosses, as published.
        before, after: how many of ours certainly were before the first published seed, or after
            the last.
        p: of the test; None if it cannot be told.
        verdict, reason: "compatible", "not compatible" or "undecided", and why in words.
    """

    published: PublishedGroup
    seeds: list[Reached]
    mean_accuracy: int | None
    mean_loss: int | None
    before: int
    after: int
    p: float | None
    verdict: str
    reason: str

    @property
    def steps(self) -> list[float]:
        """When each of our seeds generalised; infinite for one that has not."""
        return [math.inf if reached.step is None else reached.step for reached in self.seeds]

    @property
    def mean(self) -> float:
        """Mean over our seeds of the step of generalisation; infinite if one has not."""
        return statistics.fmean(self.steps)

    @property
    def median(self) -> float:
        """Median over our seeds; infinite if half of them or more have not generalised."""
        return statistics.median(self.steps)

    @property
    def mean_within(self) -> bool:
        """Whether that mean lies between the first and the last published seed."""
        return self.published.earliest <= self.mean <= self.published.latest


def reached(band: Band) -> list[Reached]:
    """When each seed of a band of test accuracy generalised."""
    found = []
    for values in band.seeds.values():
        steps = band.steps[~np.isnan(values)]
        step = first_at_least(band.steps, values, GENERALISED)
        earlier = steps[steps < step] if step is not None else steps
        found.append(Reached(step, int(earlier[-1]) if len(earlier) else 0))
    return found


def compare(
    group: PublishedGroup, accuracy: Band, loss: Band | None, known: Published, groups: int
) -> Comparison:
    """Our runs of a group beside the published ones.

    Args:
        accuracy, loss: bands of test accuracy and test loss, with values by seed.
        groups: how many groups are compared at once.
    """
    seeds = reached(accuracy)
    before = sum(r.step is not None and r.step < group.earliest for r in seeds)
    after = sum(r.after >= group.latest for r in seeds)
    unknown = sum(r.step is None and r.after < group.latest for r in seeds)
    n, m = known.seeds, len(seeds)
    p: float | None = precedence_p(n, m, max(before, after))
    if unknown:
        p, verdict = None, UNDECIDED
        reason = f"{unknown} of {m} ended before the last published seed, not generalised"
    elif groups * precedence_p(n, m, m) >= LEVEL:
        verdict, reason = UNDECIDED, f"{m} seeds are too few for this test"
    else:
        verdict = INCOMPATIBLE if p is not None and groups * p < LEVEL else COMPATIBLE
        reason = f"{before} of {m} before the first published seed, {after} after the last"
    crossing = first_at_most(loss.steps, loss.mean, LOSS) if loss is not None else None
    return Comparison(
        group,
        seeds,
        accuracy.crossing(GENERALISED),
        crossing,
        before,
        after,
        p,
        verdict,
        reason,
    )


def same_order(comparisons: Sequence[Comparison]) -> bool | None:
    """Whether groups whose published seeds do not overlap have their medians in that order.

    A description, not a test. Medians, since one seed that never generalises makes a mean
    infinite. None if no two groups can be compared so.
    """
    pairs = [
        (first.median, second.median)
        for first, second in permutations(comparisons, 2)
        if first.published.latest < second.published.earliest
        and math.isfinite(min(first.median, second.median))
    ]
    return all(first < second for first, second in pairs) if pairs else None


def overall(comparisons: Sequence[Comparison]) -> str:
    """The verdict on all groups together, as one word and a reason."""
    order = same_order(comparisons)
    count = len(comparisons)
    wrong = [c.published.placement for c in comparisons if c.verdict == INCOMPATIBLE]
    open_ = [c.published.placement for c in comparisons if c.verdict == UNDECIDED]
    if wrong:
        return f"Not reproduced: {', '.join(wrong)} not compatible with the published seeds."
    if open_:
        return f"Undecided: {', '.join(open_)} cannot be compared yet."
    group = "the group is" if count == 1 else f"all {count} groups are"
    ordered = ""
    if order is not None:
        ordered = ", and in the published order" if order else ", but in another order"
    return f"Reproduced: {group} compatible with the published seeds{ordered}."
