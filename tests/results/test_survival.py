"""Survival statistics agree with an independent package, and with what can be done on paper."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from grok_cli.results.survival import (
    Curve,
    Sample,
    _medians,
    common_horizon,
    holm,
    log_rank,
    median_ratio,
    seeds_needed,
    spread,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from lifelines import KaplanMeierFitter
    from lifelines.statistics import logrank_test
    from lifelines.utils import (
        median_survival_times,
        qth_survival_times,
        restricted_mean_survival_time,
    )


def drawn(seed: int, runs: int, scale: float, last: float = 1e9, coarse: int = 1) -> Sample:
    """A group whose runs end at the latest at `last`; `coarse` makes ties."""
    generator = np.random.default_rng(seed)
    steps = np.ceil(generator.lognormal(math.log(scale), 0.6, runs) / coarse) * coarse
    ends = np.minimum(generator.uniform(0.5, 4, runs).round(1) * scale, last)
    return Sample(np.minimum(steps, ends), steps <= ends, tuple(range(runs)))


# The survival times of patients with two kinds of glioma, as printed by Bland and Altman,
# "The logrank test", BMJ 328, 2004.
ASTROCYTOMA = Sample.of(
    [6, 13, 21, 30, 37, 38, 49, 50, 63, 79, 86, 98, 202, 219, 31, 47, 80, 82, 82, 149],
    [True] * 14 + [False] * 6,
)
GLIOBLASTOMA = Sample.of(
    np.fromstring(
        "10 10 12 13 14 15 16 17 18 20 24 24 25 28 30 33 35 37 40 40 46 48 76 81 82 91 112 181"
        " 34 40 70",
        sep=" ",
    ).tolist(),
    [True] * 28 + [False] * 3,
)
SETS = {
    "with ties": [drawn(1, 20, 1000, coarse=500), drawn(2, 15, 2000, coarse=500)],
    "all censored": [Sample.of([50, 60, 60], [False] * 3), Sample.of([70, 80], [False] * 2)],
    "one group": [drawn(3, 5, 3000, 4000)],
    "two groups": [ASTROCYTOMA, GLIOBLASTOMA],
    "twenty groups": [drawn(10 + i, 3 + i, 500 * (1 + i % 4), 3000) for i in range(20)],
}


def fitted(sample: Sample) -> KaplanMeierFitter:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return KaplanMeierFitter().fit(sample.steps, sample.happened)


def finite(step: float) -> float | None:
    return float(step) if math.isfinite(step) else None


@pytest.mark.parametrize("name", SETS)
def test_curve_band_and_median_are_those_of_lifelines(name: str) -> None:
    for sample in SETS[name]:
        curve, theirs = Curve.of(sample), fitted(sample)
        share = theirs.survival_function_at_times(curve.steps).to_numpy()
        np.testing.assert_allclose(curve.share, share, atol=1e-12)
        inner = (share > 1e-12) & (share < 1)  # elsewhere the band has no formula
        band = theirs.confidence_interval_.loc[curve.steps].to_numpy()
        np.testing.assert_allclose(curve.low[inner], band[inner, 0], rtol=1e-6)
        np.testing.assert_allclose(curve.high[inner], band[inner, 1], rtol=1e-6)
        # Their share is the exponential of a sum: one half may be some 1e-16 more.
        median = qth_survival_times(0.5 + 1e-9, theirs.survival_function_)
        assert curve.median.step == finite(median)


@pytest.mark.parametrize("name", ["with ties", "one group", "two groups", "twenty groups"])
def test_interval_of_the_median_is_that_of_lifelines(name: str) -> None:
    for sample in SETS[name]:
        curve, band = Curve.of(sample), fitted(sample).confidence_interval_
        if curve.share[-1] == 0:  # they have a band of (0, 0) where the formula has none
            band = band.iloc[:-1]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ends = median_survival_times(band).to_numpy().ravel()
        assert (curve.median.low, curve.median.high) == (finite(ends[0]), finite(ends[1]))


@pytest.mark.parametrize("name", SETS)
def test_restricted_mean_is_that_of_lifelines(name: str) -> None:
    curves = [Curve.of(sample) for sample in SETS[name]]
    horizon = common_horizon(curves)
    for curve in curves:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = restricted_mean_survival_time(fitted(curve.sample), t=horizon)
        assert curve.restricted_mean(horizon) == pytest.approx(theirs)


@pytest.mark.parametrize("name", ["with ties", "two groups", "twenty groups"])
def test_log_rank_is_that_of_lifelines(name: str) -> None:
    first, *others = SETS[name]
    for second in others:
        theirs = logrank_test(first.steps, second.steps, first.happened, second.happened)
        assert log_rank(first, second) == pytest.approx(theirs.p_value)


def test_log_rank_is_as_printed() -> None:
    assert log_rank(ASTROCYTOMA, GLIOBLASTOMA) == pytest.approx(0.00618, abs=5e-6)


def test_log_rank_says_nothing_of_what_did_not_happen() -> None:
    assert log_rank(*SETS["all censored"]) is None


def test_curve_of_five_runs_done_on_paper() -> None:
    curve = Curve.of(Sample.of([10, 20, 20, 25, 30], [True, True, False, True, False]))
    # 4/5 go on after 10; of 4 at risk one falls at 20; of 2 at risk one at 25.
    assert curve.steps.tolist() == [10, 20, 25, 30]
    np.testing.assert_allclose(curve.share, [0.8, 0.6, 0.3, 0.3])
    assert curve.median.step == 25
    assert curve.restricted_mean(30) == pytest.approx(10 + 0.8 * 10 + 0.6 * 5 + 0.3 * 5)
    assert curve.at(np.array([0.0, 10, 24, 99]))[0].tolist() == pytest.approx([1, 0.8, 0.6, 0.3])


def test_median_that_is_not_reached_is_a_bound() -> None:
    median = Curve.of(Sample.of([500, 900, 1000, 1000], [True] + [False] * 3)).median
    assert (median.step, median.high, median.last, median.count) == (None, None, 1000, "1 of 4")
    assert str(median).startswith("> 1,000")
    assert str(Curve.of(SETS["all censored"][0]).median) == "> 60"


def test_band_never_widens_upward_and_starts_and_ends_defined() -> None:
    curve = Curve.of(Sample.of([1, 2, 3], [True] * 3))
    assert (curve.low[-1], curve.high[-1]) == (0, curve.high[-2])
    assert np.isfinite([curve.low, curve.high]).all()
    (only,) = Curve.of(Sample.of([5], [True])).high
    assert only == 1


def test_horizon_is_where_the_shortest_curve_ends() -> None:
    whole = Curve.of(Sample.of([5, 8], [True, True]))
    assert common_horizon([whole, Curve.of(Sample.of([4, 7], [True, False]))]) == 7
    assert common_horizon([whole, Curve.of(Sample.of([4, 9], [True, True]))]) == 9


def test_holm_done_on_paper() -> None:
    assert holm([0.01, 0.04, None, 0.03]) == [0.03, 0.06, None, 0.06]
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=8), st.data())
def test_median_of_a_resample_is_that_of_its_curve(
    runs: list[tuple[int, bool]], data: st.DataObject
) -> None:
    sample = Sample.of([step for step, _ in runs], [came for _, came in runs])
    count = len(runs)
    drawn = data.draw(st.lists(st.integers(0, count - 1), min_size=count, max_size=count))
    resample = Sample(sample.steps[drawn], sample.happened[drawn])
    weights = np.bincount(drawn, minlength=count)[None].astype(float)
    (least,), (most,) = _medians(sample, weights)
    median = Curve.of(resample).median
    assert finite(most) == median.step
    assert least == (median.last if median.step is None else median.step)


def test_ratio_of_groups_in_step_seed_by_seed_has_no_spread() -> None:
    first = Sample.of([100, 300, 900], [True] * 3, (1, 2, 3))
    twice = Sample.of([600, 200, 1800], [True] * 3, (2, 1, 3))
    paired = median_ratio(twice, first, np.random.default_rng(0), 200)
    assert (paired.value, paired.low, paired.high) == (2, 2, 2)
    others = Sample(twice.steps, twice.happened, (4, 5, 6))
    assert median_ratio(others, first, np.random.default_rng(0), 200).high > 2


@pytest.mark.parametrize("turned", [False, True])
def test_a_single_run_says_nothing_of_other_seeds(turned: bool) -> None:
    """Whatever is drawn of it is itself, which would look like certainty."""
    one, three = Sample.of([200], [True], (1,)), Sample.of([100] * 3, [True] * 3, (1, 2, 3))
    pair = (three, one) if turned else (one, three)
    found = median_ratio(*pair, np.random.default_rng(0), 200)
    assert (found.value, found.low, found.high) == (0.5 if turned else 2, 0, math.inf)


def test_ratio_with_a_median_that_is_not_reached_is_a_bound() -> None:
    never = Sample.of([1000] * 4, [False] * 4, range(4))
    soon = Sample.of([100, 200, 210, 300], [True] * 4, range(4))
    above = median_ratio(never, soon, np.random.default_rng(0), 200)
    assert (above.value, above.bound, above.limit, above.high) == (None, ">", 5, math.inf)
    assert 1000 / 300 <= above.low <= 5  # in no resample is it reached: it is after 1,000
    below = median_ratio(soon, never, np.random.default_rng(0), 200)
    assert (below.value, below.bound, below.limit, below.low) == (None, "<", 0.2, 0)
    assert 0.2 <= below.high <= 0.3
    nothing = median_ratio(never, never, np.random.default_rng(0), 200)
    assert (nothing.value, nothing.bound, nothing.low, nothing.high) == (None, "", 0, math.inf)


def test_the_interval_of_a_ratio_holds_95_percent_of_the_resamples() -> None:
    """Of 27 runs at steps 1 to 27, drawn with replacement, the median is at most k where 14 of the
    27 are, whose chance is binomial: 3.6 % at 9 and 1.3 % at 8, 96.4 % at 18 and 98.7 % at 19."""
    many, ones = Sample.of(range(1, 28), [True] * 27), Sample.of([1, 1], [True] * 2)
    found = median_ratio(many, ones, np.random.default_rng(0), 20_000)
    chances = [binom.sf(13, 27, k / 27) for k in range(28)]
    ends = tuple(int(np.searchsorted(chances, chance)) for chance in (0.025, 0.975))
    assert (found.low, found.high) == ends == (9, 19)


def test_bootstrap_depends_on_its_generator_alone() -> None:
    first, second = SETS["with ties"]
    one, again = (median_ratio(first, second, np.random.default_rng(7)) for _ in range(2))
    assert one == again


def test_spread_is_the_sample_standard_deviation_of_logs() -> None:
    steps = [100.0, 200.0, 400.0]
    sample = Sample.of(steps, [True] * 3)
    assert spread([sample]) == pytest.approx(np.log(steps).std(ddof=1))
    assert spread([sample, Sample.of([5], [True])]) == spread([sample])
    assert spread([Sample.of([5, 6], [True, False])]) is None


def test_spread_of_censored_runs_is_wider_than_of_those_that_did() -> None:
    generator = np.random.default_rng(0)
    steps = generator.lognormal(7, 0.5, 400)
    sample = Sample(np.minimum(steps, 1300), steps <= 1300)
    assert spread([sample]) == pytest.approx(0.5, rel=0.1)
    assert np.log(steps[steps <= 1300]).std() < 0.4


def test_seeds_needed_are_those_of_cohens_table() -> None:
    # Cohen 1988, table 2.4.1: two-sided 0.05, power 0.80: d = 0.5: 64, 0.8: 26, 1.0: 17, 1.2: 12.
    for effect, runs in {0.5: 64, 0.8: 26, 1.0: 17, 1.2: 12}.items():
        assert seeds_needed(math.exp(effect), 1.0) == runs
        assert seeds_needed(math.exp(-effect), 1.0) == runs
    assert seeds_needed(1.5, 0.0) == 2
    assert seeds_needed(1.0001, 1.0) is None
