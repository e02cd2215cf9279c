"""The transformer against attention computed by hand, placement by placement."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor

from grok_cli.core.config import Config
from grok_cli.core.initial import initial_model
from grok_cli.core.model import Transformer
from grok_cli.core.model_config import ModelConfig
from grok_cli.core.norm import Norm
from grok_cli.core.placement import PLACEMENTS, canonical_name
from tests.conftest import small_config

NAMES = ("alpha", "gain", "bias")
SPHERE = {"ln_type": "sphere", "norm": "unit", "unembed_rows": "unit", "output_scaling": 10.0}
TOKENS = torch.tensor([[3, 5, 13], [0, 12, 13]])


def random_model(**changes: object) -> Transformer:
    """A float64 model whose norms and biases are random too, so that nothing is trivially equal."""
    model = initial_model(small_config(train__dtype="float64", **changes), vocab=14)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model


def normed_by_hand(norm: Norm, x: list[float]) -> list[float]:
    mean = sum(x) / len(x)
    std = math.sqrt(sum((v - mean) ** 2 for v in x) / len(x))
    assert norm.gain is not None
    assert norm.bias is not None
    gain, bias = norm.gain.tolist(), norm.bias.tolist()
    return [(v - mean) / std * g + b for v, g, b in zip(x, gain, bias, strict=True)]


def attention_by_hand(block: torch.nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Output and weights of one row's attention, one number at a time."""
    sites = block.sites
    rows = x.tolist()
    if {"qk", "v"} & sites:
        normed = [normed_by_hand(block.norms["attn_in"], row) for row in rows]
    x_qk = torch.tensor(normed if "qk" in sites else rows, dtype=torch.float64)
    x_v = torch.tensor(normed if "v" in sites else rows, dtype=torch.float64)
    d, heads = x.shape[1], block.attn.n_heads
    k = d // heads
    qkv = block.attn.qkv.detach()
    mixed = torch.zeros(3, d, dtype=torch.float64)
    weights = torch.zeros(heads, 3, 3, dtype=torch.float64)
    for head in range(heads):
        rows_of = [slice(part * d + head * k, part * d + (head + 1) * k) for part in range(3)]
        w_q, w_k, w_v = (qkv[rows] for rows in rows_of)
        q = norm_at(block.attn, "q", "q", x_qk @ w_q.T, sites)
        keys = norm_at(block.attn, "k", "k", x_qk @ w_k.T, sites)
        for i in range(3):
            scores = [float(q[i] @ keys[j]) / math.sqrt(k) for j in range(3)]
            total = sum(math.exp(score) for score in scores)
            for j in range(3):
                weights[head, i, j] = math.exp(scores[j]) / total
                mixed[i, head * k : (head + 1) * k] += weights[head, i, j] * (w_v @ x_v[j])
    return mixed @ block.attn.out.detach().T, weights


def norm_at(
    block: torch.nn.Module, site: str, name: str, x: Tensor, sites: frozenset[str] | None = None
) -> Tensor:
    if site not in (block.sites if sites is None else sites):
        return x
    rows = [normed_by_hand(block.norms[name], row) for row in x.tolist()]
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("ln_type", PLACEMENTS)
def test_forward_agrees_with_hand_computation(ln_type: str, layers: int) -> None:
    model = random_model(model__ln_type=ln_type, model__n_layers=layers)
    cache = model.run_with_cache(TOKENS)
    for row in range(len(TOKENS)):
        x = (model.embed[TOKENS[row]] + model.pos).detach()
        if model.embed_norm is not None:
            assert "embed" in model.layers()[0].sites
            rows = [normed_by_hand(model.embed_norm, vector) for vector in x.tolist()]
            x = torch.tensor(rows, dtype=torch.float64)
        for layer, block in enumerate(model.layers()):
            out, weights = attention_by_hand(block, x)
            out = norm_at(block, "attn_out", "attn_out", out)
            torch.testing.assert_close(cache[f"blocks.{layer}.pattern"][row], weights)
            torch.testing.assert_close(cache[f"blocks.{layer}.attn_out"][row], out)
            x = norm_at(block, "attn_sum", "attn_sum", x + out)
            mlp_in = norm_at(block, "mlp", "mlp_in", x)
            hidden = F.gelu(mlp_in @ block.mlp.w_in.T + block.mlp.b_in)
            mlp_out = (hidden @ block.mlp.w_out.T + block.mlp.b_out).detach()
            mlp_out = norm_at(block, "mlp_out", "mlp_out", mlp_out)
            x = norm_at(block, "mlp_sum", "mlp_sum", x + mlp_out)
        torch.testing.assert_close(cache["final"][row], x[-1])
        assert model.unembed is not None
        torch.testing.assert_close(cache["logits"][row], model.unembed @ x[-1])


@pytest.mark.parametrize("ln_type", PLACEMENTS)
def test_model_holds_no_norm_that_it_does_not_use(ln_type: str) -> None:
    model = random_model(model__ln_type=ln_type)
    model(TOKENS).pow(2).sum().backward()
    assert all(p.grad is not None for p in model.trainable().values())
    sites = PLACEMENTS[ln_type].sites
    expected = bool({"qk", "v"} & sites) + len(sites - {"qk", "v"})
    assert sum(isinstance(m, Norm) for m in model.modules()) == expected


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("No LN", "off"),
        ("A*", "attn-pre"),
        ("m+a*", "pre"),
        ("M", "mlp-pre"),
        ("A^qk", "attn-pre-qk"),
        ("M + A^v", "pre-v"),
        ("pre_qk", "pre-qk"),
        ("sandwich", "peri"),
        ("Sandwich-LN", "peri"),
        ("A", "attn-pre"),
        ("M + A", "pre"),
        ("none", "off"),
    ],
)
def test_papers_names_are_accepted(spelling: str, name: str) -> None:
    assert canonical_name(spelling) == name
    assert ModelConfig(ln_type=spelling).ln_type == name  # and so one name of the run


@pytest.mark.parametrize("ln_type", PLACEMENTS)
def test_the_papers_names_say_which_inputs_are_normed(ln_type: str) -> None:
    """M: the MLP's; A^qk: queries and keys; A^v: values; A*: all of attention's."""
    placement = PLACEMENTS[ln_type]
    assert canonical_name(placement.paper) == placement.name == ln_type
    if placement.sites <= {"qk", "v", "mlp"}:
        attention = [site for site in ("qk", "v") if site in placement.sites]
        names = ["M"] if "mlp" in placement.sites else []
        names += ["A*"] if len(attention) == 2 else [f"A^{site}" for site in attention]
        assert placement.paper == ("+".join(names) or "No LN")


def test_unknown_placement_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="off, attn-pre-qk, attn-pre-v"):
        canonical_name("club")


def test_parameter_count_is_the_published_architecture() -> None:
    model = initial_model(Config(), vocab=114)
    d, hidden, vocab = 128, 512, 114
    expected = 2 * vocab * d + 3 * d + 4 * d * d + 2 * d * hidden + hidden + d
    assert sum(p.numel() for p in model.parameters()) == expected


def test_init_has_the_published_scales() -> None:
    model = initial_model(Config(), vocab=114).requires_grad_(False)
    block = model.layers()[0]
    lecun = 0.8796 / math.sqrt(128)  # std of a normal truncated at two std is 0.8796 of it
    assert float(model.embed.std()) == pytest.approx(128**-0.5, rel=0.03)
    assert float(model.pos.std()) == pytest.approx(0.02, rel=0.15)
    assert float(block.attn.qkv.abs().max()) == pytest.approx(math.sqrt(6 / 512), rel=0.001)
    assert float(block.mlp.w_in.std()) == pytest.approx(lecun, rel=0.02)
    assert float(block.mlp.w_out.std()) == pytest.approx(lecun / 2, rel=0.02)
    assert float(block.mlp.b_in.abs().max()) == 0


def test_seed_alone_decides_the_initial_weights() -> None:
    torch.manual_seed(1)
    first = initial_model(small_config(), 14).state_dict()
    torch.manual_seed(2)
    second = initial_model(small_config(), 14).state_dict()
    assert all(first[name].equal(second[name]) for name in first)
    other = initial_model(small_config(train__seed=1), 14).state_dict()
    assert not first["embed"].equal(other["embed"])


def test_init_scale_multiplies_every_parameter() -> None:
    one = initial_model(small_config(model__ln_type="pre"), 14).state_dict()
    two = initial_model(small_config(model__ln_type="pre", model__init_scale=2.0), 14).state_dict()
    assert all(two[name].equal(2 * one[name]) for name in one)


def test_output_scaling_scales_logits_or_only_the_loss() -> None:
    base = random_model()(TOKENS)
    scaled = random_model(model__output_scaling=1.5)
    torch.testing.assert_close(scaled(TOKENS), 1.5 * base)
    assert scaled.loss_scale == 1.0
    tempered = random_model(model__output_scaling=1.5, model__scale_as="temperature")
    torch.testing.assert_close(tempered(TOKENS), base)
    assert tempered.loss_scale == 1.5


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_subtract_init_starts_at_zero_and_moves_with_the_model_only(scale: float) -> None:
    model = initial_model(small_config(model__subtract_init=True, model__init_scale=scale), 14)
    assert model(TOKENS).abs().max() == 0
    assert not any(name.startswith("initial") for name in model.trainable())
    with torch.no_grad():
        model.embed += 1
    assert model(TOKENS).abs().max() > 0


def test_tied_unembedding_is_the_embedding() -> None:
    model = random_model(model__unembed="tied")
    assert model.unembedding is model.embed
    final = model.run_with_cache(TOKENS)["final"]
    torch.testing.assert_close(model(TOKENS), final @ model.embed.T)


def test_rmsnorm_and_center_only_final_norm_agree_with_their_formulas() -> None:
    x = torch.randn(4, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rms = random_model(model__ln_type="mlp-pre", model__norm="rmsnorm").layers()[0].norms["mlp_in"]
    expected = x / x.pow(2).mean(-1, keepdim=True).sqrt() * rms.gain
    torch.testing.assert_close(rms(x), expected)
    assert rms.bias is None
    center = random_model(model__final_norm="center-only").final_norm
    expected = (x - x.mean(-1, keepdim=True)) / x.var(-1, correction=0, keepdim=True).sqrt()
    torch.testing.assert_close(center(x), expected)
    assert (center.gain, center.bias) == (None, None)
    final = random_model(model__final_norm="on").final_norm
    torch.testing.assert_close(final(x), expected * final.gain + final.bias)


def test_dyt_and_the_unit_norm_agree_with_their_formulas() -> None:
    x = torch.randn(4, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    dyt = random_model(model__ln_type="mlp-pre", model__norm="dyt").layers()[0].norms["mlp_in"]
    torch.testing.assert_close(dyt(x), dyt.gain * torch.tanh(dyt.alpha * x) + dyt.bias)
    fresh = initial_model(small_config(model__ln_type="mlp-pre", model__norm="dyt"), 14)
    alpha, gain, bias = (getattr(fresh.layers()[0].norms["mlp_in"], n) for n in NAMES)
    assert (alpha.tolist(), set(gain.tolist()), set(bias.tolist())) == ([0.5], {1.0}, {0.0})
    unit = random_model(model__ln_type="mlp-pre", model__norm="unit").layers()[0].norms["mlp_in"]
    torch.testing.assert_close(unit(x), x / x.pow(2).sum(-1, keepdim=True).sqrt())
    assert not list(unit.parameters())
    final = random_model(model__norm="unit", model__final_norm="on").run_with_cache(TOKENS)["final"]
    torch.testing.assert_close(final.norm(dim=1), torch.ones(2, dtype=torch.float64))


def test_logits_on_the_sphere_are_cosines_times_the_temperature() -> None:
    """arXiv 2603.05228: the stream has norm 1 before the block, after attention and after the MLP,
    and logits are 10 cos(stream, row of the unembedding)."""
    model = random_model(**{f"model__{name}": value for name, value in SPHERE.items()})
    cache = model.run_with_cache(TOKENS)
    for name in ("embed_norm.out", "blocks.0.resid_pre", "blocks.0.resid_mid", "final"):
        torch.testing.assert_close(cache[name].norm(dim=-1), torch.ones_like(cache[name][..., 0]))
    assert model.unembed is not None
    expected = F.cosine_similarity(cache["final"][:, None], model.unembed[None], dim=2)
    torch.testing.assert_close(cache["logits"], 10 * expected)
    assert not any("norm" in name for name in model.trainable())
    twice = random_model(**{f"model__{name}": value for name, value in SPHERE.items()})
    with torch.no_grad():  # no magnitude is left that could matter
        twice.embed.mul_(2)
        twice.pos.mul_(2)
        twice.unembed.mul_(3)  # type: ignore[union-attr]
    torch.testing.assert_close(twice(TOKENS), model(TOKENS))


@pytest.mark.parametrize("layers", [1, 2])
def test_uniform_attention_is_the_mean_of_the_values(layers: int) -> None:
    model = random_model(model__attention="uniform", model__n_layers=layers, model__ln_type="pre")
    cache = model.run_with_cache(TOKENS)
    for layer in range(layers):
        pattern = cache[f"blocks.{layer}.pattern"]
        torch.testing.assert_close(pattern, torch.full_like(pattern, 1 / 3))
        mean = cache[f"blocks.{layer}.v"].mean(dim=2, keepdim=True)
        torch.testing.assert_close(cache[f"blocks.{layer}.z"], mean.expand(-1, -1, 3, -1))
    swapped = model(TOKENS[:, [1, 0, 2]])
    assert not torch.allclose(swapped, model(TOKENS))  # positions still tell a from b
    with torch.no_grad():
        model.pos.zero_()
    torch.testing.assert_close(model(TOKENS[:, [1, 0, 2]]), model(TOKENS))


def test_uniform_attention_has_gradients_of_0_for_queries_and_keys() -> None:
    model = random_model(model__attention="uniform")
    model(TOKENS).pow(2).sum().backward()
    grad = model.layers()[0].attn.qkv.grad
    assert grad is not None
    q, k, v = grad.chunk(3)
    assert q.abs().max() == k.abs().max() == 0
    assert v.abs().min() > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attention": "uniform", "ln_type": "qk-norm"}, "uniform has no use for queries and keys"),
        ({"unembed": "tied", "unembed_rows": "unit"}, "expected model.unembed: separate"),
        ({"norm": "dyt", "norm_eps": 0.1}, "model.norm_eps: not used by model.norm: dyt"),
        ({"norm": "unit", "norm_eps": 0.1}, "model.norm_eps: not used by model.norm: unit"),
        ({"norm": "unit", "final_norm": "center-only"}, "model.final_norm: center-only"),
    ],
)
def test_settings_that_make_no_model_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelConfig.model_validate(settings)


def test_gated_mlp_multiplies_activation_and_gate() -> None:
    mlp = random_model(model__mlp_type="gated", model__activation="silu").layers()[0].mlp
    x = torch.randn(4, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gate = x @ mlp.w_gate.T + mlp.b_gate
    hidden = x @ mlp.w_in.T + mlp.b_in
    expected = (hidden * hidden.sigmoid() * gate) @ mlp.w_out.T + mlp.b_out
    torch.testing.assert_close(mlp(x), expected)
