"""The fast engine against the plain one: same scores, same gradients, same training."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from grok_cli.core.config import Config
from grok_cli.core.data import Dataset
from grok_cli.core.engines import Engine, FastEngine, PlainEngine, Score, make_engine
from grok_cli.core.engines.fast import engine as fast_engine
from grok_cli.core.engines.fast import kernels as compiled_kernels
from grok_cli.core.engines.fast.factors import FactoredForm
from grok_cli.core.engines.fast.feed import backward_from
from grok_cli.core.engines.fast.layers import LayeredForm
from grok_cli.core.engines.fast.rows import Answer
from grok_cli.core.engines.fast.sums import Terms, gather, weighted_sums
from grok_cli.core.initial import initial_model
from grok_cli.core.loss import row_losses
from grok_cli.core.placement import HEAD_SITES, NORM_OF_SITE, PLACEMENTS, Placement
from grok_cli.core.training import Trainer
from tests.conftest import small_config

pytestmark = pytest.mark.xdist_group("numba")  # compiled once for all

TASKS = ["add", "divide", "quadratic", "sum-xor"]  # all pairs, b != 0, all pairs, more classes

MODELS = st.fixed_dictionaries(
    {
        "norm": st.sampled_from(["layernorm", "rmsnorm"]),
        "norm_eps": st.sampled_from([0.0, 1e-5, 0.1]),
        "final_norm": st.sampled_from(["off", "off", "on", "center-only"]),
        "n_heads": st.sampled_from([1, 2, 4]),
        "d_model": st.sampled_from([8, 16]),
        "mlp_ratio": st.integers(1, 4),
        "mlp_type": st.sampled_from(["plain", "gated"]),
        "activation": st.sampled_from(["gelu", "relu", "silu"]),
        "unembed": st.sampled_from(["separate", "tied"]),
        "output_scaling": st.sampled_from([1.0, 0.3, 4.0]),
        "scale_as": st.sampled_from(["logits", "temperature"]),
        "subtract_init": st.booleans(),
    }
)


def engines(config: Config) -> tuple[Engine, Engine]:
    """Both engines on one model, whose norms and biases are random too."""
    dataset = Dataset.of(config)
    model = initial_model(config, dataset.vocab)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.trainable().values():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return PlainEngine(config, model, dataset), FastEngine(config, model, dataset)


def step(engine: Engine, rows: Tensor) -> tuple[Score, dict[str, Tensor]]:
    score = engine.step(rows)
    gradients = {name: p.grad for name, p in engine.model.trainable().items()}
    assert all(gradient is not None for gradient in gradients.values())
    return score, {name: gradient.clone() for name, gradient in gradients.items()}


def assert_same(config: Config, rows: Tensor | None = None) -> None:
    """Scores and every gradient agree to 1e-10."""
    assert_agree(*engines(config), rows)


def assert_agree(plain: Engine, fast: Engine, rows: Tensor | None = None) -> None:
    rows = plain.dataset.train if rows is None else rows
    expected, gradients = step(plain, rows)
    actual, fast_gradients = step(fast, rows)
    assert actual.loss.item() == pytest.approx(expected.loss.item(), rel=1e-10, abs=1e-10)
    assert actual.loss.dtype == expected.loss.dtype
    assert actual.correct == expected.correct
    for name, gradient in gradients.items():
        torch.testing.assert_close(fast_gradients[name], gradient, rtol=1e-10, atol=1e-10)
    expected, actual = (engine.evaluate(plain.dataset.test) for engine in (plain, fast))
    assert actual.loss.item() == pytest.approx(expected.loss.item(), rel=1e-10, abs=1e-10)
    assert actual.correct == expected.correct


def config_of(
    ln_type: str,
    model: dict[str, Any],
    n_layers: int,
    task: str,
    modulus: int,
    kernels: str = "auto",
) -> Config:
    return Config.model_validate(
        {
            "run": {"kernels": kernels},
            "data": {"task": task, "modulus": modulus},
            "model": model | {"ln_type": ln_type, "n_layers": n_layers},
            "train": {"dtype": "float64"},
        }
    )


@pytest.mark.parametrize("kernels", ["torch", "numba"])
@pytest.mark.parametrize("ln_type", PLACEMENTS)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(model=MODELS, task=st.sampled_from(TASKS), modulus=st.sampled_from([5, 7, 11]))
def test_gradients_of_one_layer_are_exact(
    ln_type: str, kernels: str, model: dict[str, Any], task: str, modulus: int
) -> None:
    assert_same(config_of(ln_type, model, 1, task, modulus, kernels))


@pytest.mark.parametrize("ln_type", PLACEMENTS)
@settings(max_examples=3, deadline=None, derandomize=True)
@given(model=MODELS, n_layers=st.integers(2, 3), task=st.sampled_from(TASKS))
def test_gradients_of_several_layers_are_exact(
    ln_type: str, model: dict[str, Any], n_layers: int, task: str
) -> None:
    assert_same(config_of(ln_type, model, n_layers, task, 7))


BY_LAYERS = [(1, "torch"), (1, "numba"), (2, "torch")]  # factors by autograd, by hand, none


@pytest.mark.parametrize(("n_layers", "kernels"), BY_LAYERS)
@pytest.mark.parametrize("site", NORM_OF_SITE)
def test_every_norm_site_alone_is_in_both_engines(
    site: str, n_layers: int, kernels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PLACEMENTS, "alone", Placement("alone", "", frozenset({site})))
    config = small_config(train__dtype="float64", model__n_layers=n_layers, run__kernels=kernels)
    config = config.model_copy(
        update={"model": config.model.model_copy(update={"ln_type": "alone"})}
    )
    plain, _ = engines(config)
    cache = plain.model.run_with_cache(plain.dataset.tokens[:2])
    place = f"blocks.{n_layers - 1}." if site != "embed" else ""
    within = "attn.norms." if site in HEAD_SITES else "norms." if place else ""
    assert f"{place}{within}{NORM_OF_SITE[site]}.out" in cache
    assert_same(config)


BIASES: dict[str, dict[str, Any]] = {
    "dyt": {"model__norm": "dyt", "model__ln_type": "pre"},
    "dyt before attention": {"model__norm": "dyt", "model__ln_type": "attn-pre"},
    "unit": {"model__norm": "unit", "model__ln_type": "pre", "model__final_norm": "on"},
    "sphere": {
        **{"model__ln_type": "sphere", "model__norm": "unit", "model__unembed_rows": "unit"},
        **{"model__output_scaling": 10.0, "model__attention": "uniform"},
    },
    "uniform": {"model__attention": "uniform", "model__ln_type": "mlp-pre"},
    "unit rows": {"model__unembed_rows": "unit", "model__output_scaling": 3.0},
    "mse": {"train__loss": "mse", "model__subtract_init": True},
    "stablemax": {"train__loss": "stablemax", "model__ln_type": "pre"},
    "smoothing": {"train__label_smoothing": 0.2},
}
FACTORED = ("dyt before attention", "uniform", "unit rows")


@pytest.mark.parametrize(("n_layers", "kernels"), BY_LAYERS)
@pytest.mark.parametrize("name", BIASES)
def test_gradients_of_every_bias_are_exact_in_the_form_that_knows_it(
    name: str, n_layers: int, kernels: str
) -> None:
    config = small_config(
        **BIASES[name], model__n_layers=n_layers, train__dtype="float64", run__kernels=kernels
    )
    assert_same(config)
    form = FactoredForm if n_layers == 1 and name in FACTORED else LayeredForm
    assert type(engines(config)[1].form) is form


@pytest.mark.parametrize(("n_layers", "kernels"), BY_LAYERS)
@settings(max_examples=8, deadline=None, derandomize=True)
@given(rows=st.lists(st.integers(0, 168), min_size=1, max_size=20))
def test_gradients_of_any_rows_are_exact(n_layers: int, kernels: str, rows: list[int]) -> None:
    config = small_config(
        **{"train__dtype": "float64", "run__kernels": kernels},
        **{"model__n_layers": n_layers, "model__ln_type": "pre"},
    )
    assert_same(config, torch.tensor(rows))


FORMS = [("off", "torch"), ("pre", "torch"), ("off", "numba"), ("pre", "numba"), ("peri", "torch")]


@pytest.mark.parametrize(("ln_type", "kernels"), FORMS)
def test_gradients_do_not_depend_on_the_parts_that_rows_are_cut_into(
    ln_type: str, kernels: str
) -> None:
    config = small_config(train__dtype="float64", model__ln_type=ln_type, run__kernels=kernels)
    _, fast = engines(config)
    whole, gradients = step(fast, fast.dataset.train)
    (fast.form.kernel if ln_type != "peri" else fast.form).chunk = 7
    parts, part_gradients = step(fast, fast.dataset.train)
    assert parts.loss.item() == pytest.approx(whole.loss.item(), rel=1e-13)
    for name, gradient in gradients.items():
        torch.testing.assert_close(part_gradients[name], gradient, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("kernels", ["torch", "onednn", "numba"])
@pytest.mark.parametrize("ln_type", ["off", "attn-pre", "pre", "post"])
def test_losses_of_a_hundred_steps_agree_to_float32(ln_type: str, kernels: str) -> None:
    losses = {}
    for engine in ("plain", "fast"):
        config = small_config(model__ln_type=ln_type, run__engine=engine, run__kernels=kernels)
        trainer = Trainer(config)
        losses[engine] = []
        for _ in range(100):
            losses[engine].append(trainer.engine.step(trainer.dataset.train).loss.item())
            trainer.optimizer.step(1e-3)
    assert losses["fast"][-1] < 0.8 * losses["fast"][0]
    assert losses["fast"] == pytest.approx(losses["plain"], rel=1e-4)


@pytest.mark.parametrize(("ln_type", "kernels"), FORMS)
def test_same_weights_give_the_same_bits(ln_type: str, kernels: str) -> None:
    config = small_config(model__ln_type=ln_type, run__kernels=kernels)
    _, fast = engines(config)
    train = fast.dataset.train
    first, gradients = step(fast, train)
    fast.evaluate(fast.dataset.test)
    fast.step(train[:10])
    again, same_gradients = step(fast, train)
    assert again.loss.item() == first.loss.item()
    assert all(same_gradients[name].equal(gradient) for name, gradient in gradients.items())
    assert fast.evaluate(train.clone()).loss.item() == first.loss.item()


@pytest.mark.parametrize("loss_dtype", ["float32", "float64"])
@pytest.mark.parametrize(("ln_type", "kernels"), FORMS)
def test_the_loss_is_summed_in_its_own_type(ln_type: str, kernels: str, loss_dtype: str) -> None:
    config = small_config(
        **{"model__ln_type": ln_type, "run__kernels": kernels, "train__loss_dtype": loss_dtype}
    )
    for engine in engines(config):
        rows = engine.dataset.train
        assert engine.evaluate(rows).loss.dtype == getattr(torch, loss_dtype)
        assert step(engine, rows)[0].loss.dtype == getattr(torch, loss_dtype)


OTHERS = {  # more classes than tokens, and what else goes its own way in some form
    **{"data__task": "sum-xor", "model__mlp_type": "gated", "model__unembed": "tied"},
    **{"model__output_scaling": 3.0, "model__subtract_init": True},
}


@pytest.mark.parametrize("changes", [{}, OTHERS], ids=["plain", "others"])
@pytest.mark.parametrize(
    ("ln_type", "kernels"), [*FORMS, ("qk-norm", "numba"), ("attn-pre-qk", "numba")]
)
def test_scores_and_gradients_follow_the_weights(
    ln_type: str, kernels: str, changes: dict[str, Any]
) -> None:
    """Nothing that is kept from step to step is of the weights of a step before."""
    config = small_config(
        **{"model__ln_type": ln_type, "run__kernels": kernels, "train__dtype": "float64"}, **changes
    )
    plain, fast = engines(config)
    for factor in (1.0, 1.5, 0.7):
        with torch.no_grad():
            for parameter in plain.model.trainable().values():
                parameter.mul_(factor)
        assert_agree(plain, fast)


@pytest.mark.parametrize("ln_type", ["off", "pre", "peri"])
def test_evaluate_leaves_gradients_alone(ln_type: str) -> None:
    _, fast = engines(small_config(model__ln_type=ln_type))
    _, before = step(fast, fast.dataset.train)
    fast.evaluate(fast.dataset.test)
    assert all(p.grad.equal(before[name]) for name, p in fast.model.trainable().items())


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_answer_is_cross_entropy_at_any_size(scale: float, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(50, 9, dtype=dtype, generator=generator)
    labels = logits.argmax(1)
    labels[::2] = torch.arange(25) % 9
    leaf = logits.double().clone().requires_grad_()
    expected = row_losses(leaf, labels, torch.float64).sum()
    expected.backward()
    answer = Answer.of(logits.clone(), labels[:, None], torch.float64)
    gradient = torch.empty_like(logits)
    answer.write_gradient(labels[:, None], 1.0, gradient)
    compiled = torch.cat((torch.zeros(50, 2), logits), 1)
    loss, correct = compiled_kernels.answer(
        *(compiled.numpy(), 2, 9, labels[:, None].numpy(), np.zeros((0, 0), np.float32)), 1.0
    )
    assert loss == pytest.approx(expected.item(), rel=1e-6)
    assert correct == answer.score.correct
    tolerance = {"rtol": 1e-11, "atol": 0.0} if dtype == torch.float64 else {}
    assert answer.score.loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert answer.score.correct == (logits.argmax(1) == labels).sum()
    assert leaf.grad is not None
    torch.testing.assert_close(gradient.double(), leaf.grad, **tolerance)


def test_tiny_loss_keeps_its_relative_accuracy() -> None:
    for gap in (30.0, 80.0, 300.0):
        answer = Answer.of(torch.tensor([[gap, 0.0]]), torch.tensor([[0]]), torch.float64)
        assert answer.score.loss.item() == pytest.approx(math.exp(-gap), rel=1e-12)


def test_ties_go_to_the_first_class() -> None:
    labels = torch.tensor([[0], [1], [2]])
    logits = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
    assert Answer.of(logits, labels, torch.float64).score.correct == 1


def test_sums_and_look_ups_have_the_gradients_of_indexing() -> None:
    generator = torch.Generator().manual_seed(0)
    index = torch.randint(5, (8, 3), generator=generator)
    table = torch.randn(6, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    weight = torch.randn(8, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    terms = Terms.of(index, 6)  # nothing takes the last line
    pairs = [
        (gather(table, terms), table[index]),
        (weighted_sums(table, weight, terms), (weight[:, :, None] * table[index]).sum(1)),
    ]
    for actual, expected in pairs:
        torch.testing.assert_close(actual, expected)
        inputs = [table, weight] if actual.dim() == 2 else [table]
        gradient = torch.randn(actual.shape, dtype=torch.float64, generator=generator)
        for a, e in zip(
            torch.autograd.grad(actual, inputs, gradient),
            torch.autograd.grad(expected, inputs, gradient),
            strict=True,
        ):
            torch.testing.assert_close(a, e)


def test_gradients_fed_in_are_those_of_autograd_to_the_bit() -> None:
    generator = torch.Generator().manual_seed(0)
    gradients = [torch.randn(4, 3, generator=generator), torch.randn(5, generator=generator)]
    results = []
    for backward in (torch.autograd.backward, backward_from):
        leaf = torch.arange(12.0).reshape(4, 3).requires_grad_()
        backward([leaf.sin(), (leaf.exp() @ torch.ones(3, 5)).sum(0)], gradients)
        results.append(leaf.grad)
    assert torch.equal(*results)


def test_the_paper_s_placements_factor() -> None:
    for ln_type in PLACEMENTS:
        config = small_config(model__ln_type=ln_type)
        form = FactoredForm if ln_type not in ("post", "peri", "sphere") else LayeredForm
        assert type(engines(config)[1].form) is form


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        {"model__ln_type": "pre"},
        {"model__ln_type": "attn-pre", "model__mlp_type": "gated"},
        {"model__ln_type": "off", "model__n_layers": 2},
        {"model__subtract_init": True, "model__scale_as": "temperature"},
        {"model__ln_type": "pre", "model__subtract_init": True, "run__kernels": "numba"},
        {"model__mlp_type": "gated", "run__kernels": "numba"},
    ],
)
def test_training_is_the_same_with_any_number_of_threads(
    model: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_engine, "CHUNK", 7)
    before, weights = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            trainer = Trainer(small_config(**model, train__steps=5))
            assert trainer.engine.crew.threads == threads
            trainer.run()
            assert torch.get_num_threads() == threads
            weights.append(torch.cat([p.flatten() for p in trainer.parameters]))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0], weights[2])


def test_on_a_cpu_the_fast_engine_has_as_many_threads_as_torch() -> None:
    config, before = small_config(), torch.get_num_threads()
    dataset = Dataset.of(config)
    torch.set_num_threads(3)
    try:
        engine = FastEngine(config, initial_model(config, dataset.vocab), dataset)
    finally:
        torch.set_num_threads(before)
    assert engine.crew.threads == 3


def test_engine_is_chosen_by_name() -> None:
    chosen = {}
    for name in ("auto", "plain", "fast"):
        config = small_config(run__engine=name)
        dataset = Dataset.of(config)
        chosen[name] = type(make_engine(config, initial_model(config, dataset.vocab), dataset))
    assert chosen == {"auto": FastEngine, "plain": PlainEngine, "fast": FastEngine}
