"""The transformer, written to be read.

Input rows are [a, b, =]; the answer is read at the last position; attention is not masked. Which
inputs of a block are normalised is data (`placement.PLACEMENTS`). A model holds no norm that it
does not use. This is the reference for the fast engine (`engines/fast`), which computes the
same function from the same parameters.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from grok_cli.core.config import ModelConfig
from grok_cli.core.placement import NORM_OF_SITE, PLACEMENTS

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "relu": F.relu,
    "silu": F.silu,
}


@dataclass
class Trace:
    """What a forward pass computed, one list entry a layer.

    Attributes:
        attention: attention weights after the softmax.
        attn_out: what attention adds to the residual stream (after the output projection, and
            after the `attn_out` norm where there is one).
        residual: the residual stream at the last position just before the unembedding (after the
            final norm where there is one); Z in the diagnostics' formulas.
        logits: the model's output.
    """

    attention: list[Float[Tensor, "batch head query key"]] = field(default_factory=list)
    attn_out: list[Float[Tensor, "batch pos d"]] = field(default_factory=list)
    residual: Float[Tensor, "batch d"] = field(default_factory=lambda: torch.empty(0))
    logits: Float[Tensor, "batch vocab"] = field(default_factory=lambda: torch.empty(0))


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


class Attention(nn.Module):
    """Multi-head attention without mask and bias, whose q and k may see another input than v."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.qkv = nn.Parameter(torch.empty(3 * config.d_model, config.d_model))
        self.out = nn.Parameter(torch.empty(config.d_model, config.d_model))

    def forward(
        self, x_qk: Float[Tensor, "batch pos d"], x_v: Float[Tensor, "batch pos d"]
    ) -> tuple[Float[Tensor, "batch pos d"], Float[Tensor, "batch head query key"]]:
        """The output and the attention weights."""
        w_q, w_k, w_v = self.qkv.chunk(3)
        q, k, v = (self.split(x) for x in (x_qk @ w_q.T, x_qk @ w_k.T, x_v @ w_v.T))
        weights = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(dim=-1)
        return (weights @ v).transpose(1, 2).flatten(2) @ self.out.T, weights

    def split(self, x: Float[Tensor, "batch pos d"]) -> Float[Tensor, "batch head pos k"]:
        return x.reshape(*x.shape[:2], self.n_heads, -1).transpose(1, 2)


class MLP(nn.Module):
    """h W_out^T + b_out with h = act(x W_in^T + b_in), times (x W_gate^T + b_gate) if gated."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d, hidden = config.d_model, config.d_mlp
        self.activation = ACTIVATIONS[config.activation]
        self.w_in, self.b_in = (
            nn.Parameter(torch.empty(hidden, d)),
            nn.Parameter(torch.zeros(hidden)),
        )
        self.w_out, self.b_out = nn.Parameter(torch.empty(d, hidden)), nn.Parameter(torch.zeros(d))
        gated = config.mlp_type == "gated"
        self.w_gate = nn.Parameter(torch.empty(hidden, d)) if gated else None
        self.b_gate = nn.Parameter(torch.zeros(hidden)) if gated else None

    def matrices(self) -> list[nn.Parameter]:
        """The weight matrices in the order in which they are drawn: in, gate, out."""
        gate = [] if self.w_gate is None else [self.w_gate]
        return [self.w_in, *gate, self.w_out]

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        hidden = self.activation(F.linear(x, self.w_in, self.b_in))
        if self.w_gate is not None:
            hidden = hidden * F.linear(x, self.w_gate, self.b_gate)
        return F.linear(hidden, self.w_out, self.b_out)


class Block(nn.Module):
    """Attention and MLP on the residual stream, normed where the placement says."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.sites = PLACEMENTS[config.ln_type].sites
        self.norms = nn.ModuleDict(
            {name: Norm(config) for name in sorted({NORM_OF_SITE[site] for site in self.sites})}
        )
        self.attn = Attention(config)
        self.mlp = MLP(config)

    def forward(
        self, x: Float[Tensor, "batch pos d"], trace: Trace
    ) -> Float[Tensor, "batch pos d"]:
        normed = self.norms["attn_in"](x) if "attn_in" in self.norms else x
        out, weights = self.attn(
            normed if "qk" in self.sites else x, normed if "v" in self.sites else x
        )
        out = self.norm("attn_out", out)
        trace.attention.append(weights)
        trace.attn_out.append(out)
        x = self.norm("attn_sum", x + out)
        return self.norm("mlp_sum", x + self.norm("mlp_out", self.mlp(self.norm("mlp", x))))

    def norm(self, site: str, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        """x, normalised if the placement has a norm at this site."""
        return self.norms[NORM_OF_SITE[site]](x) if site in self.sites else x


class Transformer(nn.Module):
    """Embedding, blocks, unembedding. `initial_model(config)` gives one with initial weights."""

    def __init__(self, config: ModelConfig, vocab: int) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Parameter(torch.empty(vocab, config.d_model))
        self.pos = nn.Parameter(torch.empty(3, config.d_model))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        affine = config.final_norm == "on"
        self.final_norm = None if config.final_norm == "off" else Norm(config, affine)
        tied = config.unembed == "tied"
        self.unembed = None if tied else nn.Parameter(torch.empty(vocab, config.d_model))
        self.initial: Transformer | None = None  # the model whose output is subtracted
        if config.subtract_init:
            plain = config.model_copy(update={"subtract_init": False})
            self.initial = Transformer(plain, vocab).requires_grad_(False)

    @property
    def loss_scale(self) -> float:
        """The factor that the loss puts on the logits: 1 / softmax temperature."""
        return self.config.output_scaling if self.config.scale_as == "temperature" else 1.0

    @property
    def unembedding(self) -> Float[Tensor, "vocab d"]:
        return self.embed if self.unembed is None else self.unembed

    def layers(self) -> list[Block]:
        """The blocks in order."""
        return [block for block in self.blocks if isinstance(block, Block)]

    def trainable(self) -> dict[str, nn.Parameter]:
        """The parameters that training changes, by name."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def trace(self, tokens: Int[Tensor, "batch 3"]) -> Trace:
        """A forward pass that keeps what the diagnostics look at."""
        trace = Trace()
        x = self.embed[tokens] + self.pos
        for block in self.blocks:
            x = block(x, trace)
        z = x[:, -1]
        trace.residual = z if self.final_norm is None else self.final_norm(z)
        trace.logits = trace.residual @ self.unembedding.T
        if self.config.scale_as == "logits":
            trace.logits = self.config.output_scaling * trace.logits
        if self.initial is not None:
            trace.logits = trace.logits - self.initial(tokens)
        return trace

    def forward(self, tokens: Int[Tensor, "batch 3"]) -> Float[Tensor, "batch vocab"]:
        """The logits at the last position."""
        return self.trace(tokens).logits
