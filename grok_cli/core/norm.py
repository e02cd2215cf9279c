"""The two norms, whose gain and bias are learned unless they are left out."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from grok_cli.core.config import ModelConfig
from grok_cli.core.steps import Steps


class Norm(nn.Module):
    """LayerNorm, (x - mean) / sqrt(var + eps) * gain + bias, or RMSNorm, x / rms(x) * gain."""

    def __init__(self, config: ModelConfig, affine: bool = True) -> None:
        super().__init__()
        self.shape, self.eps, self.kind = (config.d_model,), config.norm_eps, config.norm
        self.gain = nn.Parameter(torch.ones(config.d_model)) if affine else None
        has_bias = affine and config.norm == "layernorm"
        self.bias = nn.Parameter(torch.zeros(config.d_model)) if has_bias else None

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        if self.kind == "rmsnorm":
            return F.rms_norm(x, self.shape, self.gain, self.eps)
        return F.layer_norm(x, self.shape, self.gain, self.bias, self.eps)


def normed(norm: nn.Module, x: Float[Tensor, "*batch d"], step: Steps) -> Float[Tensor, "*batch d"]:
    """The norm of x, as two steps."""
    return step("out", norm(step("in", x)))
