"""Which numbers a setting takes: the limits themselves, and none beyond them."""

import math
from typing import Any

import pytest
from pydantic import ValidationError

from grok_cli.core.config import KNOWN, Config
from tests.core.test_facts_settings import config_of

SEED = ((0, 2**31 - 1), (-1, 2**31))
POSITIVE = ((1e-9, 1e9), (0, -1))
NOT_NEGATIVE = ((0, 1e9), (-1e-9,))
RATE = ((0, 0.999), (1, -0.1))
MUON = {"opt.optimizer": "muon"}
EMA = {"opt.gradient_filter": "grokfast-ema"}

# Of each setting that is a number: values that are taken, and values that are not.
LIMITS: dict[str, tuple[tuple[Any, ...], tuple[Any, ...]]] = {
    "data.modulus": ((2, 120), (1, 0, -5, 10**6 + 1)),
    "data.test_ratio": ((0.01, 0.99), (0, 1, -0.1)),
    **dict.fromkeys(("data.split_seed", "train.seed", "branch.perturb_seed"), SEED),
    "model.norm_eps": NOT_NEGATIVE,
    "model.n_layers": ((1, 100), (0, 1001)),
    "model.d_model": ((4, 64), (0, 10**6 + 4)),
    "model.n_heads": ((1, 4), (0, -4)),
    "model.mlp_ratio": ((1, 16), (0, -1)),
    **dict.fromkeys(("model.output_scaling", "model.init_scale", "opt.learning_rate"), POSITIVE),
    **dict.fromkeys(("opt.weight_decay", "opt.eps", "opt.filter_strength"), NOT_NEGATIVE),
    **dict.fromkeys(("branch.scale", "branch.perturb"), NOT_NEGATIVE),
    **dict.fromkeys(("opt.beta1", "opt.beta2", "opt.momentum", "opt.filter_decay"), RATE),
    "opt.warmup_steps": ((0, 10_000), (-1,)),
    "opt.filter_window": ((1, 100), (0, 10_001)),
    "opt.weight_norm": POSITIVE,
    "train.steps": ((1, 10**9), (0, -1, 10**9 + 1)),
    "train.batch_size": ((1, 10**12), (0, 10**12 + 1)),
    **dict.fromkeys(("train.eval_every", "train.snapshot_every"), ((1, 10**9), (0, 10**9 + 1))),
    **dict.fromkeys(("run.save_every", "run.state_every"), ((1, 10**9), (0, 10**9 + 1))),
    "train.evals_per_decade": ((1, 100_000), (0, 100_001)),
    "train.label_smoothing": RATE,
    "run.threads": ((1, 1024), (0, 1025)),
    "run.state_at": (([], [1, 5]), ([0], [5, -1])),
    "branch.which_frequencies": (([], [1, 5]), ([0], [5, -1])),
    "measure.diagnostics": (({}, {"rank": 1}), ({"rank": 0}, {"rank": -1})),
}
NEEDS: dict[str, dict[str, Any]] = {
    "opt.momentum": MUON,
    "opt.filter_strength": EMA,
    "opt.filter_decay": EMA,
    "opt.filter_window": {"opt.gradient_filter": "grokfast-ma"},
}


def made(key: str, value: Any) -> Config:
    parent = {"branch.parent": "0" * 10} if key.startswith("branch.") else {}
    return config_of(parent | NEEDS.get(key, {}) | {key: value})


@pytest.mark.parametrize("key", LIMITS)
def test_a_setting_takes_its_limits_and_nothing_beyond(key: str) -> None:
    section, _, name = key.partition(".")
    taken, refused = LIMITS[key]
    for value in taken:
        found = getattr(getattr(made(key, value), section), name)
        assert found == (tuple(value) if isinstance(value, list) else value)
    for value in (*refused, math.nan, math.inf):
        with pytest.raises(ValidationError, match=name):
            made(key, value)


def test_every_number_has_limits() -> None:
    numbers = {key for key, field in KNOWN.items() if field.metadata and "str" not in str(field)}
    assert numbers <= LIMITS.keys()
