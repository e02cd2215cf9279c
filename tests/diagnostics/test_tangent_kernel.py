"""The tangent kernel against the Gram matrix of per-row gradients that autograd gives."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from grok_cli.core.model import Transformer
from grok_cli.core.placement import PLACEMENTS
from grok_cli.diagnostics import forward, tangent_kernel
from grok_cli.diagnostics.measures.ntk_full import sample
from grok_cli.diagnostics.registry import DIAGNOSTICS
from grok_cli.diagnostics.subject import NoInitialModelError, Subject
from grok_cli.diagnostics.tangent_kernel import kernel_of_all, kernel_of_sum, relative_distance
from tests.diagnostics.builders import small_network, small_subject

OPTIONS: list[dict[str, Any]] = [
    *({"ln_type": name, "n_layers": depth} for name in PLACEMENTS for depth in (1, 2)),
    {"unembed": "tied"},
    {"unembed": "tied", "output_scaling": 1.7, "n_layers": 2, "ln_type": "pre"},
    {"mlp_type": "gated", "activation": "silu", "ln_type": "mlp-pre"},
    {"norm": "rmsnorm", "ln_type": "peri", "final_norm": "on", "n_layers": 2},
    {"final_norm": "center-only", "n_layers": 3},
    {"output_scaling": 3.0, "scale_as": "temperature"},
    {"subtract_init": True, "n_heads": 1},
    {"norm": "dyt", "ln_type": "pre", "norm_eps": 0.0},
    {"ln_type": "qk-norm", "norm": "rmsnorm", "n_layers": 2},
    {"ln_type": "sphere", "norm": "unit", "norm_eps": 0.0, "unembed_rows": "unit"},
    {"unembed_rows": "unit", "output_scaling": 10.0, "norm": "unit", "norm_eps": 0.0},
    {"attention": "uniform", "ln_type": "pre"},
]


def naive(model: Transformer, tokens: Tensor, each_logit: bool) -> Tensor:
    """Sum over outputs of the Gram matrix of their gradients, one backward pass an entry."""
    parameters = list(model.trainable().values())

    def gradient(output: Tensor) -> Tensor:
        grads = torch.autograd.grad(
            output, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return torch.cat([g.reshape(-1) for g in grads])

    rows = []
    for row in tokens:
        logits = model(row[None])[0]
        outputs = list(logits) if each_logit else [logits.sum()]
        rows.append(torch.stack([gradient(output) for output in outputs]))
    jacobian = torch.stack(rows)
    return torch.einsum("icp,jcp->ij", jacobian, jacobian)


def describe(options: dict[str, Any]) -> str:
    return "-".join(str(value) for value in options.values())


@pytest.mark.parametrize("options", OPTIONS, ids=describe)
def test_kernel_equals_that_of_per_row_gradients(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tangent_kernel, "BLOCK", 4)  # several blocks, the last one not full
    model, dataset = small_network(**options)
    tokens = dataset.tokens[dataset.train]
    expected = naive(model, tokens, each_logit=False)
    torch.testing.assert_close(
        kernel_of_sum(model, tokens), expected, rtol=1e-8, atol=1e-8 * float(expected.abs().max())
    )


@pytest.mark.parametrize("options", OPTIONS[::5], ids=describe)
def test_full_kernel_equals_that_of_every_logit(options: dict[str, Any]) -> None:
    model, dataset = small_network(**options)
    tokens = dataset.tokens[:5]
    torch.testing.assert_close(
        kernel_of_all(model, tokens), naive(model, tokens, each_logit=True), rtol=1e-8, atol=1e-8
    )


@pytest.mark.parametrize("options", OPTIONS, ids=describe)
def test_lean_forward_sees_what_the_model_s_own_sees(options: dict[str, Any]) -> None:
    model, dataset = small_network(**options)
    expected = model.run_with_cache(dataset.tokens)
    trace = forward.Trace.of(model, dataset.tokens)
    torch.testing.assert_close(forward.logits(model, dataset.tokens), expected["logits"])
    torch.testing.assert_close(trace.logits, expected["logits"])
    torch.testing.assert_close(trace.residual, expected["final"])
    for layer in range(model.config.n_layers):
        pattern, attn_out = (expected[f"blocks.{layer}.{s}"] for s in ("pattern", "attn_out"))
        torch.testing.assert_close(trace.attention[layer], pattern)
        torch.testing.assert_close(trace.attn_out[layer], attn_out)
    loss = F.cross_entropy(expected["logits"] * model.loss_scale, dataset.labels)
    torch.testing.assert_close(forward.mean_loss(model, dataset.tokens, dataset.labels), loss)


def test_distance_of_a_doubled_kernel_is_1_and_of_an_equal_one_0() -> None:
    kernel = torch.randn(7, 7, generator=torch.Generator().manual_seed(0))
    assert relative_distance(2 * kernel, kernel) == pytest.approx(1)
    assert relative_distance(kernel, kernel) == 0


def test_distance_of_many_blocks_is_that_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tangent_kernel, "BLOCK", 3)
    now, then = torch.randn(2, 7, 7, generator=torch.Generator().manual_seed(0))
    expected = float((now - then).norm() / then.norm())
    assert relative_distance(now, then) == pytest.approx(expected)


def test_distance_is_that_of_the_kernels_at_both_moments() -> None:
    subject = small_subject(initial=True, ln_type="mlp-pre")
    assert subject.initial is not None
    tokens = subject.tokens("train")
    now, then = (naive(m, tokens, each_logit=False) for m in (subject.model, subject.initial))
    values = DIAGNOSTICS["ntk"].measure(subject)
    expected = float((now - then).norm() / then.norm())
    assert values["ntk/relative_distance"] == pytest.approx(expected)
    assert values["ntk/ntk_init_fro"] == pytest.approx(float(then.norm()))
    # Of all logits; what the other kernel keeps of the start is not taken for its own.
    now, then = (naive(m, tokens, each_logit=True) for m in (subject.model, subject.initial))
    values = DIAGNOSTICS["ntk-full"].measure(subject)
    expected = float((now - then).norm() / then.norm())
    assert values == {"ntk/full_relative_distance": pytest.approx(expected)}


def test_the_full_kernel_is_of_the_first_128_training_rows() -> None:
    tokens = torch.arange(600).view(200, 3)
    assert sample(tokens).equal(tokens[:128])


def test_kernel_at_the_start_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reference: dict[str, Any] = {}
    first = small_subject(initial=True)
    Subject(first.model, first.dataset, first.initial, reference)
    before = DIAGNOSTICS["ntk"].measure(
        Subject(first.model, first.dataset, first.initial, reference)
    )
    later = DIAGNOSTICS["ntk"].measure(Subject(first.model, first.dataset, None, reference))
    assert before == later


@pytest.mark.parametrize("name", ["ntk", "ntk-full"])
def test_distance_without_a_start_says_what_is_missing(name: str) -> None:
    with pytest.raises(NoInitialModelError, match=rf"^diagnostic '{name}' .*model at step 0"):
        DIAGNOSTICS[name].measure(small_subject())
