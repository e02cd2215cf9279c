"""What is done to a state at a branch, on cases that are known on paper."""

import itertools
import math

import pytest
import torch
from pydantic import ValidationError

from grok_cli.core.branch import BranchConfig
from grok_cli.core.interventions import (
    PARTS,
    Given,
    State,
    adapted,
    intervene,
    moments_of,
    only,
    optimizer_state,
    parameters_named,
)
from grok_cli.errors import UsageError
from tests.core.test_model import random_model

P = 8
PARENT = {"parent": "0123456789"}


def state() -> State:
    a = torch.arange(P, dtype=torch.float64)[:, None]
    waves = [torch.cos(2 * math.pi * k * a / P) for k in (1, 2, 3)]
    embed = torch.cat((5 + waves[0] + 2 * waves[1] + 4 * waves[2], torch.full((1, 1), 7.0)))
    weights = {
        "embed": embed,
        "unembed": 2 * embed,
        "blocks.0.mlp.b_in": torch.zeros(3, dtype=torch.float64),
        "initial.embed": embed.clone(),
    }
    return State(weights, {"m": {"embed": embed.clone()}, "t": {"embed": torch.tensor(4.0)}})


def after(given: Given | None = None, **settings: object) -> State:
    before = state()
    found = intervene(before, BranchConfig(**PARENT, **settings), given or Given(P))  # type: ignore[arg-type]
    assert all(w.equal(state().weights[n]) for n, w in before.weights.items())  # it is pure
    assert found.weights["initial.embed"].equal(before.weights["initial.embed"])
    if "reset_moments" not in settings:  # they stay the parent's, whatever is done to weights
        for kind, tensors in state().moments.items():
            assert found.moments[kind]["embed"].equal(tensors["embed"])
    return found


def test_nothing_asked_is_nothing_done() -> None:
    assert after().weights["embed"].equal(state().weights["embed"])


@pytest.mark.parametrize(("kept", "rest"), [("only", (0, 2, 0)), ("without", (1, 0, 4))])
def test_waves_of_frequencies_stay_or_go_and_the_mean_stays(
    kept: str, rest: tuple[float, ...]
) -> None:
    weights = after(Given(P, frequencies=[2]), frequencies=kept).weights
    a = torch.arange(P, dtype=torch.float64)
    waves = sum(
        c * torch.cos(2 * math.pi * k * a / P) for k, c in zip((1, 2, 3), rest, strict=True)
    )
    for name, factor in (("embed", 1), ("unembed", 2)):
        torch.testing.assert_close(weights[name][:P, 0], factor * (5 + waves))
        assert weights[name][P, 0] == factor * 7


@pytest.mark.parametrize(("kept", "rest"), [("only", (1, 0, 4)), ("without", (0, 2, 0))])
def test_several_frequencies_stay_or_go_together(kept: str, rest: tuple[float, ...]) -> None:
    """In whatever order they are named."""
    for frequencies in ([1, 3], [3, 1]):
        embed = after(Given(P, frequencies=frequencies), frequencies=kept).weights["embed"]
        energy = torch.fft.rfft(embed[:P, 0]).abs() / (P / 2)
        assert energy[1:4].tolist() == pytest.approx(list(rest), abs=1e-12)


def test_each_column_keeps_its_own_mean() -> None:
    before = State({"embed": torch.tensor([[1.0, 5.0]]).expand(P, 2)}, {})
    branch = BranchConfig.model_validate(PARENT | {"frequencies": "only"})
    found = intervene(before, branch, Given(P, frequencies=[2])).weights["embed"]
    torch.testing.assert_close(found, before.weights["embed"])


def test_only_leaves_the_mean_out() -> None:
    assert only(torch.ones(5, 2), torch.tensor([1])).abs().max() < 1e-12


def test_the_highest_wave_of_an_even_number_is_that_of_alternating_signs() -> None:
    signs = (-1.0) ** torch.arange(P)[:, None].double()
    torch.testing.assert_close(only(3 + 2 * signs, torch.tensor([P // 2])), 2 * signs)


def test_scale_keeps_the_direction() -> None:
    assert after(scale=0.5).weights["embed"].equal(state().weights["embed"] / 2)
    named_one = after(scale=0.5, parameters=["mlp"])
    assert named_one.weights["embed"].equal(state().weights["embed"])


def test_perturbation_has_the_size_that_was_asked_for() -> None:
    before, now = state().weights["embed"], after(perturb=0.1).weights["embed"]
    assert (now - before).norm() == pytest.approx(0.1 * before.norm())
    assert now.equal(after(perturb=0.1).weights["embed"])
    assert not now.equal(after(perturb=0.1, perturb_seed=1).weights["embed"])


def test_perturbation_keeps_the_norm_or_the_direction() -> None:
    before = state().weights["embed"]
    turned = after(perturb=0.5, perturb_keeps="norm").weights["embed"]
    assert turned.norm() == pytest.approx(before.norm())
    cosine = (turned * before).sum() / before.norm() ** 2
    assert 0.8 < cosine < 0.99
    longer = after(perturb=0.5, perturb_keeps="direction").weights["embed"]
    torch.testing.assert_close(longer / longer.norm(), before / before.norm())
    assert longer.norm() != pytest.approx(before.norm())
    half = after(perturb=0.25, perturb_keeps="direction").weights["embed"]
    torch.testing.assert_close(longer - before, 2 * (half - before))
    kept = after(perturb=0.5, perturb_keeps="norm").weights["blocks.0.mlp.b_in"]
    assert kept.equal(torch.zeros(3, dtype=torch.float64))  # nothing to turn


def test_a_random_change_comes_after_the_choice_of_frequencies() -> None:
    """Its waves of all frequencies stay."""
    given = Given(P, frequencies=[2])
    pure = after(given, frequencies="only").weights["embed"]
    found = after(given, frequencies="only", perturb=0.1).weights["embed"]
    assert (found - pure).norm() == pytest.approx(0.1 * pure.norm())
    energy = torch.fft.rfft((found - pure)[:P, 0]).abs()
    assert energy[1:].min() > 1e-3


@pytest.mark.parametrize("keeps", ["nothing", "norm", "direction"])
def test_each_parameter_has_a_random_change_of_its_own(keeps: str) -> None:
    """The unembedding is twice the embedding: the same change would leave it so."""
    now = after(perturb=0.5, perturb_keeps=keeps).weights
    assert not now["unembed"].allclose(2 * now["embed"])


def test_moments_are_forgotten() -> None:
    found = after(reset_moments=True).moments
    assert not found["m"]["embed"].any()
    assert found["t"]["embed"] == 0


def test_transplant_comes_before_the_rest() -> None:
    donor = {"embed": torch.full((P + 1, 1), 3.0)}
    branch = {"transplant": ["embedding"], "donor": "0123456789", "scale": 2.0}
    assert after(Given(P, donor), **branch).weights["embed"].unique().tolist() == [6.0]
    with pytest.raises(UsageError, match="its shape there is"):
        after(Given(P, {"embed": torch.ones(2, 1)}), **branch)


def test_adapted_state_has_the_branchs_norms_types_and_parameters() -> None:
    gain, bias = "blocks.0.norms.mlp_in.gain", "blocks.0.norms.mlp_in.bias"
    old = State(
        {"embed": torch.ones(2), "blocks.0.norms.attn_in.gain": torch.ones(1)},
        {"m": {"embed": torch.ones(2)}, "t": {"embed": torch.tensor(5.0)}},
    )
    alpha = gain.replace("gain", "alpha")  # of a DyT, which gives 0 for every input if that is 0
    weights = {"embed": torch.zeros(2).double(), gain: torch.zeros(1), bias: torch.zeros(1)}
    weights[alpha] = torch.zeros(1)
    fresh = State(
        weights, {"m": dict(weights), "t": {"embed": torch.tensor(0.0), gain: torch.tensor(0.0)}}
    )
    found = adapted(old, fresh)
    assert found.weights.keys() == weights.keys()
    assert found.weights["embed"].dtype == torch.float64
    assert [found.weights[name].item() for name in (gain, bias, alpha)] == [1, 0, 0.5]
    assert found.moments["m"]["embed"].tolist() == [1, 1]
    assert (found.moments["t"]["embed"].item(), found.moments["t"][gain].item()) == (5, 0)
    with pytest.raises(UsageError, match="embed has the shape"):
        adapted(old, State({"embed": torch.zeros(3)}, {}))


def test_parts_names_and_patterns_name_parameters() -> None:
    names = ["embed", "blocks.0.attn.qkv", "blocks.1.attn.qkv", "final_norm.gain", "initial.embed"]
    assert parameters_named(["attention"], names, "x") == names[1:3]
    assert parameters_named(["norms", "embed"], names, "x") == ["embed", "final_norm.gain"]
    assert parameters_named(["blocks.1.*"], names, "x") == ["blocks.1.attn.qkv"]
    with pytest.raises(UsageError, match="x: the network has no unembedding"):
        parameters_named(["unembedding"], names, "x")


def test_parts_are_all_parameters_of_their_kind() -> None:
    model = random_model(
        **{"model__ln_type": "qk-norm", "model__mlp_type": "gated", "model__final_norm": "on"},
        **{"model__n_layers": 2, "model__subtract_init": True},
    )
    names = list(model.trainable())
    for part, word in (("attention", ".attn."), ("mlp", ".mlp."), ("norms", "norm")):
        assert parameters_named([part], model.state_dict(), "x") == [n for n in names if word in n]
    for part, name in (("embedding", "embed"), ("positions", "pos"), ("unembedding", "unembed")):
        assert parameters_named([part], names, "x") == [name]
    assert parameters_named(PARTS, names, "x") == names


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        *((7, 7), ("7", 7), (" 7 ", 7), (0, 0), ("+200", "memorised+200")),
        *(("generalised", "generalised"), ("generalised+5", "generalised+5")),
        *(("memorised+0", "memorised"), ("memorised+007", "memorised+7")),
    ],
)
def test_a_branch_leaves_at_a_step_or_after_a_phase(typed: object, meant: object) -> None:
    assert BranchConfig.model_validate(PARENT | {"at": typed}).at == meant


@pytest.mark.parametrize(
    "typed", [True, 5.0, -1, "1.5", "+", "collapsed", "memorised-5", "memorised+", "1234567890", ""]
)
def test_a_branch_leaves_nowhere_else(typed: object) -> None:
    with pytest.raises(ValidationError, match="expected a step, memorised or generalised"):
        BranchConfig.model_validate(PARENT | {"at": typed})


def test_what_only_branches_have_needs_a_parent_and_a_donor_gives_something() -> None:
    with pytest.raises(ValidationError, match=r"branch\.scale: only a branch of a run has it"):
        BranchConfig(scale=2.0)
    for half in ({"donor": "0" * 10}, {"transplant": ["mlp"]}):
        with pytest.raises(ValidationError, match="expected both or neither"):
            BranchConfig.model_validate(PARENT | half)


def test_adam_and_adamw_go_on_with_each_others_moments_and_steps() -> None:
    """A count of steps that began anew beside old moments would blow up the first updates."""
    values = [[torch.tensor([1.0])], [torch.tensor([2.0])], [torch.tensor(5.0)]]
    adamw = dict(zip(("m", "v", "t"), values, strict=True))
    adam = dict(zip(("exp_avg", "exp_avg_sq", "step"), values, strict=True))
    for before, after_ in ((adam, adamw), (adamw, adam), (adam, adam)):
        moments = moments_of(before, ["w"])
        assert moments == {"m": {"w": 1}, "v": {"w": 2}, "t": {"w": 5}}
        of_two = moments_of({name: [*value, 2 * value[0]] for name, value in before.items()}, "ba")
        assert of_two == {"m": {"b": 1, "a": 2}, "v": {"b": 2, "a": 4}, "t": {"b": 5, "a": 10}}
        begun = {name: [torch.zeros_like(value[0])] for name, value in after_.items()}
        assert optimizer_state(begun, moments) == after_


def test_moments_go_on_where_a_filter_is_switched_on_or_off() -> None:
    """A filter of the gradients keeps something of its own, and AdamW's moments stay AdamW's."""
    plain = {"m": [torch.tensor([1.0])], "v": [torch.tensor([2.0])], "t": [torch.tensor(5.0)]}
    mean = {"mean": [torch.tensor([3.0])], "seen": [torch.tensor(4.0)]}
    behind = {"update": plain, "filter": mean}
    zeros = {
        kind: {name: [torch.zeros_like(tensors[0])] for name, tensors in part.items()}
        for kind, part in behind.items()
    }
    forms = {"off": (plain, zeros["update"]), "on": (behind, zeros)}
    for before, begun in itertools.product(forms, repeat=2):
        old, fresh = forms[before][0], forms[begun][1]
        like = State({}, moments_of(fresh, ["w"]))
        found = optimizer_state(fresh, adapted(State({}, moments_of(old, ["w"])), like).moments)
        if begun == "off":
            assert found == plain
        else:
            assert found == {"update": plain, "filter": mean if before == "on" else zeros["filter"]}
