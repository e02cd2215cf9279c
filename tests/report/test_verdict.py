"""Results of groups and the sentence on all of them, on made-up runs beside the published ones."""

import math

import numpy as np

from grok_cli.report.published import published
from grok_cli.report.replay import ACCURACY, TEST_LOSS, Curves, Seeds
from grok_cli.report.verdict import (
    NOT_REPRODUCED,
    REPLAYED,
    REPRODUCED,
    UNDECIDED,
    Comparison,
    compare,
    overall,
    same_order,
)

KNOWN = published()
NEVER = math.inf
USUAL = {
    "off": [6290, 7000, 7300, 7500, 7900],
    "attn-pre": [3700, 5000, 6000, 7000, 7200],
    "pre": [2100, 2600, 3000, 3200, 3380],
    "mlp-pre": [750, 800, 900, 1000, 1230],
}


def accuracy(steps: list[float], length: int = 10_000) -> Seeds:
    """Seeds that generalised at these steps, evaluated every 10."""
    grid = np.arange(10.0, length + 1, 10)
    return Seeds(grid, np.array([grid >= step for step in steps], float))


def loss_as_published(name: str, upto: int, length: int = 10_000) -> Seeds:
    """Five seeds whose curves are the published ones up to a step, and half of them afterwards."""
    curves: Curves = KNOWN.groups[name].curves[TEST_LOSS]
    others = (5 * curves.mean - curves.lowest - curves.highest) / 3
    values = np.array([curves.lowest, others, others, others, curves.highest])
    values = np.where(curves.steps <= upto, values, values / 2)
    return Seeds(curves.steps[curves.steps <= length], values[:, curves.steps <= length])


def compared(
    name: str,
    steps: list[float],
    upto: int | None = None,
    groups: int = 4,
    length: int = 10_000,
) -> Comparison:
    """Runs that generalised at these steps; with `upto` from the published start."""
    ours = {ACCURACY: accuracy(steps, length)}
    if upto is not None:
        ours[TEST_LOSS] = loss_as_published(name, upto, length)
    return compare(KNOWN.groups[name], ours, upto is not None, KNOWN, groups)


def test_runs_that_follow_and_generalise_near_are_replayed() -> None:
    result = compared("off", USUAL["off"], upto=1000)
    assert result.result == REPLAYED
    assert result.upto == 1000
    assert result.parted is not None
    assert result.parted.parted == 1200
    assert result.test is None


def test_runs_that_part_at_once_are_not_replayed() -> None:
    result = compared("off", USUAL["off"], upto=50)
    assert result.result == REPRODUCED
    assert "parts at 100" in result.reason


def test_runs_that_follow_but_generalise_elsewhere_are_not_replayed() -> None:
    early = compared("off", [2000.0] * 5, upto=1000)
    assert early.result == NOT_REPRODUCED
    assert "then generalises elsewhere" in early.reason
    assert compared("off", [4000, *USUAL["off"][1:]], upto=1000).result == REPRODUCED


def test_runs_that_end_before_generalisation_are_undecided() -> None:
    result = compared("off", [NEVER] * 5, upto=1000, length=2000)
    assert result.result == UNDECIDED
    assert "ours end before generalisation" in result.reason


def test_without_an_exact_start_curves_are_not_compared() -> None:
    ours = {ACCURACY: accuracy(USUAL["off"]), TEST_LOSS: loss_as_published("off", 10_000)}
    result = compare(KNOWN.groups["off"], ours, False, KNOWN, 4)
    assert (result.result, result.agreements) == (REPRODUCED, ())


def test_runs_that_never_generalise_as_published_are_replayed() -> None:
    name = "weight-decay-0.1"
    result = compare(
        KNOWN.groups[name], {TEST_LOSS: loss_as_published(name, 10_000)}, True, KNOWN, 1
    )
    assert result.result == REPLAYED
    assert overall([result]) == (
        "Replayed: weight-decay-0.1, the published curves up to step 10,000, "
        "as there without generalisation."
    )


def test_a_loss_that_was_published_alone_tells_generalisation() -> None:
    name = "attn-pre-v"
    result = compare(
        KNOWN.groups[name],
        {TEST_LOSS: loss_as_published(name, 10_000), ACCURACY: accuracy([5.0])},
        True,
        KNOWN,
        1,
    )
    assert [(r.which, r.published) for r in result.generalised] == [
        ("first", 1523),
        ("mean", 1891),
        ("last", 1982),
    ]
    assert result.result == REPLAYED


def test_sentence_on_all_groups() -> None:
    replayed = [compared(name, USUAL[name], upto=1000) for name in ("off", "attn-pre", "pre")]
    assert overall(replayed) == (
        "Replayed: all 3 groups, the published curves up to step 1,000, "
        "generalisation within 2.5% of the published steps."
    )
    others = [compared(name, steps) for name, steps in USUAL.items()]
    assert overall(others) == (
        "Reproduced: all 4 groups compatible with the published seeds, and in the published order."
    )
    mixed = overall([*replayed, others[3]])
    assert mixed.startswith("Reproduced: mlp-pre compatible with the published seeds")
    assert "Replayed: off, attn-pre, pre, the published curves" in mixed
    late = overall([*others[:3], compared("mlp-pre", [1500.0] * 5)])
    assert late.startswith("Not reproduced: mlp-pre not compatible")
    few = overall([*replayed, compared("mlp-pre", [4000.0])])
    assert few.startswith("Undecided: mlp-pre")


def test_order_is_that_of_the_medians_where_published_seeds_do_not_overlap() -> None:
    usual = [compared(name, steps) for name, steps in USUAL.items()]
    assert same_order(usual)
    overlapping = [compared("off", [6300.0] * 5), compared("attn-pre", [7200.0] * 5), *usual[2:]]
    assert same_order(overlapping)
    swapped = [*usual[:3], compared("mlp-pre", [1100, 1200, 4000, 4100, 4200])]
    assert same_order(swapped) is False
    assert "but in another order" in overall(swapped)


def test_groups_that_never_generalised_are_in_no_order() -> None:
    usual = [compared(name, steps) for name, steps in USUAL.items()]
    assert same_order([*usual[:3], compared("mlp-pre", [750, 800, 900, 1000, NEVER])])
    never = [compared("off", [NEVER] * 5), compared("mlp-pre", [NEVER] * 5)]
    assert same_order(never) is None
    assert same_order([compared("off", [100.0] * 5), compared("mlp-pre", [NEVER] * 5)]) is None
