"""Are our seeds compatible with the published ones, where they cannot be compared one by one?

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

A seed counts as before (after) only if it certainly was: one that generalised at the first
published step was not before it, and what happens after the published runs' end is not known of
either side. Both sides may use the same seeds, hence the same split into train and test pairs, and
so agree more than independent draws would: the test errs towards "compatible".

"Compatible" means that this test does not tell the two apart, not that they are equal.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

LEVEL = 0.05
COMPATIBLE, INCOMPATIBLE, UNDECIDED = "compatible", "not compatible", "undecided"


def precedence_p(n: int, m: int, s: int) -> float:
    """P-value of the two-sided precedence test, for s as defined above. 1 for s = 0."""
    both = comb(n + m - 2 * s, n) if 2 * s <= m else 0
    return (2 * comb(n + m - s, n) - both) / comb(n + m, n)


@dataclass(frozen=True)
class Precedence:
    """What the test says of a group.

    Attributes:
        before, after: how many of ours certainly were before the first published seed, or after
            the last.
        p: of the test; None if it cannot be told.
        result, reason: `COMPATIBLE`, `INCOMPATIBLE` or `UNDECIDED`, and why in words.
    """

    before: int
    after: int
    p: float | None
    result: str
    reason: str


def precedence(
    ours: Sequence[tuple[float, float]],
    first: float | None,
    last: float | None,
    *,
    length: int,
    seeds: int,
    groups: int,
) -> Precedence:
    """The test of one group.

    Args:
        ours: of each run, the step at which it generalised (infinite if it did not), and the
            evaluation before.
        first, last: the steps of the first and the last published seed; infinite for never, None
            where that is not known.
        length: how many steps the published runs were trained.
        seeds: how many published runs there are.
        groups: how many groups are tested at once.
    """
    if first is None or last is None:
        return Precedence(0, 0, None, UNDECIDED, "the published seeds' steps are not known")
    before = sum(step < first and step <= length for step, _ in ours)
    after = sum(earlier >= last for _, earlier in ours)
    unknown = sum(math.isinf(step) and earlier < min(last, length) for step, earlier in ours)
    n, m = seeds, len(ours)
    if unknown:
        reason = f"{unknown} of {m} ended before the last published seed, not generalised"
        return Precedence(before, after, None, UNDECIDED, reason)
    p = precedence_p(n, m, max(before, after))
    if groups * precedence_p(n, m, m) >= LEVEL:
        return Precedence(before, after, p, UNDECIDED, f"{m} seeds are too few for this test")
    reason = f"{before} of {m} before the first published seed, {after} after the last"
    return Precedence(before, after, p, INCOMPATIBLE if groups * p < LEVEL else COMPATIBLE, reason)
