"""Where curves agree and when they generalise, on made-up curves whose answers are known."""

import math

import numpy as np
import pytest

from grok_cli.report.replay import (
    BY_ACCURACY,
    BY_LOSS,
    Curves,
    Reached,
    Seeds,
    agreements,
    compression_epoch,
    reached,
    seed_steps,
)

NEVER = math.inf


def curves(steps: list[float], mean: list[float], spread: float = 0.0) -> Curves:
    at, middle = np.array(steps, float), np.array(mean, float)
    return Curves(at, middle, middle - spread, middle + spread)


def test_equal_curves_agree_up_to_the_last_step_that_both_measured() -> None:
    ours = curves([1, 10, 20, 30, 40], [5, 6, 7, 8, 9])
    theirs = curves([1, 2, 10, 30, 100], [5, 99, 6, 8, 99])
    for agreement in agreements("test/loss", ours, theirs):
        assert (agreement.closely, agreement.upto, agreement.parted) == (30, 30, None)


def test_a_curve_parts_at_the_first_step_that_differs_even_if_it_comes_back() -> None:
    ours = curves([1, 10, 20, 30], [5, 6.1, 7, 8])
    theirs = curves([1, 10, 20, 30], [5, 6.0, 7, 8])
    mean = agreements("test/loss", ours, theirs)[0]
    assert (mean.upto, mean.parted, mean.ours, mean.published) == (1, 10, 6.1, 6.0)


def test_tolerance_is_relative_above_one_nat_and_absolute_below() -> None:
    theirs = curves([1, 2, 3], [20.0, 0.5, 0.001])
    inside = curves([1, 2, 3], [20.19, 0.509, 0.0109])
    assert agreements("test/loss", inside, theirs)[0].parted is None
    assert agreements("test/loss", curves([1], [20.21]), theirs)[0].parted == 1
    assert agreements("test/loss", curves([2], [0.511]), theirs)[0].parted == 2


def test_close_agreement_is_ten_times_as_strict() -> None:
    theirs = curves([1, 2, 3], [20.0, 20.0, 20.0])
    mean = agreements("test/loss", curves([1, 2, 3], [20.0, 20.019, 20.021]), theirs)[0]
    assert (mean.closely, mean.upto) == (2, 3)


def test_each_curve_is_compared_with_its_own() -> None:
    ours, theirs = curves([1, 2], [5, 6], spread=1), curves([1, 2], [5, 6], spread=2)
    mean, lowest, highest = agreements("test/loss", ours, theirs)
    assert (mean.curve, mean.parted) == ("mean", None)
    assert (lowest.curve, lowest.ours, lowest.published) == ("lowest", 4, 3)
    assert (highest.curve, highest.ours, highest.published) == ("highest", 6, 7)


def test_without_a_common_step_nothing_is_compared() -> None:
    assert agreements("test/loss", curves([7], [1]), curves([8], [1])) == []


def test_only_steps_and_curves_that_both_sides_have_are_compared() -> None:
    """A published mean without a lowest curve; and a step at which one side has no value."""
    steps, here = np.array([1.0, 2, 3]), np.array([5.0, math.nan, 7])
    unknown = np.full(3, math.nan)
    theirs = Curves(steps, np.array([5.0, 6, math.nan]), unknown, np.array([8.0, 9, 9]))
    mean, highest = agreements("m", Curves(steps, here, here - 1, here + 3), theirs)
    assert (mean.curve, mean.upto, mean.parted) == ("mean", 1, None)
    assert (highest.curve, highest.upto, highest.parted) == ("highest", 1, 3)


def test_curves_over_seeds_are_taken_where_all_seeds_have_a_value() -> None:
    seeds = Seeds(np.array([1.0, 2, 3]), np.array([[1.0, 2, np.nan], [3.0, 6, 7]]))
    over = seeds.curves
    assert over.steps.tolist() == [1, 2]
    assert (over.mean.tolist(), over.lowest.tolist(), over.highest.tolist()) == (
        [2, 4],
        [1, 2],
        [3, 6],
    )


def test_accuracy_generalises_at_the_threshold_and_loss_at_its_own() -> None:
    steps = np.array([10.0, 20, 30])
    assert BY_ACCURACY.first(steps, np.array([0.99, 0.9949, 0.995])) == 30
    assert BY_LOSS.first(steps, np.array([0.02, 0.01, 0.001])) == 20
    assert BY_LOSS.first(steps, np.array([0.02, np.nan, 0.011])) == NEVER


def test_first_seed_is_the_best_curve_and_last_the_worst() -> None:
    steps = np.arange(10.0, 60, 10)
    accuracy = Seeds(steps, np.array([steps >= 20, steps >= 40], float)).curves
    published = {"first": 19, "mean": 33, "last": 38}
    found = reached(BY_ACCURACY, accuracy, published, 10_000)
    assert [(r.which, r.ours, r.published) for r in found] == [
        ("first", 20, 19),
        ("mean", 40, 33),
        ("last", 40, 38),
    ]
    loss = Seeds(steps, np.array([steps < 20, steps < 50], float)).curves
    assert [r.ours for r in reached(BY_LOSS, loss, {"first": 1, "last": 1}, 10_000)] == [20, 50]


@pytest.mark.parametrize(
    ("ours", "published", "ended", "near"),
    [
        (1100, 1000, 10_000, True),
        (1101, 1000, 10_000, False),
        (900, 1000, 10_000, True),
        (899, 1000, 10_000, False),
        (NEVER, 1000, 10_000, False),
        (NEVER, 1000, 1050, None),  # it may yet come in time
        (NEVER, NEVER, 10_000, True),
        (NEVER, NEVER, 5000, None),
        (9500, NEVER, 10_000, True),  # never: beyond 10,000
        (5000, NEVER, 10_000, False),
        (NEVER, 9787, 10_000, None),
        (12_000, NEVER, 20_000, True),  # the published runs would have ended before
    ],
)
def test_steps_are_near_within_a_tenth(
    ours: float, published: float, ended: int, near: bool | None
) -> None:
    assert Reached("mean", ours, published, ended, 10_000).near is near
    assert Reached("mean", 10, NEVER, 11, 11).near  # 11 with the tenth is the very end


def test_each_seed_is_given_the_evaluation_before() -> None:
    steps = np.array([1.0, 10, 20, 30])
    values = np.array([[0, 1, 1, 1], [0, 0, 0, 0.9], [1, 1, np.nan, 1], [0, 0, np.nan, 1]])
    found = seed_steps(BY_ACCURACY, Seeds(steps, values))
    assert found == [(10, 1), (NEVER, 30), (1, 0), (30, 10)]


def test_compression_epoch_is_the_first_within_a_tenth_of_the_minimum_but_the_first_row() -> None:
    steps = np.array([1.0, 200, 400, 600, 800])
    assert compression_epoch(steps, np.array([1.0, 9, 2.19, 2.0, 5])) == 400
    assert compression_epoch(steps, np.array([1.0, 9, 2.21, 2.0, 5])) == 600
    assert compression_epoch(steps[:1], np.array([1.0])) is None


def test_compression_epoch_takes_a_tenth_above_the_minimum_itself_and_leaves_out_gaps() -> None:
    """1.1 times 10 is 11; the first measured row is left out, not the first of the file."""
    steps = np.array([1.0, 200, 400, 600])
    assert compression_epoch(steps, np.array([1.0, 11, 10, 10])) == 200
    assert compression_epoch(steps, np.array([math.nan, 10, 40, 10])) == 600
    assert compression_epoch(steps, np.full(4, math.nan)) is None


def test_difference_of_exactly_the_tolerance_agrees() -> None:
    theirs = curves([1, 2], [0.0, 0.0])
    assert agreements("m", curves([1, 2], [0.01, 0.0]), theirs)[0].parted is None
    assert agreements("m", curves([1, 2], [0.001, 0.0]), theirs)[0].closely == 2


def test_agreement_is_by_the_distance_in_either_direction() -> None:
    for sign in (1, -1):
        theirs = curves([1, 2], [sign * 20.0, 0])
        assert agreements("m", curves([1, 2], [sign * 20.21, 0]), theirs)[0].parted == 1
        assert agreements("m", curves([1, 2], [sign * 19.79, 0]), theirs)[0].parted == 1
        assert agreements("m", curves([1, 2], [sign * 19.81, 0]), theirs)[0].parted is None


def test_a_curve_that_never_agrees_does_so_up_to_step_0() -> None:
    for agreement in agreements("m", curves([5, 6], [1, 1]), curves([5, 6], [2, 1])):
        assert (agreement.closely, agreement.upto, agreement.parted) == (0, 0, 5)
    for agreement in agreements("m", curves([5, 6], [1, 1]), curves([5, 6], [1, 1])):
        assert math.isnan(agreement.ours)
        assert math.isnan(agreement.published)
        assert agreement.metric == "m"


def test_values_that_are_not_known_are_not_compared() -> None:
    nan = math.nan
    ours = curves([1, 2, 3, 4], [5, nan, 7, 8])
    theirs = curves([1, 2, 3, 4], [5, 6, nan, 8])
    assert [a.upto for a in agreements("m", ours, theirs)] == [4] * 3


def test_what_was_reached_says_until_when_ours_were_evaluated() -> None:
    ours = curves([10, 20], [0.1, 0.2])
    assert reached(BY_ACCURACY, ours, {"mean": 15}, 300) == [Reached("mean", NEVER, 15, 20, 300)]
    nothing = curves([], [])
    assert reached(BY_ACCURACY, nothing, {"last": 15}, 9) == [Reached("last", NEVER, 15, 0, 9)]


def test_distance_is_the_part_of_the_published_step_by_which_ours_is_late() -> None:
    assert Reached("mean", 1100, 1000, 10_000, 10_000).off == pytest.approx(0.1)
    assert Reached("mean", 900, 1000, 10_000, 10_000).off == pytest.approx(-0.1)
    assert Reached("mean", NEVER, 1000, 10_000, 10_000).off is None
    assert Reached("mean", 1000, NEVER, 10_000, 10_000).off is None


@pytest.mark.parametrize(
    ("ours", "published", "ended", "near"),
    [
        (10_000, 9500, 10_000, True),  # a step at the very end is within the length
        (NEVER, 1000, 1100, False),  # 10 % later is the last that would have been near
        (NEVER, NEVER, 9_999, None),
        (9091, NEVER, 10_000, True),  # 10,000.1 with the tenth
        (9090, NEVER, 10_000, False),
        (NEVER, 9500, 20_000, None),  # beyond the published length nothing counts
        (10_400, 9800, 20_000, None),  # nor does a step there that is near
    ],
)
def test_ends_of_what_is_near(ours: float, published: float, ended: int, near: bool | None) -> None:
    assert Reached("mean", ours, published, ended, 10_000).near is near
