"""The norms, whose gain and bias are learned unless they are left out."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from grok_cli.core.model_config import ModelConfig
from grok_cli.core.steps import Steps

ALPHA = 0.5  # of a DyT at first, as its authors have it


class Norm(nn.Module):
    """What stands at the sites of a placement, by `model.norm`.

    layernorm   (x - mean) / sqrt(var + eps) * gain + bias
    rmsnorm     x / sqrt(mean of x^2 + eps) * gain
    dyt         tanh(alpha x) * gain + bias, alpha one learned number (arXiv 2503.10622)
    unit        x / |x|, with nothing to learn (arXiv 2603.05228)
    """

    def __init__(self, config: ModelConfig, affine: bool = True, width: int | None = None) -> None:
        super().__init__()
        self.shape, self.eps, self.kind = (width or config.d_model,), config.norm_eps, config.norm
        affine = affine and self.kind != "unit"
        has_bias = affine and self.kind in ("layernorm", "dyt")
        self.gain = nn.Parameter(torch.ones(self.shape)) if affine else None
        self.bias = nn.Parameter(torch.zeros(self.shape)) if has_bias else None
        self.alpha = nn.Parameter(torch.tensor([ALPHA])) if self.kind == "dyt" else None

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        if self.kind == "unit":
            return F.normalize(x, dim=-1)
        if self.alpha is not None and self.gain is not None and self.bias is not None:
            return torch.tanh(self.alpha * x) * self.gain + self.bias
        if self.kind == "rmsnorm":
            return F.rms_norm(x, self.shape, self.gain, self.eps)
        return F.layer_norm(x, self.shape, self.gain, self.bias, self.eps)


def normed(norm: nn.Module, x: Float[Tensor, "*batch d"], step: Steps) -> Float[Tensor, "*batch d"]:
    """The norm of x, as two steps."""
    return step("out", norm(step("in", x)))
