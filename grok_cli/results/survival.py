"""Statistics of the time until something happens, where to some it does not while one looks.

All functions take samples: for each run a step, and whether the event came at that step. If it did
not, the sample is censored there: the event did not come before, and nothing more is known. A mean
over those to which it came would leave out the slowest; what is computed here does not.
"""

import math
import warnings
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Flags = NDArray[np.bool_]

CONFIDENCE = 0.95
LEVEL = 1 - CONFIDENCE  # of a two-sided test
POWER = 0.8
MOST_SEEDS = 10_000  # that `seeds_needed` looks at
RESAMPLES = 2000
HALF = 0.5 + 1e-9  # a share of runs that is one half up to rounding counts as that


@dataclass(frozen=True, eq=False)
class Sample:
    """When it happened to each of n runs, or until when it did not.

    Attributes:
        steps: (n,) of the event, else the last at which it is known not to have come before.
        happened: (n,) whether the event came.
        seeds: (n,) runs of equal seeds in two samples make a pair.
    """

    steps: "Array"
    happened: "Flags"
    seeds: tuple[Hashable, ...] = ()

    @classmethod
    def of(
        cls, steps: Sequence[float], happened: Sequence[bool], seeds: Sequence[Hashable] = ()
    ) -> "Sample":
        """A sample from plain lists."""
        import numpy as np

        return cls(np.array(steps, np.float64), np.array(happened, np.bool_), tuple(seeds))

    @property
    def events(self) -> int:
        """In how many runs it happened."""
        return int(self.happened.sum())

    @property
    def last(self) -> float:
        """The last step of which anything is known."""
        return float(self.steps.max())

    def censored(self, change: "Callable[[Array], Array]" = lambda steps: steps) -> Any:
        """As SciPy's CensoredData, of the steps or of a function of them."""
        from scipy.stats import CensoredData

        steps = change(self.steps)
        return CensoredData(uncensored=steps[self.happened], right=steps[~self.happened])


@dataclass(frozen=True)
class Median:
    """The first step at which the event has come to half of the runs, by Kaplan and Meier's curve.

    Attributes:
        runs, events: how many runs there are, and to how many the event came.
        step: None if the curve never falls to one half: then it is after `last`.
        low, high: the interval of Brookmeyer and Crowley (Biometrics 38, 1982): the steps at which
            the lower and the upper end of the curve's band fall to one half; None where one does
            not, so that there is no bound on that side.
        last: the last step of which anything is known.
    """

    runs: int
    events: int
    step: float | None
    low: float | None
    high: float | None
    last: float

    @property
    def count(self) -> str:
        """To how many of the runs it came: "3 of 5"."""
        return f"{self.events} of {self.runs}"

    def __str__(self) -> str:
        """With its interval: "6,920 (4,100..–)", or "> 10,000 (8,200..–)" if not reached."""
        step = f"> {self.last:,.0f}" if self.step is None else f"{self.step:,.0f}"
        low, high = ("–" if end is None else f"{end:,.0f}" for end in (self.low, self.high))
        return step if self.low is None and self.high is None else f"{step} ({low}..{high})"


@dataclass(frozen=True, eq=False)
class Curve:
    """The share of runs to which the event has not come, after each step.

    The product-limit estimate of Kaplan and Meier (J. Am. Stat. Assoc. 53, 1958); its band by
    Greenwood's variance of log(-log share), which stays between 0 and 1 (Kalbfleisch and Prentice,
    The Statistical Analysis of Failure Time Data, 2nd ed. 2002, section 1.4). Both are SciPy's.

    Attributes:
        sample: of which it is.
        steps: (k,) at which an event came or a run ended, in order.
        share: (k,) from that step to the next.
        low, high: (k,) the band. The formula has none where the share is 1 or 0: before the first
            event it is (1, 1), and after the last, where the share can only have fallen, it goes
            from 0 to its upper end before.
    """

    sample: Sample
    steps: "Array"
    share: "Array"
    low: "Array"
    high: "Array"

    @classmethod
    def of(cls, sample: Sample) -> "Curve":
        """Of a sample of at least one run."""
        import numpy as np
        from scipy.stats import ecdf

        found = ecdf(sample.censored()).sf
        with warnings.catch_warnings():  # SciPy tells where the formula has no band
            warnings.simplefilter("ignore", RuntimeWarning)
            band = found.confidence_interval(CONFIDENCE, method="log-log")
        share: Array = np.array(found.probabilities, np.float64)
        inner = (share > 0) & (share < 1)
        before = float(band.high.probabilities[inner][-1]) if inner.any() else 1.0
        low = np.where(inner, band.low.probabilities, np.where(share > 0, 1.0, 0.0))
        high = np.where(inner, band.high.probabilities, np.where(share > 0, 1.0, before))
        return cls(sample, np.array(found.quantiles, np.float64), share, low, high)

    def at(self, steps: "Array") -> "tuple[Array, Array, Array]":
        """Share, low and high after each of some steps."""
        import numpy as np

        place = np.searchsorted(self.steps, steps, side="right")
        share, low, high = (np.append(1.0, part) for part in (self.share, self.low, self.high))
        return share[place], low[place], high[place]

    @cached_property
    def median(self) -> Median:
        """When the event has come to half of the runs."""
        sample = self.sample
        step, low, high = (self._first_half(part) for part in (self.share, self.low, self.high))
        return Median(len(sample.steps), sample.events, step, low, high, sample.last)

    def _first_half(self, shares: "Array") -> float | None:
        below = (shares <= HALF).nonzero()[0]
        return float(self.steps[below[0]]) if len(below) else None

    @property
    def end(self) -> float:
        """The step up to which the curve is known: for ever, if the event came to all."""
        return math.inf if self.share[-1] == 0 else self.sample.last

    def restricted_mean(self, horizon: float) -> float:
        """Mean step of the event, where what comes after `horizon` counts as coming there.

        The area below the curve (Royston and Parmar, BMC Med. Res. Methodol. 13, 2013). Groups are
        compared up to the same horizon, which is no later than the `end` of any.
        """
        import numpy as np

        inner = self.steps[self.steps < horizon]
        edges = np.concatenate([[0.0], inner, [horizon]])
        return float((np.append(1.0, self.share[: len(inner)]) * np.diff(edges)).sum())


def common_horizon(curves: Sequence[Curve]) -> float:
    """The step up to which all curves are known; the last event of all, if they are for ever."""
    end = min(curve.end for curve in curves)
    return end if math.isfinite(end) else max(curve.sample.last for curve in curves)


def log_rank(first: Sample, second: Sample) -> float | None:
    """How probable curves that differ as much are if both groups are alike: the log-rank test.

    (Mantel, Cancer Chemother. Rep. 50, 1966; two-sided; SciPy's. It is asymptotic: with five runs
    a group, p is rough.) None where it says nothing: no event came while both were observed.
    """
    import numpy as np
    from scipy.stats import logrank

    with np.errstate(invalid="ignore", divide="ignore"):
        p = float(logrank(first.censored(), second.censored()).pvalue)
    return None if math.isnan(p) else p


def holm(probabilities: Sequence[float | None]) -> list[float | None]:
    """Probabilities of several tests, corrected so that one in twenty *families* errs at 0.05.

    (Holm, Scand. J. Stat. 6, 1979: the smallest times their number, the next times one less, ...,
    and none below the one before.) None stays None and does not count.
    """
    known = sorted((p, place) for place, p in enumerate(probabilities) if p is not None)
    corrected: list[float | None] = [None] * len(probabilities)
    largest = 0.0
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, p * (len(known) - rank)))
        corrected[place] = largest
    return corrected


@dataclass(frozen=True)
class Ratio:
    """The median of one group over that of another.

    Attributes:
        value: None if a median is not reached.
        bound: then the ratio is ">" or "<" `limit`, or "" if both are not reached.
        low, high: the bootstrap's interval; `high` may be infinite.
    """

    value: float | None
    bound: str
    limit: float | None
    low: float
    high: float

    def __str__(self) -> str:
        """ "1.52 (1.1..2.3)" or "> 2.4 (1.8..∞)"; a dash if neither median is reached."""
        value = f"{self.bound} {self.limit:.3g}" if self.bound else "–"
        if self.value is not None:
            value = f"{self.value:.3g}"
        high = "∞" if math.isinf(self.high) else f"{self.high:.3g}"
        return f"{value} ({self.low:.3g}..{high})"


def median_ratio(
    first: Sample, second: Sample, generator: "np.random.Generator", resamples: int = RESAMPLES
) -> Ratio:
    """The ratio of two medians with a bootstrap interval (percentiles; Efron, J. Am. Stat. Assoc.
    76, 1981, for censored samples).

    Seeds that both groups have are drawn together, so that what a seed does to both drops out; the
    others are drawn group by group. A median that a resample does not reach lies somewhere after
    its last step: for the interval's lower end the ratio is as small as that allows, for the upper
    end as large. Of a single run every resample is the same, which says nothing of other seeds: the
    interval is then 0 to infinity.
    """
    import numpy as np

    one, other = Curve.of(first).median, Curve.of(second).median
    weights = _resampled(first, second, generator, resamples)
    (low_1, high_1), (low_2, high_2) = map(_medians, (first, second), weights)
    tail = int(resamples * LEVEL / 2)
    low = float(np.sort(low_1 / high_2)[tail])
    high = float(np.sort(high_1 / low_2)[-1 - tail])
    if min(len(first.steps), len(second.steps)) == 1:
        low, high = 0.0, math.inf
    if one.step is not None and other.step is not None:
        return Ratio(one.step / other.step, "", None, low, high)
    if other.step is not None:
        return Ratio(None, ">", one.last / other.step, low, high)
    if one.step is not None:
        return Ratio(None, "<", one.step / other.last, low, high)
    return Ratio(None, "", None, low, high)


def _resampled(
    first: Sample, second: Sample, generator: "np.random.Generator", resamples: int
) -> "tuple[Array, Array]":
    """How often each run of either sample is in each resample: (resamples, its runs) each."""
    import numpy as np

    shared = [seed for seed in dict.fromkeys(first.seeds) if seed in second.seeds]
    weights = []
    both = generator.multinomial(len(shared), _even(len(shared)), resamples) if shared else None
    for sample in (first, second):
        drawn = np.zeros((resamples, len(sample.steps)))
        seeds = sample.seeds or (None,) * len(sample.steps)
        alone = [place for place, seed in enumerate(seeds) if seed not in shared]
        for place, seed in enumerate(seeds):
            if both is not None and seed in shared:
                drawn[:, place] = both[:, shared.index(seed)]
        if alone:
            drawn[:, alone] = generator.multinomial(len(alone), _even(len(alone)), resamples)
        weights.append(drawn)
    return weights[0], weights[1]


def _even(count: int) -> list[float]:
    return [1 / count] * count


def _medians(sample: Sample, weights: "Array") -> "tuple[Array, Array]":
    """Kaplan and Meier's median of each resample at once: the least and the most that it may be.

    These differ where it is not reached: the resample's last step, and infinity. `Curve` does the
    same for one sample through SciPy, which has no weights.
    """
    import numpy as np

    order = np.lexsort((~sample.happened, sample.steps))  # at one step, events before ends
    steps, drawn = sample.steps[order], weights[:, order]
    at_risk = drawn[:, ::-1].cumsum(axis=1)[:, ::-1]
    events = np.where(sample.happened[order], drawn, 0.0)
    share = np.cumprod(1 - events / np.maximum(at_risk, 1), axis=1)
    below = share <= HALF
    reached, at = below.any(axis=1), steps[below.argmax(axis=1)]
    last = np.where(drawn > 0, steps, 0.0).max(axis=1)
    return np.where(reached, at, last), np.where(reached, at, np.inf)


def spread(samples: Sequence[Sample]) -> float | None:
    """Standard deviation of the logarithm of the event's step between runs of a group.

    Times are taken as log-normal; the fit is the likelihood's maximum, which knows what censored
    runs say (SciPy's). Of the groups with two events or more, pooled by their events less one; a
    maximum of the likelihood is too small by that much. None if no group has two.
    """
    import numpy as np
    from scipy.stats import norm

    def logs(steps: "Array") -> "Array":
        return np.log(np.maximum(steps, 1))

    squares, freedom = 0.0, 0
    for sample in samples:
        if sample.events > 1:
            whole = sample.happened.all()
            fitted = logs(sample.steps).std() if whole else norm.fit(sample.censored(logs))[1]
            squares += float(fitted) ** 2 * sample.events
            freedom += sample.events - 1
    return math.sqrt(squares / freedom) if freedom else None


def seeds_needed(ratio: float, deviation: float) -> int | None:
    """Runs a group of which a ratio of medians would be seen at `POWER`.

    By the two-sided t-test at 0.05 on the logarithms of the steps, neither paired nor corrected for
    many comparisons: the smallest n at which the non-central t distribution with 2n - 2 degrees of
    freedom and non-centrality |log ratio| / (deviation sqrt(2 / n)) exceeds the test's bound with
    that probability (Cohen, Statistical Power Analysis, 2nd ed. 1988, chapter 2).

    Args:
        ratio: positive and not 1.
        deviation: standard deviation of the logarithms, as `spread` has it.

    Returns:
        None if it takes more than `MOST_SEEDS`.
    """
    import numpy as np
    from scipy.stats import nct, t

    if deviation == 0:
        return 2
    n = np.arange(2, MOST_SEEDS + 1)
    freedom = 2 * n - 2
    shift = abs(math.log(ratio)) / (deviation * np.sqrt(2 / n))
    bound = t.ppf(1 - LEVEL / 2, freedom)
    enough = (nct.sf(bound, freedom, shift) >= POWER).nonzero()[0]
    return int(n[enough[0]]) if len(enough) else None
