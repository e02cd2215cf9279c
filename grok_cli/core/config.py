"""The configuration of a run: frozen sections, each key with its default, range and meaning.

    data, model, opt, train   what a run computes: these are its identity (`Config.identity()`)
    branch                    of a branch only, and then part of its identity: which run it left
    measure                   what is measured on the way, which never changes training
    run                       where and how it executes, and how often it is saved
    wandb                     where it is logged besides

A field's description is written once, here: it is the help text of the command line and the
description in the JSON schema.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    model_serializer,
    model_validator,
)

from grok_cli.core.branch import BranchConfig
from grok_cli.core.fields import Section, fields_of
from grok_cli.core.model_config import MANY, ModelConfig
from grok_cli.core.opt_config import OptConfig
from grok_cli.core.surroundings import MeasureConfig, RunConfig, WandbConfig
from grok_cli.core.tasks import TASKS


def _is_prime(n: int) -> bool:
    return n >= 2 and all(n % d for d in range(2, int(n**0.5) + 1))


def _known_task(name: str) -> str:
    if name not in TASKS:
        raise ValueError(f"expected one of {', '.join(TASKS)}")
    return name


# The sections that a run's result depends on.
IDENTITY = ("data", "model", "opt", "train", "branch")
PLAIN = BranchConfig()  # what every run has of that section

# Settings that have moved, by their earlier spelling, which files and flags may still use.
MOVED = {
    "train.diagnostics": "measure.diagnostics",
    "train.save_every": "run.save_every",
    "train.engine": "run.engine",
    "train.device": "run.device",
    "train.threads": "run.threads",
}

MOST_MEMORY = 2**35  # bytes
BYTES_A_PAIR = 300  # Python objects while the data set is made

# Settings that came after directories were named by digests: at their default they are in none.
LATER = frozenset(
    (
        *("model.attention", "model.unembed_rows"),
        *("opt.optimizer", "opt.momentum", "opt.gradient_filter", "opt.filter_strength"),
        *("opt.filter_decay", "opt.filter_window", "opt.weight_norm"),
        *("train.loss", "train.label_smoothing"),
    )
)

# What runs did that were recorded before `model.init_draws` existed.
BEFORE_INIT_DRAWS = {"init_draws": "cpu"}

TaskName = Annotated[
    str, AfterValidator(_known_task), Field(json_schema_extra={"enum": list(TASKS)})
]


class DataConfig(Section):
    """What is learned, and which pairs are training pairs."""

    task: TaskName = Field("add", description="Binary operation to learn on tokens [a, b, =].")
    modulus: int = Field(
        113, ge=2, le=MANY, description="Number of elements p; pairs are 0 <= a, b < p."
    )
    test_ratio: float = Field(0.7, gt=0, lt=1, description="Share of all pairs held out for test.")
    split_seed: int | None = Field(
        None,
        ge=0,
        lt=2**31,
        description="Seed of the train/test split; null: the same as train.seed.",
    )

    @model_validator(mode="before")
    @classmethod
    def _order_of_group(cls, values: Any) -> Any:
        """A task on a fixed group brings its own number of elements."""
        if not isinstance(values, dict) or values.get("modulus") is not None:
            return values
        task = TASKS.get(str(values.get("task")))
        return values | {"modulus": task.order} if task and task.order else values

    @model_validator(mode="after")
    def _possible(self) -> "DataConfig":
        task = TASKS[self.task]
        if task.divides and not _is_prime(self.modulus):
            raise ValueError(
                f"data.modulus: {self.modulus} is not prime, and task '{self.task}' divides; "
                "expected a prime such as 97 or 113"
            )
        if task.order and self.modulus != task.order:
            raise ValueError(
                f"data.modulus: task '{self.task}' has exactly {task.order} elements; "
                f"expected {task.order}, or leave the modulus out"
            )
        n_pairs = len(task.pairs(self.modulus)) if self.modulus < 32 else self.modulus**2
        if not 0 < int(self.test_ratio * n_pairs) < n_pairs:
            raise ValueError(
                f"data.test_ratio: {self.test_ratio} of {n_pairs} pairs leaves no test pair; "
                "expected at least one pair on each side"
            )
        return self


class TrainConfig(Section):
    """How long, in which steps and types, and at which steps it is evaluated and kept."""

    seed: int = Field(
        456, ge=0, lt=2**31, description="Seed of the initial weights, split and batches."
    )
    steps: int = Field(
        10_000, ge=1, le=10**9, description="Number of optimiser steps (= epochs if full batch)."
    )
    batch_size: int | None = Field(
        None, ge=1, le=10**12, description="Rows a step; null: the full training set."
    )
    until_grokked: bool = Field(
        False, description="Stop once test accuracy >= 0.995 has lasted for 500 steps."
    )
    eval_every: int = Field(
        10,
        ge=1,
        le=10**9,
        description="Steps between test evaluations (step 1 and the last always are).",
    )
    eval_spacing: Literal["linear", "log"] = Field(
        "linear",
        description="log: evaluate at steps that grow by a constant factor, evals_per_decade to a "
        "factor of 10, instead of every eval_every.",
    )
    evals_per_decade: int = Field(
        100,
        ge=1,
        le=100_000,
        description="Test evaluations per factor of 10 in steps (eval_spacing: log).",
    )
    snapshot_every: int = Field(
        200,
        ge=1,
        le=10**9,
        description="Steps between weight snapshots (0, 1, 10, 50 and the last also).",
    )
    dtype: Literal["float32", "float64"] = Field("float32", description="Type of the weights.")
    loss_dtype: Literal["float32", "float64"] = Field(
        "float64", description="Type in which the loss is summed up."
    )
    loss: Literal["cross-entropy", "mse", "stablemax"] = Field(
        "cross-entropy",
        description="mse: mean over classes of (logit - 1 at the label, 0 elsewhere)^2; "
        "stablemax: cross-entropy with s(x) = x + 1 or 1 / (1 - x) in place of exp(x).",
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Share of the label that is spread over all classes."
    )

    @model_validator(mode="after")
    def _possible(self) -> "TrainConfig":
        if self.label_smoothing and self.loss != "cross-entropy":
            raise ValueError(
                f"train.label_smoothing: not used by train.loss: {self.loss}; expected 0, or "
                "train.loss: cross-entropy"
            )
        return self


class Config(Section):
    """Everything that defines a run: frozen sections, whose fields `grok docs settings` lists.

    Raises:
        pydantic.ValidationError: no such key, or a value out of its range. (`grok.train` takes the
            same dictionary and raises a `UsageError`, which knows the nearest name.)

    Examples:
        >>> config = grok.Config(model={"ln_type": "pre"}, train={"seed": 789})
        >>> config.model.ln_type, config.opt.weight_decay
        ('pre', 1.0)
    """

    data: DataConfig = Field(default_factory=DataConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    opt: OptConfig = Field(default_factory=OptConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    branch: BranchConfig = Field(default_factory=BranchConfig)
    measure: MeasureConfig = Field(default_factory=MeasureConfig)
    run: RunConfig = Field(default_factory=RunConfig)
    wandb: WandbConfig = Field(default_factory=WandbConfig)

    @model_validator(mode="before")
    @classmethod
    def _earlier_spellings(cls, sections: Any) -> Any:
        """Settings that have moved count in their present place."""
        if not isinstance(sections, Mapping):
            return sections
        sections = dict(sections)
        for earlier, present in MOVED.items():
            (old, key), (new, name) = earlier.split("."), present.split(".")
            if not isinstance(sections.get(old), Mapping) or key not in sections[old]:
                continue
            there = sections.get(new) or {}
            if not isinstance(there, Mapping):
                continue
            if name in there:
                raise ValueError(f"{earlier}: is called {present} now, which is set as well")
            sections[new] = {**there, name: sections[old][key]}
            sections[old] = {k: v for k, v in sections[old].items() if k != key}
        return sections

    @model_serializer(mode="wrap")
    def _sections(self, handler: Callable[["Config"], dict[str, Any]]) -> dict[str, Any]:
        """The sections; `branch` of a branch only, with what is not at its default: what an
        ordinary run has of it, and what is added to it one day, changes no name."""
        sections = handler(self)
        branch = sections.pop("branch", {})
        if self.branch.parent is not None:
            sections["branch"] = {
                name: value
                for name, value in branch.items()
                if name in ("parent", "at") or getattr(self.branch, name) != getattr(PLAIN, name)
            }
        return {name: sections[name] for name in SECTIONS if name in sections}

    @model_validator(mode="after")
    def _possible(self) -> "Config":
        if isinstance(self.branch.at, int) and self.branch.at > self.train.steps:
            raise ValueError(
                f"branch.at: {self.branch.at} is more than train.steps = {self.train.steps}; "
                "expected at most that"
            )
        if self.opt.warmup_steps > self.train.steps:
            raise ValueError(
                f"opt.warmup_steps: {self.opt.warmup_steps} is more than train.steps = "
                f"{self.train.steps}; expected at most that"
            )
        if (needed := self.memory()) > MOST_MEMORY:
            raise ValueError(
                f"data.modulus, model.d_model, n_layers, mlp_ratio: with {self.data.modulus}, "
                f"{self.model.d_model}, {self.model.n_layers}, {self.model.mlp_ratio} a run takes "
                f"about {needed / 2**30:,.0f} GiB of memory; expected at most "
                f"{MOST_MEMORY / 2**30:.0f}"
            )
        return self

    @classmethod
    def recorded(cls, sections: Mapping[str, Any]) -> "Config":
        """The configuration that a run recorded, complete but for settings that came later.

        Raises:
            pydantic.ValidationError: it is not valid.
        """
        model = sections.get("model")
        if isinstance(model, Mapping):
            sections = {**sections, "model": {**BEFORE_INIT_DRAWS, **model}}
        return cls.model_validate(sections)

    def memory(self) -> int:
        """Bytes that a run of this configuration takes, roughly: to tell 1 GB from 100."""
        model, p, number = self.model, self.data.modulus, 4 if self.train.dtype == "float32" else 8
        matrices = 3 if model.mlp_type == "gated" else 2
        block = 4 * model.d_model**2 + matrices * model.d_model * model.d_mlp
        parameters = model.n_layers * block + 2 * p * model.d_model
        tables = 2 * model.n_heads * p * (model.d_mlp + p)  # of the fast engine, and their gradient
        copies = 6  # weights, gradient, two moments, weights before a step, a snapshot
        if self.opt.gradient_filter == "grokfast-ma":
            copies += self.opt.filter_window
        return number * (copies * parameters + 2 * tables) + BYTES_A_PAIR * p**2

    @property
    def split_seed(self) -> int:
        """Seed of the train/test split."""
        seed = self.data.split_seed
        return self.train.seed if seed is None else seed

    def identity(self) -> dict[str, Any]:
        """The settings that the result depends on, by section; without those of `LATER` that are
        at their default, which did not exist when the first runs were named."""
        usual = {key: KNOWN[key].default for key in LATER}
        return {
            section: {
                name: value
                for name, value in values.items()
                if (key := f"{section}.{name}") not in LATER or value != usual[key]
            }
            for section, values in self.model_dump(mode="json", include=set(IDENTITY)).items()
        }

    def digest(self) -> str:
        """Ten hexadecimal digits of the SHA-256 of `identity()`: the same for equal runs."""
        return digest_of(self.identity())

    def run_name(self) -> str:
        """Directory name of the run: what it is at a glance, then the digest."""
        what = f"{self.data.task}-{self.model.ln_type}"
        if self.branch.parent is not None:
            what += f"-at-{self.branch.at}"
        return f"{what}-s{self.train.seed}-{self.digest()}"


def digest_of(identity: Mapping[str, Any]) -> str:
    """Ten hexadecimal digits of the SHA-256 of a configuration's identity."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:10]


def present_spelling(key: str) -> str:
    """The setting that "section.key" is called today."""
    return MOVED.get(key, key)


def affects_result(key: str) -> bool:
    """Whether the setting "section.key" belongs to a run's identity; one unknown here does."""
    section = present_spelling(key).partition(".")[0]
    return section in IDENTITY or section not in SECTIONS


SECTIONS = {name: type(section) for name, section in Config()}
KNOWN = fields_of(Config)
KEYS = list(KNOWN)
