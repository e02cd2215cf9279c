"""Results of groups and the sentence on all of them, on made-up runs beside the published ones."""

import math
from types import SimpleNamespace

import numpy as np

from grok_cli.report.published import published
from grok_cli.report.replay import ACCURACY, TEST_LOSS, TRAIN_LOSS, Curves, Reached, Seeds
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


def loss_as_published(name: str, upto: int, length: int = 10_000, metric: str = TEST_LOSS) -> Seeds:
    """Five seeds whose curves are the published ones up to a step, and half of them afterwards."""
    curves: Curves = KNOWN.groups[name].curves[metric]
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


def test_runs_that_end_between_the_first_seed_and_the_last_are_undecided() -> None:
    """The first at 6,290 is near; of the mean, published at 7,764, nothing is known yet."""
    result = compared("off", [6290, 7000, NEVER, NEVER, NEVER], upto=1000, length=7200)
    assert [step.near for step in result.accuracy] == [True, None, None]
    assert result.result == UNDECIDED
    assert "ours end before generalisation" in result.reason
    whole = compared("off", [6290, 7000, 7300, 7500, 7900], upto=1000, length=8000)
    assert whole.result == REPLAYED


def test_where_generalisation_was_not_measured_a_replay_is_undecided() -> None:
    ours = {TRAIN_LOSS: loss_as_published("off", 10_000, metric=TRAIN_LOSS)}
    result = compare(KNOWN.groups["off"], ours, True, KNOWN, 1)
    assert (result.result, result.steps, result.generalised) == (UNDECIDED, (), ())
    assert result.reason.startswith("follows to step 10,000")


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


def test_a_training_loss_that_falls_early_is_no_generalisation() -> None:
    """Pairs are memorised at step 300; the loss that tells is that of the test pairs."""

    def steps_of(name: str, **more: Seeds) -> tuple[Comparison, list[float]]:
        test = loss_as_published(name, 10_000)
        early = Seeds(test.steps, np.tile(np.where(test.steps >= 300, 1e-4, 1.0), (5, 1)))
        ours = {TRAIN_LOSS: early, TEST_LOSS: test, **more}
        result = compare(KNOWN.groups[name], ours, False, KNOWN, 1)
        return result, [reached.ours for reached in result.loss]

    alone, loss = steps_of("attn-pre-v")
    assert (alone.steps, loss) == ((1600, 2000, 2000, 2000, 2000), [1600, 2000, 2000])
    assert alone.generalised == alone.loss
    beside, loss = steps_of("off", **{ACCURACY: accuracy(USUAL["off"])})
    assert (beside.steps, loss) == (tuple(USUAL["off"]), [6400, 8000, 8000])


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


def test_groups_that_meet_in_one_published_step_are_in_no_order() -> None:
    early, late = (
        SimpleNamespace(
            median=median,
            generalised=[
                Reached(which, 1, step, 9, 9) for which, step in (("first", low), ("last", high))
            ],
        )
        for median, low, high in ((3.0, 50, 100), (2.0, 100, 150))
    )
    assert same_order([early, late]) is None
    late.generalised[0] = Reached("first", 1, 101, 9, 9)
    assert same_order([early, late]) is False


def test_groups_that_never_generalised_are_in_no_order() -> None:
    usual = [compared(name, steps) for name, steps in USUAL.items()]
    assert same_order([*usual[:3], compared("mlp-pre", [750, 800, 900, 1000, NEVER])])
    never = [compared("off", [NEVER] * 5), compared("mlp-pre", [NEVER] * 5)]
    assert same_order(never) is None
    assert same_order([compared("off", [100.0] * 5), compared("mlp-pre", [NEVER] * 5)]) is None


def test_reason_names_the_curve_that_parts_first_with_both_values() -> None:
    """Ours is half of the published loss from step 1,200 on: 26.58308 in the mean."""
    result = compared("off", USUAL["off"], upto=1000)
    assert result.reason == (
        "follows to step 1,000, parts at 1,200 (mean test loss: 13.292, published 26.583)"
    )
    apart = compared("off", USUAL["off"], upto=50)
    assert apart.reason == (
        "the same start, but parts at 100 (mean test loss: 3.6296, published 7.2592); "
        "0 of 5 before the first published seed, 0 after the last"
    )


def test_agreement_up_to_step_100_is_a_replay_and_to_an_earlier_one_is_not() -> None:
    assert compared("off", USUAL["off"], upto=100).result == REPLAYED
    short = compared("off", USUAL["off"], upto=50, length=50)
    assert short.reason.startswith("the same start, but compared to step 50 only; ")
    assert short.result == UNDECIDED


def test_each_loss_is_compared_with_its_own() -> None:
    """The training loss parts at once, the test loss at step 1,200: the first ends the replay."""
    known = KNOWN.groups["off"]
    train = known.curves[TRAIN_LOSS]
    ours = {
        ACCURACY: accuracy(USUAL["off"]),
        TEST_LOSS: loss_as_published("off", 1000),
        TRAIN_LOSS: Seeds(train.steps, np.array([train.mean + 1] * 5)),
    }
    result = compare(known, ours, True, KNOWN, 4)
    assert (result.result, result.upto) == (REPRODUCED, 0)
    assert result.parted is not None
    assert (result.parted.metric, result.parted.parted) == (TRAIN_LOSS, 1)
    ours[TRAIN_LOSS] = Seeds(train.steps, np.array([train.lowest, train.mean, train.highest]))
    upto = {(a.metric, a.curve): a.upto for a in compare(known, ours, True, KNOWN, 4).agreements}
    assert upto[TRAIN_LOSS, "lowest"] == upto[TRAIN_LOSS, "highest"] == 10_000
    assert upto[TEST_LOSS, "mean"] == 1000


def test_accuracy_tells_generalisation_and_the_loss_stands_beside_it() -> None:
    result = compared("off", USUAL["off"], upto=1000)
    assert [(r.which, r.ours, r.published) for r in result.accuracy] == [
        ("first", 6290, 6283),
        ("mean", 7900, 7764),
        ("last", 7900, 7900),
    ]
    assert [(r.which, r.published) for r in result.loss] == [
        ("first", 6328),
        ("mean", 7807),
        ("last", 7935),
    ]
    assert result.generalised == result.accuracy
    assert (result.runs, result.exact, result.median) == (5, True, 7300)


def test_compression_epochs_stand_beside_the_published_ones() -> None:
    metric = "alpha_req/alpha_test"
    ours = {metric: Seeds(np.array([1.0, 200, 400]), np.array([[0.1, 5, 2], [0.1, 7, 2]]))}
    result = compare(KNOWN.groups["off"], ours, False, KNOWN, 4)
    assert result.compressed == {metric: (400, 8200)}
    assert (result.runs, result.steps) == (2, ())


def test_without_runs_nothing_is_said() -> None:
    result = compare(KNOWN.groups["off"], {}, True, KNOWN, 4)
    assert (result.runs, result.steps, result.upto, result.parted) == (0, (), 0, None)
    assert (result.result, result.median) == (UNDECIDED, math.inf)
    assert (result.accuracy, result.loss, result.compressed) == ((), (), {})
    assert same_order([result, result]) is None


def test_p_value_is_that_of_five_published_seeds_and_corrected_for_the_groups() -> None:
    late = compared("off", [9000.0] * 5)
    assert late.test is not None
    assert late.test.p == 2 / 252
    assert late.result == NOT_REPRODUCED
    assert compared("off", [9000.0] * 5, groups=7).result == UNDECIDED  # 7 * 2 / 252 > 0.05


def test_equal_medians_are_in_no_published_order() -> None:
    """The published seeds of mlp-pre (to 1,228) are all before those of pre (from 2,099)."""
    assert same_order([compared("mlp-pre", [1500.0] * 5), compared("pre", [1500.0] * 5)]) is False
    assert same_order([compared("pre", [1501.0] * 5), compared("mlp-pre", [1500.0] * 5)])


def test_sentence_names_the_groups_the_range_of_steps_and_the_largest_distance() -> None:
    """attn-pre's last seed generalises at 7,350 of 7,226, 1.7 % late; the mean 3.1 %."""
    far = compared("attn-pre", [3700, 5000, 6000, 7000, 7350], upto=200)
    several = [compared("off", USUAL["off"], upto=1000), far, compared("pre", USUAL["pre"], 400)]
    assert overall(several) == (
        "Replayed: all 3 groups, the published curves up to steps 200 to 1,000, "
        "generalisation within 3.1% of the published steps."
    )
    one = compared("off", USUAL["off"])
    assert overall([one]) == "Reproduced: off compatible with the published seeds."
    early = [compared(name, [10.0] * 5) for name in ("off", "pre")]
    few = [compared(name, [10.0]) for name in ("attn-pre", "mlp-pre")]
    assert overall([*early, *few, *several]) == (
        "Not reproduced: off, pre not compatible with the published seeds. "
        "Undecided: attn-pre, mlp-pre cannot be compared yet. "
        "Replayed: off, attn-pre, pre, the published curves up to steps 200 to 1,000, "
        "generalisation within 3.1% of the published steps."
    )
    two = [compared(name, USUAL[name]) for name in ("off", "mlp-pre")]
    assert overall([*two, compared("attn-pre", [5000.0])]) == (
        "Undecided: attn-pre cannot be compared yet. Reproduced: off, mlp-pre compatible with the "
        "published seeds, and in the published order."
    )


def test_distance_counts_where_ours_are_early_as_where_they_are_late() -> None:
    """off's last seed at 7,300 of 7,900: 7.6 % early; its first at 6,290 of 6,283, and no more."""
    early = compared("off", [6290, 7000, 7100, 7200, 7300], upto=1000)
    assert overall([early]).endswith("generalisation within 7.6% of the published steps.")


def test_a_group_that_never_generalised_is_not_behind_one_that_did() -> None:
    """Neither is their order the published one, nor another."""
    done, never = compared("mlp-pre", USUAL["mlp-pre"]), compared("off", [NEVER] * 5)
    assert same_order([done, never]) is None
    assert same_order([compared("mlp-pre", [NEVER] * 5), compared("off", USUAL["off"])]) is None


def test_two_groups_are_all_groups() -> None:
    replayed = [compared(name, USUAL[name], upto=400) for name in ("off", "pre")]
    assert overall(replayed).startswith("Replayed: all 2 groups, the published curves up to ")
    both = [compared("off", [6290.0] * 5), compared("pre", [2100, 2200, 9000, 9000, 9000])]
    assert overall(both) == (
        "Reproduced: all 2 groups compatible with the published seeds, but in another order."
    )
