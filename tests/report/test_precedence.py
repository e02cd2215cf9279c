"""The test on distributions, on cases that can be counted."""

import math
from itertools import combinations

import pytest

from grok_cli.report.precedence import (
    COMPATIBLE,
    INCOMPATIBLE,
    UNDECIDED,
    Precedence,
    precedence,
    precedence_p,
)

NEVER = math.inf


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("m", [1, 2, 4, 5, 7])
def test_p_value_is_the_share_of_orders(n: int, m: int) -> None:
    """Counted over all orders of n published and m of ours."""
    orders = list(combinations(range(n + m), n))
    statistic = [max(min(order), n + m - 1 - max(order)) for order in orders]
    for s in range(m + 1):
        share = sum(value >= s for value in statistic) / len(orders)
        assert precedence_p(n, m, s) == pytest.approx(share, abs=1e-14)


def test_p_values_of_five_against_five() -> None:
    assert precedence_p(5, 5, 5) == pytest.approx(2 / 252)
    assert precedence_p(5, 5, 4) == pytest.approx(12 / 252)
    assert precedence_p(5, 5, 0) == 1


def result_of(
    steps: list[float],
    first: float | None = 2099,
    last: float | None = 3380,
    groups: int = 4,
    length: int = 10_000,
) -> Precedence:
    """Seeds that generalised at these steps, evaluated every 10 steps up to `length`."""
    ours = [(step, float(length) if math.isinf(step) else step - 10) for step in steps]
    return precedence(ours, first, last, length=10_000, seeds=5, groups=groups)


def test_seeds_among_the_published_are_compatible() -> None:
    result = result_of([2200, 2600, 3000, 3200, 3300])
    assert (result.before, result.after, result.p) == (0, 0, 1)
    assert result.result == COMPATIBLE


def test_five_later_than_all_published_are_not() -> None:
    result = result_of([3400, 3500, 3600, 4000, 9000])
    assert result.after == 5
    assert result.p == pytest.approx(2 / 252)
    assert result.result == INCOMPATIBLE
    assert result_of([3300, 3500, 3600, 4000, 9000]).result == COMPATIBLE


def test_a_seed_at_the_first_published_step_is_not_before_it() -> None:
    assert result_of([2099] * 5).before == 0
    assert result_of([2098] * 5).before == 5


def test_a_seed_is_late_only_if_it_certainly_was() -> None:
    """Published last 3380, ours evaluated at 3380 and 3390: it may have been 3381 to 3390."""
    assert result_of([3390] * 5).after == 5
    assert result_of([3380] * 5).after == 0


def test_seeds_that_never_generalise_count_as_late() -> None:
    assert result_of([NEVER] * 5).result == INCOMPATIBLE
    assert result_of([NEVER] * 5, length=3000).result == UNDECIDED  # they may yet do in time


def test_never_is_told_apart_from_later_than_the_published_runs_were_trained() -> None:
    assert result_of([NEVER] * 5, NEVER, NEVER).result == COMPATIBLE
    assert result_of([NEVER] * 5, NEVER, NEVER, length=3000).result == UNDECIDED
    assert result_of([9000] * 5, NEVER, NEVER).before == 5
    assert result_of([12_000] * 5, NEVER, NEVER).before == 0
    assert result_of([12_000] * 5, 9155, NEVER).after == 0


def test_too_few_seeds_get_no_verdict() -> None:
    assert result_of([9000] * 4).result == UNDECIDED
    assert "too few" in result_of([2500] * 2).reason
    assert result_of([9000] * 4, groups=1).result == INCOMPATIBLE


def test_where_the_published_steps_are_not_known_nothing_is_said() -> None:
    assert result_of([9000] * 5, None, None).result == UNDECIDED


def test_reasons_count_the_seeds() -> None:
    assert result_of([3000.0] * 4 + [9000.0]).reason == (
        "0 of 5 before the first published seed, 1 after the last"
    )
    assert result_of([10.0, 20.0, 3000.0, 9000.0, 9000.0]).reason == (
        "2 of 5 before the first published seed, 2 after the last"
    )
    assert result_of([9000.0] * 4).reason == "4 seeds are too few for this test"
    ended = result_of([2000.0, NEVER, 9000.0, NEVER, 2500.0], length=3000)
    assert ended.reason == "2 of 5 ended before the last published seed, not generalised"
    assert (ended.before, ended.after, ended.p, ended.result) == (1, 1, None, UNDECIDED)


def test_one_published_step_alone_is_not_enough() -> None:
    for first, last in ((None, 3380), (2099, None)):
        result = result_of([9000.0] * 5, first, last)
        assert (result.before, result.after, result.p, result.result) == (0, 0, None, UNDECIDED)
        assert result.reason == "the published seeds' steps are not known"


def test_the_larger_side_is_tested() -> None:
    """4 of 5 before and 1 after: p(4) = 12/252."""
    result = result_of([10.0] * 4 + [9000.0])
    assert (result.before, result.after) == (4, 1)
    assert result.p == pytest.approx(12 / 252)
    assert result.result == COMPATIBLE
    assert result_of([10.0] * 4 + [3000.0], groups=1).result == INCOMPATIBLE  # 0.0476 < 0.05


def test_what_the_published_runs_did_not_live_to_see_is_not_before_it() -> None:
    assert result_of([10_000.0] * 5, NEVER, NEVER).before == 5
    assert result_of([10_001.0] * 5, NEVER, NEVER).before == 0


def test_a_run_that_ended_at_the_last_published_step_is_late() -> None:
    assert result_of([NEVER] * 5, length=3380).result == INCOMPATIBLE
    assert result_of([NEVER] * 5, length=3379).result == UNDECIDED
    assert result_of([NEVER] * 5, 2099, NEVER, length=10_000).result == COMPATIBLE


def test_too_few_seeds_are_counted_all_the_same() -> None:
    reason = "4 seeds are too few for this test"
    expected = Precedence(0, 4, precedence_p(5, 4, 4), UNDECIDED, reason)
    assert result_of([9000.0] * 4) == expected


def test_a_chance_of_exactly_five_percent_is_not_below_it() -> None:
    """Beside one published seed: p(39) of 39 is 2/40; p(78) of 79 is 4/80, and p(79) 2/80."""

    def beside_one(steps: list[float]) -> str:
        ours = [(step, step - 10) for step in steps]
        return precedence(ours, 100, 100, length=10_000, seeds=1, groups=1).result

    assert beside_one([200.0] * 39) == UNDECIDED
    assert beside_one([200.0] * 78 + [100.0]) == COMPATIBLE
    assert beside_one([200.0] * 79) == INCOMPATIBLE
