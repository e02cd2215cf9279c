"""The section `opt` of a configuration: how gradients become updates."""

from typing import Any, Literal

from pydantic import Field, model_validator

from grok_cli.core.fields import Section

# Which settings an optimiser and a gradient filter use, of those that not all do.
USED_BY = {
    "optimizer": {
        "adamw": ("beta1", "beta2", "eps"),
        "adam": ("beta1", "beta2", "eps"),
        "sgd": ("momentum",),
        "muon": ("beta1", "beta2", "eps", "momentum"),
    },
    "gradient_filter": {
        "off": (),
        "grokfast-ema": ("filter_strength", "filter_decay"),
        "grokfast-ma": ("filter_strength", "filter_window"),
        "orthogonal": (),
    },
}
MOMENTUM = {"sgd": 0.9, "muon": 0.95}  # where `momentum` is null
STRENGTH = {"grokfast-ema": 2.0, "grokfast-ma": 5.0}  # where `filter_strength` is null


class OptConfig(Section):
    """How gradients become updates; by default AdamW on every parameter, as published."""

    learning_rate: float = Field(1e-3, gt=0, description="Learning rate.")
    weight_decay: float = Field(
        1.0,
        ge=0,
        description="Weight decay. adamw, muon: a step multiplies weights by 1 - lr * wd; adam, "
        "sgd: wd * weights is part of the gradient.",
    )
    beta1: float = Field(0.9, ge=0, lt=1, description="Decay rate of Adam's first moment.")
    beta2: float = Field(0.98, ge=0, lt=1, description="Decay rate of Adam's second moment.")
    eps: float = Field(1e-8, ge=0, description="Added to the root of Adam's second moment.")
    warmup_steps: int = Field(
        0, ge=0, description="Steps over which the learning rate rises linearly from 0."
    )
    optimizer: Literal["adamw", "adam", "sgd", "muon"] = Field(
        "adamw",
        description="adamw; adam, with decay in the gradient; sgd, with momentum; muon, on the "
        "matrices of the blocks, and adamw on the rest.",
    )
    momentum: float | None = Field(
        None, ge=0, lt=1, description="Momentum of sgd (null: 0.9) and muon (null: 0.95)."
    )
    gradient_filter: Literal["off", "grokfast-ema", "grokfast-ma", "orthogonal"] = Field(
        "off",
        description="Done to the gradient before: grokfast adds filter_strength times its running "
        "mean; orthogonal takes out what points along the weights.",
    )
    filter_strength: float | None = Field(
        None, ge=0, description="Lambda of grokfast-ema (null: 2) and grokfast-ma (null: 5)."
    )
    filter_decay: float = Field(
        0.98, ge=0, lt=1, description="Alpha of grokfast-ema: the decay rate of its mean."
    )
    filter_window: int = Field(
        100, ge=1, le=10_000, description="Gradients that grokfast-ma takes the mean of."
    )
    weight_norm: float | None = Field(
        None,
        gt=0,
        description="After each step all weights are scaled to have this Euclidean norm together; "
        "null: they are not.",
    )

    @property
    def momentum_or_default(self) -> float:
        return MOMENTUM[self.optimizer] if self.momentum is None else self.momentum

    @property
    def filter_strength_or_default(self) -> float:
        strength = self.filter_strength
        return STRENGTH[self.gradient_filter] if strength is None else strength

    @model_validator(mode="after")
    def _used(self) -> "OptConfig":
        """Refuse what the chosen optimiser or filter would ignore."""
        for chooser, table in USED_BY.items():
            chosen = getattr(self, chooser)
            for name in sorted({name for used in table.values() for name in used}):
                value, default = getattr(self, name), type(self).model_fields[name].default
                if name not in table[chosen] and value != default:
                    raise ValueError(_unused(chooser, chosen, name, default))
        return self


def _unused(chooser: str, chosen: str, name: str, default: Any) -> str:
    users = " or ".join(user for user, used in USED_BY[chooser].items() if name in used)
    default = "null" if default is None else default
    return (
        f"opt.{name}: not used by opt.{chooser}: {chosen}; expected {default} (its default), or "
        f"{users} as opt.{chooser}"
    )
