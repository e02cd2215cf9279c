"""Optimisers and gradient filters against their authors' formulas, and resumed to the bit."""

import copy
import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from grok_cli.core.config import LATER, Config
from grok_cli.core.opt_config import USED_BY, OptConfig
from grok_cli.core.optimizers import Optimizer, make_optimizer
from grok_cli.core.training import Trainer
from grok_cli.errors import UsageError
from tests.conftest import small_config

EVERY: dict[str, dict[str, Any]] = {
    "adamw": {},
    "adam": {"optimizer": "adam", "weight_decay": 0.1},
    "sgd": {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 0.01},
    "sgd-plain": {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0},
    "muon": {"optimizer": "muon"},
    "grokfast-ema": {"gradient_filter": "grokfast-ema"},
    "grokfast-ma": {"gradient_filter": "grokfast-ma", "filter_window": 7},
    "orthogonal": {"gradient_filter": "orthogonal", "optimizer": "sgd", "weight_decay": 0.0},
    "clamped": {"weight_norm": 12.0, "optimizer": "muon", "gradient_filter": "grokfast-ema"},
}


def stepped(
    settings: Mapping[str, Any], x: list[float], gradients: list[list[float]], lr: float = 0.1
) -> list[float]:
    """One parameter after a step by each gradient."""
    parameter = torch.tensor(x, dtype=torch.float64)
    optimizer = make_optimizer({"p": parameter}, OptConfig(learning_rate=lr, **settings))
    for gradient in gradients:
        parameter.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step(lr)
    return parameter.tolist()


def test_momentum_carries_on_and_decay_is_part_of_the_gradient() -> None:
    settings = {"optimizer": "sgd", "momentum": 0.5, "weight_decay": 0.1}
    # b = 1 + 0.1 * 2 = 1.2, x = 2 - 0.12 = 1.88; b = 0.6 + 0 + 0.188 = 0.788, x = 1.88 - 0.0788
    assert stepped(settings, [2.0], [[1.0], [0.0]]) == pytest.approx([1.8012], rel=1e-14)
    assert OptConfig(optimizer="sgd").momentum_or_default == 0.9
    assert OptConfig(optimizer="muon").momentum_or_default == 0.95


def test_decay_of_adam_goes_through_its_moments_and_that_of_adamw_does_not() -> None:
    """The first step of Adam is lr * sign(g): with decay in the gradient its size is still lr."""
    settings = {"weight_decay": 0.5, "eps": 0.0}
    coupled = stepped({**settings, "optimizer": "adam"}, [2.0, -2.0], [[0.1, 0.1]])
    assert coupled == pytest.approx([1.9, -1.9], rel=1e-13)  # g + wd x = 1.1 and -0.9
    decoupled = stepped(settings, [2.0, -2.0], [[0.1, 0.1]])
    assert decoupled == pytest.approx([2 * 0.95 - 0.1, -2 * 0.95 - 0.1], rel=1e-13)


def test_second_step_of_adam_is_the_published_formula() -> None:
    b1, b2, lr, wd = 0.9, 0.98, 0.1, 0.5
    x, m, v = 2.0, 0.0, 0.0
    for t, g in enumerate((0.3, -0.2), start=1):
        g += wd * x
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        x -= lr * m / (1 - b1**t) / (math.sqrt(v / (1 - b2**t)) + 1e-8)
    settings = {"optimizer": "adam", "weight_decay": wd}
    assert stepped(settings, [2.0], [[0.3], [-0.2]]) == pytest.approx([x], rel=1e-12)


def muon_parameters() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "embed": (5, 4),
        "blocks.0.attn.qkv": (12, 4),
        "blocks.0.mlp.w_in": (8, 4),
        "blocks.0.mlp.b_in": (8,),
    }
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def test_muon_orthogonalises_matrices_of_blocks_and_leaves_the_rest_to_adamw() -> None:
    """A gradient with orthonormal columns times 3, of an 8 x 4 matrix: NS makes all its singular
    values nearly 1, and the step is lr * 0.2 * sqrt(8) times that, whatever the 3."""
    parameters = muon_parameters()
    before = {name: p.clone() for name, p in parameters.items()}
    frame = torch.linalg.qr(torch.randn(8, 4, generator=torch.Generator().manual_seed(1)))[0]
    for name, p in parameters.items():
        p.grad = 3 * frame if name == "blocks.0.mlp.w_in" else torch.ones_like(p)
    make_optimizer(parameters, OptConfig(optimizer="muon", weight_decay=0.5)).step(0.1)
    moved = {name: p - before[name] * (1 - 0.1 * 0.5) for name, p in parameters.items()}
    for name in ("embed", "blocks.0.mlp.b_in"):  # Adam's first step: lr * sign(g)
        torch.testing.assert_close(moved[name], torch.full_like(moved[name], -0.1))
    update = moved["blocks.0.mlp.w_in"] / (-0.1 * 0.2 * math.sqrt(8))
    values = torch.linalg.svdvals(update)
    assert values.min() > 0.65
    assert values.max() < 1.25
    assert torch.nn.functional.cosine_similarity(update.flatten(), frame.flatten(), dim=0) > 0.999


def test_muon_is_torchs_own_on_queries_keys_and_values_apart() -> None:
    parameters = muon_parameters()
    qkv = parameters["blocks.0.attn.qkv"]
    parts = [part.clone() for part in qkv.chunk(3)]
    reference = torch.optim.Muon(parts, weight_decay=0.5, adjust_lr_fn="match_rms_adamw")
    optimizer = make_optimizer(parameters, OptConfig(optimizer="muon", weight_decay=0.5))
    generator = torch.Generator().manual_seed(2)
    for _ in range(3):
        for p in parameters.values():
            p.grad = torch.randn(p.shape, generator=generator)
        assert qkv.grad is not None
        for part, gradient in zip(parts, qkv.grad.chunk(3), strict=True):
            part.grad = gradient.clone()
        optimizer.step(0.01)
        for group in reference.param_groups:
            group["lr"] = 0.01
        reference.step()
    assert torch.cat(parts).equal(qkv)


def test_muon_says_which_pytorch_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(UsageError, match=r"muon needs PyTorch 2\.9 or later, this is"):
        Trainer(small_config(opt__optimizer="muon"))


def filtered(settings: Mapping[str, Any], gradients: list[float]) -> list[float]:
    """The gradients as plain descent sees them."""
    plain = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, **settings}
    places = [
        stepped(plain, [0.0], [[g] for g in gradients[:n]], lr=1.0)[0]
        for n in range(len(gradients) + 1)
    ]
    return [before - after for before, after in pairwise(places)]


def test_grokfast_ema_adds_its_mean_of_which_the_first_is_the_gradient() -> None:
    settings = {"gradient_filter": "grokfast-ema", "filter_decay": 0.75, "filter_strength": 3.0}
    # means 4, 0.75 * 4 + 0.25 * 2 = 3.5, 0.75 * 3.5 + 0.25 * -1 = 2.375
    expected = [4 + 3 * 4, 2 + 3 * 3.5, -1 + 3 * 2.375]
    assert filtered(settings, [4.0, 2.0, -1.0]) == pytest.approx(expected, rel=1e-14)


def test_grokfast_ma_adds_the_mean_of_a_full_window() -> None:
    settings = {"gradient_filter": "grokfast-ma", "filter_window": 2, "filter_strength": 3.0}
    expected = [4.0, 2 + 3 * 3, -1 + 3 * 0.5, 5 + 3 * 2]  # nothing before there are two
    assert filtered(settings, [4.0, 2.0, -1.0, 5.0]) == pytest.approx(expected, rel=1e-14)


def test_strengths_of_the_filters_are_their_authors() -> None:
    found = {
        name: OptConfig(gradient_filter=name).filter_strength_or_default  # type: ignore[arg-type]
        for name in ("grokfast-ema", "grokfast-ma")
    }
    assert found == {"grokfast-ema": 2.0, "grokfast-ma": 5.0}
    assert (OptConfig().filter_decay, OptConfig().filter_window) == (0.98, 100)


def test_orthogonal_gradient_has_no_part_along_the_weights_and_keeps_its_length() -> None:
    settings = {"gradient_filter": "orthogonal", "optimizer": "sgd", "weight_decay": 0.0}
    # g = (3, 4) at x = (2, 0): the part along x goes, the rest (0, 4) is stretched to length 5.
    assert stepped({**settings, "momentum": 0.0}, [2.0, 0.0], [[3.0, 4.0]], lr=1.0) == [2.0, -5.0]
    # Nothing is left of a gradient along the weights, and weights of 0 have no direction.
    assert stepped(settings, [2.0, 0.0], [[1.0, 0.0]], lr=1.0) == [2.0, 0.0]
    assert stepped(settings, [0.0, 0.0], [[3.0, 4.0]], lr=1.0) == pytest.approx([-3.0, -4.0])


def test_weight_norm_is_that_of_all_weights_together_after_every_step() -> None:
    trainer = Trainer(small_config(opt__weight_norm=7.5, train__steps=3))
    before = [p.detach().clone() for p in trainer.parameters]
    trainer.run()
    norm = torch.cat([p.detach().flatten() for p in trainer.parameters]).norm()
    assert float(norm) == pytest.approx(7.5)
    assert not any(
        torch.equal(now, then) for now, then in zip(trainer.parameters, before, strict=True)
    )
    # Both weights are scaled by one factor: (3, 4) and 12 have norm 13 before it.
    one, two = torch.tensor([3.0, 4.0]), torch.tensor([12.0])
    optimizer = make_optimizer({"a": one, "b": two}, OptConfig(weight_norm=6.5, weight_decay=0))
    one.grad, two.grad = torch.zeros(2), torch.zeros(1)
    optimizer.step(0.1)
    assert [*one.tolist(), *two.tolist()] == pytest.approx([1.5, 2.0, 6.0])


def run_to(trainer: Trainer, step: int) -> None:
    trainer.run(should_stop=lambda: trainer.step == step)


@pytest.mark.parametrize("name", EVERY)
def test_every_optimizer_resumes_to_the_bit(name: str) -> None:
    """Interrupted after 1, 5 and 9 steps; the state is copied as a file would."""
    config = small_config(**{f"opt__{key}": value for key, value in EVERY[name].items()})
    whole, cut = Trainer(config), Trainer(config)
    assert isinstance(whole.optimizer, Optimizer)
    run_to(whole, 12)
    for stop in (1, 5, 9, 12):
        run_to(cut, stop)
        state = copy.deepcopy(cut.state())
        cut = Trainer(config)
        cut.load(state)
    assert cut.step == 12
    for mine, expected in zip(cut.parameters, whole.parameters, strict=True):
        assert mine.equal(expected)


def test_what_the_chosen_optimizer_does_not_use_is_refused() -> None:
    for settings, message in (
        ({"momentum": 0.5}, "opt.momentum: not used by opt.optimizer: adamw; expected null"),
        ({"optimizer": "sgd", "beta1": 0.5}, "opt.beta1: not used by opt.optimizer: sgd"),
        ({"optimizer": "sgd", "eps": 0.1}, "adamw or adam or muon as opt.optimizer"),
        ({"filter_strength": 1.0}, "opt.filter_strength: not used by opt.gradient_filter: off"),
        (
            {"gradient_filter": "grokfast-ema", "filter_window": 5},
            r"expected 100 \(its default\), or grokfast-ma as opt.gradient_filter",
        ),
    ):
        with pytest.raises(ValidationError, match=message):
            OptConfig.model_validate(settings)
    OptConfig(optimizer="sgd", beta1=0.9, filter_decay=0.98)  # as a recorded configuration has it


# Another value of each setting, and who says that it uses it (the help of the settings).
OTHER_VALUES = {"beta1": 0.5, "beta2": 0.5, "eps": 1.0, "momentum": 0.0, "filter_strength": 0.0}
OTHER_VALUES |= {"filter_decay": 0.5, "filter_window": 2, "weight_decay": 0.0, "weight_norm": 9.0}
USERS = {
    **dict.fromkeys(("beta1", "beta2", "eps"), ("adamw", "adam", "muon")),
    "momentum": ("sgd", "muon"),
    "filter_strength": ("grokfast-ema", "grokfast-ma"),
    "filter_decay": ("grokfast-ema",),
    "filter_window": ("grokfast-ma",),
    **dict.fromkeys(("weight_decay", "weight_norm"), ("adamw", "adam", "sgd", "muon")),
}


def after_three_steps(settings: Mapping[str, Any]) -> dict[str, Tensor]:
    parameters, generator = muon_parameters(), torch.Generator().manual_seed(3)
    optimizer = make_optimizer(parameters, OptConfig(**settings))
    for _ in range(3):
        for p in parameters.values():
            p.grad = torch.randn(p.shape, generator=generator)
        optimizer.step(0.1)
    return parameters


@pytest.mark.parametrize(
    ("setting", "user"), [(setting, user) for setting, users in USERS.items() for user in users]
)
def test_a_setting_changes_the_steps_of_each_that_uses_it(setting: str, user: str) -> None:
    chooser = "gradient_filter" if setting.startswith("filter") else "optimizer"
    base = {chooser: user} | ({"filter_window": 3} if user == "grokfast-ma" else {})
    plain = after_three_steps(base)
    other = after_three_steps(base | {setting: OTHER_VALUES[setting]})
    changed = {name for name, p in plain.items() if not p.allclose(other[name])}
    of_matrices = {name for name, p in plain.items() if name.startswith("blocks.") and p.ndim == 2}
    if user == "muon" and setting == "momentum":
        assert changed == of_matrices
    elif user == "muon" and setting in ("beta1", "beta2", "eps"):
        assert changed == plain.keys() - of_matrices
    else:
        assert changed == plain.keys()


@pytest.mark.parametrize("name", ["grokfast-ema", "grokfast-ma"])
def test_a_filter_of_strength_0_is_none(name: str) -> None:
    settings = {"gradient_filter": name, "filter_strength": 0.0}
    assert filtered(settings, [4.0, 2.0, -1.0]) == [4.0, 2.0, -1.0]


def test_settings_of_optimizers_and_filters_exist() -> None:
    for chooser, table in USED_BY.items():
        assert {name for used in table.values() for name in used} <= OptConfig.model_fields.keys()
        assert OptConfig.model_fields[chooser].default in table


def test_defaults_that_came_later_are_in_no_identity_and_other_values_are() -> None:
    identity = Config().identity()
    for key in LATER:
        section, _, name = key.partition(".")
        assert name not in identity[section]
    other = Config.model_validate({"opt": {"optimizer": "sgd"}})
    assert other.identity()["opt"]["optimizer"] == "sgd"
    assert other.digest() != Config().digest()
    assert Config.recorded(other.identity()) == other
