"""The published numbers: consistent in themselves, and matched with the runs that repeat them."""

from itertools import pairwise

import numpy as np
import pytest

from grok_cli.core.config import Config
from grok_cli.report.published import published
from grok_cli.runs.settings import flat_settings
from grok_cli.sweeps.plan import plan_runs
from grok_cli.sweeps.spec import find_spec, read_spec
from tests.conftest import small_config

KNOWN = published()


def group_of(**changes: object) -> str | None:
    settings = {key.replace("__", "."): value for key, value in changes.items()}
    group = KNOWN.group_of(flat_settings(Config()) | settings)
    return group.name if group else None


def test_milestones_are_in_order() -> None:
    for group in KNOWN.groups.values():
        for steps in (group.accuracy, group.loss):
            known = [steps[which] for which in ("first", "mean", "last") if which in steps]
            assert known == sorted(known)
        if group.accuracy:
            assert group.accuracy["mean"] < group.loss["mean"]
    crossings = [KNOWN.groups[p].accuracy["mean"] for p in ("off", "attn-pre", "pre", "mlp-pre")]
    assert all(late > early for late, early in pairwise(crossings))


def test_milestones_lie_where_the_curves_cross() -> None:
    """Between the last thinned step above 0.01 and the first one below."""
    for group in KNOWN.groups.values():
        curves = group.curves["test/loss"]
        for which, values in (("first", curves.lowest), ("mean", curves.mean)):
            if which not in group.loss:
                continue
            below = curves.steps[values <= 0.01]
            assert group.loss[which] <= (below[0] if len(below) else np.inf), group.name


def test_curves_are_thinned_and_ordered() -> None:
    for group in KNOWN.groups.values():
        assert "test/loss" in group.curves
        for curves in group.curves.values():
            assert 20 <= len(curves.steps) <= 40
            assert (np.diff(curves.steps) > 0).all()
            assert not (curves.lowest > curves.mean).any()
            assert not (curves.mean > curves.highest).any()


def test_train_loss_at_step_1_is_that_of_the_paper() -> None:
    curves = KNOWN.groups["off"].curves["train/loss"]
    assert curves.steps[0] == 1
    first = (curves.mean[0], curves.lowest[0], curves.highest[0])
    assert first == pytest.approx((4.7417625, 4.7381372, 4.7451191), abs=1e-6)


def test_a_run_repeats_the_group_from_which_only_seed_length_and_draws_tell_it_apart() -> None:
    assert group_of() == "off"
    assert group_of(model__ln_type="pre", train__seed=1) == "pre"
    assert group_of(train__eval_every=1, train__steps=500, model__init_draws="cpu") == "off"
    assert group_of(opt__learning_rate=0.004, model__output_scaling=0.5) == (
        "readout-scale-lazy-lr-0.5"
    )
    assert group_of(opt__learning_rate=0.001 / 0.75**2, model__output_scaling=0.75) == (
        "readout-scale-lazy-lr-0.75"
    )
    for key, value in (
        ("opt.eps", 0.0),
        ("model.activation", "relu"),
        ("train.batch_size", 512),
        ("opt.learning_rate", 0.002),
    ):
        assert KNOWN.group_of(flat_settings(Config()) | {key: value}) is None


def test_a_branch_repeats_no_published_run() -> None:
    """Up to its step it had other settings than those that it ends with."""
    assert group_of(model__ln_type="mlp-pre", branch__at=None) == "mlp-pre"
    assert group_of(model__ln_type="mlp-pre", branch__at=0) is None


def test_data_that_is_split_by_another_seed_is_not_compared() -> None:
    assert group_of(data__split_seed=7) is None
    assert group_of(data__split_seed=456, train__seed=456) == "off"
    assert group_of(data__split_seed=456, train__seed=789) is None


@pytest.mark.parametrize(
    ("study", "groups"),
    [
        ("ln-positions", 4),
        ("attention-pathways", 6),
        ("learning-rate", 4),
        ("weight-decay", 6),
        ("readout-scale", 5),
        ("readout-scale-lazy-lr", 5),
        ("mlp-memorization", 4),
        ("rmsnorm", 0),
        ("depth", 0),
    ],
)
def test_every_group_of_a_study_finds_its_published_one(study: str, groups: int) -> None:
    planned = plan_runs(read_spec(find_spec(study)), {}, None, find_spec(study).parent)
    found = [KNOWN.group_of(flat_settings(run.config)) for run in planned]
    assert len({group.name for group in found if group}) == groups
    if groups:
        assert all(found)


def test_exact_start_needs_all_seeds_and_their_own_weights() -> None:
    def runs(seeds: tuple[int, ...], draws: str = "published") -> list[dict[str, object]]:
        return [{"train.seed": seed, "model.init_draws": draws} for seed in seeds]

    assert KNOWN.exact_start(runs(KNOWN.seeds))
    assert KNOWN.exact_start(runs((*KNOWN.seeds, 1)))
    assert not KNOWN.exact_start(runs(KNOWN.seeds[:4]))
    assert not KNOWN.exact_start(runs(KNOWN.seeds, "cpu"))


def test_small_runs_of_tests_repeat_nothing() -> None:
    assert KNOWN.group_of(flat_settings(small_config())) is None
