"""Networks as HookedTransformers of TransformerLens: the same logits, or a refusal."""

import re
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.testing import assert_close as close

from grok_cli.core.initial import initial_model
from grok_cli.core.model import Transformer
from grok_cli.core.model_config import ModelConfig
from grok_cli.core.placement import PLACEMENTS
from grok_cli.errors import UsageError
from grok_cli.library import lens
from tests.conftest import small_config
from tests.test_packaging import EXTRAS

EXPRESSED = ["off", "attn-pre", "mlp-pre", "pre", "peri"]


def network(**model: Any) -> tuple[Transformer, torch.Tensor]:
    """A network whose every weight has moved, so that no gain is 1 and no bias 0, and its pairs."""
    from grok_cli.core.data import Dataset

    config = small_config(**{f"model__{key}": value for key, value in model.items()})
    data = Dataset.of(config)
    ours = initial_model(config, data.vocab)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in ours.parameters():
            weight += 0.3 * torch.randn(weight.shape, generator=generator)
    return ours, data.tokens


def test_placements_that_it_has() -> None:
    assert lens.expressible() == EXPRESSED


@pytest.mark.parametrize("name", [name for name in PLACEMENTS if name not in EXPRESSED])
def test_other_placements_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"no norms as in {name}; expected one of off, attn-pre"):
        lens.hooked(network(ln_type=name)[0])


@pytest.mark.parametrize(
    ("key", "value"), [("mlp_type", "gated"), ("subtract_init", True), ("norm", "dyt")]
)
def test_what_it_cannot_compute_is_refused(key: str, value: Any) -> None:
    with pytest.raises(UsageError, match=re.escape(f"cannot compute model.{key}: {value}")):
        lens.hooked(network(**{key: value})[0])


def test_the_extra_brings_what_is_asked_for() -> None:
    assert EXTRAS["transformer-lens"] == [lens.REQUIREMENT]


def test_every_setting_is_known_to_be_expressed_or_refused() -> None:
    assert ModelConfig.model_fields.keys() >= lens.FREE


def test_weights_go_where_transformer_lens_has_them() -> None:
    """Its products, written out, are ours; no package is needed for that."""
    ours, _ = network(ln_type="off")
    block, (heads, d, hidden) = next(iter(ours.layers())), (2, 16, 64)
    kinds = {"W_Q": (heads, d, 8), "W_K": (heads, d, 8), "W_V": (heads, d, 8), "W_O": (heads, 8, d)}
    biases = ("b_Q", "b_K", "b_V", "b_O")
    attn = {name: torch.full(shape, torch.nan) for name, shape in kinds.items()}
    attn |= {name: torch.ones(1) for name in biases}
    shapes = {"W_in": (d, hidden), "b_in": (hidden,), "W_out": (hidden, d), "b_out": (d,)}
    mlp = {name: torch.full(shape, torch.nan) for name, shape in shapes.items()}
    x, z, h = torch.randn(d), torch.randn(heads, 8), torch.randn(hidden)
    with torch.no_grad():
        lens._fill(
            block, SimpleNamespace(attn=SimpleNamespace(**attn), mlp=SimpleNamespace(**mlp)), None
        )
        for name, own in zip(("W_Q", "W_K", "W_V"), block.attn.qkv.chunk(3), strict=True):
            close(torch.einsum("d,hdk->hk", x, attn[name]).flatten(), own @ x)
        close(torch.einsum("hk,hkd->d", z, attn["W_O"]), block.attn.out @ z.flatten())
        close(x @ mlp["W_in"] + mlp["b_in"], block.mlp.w_in @ x + block.mlp.b_in)
        close(h @ mlp["W_out"] + mlp["b_out"], block.mlp.w_out @ h + block.mlp.b_out)
    assert [attn[name].item() for name in biases] == [0] * 4


def test_lacking_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "transformer_lens", None)
    with pytest.raises(UsageError, match="pip install 'transformer-lens>=3,<4'"):
        lens.hooked(network()[0])


@pytest.mark.parametrize(
    "model",
    [
        *({"ln_type": name} for name in EXPRESSED),
        {"ln_type": "pre", "norm": "rmsnorm", "norm_eps": 1e-5},
        {"ln_type": "peri", "n_layers": 2, "final_norm": "on"},
        {"unembed": "tied", "final_norm": "center-only", "activation": "relu"},
        {"output_scaling": 0.25, "activation": "silu"},
        {"output_scaling": 0.25, "scale_as": "temperature"},
    ],
    ids=str,
)
def test_logits_and_activations_are_the_same(model: dict[str, Any]) -> None:
    pytest.importorskip("transformer_lens", reason="the extra [transformer-lens] is not installed")
    ours, tokens = network(**model)
    theirs = lens.hooked(ours)
    logits, cache = theirs.run_with_cache(tokens)
    own = ours.run_with_cache(tokens)
    torch.testing.assert_close(logits[:, -1], own["logits"], atol=1e-5, rtol=1e-5)
    same = {
        "blocks.0.attn.hook_pattern": "blocks.0.pattern",
        "blocks.0.hook_attn_out": "blocks.0.attn_out",
        "blocks.0.hook_resid_mid": "blocks.0.resid_mid",
        "blocks.0.mlp.hook_post": "blocks.0.mlp_post",
        "blocks.0.hook_mlp_out": "blocks.0.mlp_out",
        "blocks.0.hook_resid_post": "blocks.0.resid_post",
    }
    for there, here in same.items():
        torch.testing.assert_close(cache[there], own[here], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        cache["blocks.0.attn.hook_z"].transpose(1, 2), own["blocks.0.z"], atol=1e-5, rtol=1e-5
    )
