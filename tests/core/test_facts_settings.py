"""Every setting that is said to matter changes the result, and no other does."""

import re
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from grok_cli.core.config import KEYS, MOVED, Config, affects_result, present_spelling
from grok_cli.core.initial import initial_model
from grok_cli.core.model import Transformer
from grok_cli.core.training import Recorder, Row, Trainer, divergence_hint
from grok_cli.errors import UsageError
from grok_cli.runs.branching import branch_config
from tests.conftest import small_config

# A base in which every setting has something to act on, and for each setting another value.
BASE = {
    "data.modulus": 7,
    "data.test_ratio": 0.4,
    "model.ln_type": "pre",
    "model.norm_eps": 1e-5,
    "model.d_model": 8,
    "model.n_heads": 2,
    "model.output_scaling": 2.0,
    "opt.warmup_steps": 2,
    "train.steps": 12,
    "train.batch_size": 16,
    "train.eval_every": 4,
    "train.snapshot_every": 5,
}
OTHER = {
    "data.task": "multiply",
    "data.modulus": 11,
    "data.test_ratio": 0.5,
    "data.split_seed": 3,
    "model.ln_type": "off",
    "model.norm": "rmsnorm",
    "model.norm_eps": 0.1,
    "model.final_norm": "on",
    "model.attention": "uniform",
    "model.n_layers": 2,
    "model.d_model": 16,
    "model.n_heads": 4,
    "model.mlp_ratio": 2,
    "model.mlp_type": "gated",
    "model.activation": "relu",
    "model.unembed": "tied",
    "model.unembed_rows": "unit",
    "model.output_scaling": 0.5,
    "model.scale_as": "temperature",
    "model.init": "kaiming",
    "model.init_draws": "cpu",
    "model.init_scale": 0.5,
    "model.subtract_init": True,
    "opt.learning_rate": 1e-2,
    "opt.weight_decay": 0.0,
    "opt.beta1": 0.5,
    "opt.beta2": 0.5,
    "opt.eps": 1e-2,
    "opt.warmup_steps": 0,
    "opt.optimizer": "muon",
    "opt.momentum": 0.5,
    "opt.gradient_filter": "orthogonal",
    "opt.filter_strength": 0.5,
    "opt.filter_decay": 0.5,
    "opt.filter_window": 3,
    "opt.weight_norm": 3.0,
    "train.seed": 457,
    "train.steps": 13,
    "train.batch_size": 8,
    "train.until_grokked": True,
    "train.eval_every": 3,
    "train.eval_spacing": "log",
    "train.evals_per_decade": 7,
    "train.snapshot_every": 3,
    "train.dtype": "float64",
    "train.loss_dtype": "float32",
    "train.loss": "mse",
    "train.label_smoothing": 0.1,
    "measure.diagnostics": {"rank": 5},
    "run.device": "cpu",
    "run.threads": 2,
    "run.engine": "plain",
    "run.kernels": "numba",
    "run.save_every": 5,
    "run.state_every": 5,
    "run.state_at": [3],
    "wandb.mode": "offline",
    "wandb.project": "other",
    "wandb.entity": "somebody",
    "wandb.group": "g",
    "wandb.name": "n",
    "wandb.tags": ["t"],
}
# Settings that act only with others, or after more steps than the test takes.
NEEDS: dict[str, dict[str, Any]] = {
    "opt.momentum": {"opt.optimizer": "sgd"},
    "opt.filter_strength": {"opt.gradient_filter": "grokfast-ema"},
    "opt.filter_decay": {"opt.gradient_filter": "grokfast-ema"},
    "opt.filter_window": {"opt.gradient_filter": "grokfast-ma", "opt.learning_rate": 0.1},
    "train.evals_per_decade": {"train.eval_spacing": "log"},
    "train.until_grokked": {"train.steps": 700, "data.test_ratio": 0.03, "train.batch_size": None},
}


def config_of(flat: dict[str, Any]) -> Config:
    sections: dict[str, dict[str, Any]] = {}
    for key, value in flat.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = value
    return Config.model_validate(sections)


class Witness(Recorder):
    """Keeps rows, and the steps of snapshots."""

    def __init__(self) -> None:
        self.kept: list[Row | int] = []

    def rows(self, rows: Sequence[Row]) -> None:
        self.kept += rows

    def snapshot(self, trainer: Trainer) -> None:
        self.kept.append(trainer.step)


def result_of(config: Config) -> list[Row | int]:
    """Metrics and snapshots. With the plain engine only where the test asks for it."""
    witness, trainer = Witness(), Trainer(config)
    if config.train.until_grokked:  # as if it had generalised long ago
        trainer.phases.see_test(1, 1.0)
        trainer.phases.see_test(501, 1.0)
    trainer.run(witness)
    return witness.kept


OF_BRANCHES = [key for key in KEYS if key.startswith("branch.")]  # tests/runs/test_branching.py


@pytest.mark.parametrize(
    "key", [key for key in KEYS if affects_result(key) and key not in OF_BRANCHES]
)
def test_a_setting_of_what_a_run_is_changes_its_result_and_its_name(key: str) -> None:
    one = config_of(BASE | NEEDS.get(key, {}))
    two = config_of(BASE | NEEDS.get(key, {}) | {key: OTHER[key]})
    assert one.digest() != two.digest()
    if key == "model.scale_as":  # the same loss, of other logits
        logits = [initial_model(c, 8)(torch.tensor([[1, 2, 7]])) for c in (one, two)]
        torch.testing.assert_close(logits[0], 2 * logits[1])
    else:
        assert result_of(one) != result_of(two)


@pytest.mark.parametrize("key", [key for key in KEYS if not affects_result(key)])
def test_a_setting_of_where_a_run_happens_changes_neither(key: str) -> None:
    one, two = config_of(BASE), config_of(BASE | {key: OTHER[key]})
    assert one != two
    assert one.digest() == two.digest()
    if key in (
        "run.engine",
        "run.kernels",
    ):  # the same function, but for the last digits of float32
        one, two = (config_of(BASE | {key: OTHER[key], "run.threads": n}) for n in (1, 2))
    assert result_of(one) == result_of(two)


def test_every_setting_is_tried() -> None:
    assert OTHER.keys() | set(OF_BRANCHES) == set(KEYS)


def test_identity_is_whole_sections() -> None:
    assert {key.split(".")[0] for key in KEYS if affects_result(key)} == {
        "data",
        "model",
        "opt",
        "train",
        "branch",
    }
    assert affects_result("model.something_new")
    assert affects_result("other.key")
    assert not affects_result("train.threads")  # its earlier spelling
    assert [present_spelling(key) for key in MOVED] == list(MOVED.values())
    moved = {"save_every", "engine", "device", "threads", "diagnostics"}
    assert {key for key in MOVED if key.startswith("train.")} == {f"train.{name}" for name in moved}


@pytest.mark.parametrize(("mlp_type", "dtype"), [("plain", "float32"), ("gated", "float64")])
def test_memory_of_a_large_model_is_that_of_six_copies(mlp_type: str, dtype: str) -> None:
    """Weights, gradient, two moments, weights before a step, a snapshot; the rest is small."""
    config = small_config(
        data__modulus=11,
        model__d_model=512,
        model__n_layers=3,
        model__mlp_type=mlp_type,
        train__dtype=dtype,
    )
    with torch.device("meta"):
        model = Transformer(config.model, vocab=12)
    number = sum(parameter.numel() for parameter in model.parameters())
    expected = 6 * number * {"float32": 4, "float64": 8}[dtype]
    assert config.memory() == pytest.approx(expected, rel=0.02)


def test_a_filter_keeps_its_window_of_gradients_in_memory() -> None:
    window = {"opt__gradient_filter": "grokfast-ma", "opt__filter_window": 60}
    one, two = small_config(model__d_model=512), small_config(model__d_model=512, **window)
    assert two.memory() == pytest.approx(one.memory() * (6 + 60) / 6, rel=0.05)


@pytest.mark.parametrize("earlier", MOVED)
def test_an_earlier_spelling_is_the_present_one_and_not_set_beside_it(earlier: str) -> None:
    present = MOVED[earlier]
    assert config_of({earlier: OTHER[present]}) == config_of({present: OTHER[present]})
    with pytest.raises(ValidationError, match=f"{earlier}: is called {present} now, which is set"):
        config_of({earlier: OTHER[present], present: OTHER[present]})


def test_the_largest_that_can_be_may_be() -> None:
    assert small_config(opt__warmup_steps=60).opt.warmup_steps == 60
    assert small_config(branch__parent="0" * 10, branch__at=60).branch.at == 60


def test_a_branch_says_where_it_left_also_where_that_is_the_start() -> None:
    branch = {"parent": "0" * 10, "at": 0}
    config = small_config(branch__parent="0" * 10)
    assert config.model_dump()["branch"] == config.identity()["branch"] == branch


def test_what_only_the_first_weights_depend_on_is_no_change_that_a_branch_can_make() -> None:
    """It would stand in the branch's settings and have no effect; so would another shape fail."""
    base = config_of(BASE)
    of_shapes = {"data.modulus", *(f"model.{name}" for name in ("n_layers", "d_model"))}
    of_shapes |= {f"model.{name}" for name in ("mlp_ratio", "mlp_type", "unembed")}
    of_start = {"train.seed", *(f"model.{name}" for name in ("init", "init_draws", "init_scale"))}
    refused, no_change = set(), set()
    for key in KEYS:
        if affects_result(key) and key not in OF_BRANCHES:
            try:
                branch = branch_config(base, 1, NEEDS.get(key, {}) | {key: OTHER[key]}).branch
            except UsageError:
                refused.add(key)
            else:
                if key not in branch.was:  # says for how long, or when it is looked at
                    no_change.add(key)
    looks = ("eval_every", "eval_spacing", "evals_per_decade", "snapshot_every")
    assert no_change == {f"train.{name}" for name in ("steps", "until_grokked", *looks)}
    assert refused == of_shapes | of_start | {"model.subtract_init"}


def test_unless_asked_nothing_leaves_the_machine_and_what_computes_is_chosen_here() -> None:
    config = Config()
    assert config.wandb.mode == "off"
    assert (config.run.device, config.run.engine, config.run.kernels) == ("auto", "auto", "auto")
    assert (config.run.threads, config.measure.diagnostics) == (None, {})
    assert (config.run.save_every, config.run.state_every, config.run.state_at) == (500, None, ())


def test_devices_are_the_cpu_and_gpus_by_number() -> None:
    for name in ("auto", "cpu", "cuda", "cuda:0", "cuda:12"):
        assert small_config(run__device=name).run.device == name
    for name in ("cpus", "my cpu", "cuda:", "cuda:-1", "cuda:1,2", "gpu", ""):
        with pytest.raises(ValidationError, match="expected one of auto, cpu, cuda, cuda:0"):
            small_config(run__device=name)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"data__modulus": 10**5},
            r"data\.modulus, model\.d_model, n_layers, mlp_ratio: with 100000, 16, 1, 4 a run "
            r"takes about 3,[0-9]{3} GiB of memory; expected at most 32",
        ),
        (
            {"model__n_heads": 3},
            r"model\.n_heads: 3 heads do not divide d_model = 16; "
            r"expected a divisor of model\.d_model",
        ),
        (
            {"opt__warmup_steps": 61},
            r"opt\.warmup_steps: 61 is more than train\.steps = 60; expected at most that",
        ),
        (
            {"data__test_ratio": 1e-9},
            r"data\.test_ratio: 1e-09 of 169 pairs leaves no test pair; "
            r"expected at least one pair on each side",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        small_config(**settings)
    assert re.search(rf"Value error, {message} \[", str(caught.value))


def test_a_run_is_named_by_task_placement_seed_and_digest() -> None:
    """The digest is ten digits of the SHA-256 of the identity as JSON with sorted keys. It names
    directories, so that it must never change for a run that exists."""
    assert Config().run_name() == "add-off-s456-4d36bd0181"
    other = config_of({"model.ln_type": "attn-pre", "train.seed": 789})
    assert other.run_name() == "add-attn-pre-s789-03d9428a93"


def test_divergence_names_the_setting_that_is_the_likeliest_cause() -> None:
    no_eps = divergence_hint(small_config(opt__eps=0.0, model__ln_type="pre"), 1)
    assert "opt.eps is 0" in no_eps
    assert "try opt.eps=1e-8" in no_eps
    at_once = divergence_hint(small_config(model__ln_type="pre"), 1)
    assert "not finite at step 1: a norm may divide by a variance of 0" in at_once
    assert "try model.norm_eps=1e-5" in at_once
    for later in (
        divergence_hint(small_config(model__ln_type="pre"), 2),
        divergence_hint(small_config(model__ln_type="pre", model__norm_eps=1e-5), 1),
        divergence_hint(small_config(), 1),
    ):
        assert "try a smaller opt.learning_rate than 0.001" in later


@pytest.mark.parametrize("init", ["lecun", "kaiming"])
def test_draws_of_the_cpu_are_torchs_own_initialisers_in_the_order_of_the_parameters(
    init: str,
) -> None:
    model = initial_model(
        small_config(
            model__init_draws="cpu",
            model__init=init,
            model__n_layers=2,
            model__mlp_type="gated",
            model__ln_type="pre",
        ),
        14,
    )
    d, generator = 16, torch.Generator().manual_seed(456)

    def normal(shape: tuple[int, ...], std: float) -> torch.Tensor:
        return torch.nn.init.normal_(torch.empty(shape), std=std, generator=generator)

    def matrix(shape: torch.Size) -> torch.Tensor:
        weight = torch.empty(shape)
        if init == "kaiming":
            return torch.nn.init.kaiming_normal_(weight, generator=generator)
        std = shape[1] ** -0.5
        return torch.nn.init.trunc_normal_(
            weight, std=std, a=-2 * std, b=2 * std, generator=generator
        )

    assert model.embed.equal(normal((14, d), 0.25))
    assert model.pos.equal(normal((3, d), 0.02))
    for block in model.layers():
        qkv = torch.nn.init.xavier_uniform_(torch.empty(3 * d, d), generator=generator)
        assert block.attn.qkv.equal(qkv)
        mlp = block.mlp
        for weight in (block.attn.out, mlp.w_in, mlp.w_gate, mlp.w_out):
            assert weight is not None
            assert weight.equal(matrix(weight.shape))
        assert mlp.b_gate is not None
        assert not any(bias.any() for bias in (mlp.b_in, mlp.b_gate, mlp.b_out))
        for norm in block.norms.values():
            assert (norm.gain == 1).all()
            assert (norm.bias == 0).all()
    assert model.unembed is not None
    assert model.unembed.equal(normal((14, d), 0.25))
