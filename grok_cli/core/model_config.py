"""The section `model` of a configuration: the network."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from grok_cli.core.fields import Section
from grok_cli.core.placement import HEAD_SITES, PLACEMENTS, canonical_name

MANY = 10**6  # more than any size can be; what fits the memory is less

LnType = Annotated[
    str,
    BeforeValidator(lambda name: canonical_name(str(name))),
    Field(json_schema_extra={"enum": list(PLACEMENTS)}),
]


class ModelConfig(Section):
    """The transformer. Defaults are those of the published runs (arXiv 2602.06702)."""

    ln_type: LnType = Field(
        "off", description=f"Where norms stand: {', '.join(PLACEMENTS)} (or the paper's name)."
    )
    norm: Literal["layernorm", "rmsnorm", "dyt", "unit"] = Field(
        "layernorm",
        description="Norm function; layernorm has gain and bias, rmsnorm a gain; dyt is gain * "
        "tanh(alpha x) + bias; unit is x / |x|.",
    )
    norm_eps: float = Field(0.0, ge=0, description="Added to the variance in every norm.")
    final_norm: Literal["off", "on", "center-only"] = Field(
        "off", description="Norm before the unembedding; center-only has no gain and no bias."
    )
    n_layers: int = Field(1, ge=1, le=1000, description="Number of blocks.")
    d_model: int = Field(128, ge=1, le=MANY, description="Width of the residual stream.")
    n_heads: int = Field(
        4, ge=1, le=MANY, description="Attention heads a block; must divide d_model."
    )
    attention: Literal["learned", "uniform"] = Field(
        "learned", description="uniform: all scores are 0, each head takes the mean of its values."
    )
    mlp_ratio: int = Field(
        4, ge=1, le=MANY, description="Width of the MLP as a multiple of d_model."
    )
    mlp_type: Literal["plain", "gated"] = Field(
        "plain", description="gated: act(W1 x) * (W2 x), with a third matrix as output."
    )
    activation: Literal["gelu", "relu", "silu"] = Field(
        "gelu", description="Activation of the MLP; gelu is the exact one, as published."
    )
    unembed: Literal["separate", "tied"] = Field(
        "separate", description="tied: the unembedding is the embedding's transpose."
    )
    unembed_rows: Literal["free", "unit"] = Field(
        "free",
        description="unit: the unembedding's rows are scaled to norm 1 where they are used, so "
        "that logits are cosines, times output_scaling, of a stream of norm 1.",
    )
    output_scaling: float = Field(1.0, gt=0, description="Factor on the logits (readout scale).")
    scale_as: Literal["logits", "temperature"] = Field(
        "logits",
        description="logits: output_scaling belongs to the model's output; temperature: only the "
        "loss sees it, as a softmax temperature of 1/output_scaling.",
    )
    init: Literal["lecun", "kaiming"] = Field(
        "lecun",
        description="Init of attention output and MLP: truncated normal of std 1/sqrt(fan_in), "
        "or normal of std sqrt(2/fan_in).",
    )
    init_draws: Literal["published", "cpu"] = Field(
        "published",
        description="Random numbers of the initial weights: published, those of the GPU on which "
        "the published runs were made, on every device; cpu, those of PyTorch on a CPU.",
    )
    init_scale: float = Field(1.0, gt=0, description="Factor on every parameter at init.")
    subtract_init: bool = Field(
        False, description="Subtract the output of the initial model, so that training starts at 0."
    )

    @property
    def d_mlp(self) -> int:
        return self.d_model * self.mlp_ratio

    @model_validator(mode="after")
    def _possible(self) -> "ModelConfig":
        if self.d_model % self.n_heads:
            raise ValueError(
                f"model.n_heads: {self.n_heads} heads do not divide d_model = {self.d_model}; "
                "expected a divisor of model.d_model"
            )
        for wrong, message in (
            (
                self.attention == "uniform" and PLACEMENTS[self.ln_type].sites & set(HEAD_SITES),
                f"model.attention: uniform has no use for queries and keys, which {self.ln_type} "
                "normalises; expected learned, or another model.ln_type",
            ),
            (
                self.unembed_rows == "unit" and self.unembed == "tied",
                "model.unembed_rows: unit is for an unembedding of its own; expected "
                "model.unembed: separate",
            ),
            (
                self.norm in ("dyt", "unit") and self.norm_eps > 0,
                f"model.norm_eps: not used by model.norm: {self.norm}; expected 0",
            ),
            (
                self.norm in ("dyt", "unit") and self.final_norm == "center-only",
                f"model.final_norm: center-only is of norms that centre or scale; expected on or "
                f"off with model.norm: {self.norm}",
            ),
        ):
            if wrong:
                raise ValueError(message)
        return self
