"""The settings that a run's result does not depend on: what is measured, where, and how often it
is saved and logged."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from grok_cli.core.fields import Section


def _known_device(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?", name):
        raise ValueError("expected one of auto, cpu, cuda, cuda:0 (or another number)")
    return name


Device = Annotated[str, AfterValidator(_known_device)]


class MeasureConfig(Section):
    """What is computed on the way; training is the same with it and without."""

    diagnostics: dict[str, Annotated[int, Field(ge=1, le=10**9)]] = Field(
        default_factory=dict,
        description="Diagnostics to compute while training: name -> steps between.",
    )


class RunConfig(Section):
    """Where and how a run executes, and how often it is saved."""

    device: Device = Field(
        "auto",
        description="auto, cpu, cuda or cuda:N; auto takes a GPU if there is one.",
    )
    threads: int | None = Field(None, ge=1, le=1024, description="CPU threads; null: all cores.")
    engine: Literal["auto", "plain", "fast"] = Field(
        "auto",
        description="plain: the readable model; fast: the same function with repeated and unused "
        "arithmetic left out; auto: fast, which trains every model.",
    )
    kernels: Literal["auto", "torch", "onednn", "numba"] = Field(
        "auto",
        description="What the fast engine computes with on a CPU: torch; onednn: products that "
        "use AVX-512 on every processor; numba: rows compiled, too (pip install "
        "'numba>=0.60'); auto: the fastest here that pays, numba from 1,000 steps on. A "
        "resumed run keeps what it began with.",
    )
    save_every: int = Field(
        500,
        ge=1,
        le=10**9,
        description="Steps between saves of the state from which a run resumes.",
    )
    state_every: int | None = Field(
        None,
        ge=1,
        le=10**9,
        description="Steps between states that are kept for branches; null: none is kept.",
    )
    state_at: tuple[Annotated[int, Field(ge=1, le=10**9)], ...] = Field(
        (), description="Further steps whose states are kept for branches."
    )


class WandbConfig(Section):
    """Logging to Weights & Biases, next to the local files."""

    mode: Literal["off", "offline", "online"] = Field(
        "off",
        description="off, offline (synced later with `wandb sync`) or online.",
    )
    project: str = Field("grokking", description="W&B project.")
    entity: str | None = Field(None, description="W&B user or team; null: your default.")
    group: str | None = Field(None, description="W&B group of the run.")
    name: str | None = Field(None, description="W&B name of the run; null: the directory's name.")
    tags: tuple[str, ...] = Field((), description="W&B tags of the run.")
