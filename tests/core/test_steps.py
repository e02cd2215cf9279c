"""The named steps of the forward pass: which there are, read, replaced and patched."""

import re

import pytest
import torch

from grok_cli.core import steps
from grok_cli.core.placement import NORM_OF_SITE, PLACEMENTS
from grok_cli.core.positions import ANSWER_ONLY
from grok_cli.core.steps import Watched
from grok_cli.errors import UsageError
from tests.core.test_model import TOKENS, random_model

SIZES = {"batch": 2, "pos": 3, "query": 3, "key": 3, "d": 16, "head": 2, "k": 8, "vocab": 14}
SIZES["hidden"] = 64


def documented() -> dict[str, tuple[int, ...]]:
    """Shapes of the steps that the module's first page lists, by name."""
    found = {}
    for line in (steps.__doc__ or "").splitlines():
        if match := re.match(r"    ([a-z_, A-Z.]+?) +(batch [a-z ]+?)  ", line + "  "):
            shape = tuple(SIZES[letter] for letter in match[2].split())
            found |= dict.fromkeys(match[1].split(", "), shape)
    return found


@pytest.mark.parametrize("ln_type", PLACEMENTS)
def test_every_step_is_documented_with_its_shape(ln_type: str) -> None:
    model = random_model(
        model__ln_type=ln_type, model__n_layers=2, model__mlp_type="gated", model__final_norm="on"
    )
    cache, shapes = model.run_with_cache(TOKENS), documented()
    plain = {re.sub(r"^blocks\.\d\.", "", name) for name in cache}
    of_norms = {
        f"{norm}.{end}"
        for norm in ("norms.N", "attn.norms.N", "embed_norm")
        for end in ("in", "out")
    }
    assert {re.sub(r"norms\.[a-z_]+", "norms.N", name) for name in plain} | of_norms == set(shapes)
    for name, value in cache.items():
        general = re.sub(r"norms\.[a-z_]+", "norms.N", re.sub(r"^blocks\.\d\.", "", name))
        assert tuple(value.shape) == shapes[general], name


@pytest.mark.parametrize("ln_type", PLACEMENTS)
def test_each_step_comes_once_and_so_does_each_norm(ln_type: str) -> None:
    watched = Watched(keep=None)
    random_model(model__ln_type=ln_type)(TOKENS, watched)
    assert len(watched.met) == len(set(watched.met))
    norms = {
        name.split(".")[-2] for name in watched.met if ".norms." in name or "embed_norm" in name
    }
    assert norms == {NORM_OF_SITE[site] for site in PLACEMENTS[ln_type].sites}


def test_a_cache_of_some_steps_holds_those_alone() -> None:
    model = random_model(model__n_layers=2)
    cache = model.run_with_cache(TOKENS, ["blocks.1.z", "logits"])
    assert list(cache) == ["blocks.1.z", "logits"]
    assert torch.equal(cache["logits"], model(TOKENS))
    asked = model.run_with_cache(TOKENS, {"logits", "final", "blocks.0.q"})
    assert list(asked) == ["blocks.0.q", "final", "logits"]  # in the order of computation
    assert not any(value.requires_grad for value in asked.values())


@pytest.mark.parametrize("ln_type", PLACEMENTS)
def test_steps_add_up_to_the_residual_stream(ln_type: str) -> None:
    cache = random_model(model__ln_type=ln_type).run_with_cache(TOKENS)
    sites = PLACEMENTS[ln_type].sites
    sums = {
        "attn_sum": cache["blocks.0.resid_pre"] + cache["blocks.0.attn_out"],
        "mlp_sum": cache["blocks.0.resid_mid"] + cache["blocks.0.mlp_out"],
    }
    for (site, total), after in zip(sums.items(), ("resid_mid", "resid_post"), strict=True):
        name = f"blocks.0.norms.{NORM_OF_SITE[site]}.in" if site in sites else f"blocks.0.{after}"
        torch.testing.assert_close(cache[name], total)
    torch.testing.assert_close(cache["final"], cache["blocks.0.resid_post"][:, -1])


def test_uniform_attention_writes_the_mean_of_the_values() -> None:
    model = random_model()
    seen = {}

    def keep(out: torch.Tensor) -> torch.Tensor:
        seen["out"] = out
        return out

    model.run_with_hooks(
        TOKENS,
        {
            "blocks.0.pattern": lambda weights: torch.full_like(weights, 1 / 3),
            "blocks.0.attn_out": keep,
        },
    )
    attn = model.layers()[0].attn
    x = model.embedded(TOKENS)
    expected = x.mean(dim=1, keepdim=True) @ attn.qkv.chunk(3)[2].T @ attn.out.T
    torch.testing.assert_close(seen["out"], expected.expand(-1, 3, -1))


def test_an_ablated_head_is_a_head_whose_output_weights_are_0() -> None:
    model = random_model(model__ln_type="pre")

    def without_head_1(z: torch.Tensor) -> torch.Tensor:
        return z * torch.tensor([1.0, 0.0])[:, None, None]

    ablated = model.run_with_hooks(TOKENS, {"blocks.0.z": without_head_1})
    with torch.no_grad():
        model.layers()[0].attn.out[:, 8:] = 0
    torch.testing.assert_close(ablated, model(TOKENS))
    assert not torch.allclose(ablated, random_model(model__ln_type="pre")(TOKENS))


@pytest.mark.parametrize("step", ["resid_mid", "resid_post", "mlp_out"])
def test_a_patched_stream_carries_the_donor_s_answer(step: str) -> None:
    model = random_model()
    donor = TOKENS.flip(0)
    patch = model.run_with_cache(donor)
    names = [f"blocks.0.{step}"] + (["blocks.0.resid_mid"] if step == "mlp_out" else [])
    hooks = {name: lambda _, name=name: patch[name] for name in names}
    torch.testing.assert_close(model.run_with_hooks(TOKENS, hooks), model(donor))


def test_a_subtracted_initial_model_is_not_hooked() -> None:
    model = random_model(model__subtract_init=True)
    assert model.initial is not None
    zero = model.run_with_hooks(TOKENS, {"final": torch.zeros_like})
    torch.testing.assert_close(zero, -model.initial(TOKENS))


def test_hooks_hand_gradients_through() -> None:
    model = random_model()
    model.run_with_hooks(TOKENS, {"blocks.0.mlp_out": lambda out: 0 * out}).sum().backward()
    assert model.layers()[0].mlp.w_in.grad.abs().max() == 0
    assert model.embed.grad.abs().max() > 0


@pytest.mark.parametrize("ln_type", PLACEMENTS)
def test_the_answer_alone_is_the_same_answer(ln_type: str) -> None:
    model = random_model(model__ln_type=ln_type, model__n_layers=2, model__final_norm="on")
    watched = Watched(keep=None)
    torch.testing.assert_close(model(TOKENS, watched, ANSWER_ONLY), model(TOKENS))
    assert watched.kept["blocks.1.pattern"].shape == (2, 2, 1, 3)
    assert watched.kept["blocks.0.pattern"].shape == (2, 2, 3, 3)


def test_an_unknown_step_is_refused_with_the_nearest() -> None:
    model = random_model()
    with pytest.raises(UsageError, match=r"'blocks.0.patern'; did you mean blocks.0.pattern\?"):
        model.run_with_hooks(TOKENS, {"blocks.0.patern": lambda x: x})
    with pytest.raises(UsageError, match=re.escape("no step 'blocks.1.z'")):
        model.run_with_cache(TOKENS, ["blocks.1.z"])


def test_another_shape_is_refused() -> None:
    expected = re.escape("'blocks.0.z' has shape (2, 2); expected (2, 2, 3, 8)")
    with pytest.raises(UsageError, match=expected):
        random_model().run_with_hooks(TOKENS, {"blocks.0.z": lambda z: z[:, :, 0, 0]})


def test_a_function_that_returns_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'blocks.0.z' returned None; expected a tensor of shape"):
        random_model().run_with_hooks(TOKENS, {"blocks.0.z": lambda z: None})  # type: ignore[dict-item, return-value]


def test_hooks_may_be_pairs() -> None:
    model = random_model()
    hooks = {"blocks.0.mlp_out": torch.zeros_like, "blocks.0.z": lambda z: 2 * z}
    as_pairs = model.run_with_hooks(TOKENS, list(hooks.items()))
    assert torch.equal(as_pairs, model.run_with_hooks(TOKENS, hooks))
    of_a_name = [("blocks.0.z", torch.zeros_like), *hooks.items()]  # the last counts
    assert torch.equal(as_pairs, model.run_with_hooks(TOKENS, of_a_name))


def test_one_name_may_stand_alone() -> None:
    assert random_model().run_with_cache(TOKENS, "logits").keys() == {"logits"}
