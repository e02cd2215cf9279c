"""The transformer, written to be read.

Input rows are [a, b, =]; the answer is read at the last position; attention is not masked. Which
inputs of a block are normalised is data (`placement.PLACEMENTS`). A model holds no norm that it
does not use. A `Steps` (`steps.py`) can watch and replace each named step of the forward pass. The
fast engine (`engines/fast`) computes the same function from the same parameters.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from grok_cli.core.attention import Attention
from grok_cli.core.model_config import ModelConfig
from grok_cli.core.norm import Norm, normed
from grok_cli.core.placement import BLOCK_SITES, NORM_OF_SITE, PLACEMENTS
from grok_cli.core.positions import EVERYTHING, POSITIONS, Computed, last
from grok_cli.core.steps import UNWATCHED, Steps, WithSteps

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "relu": F.relu,
    "silu": F.silu,
}


class MLP(nn.Module):
    """h W_out^T + b_out with h = act(x W_in^T + b_in), times (x W_gate^T + b_gate) if gated."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d, hidden = config.d_model, config.d_mlp
        self.activation = ACTIVATIONS[config.activation]
        self.w_in = nn.Parameter(torch.empty(hidden, d))
        self.b_in = nn.Parameter(torch.zeros(hidden))
        self.w_out = nn.Parameter(torch.empty(d, hidden))
        self.b_out = nn.Parameter(torch.zeros(d))
        gated = config.mlp_type == "gated"
        self.w_gate = nn.Parameter(torch.empty(hidden, d)) if gated else None
        self.b_gate = nn.Parameter(torch.zeros(hidden)) if gated else None

    def matrices(self) -> list[nn.Parameter]:
        """The weight matrices in the order in which they are drawn: in, gate, out."""
        gate = [] if self.w_gate is None else [self.w_gate]
        return [self.w_in, *gate, self.w_out]

    def forward(
        self, x: Float[Tensor, "*batch d"], step: Steps = UNWATCHED
    ) -> Float[Tensor, "*batch d"]:
        hidden = self.activation(step("mlp_pre", F.linear(x, self.w_in, self.b_in)))
        if self.w_gate is not None:
            hidden = hidden * step("mlp_gate", F.linear(x, self.w_gate, self.b_gate))
        return step("mlp_linear", F.linear(step("mlp_post", hidden), self.w_out, self.b_out))


class Block(nn.Module):
    """Attention and MLP on the residual stream, normed where the placement says."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.sites = PLACEMENTS[config.ln_type].sites
        names = sorted({NORM_OF_SITE[site] for site in self.sites & BLOCK_SITES})
        self.norms = nn.ModuleDict({name: Norm(config) for name in names})
        self.attn = Attention(config)
        self.mlp = MLP(config)

    def forward(
        self,
        x: Float[Tensor, "batch pos d"],
        step: Steps = UNWATCHED,
        computed: Computed = EVERYTHING,
    ) -> Float[Tensor, "batch last d"]:
        """The residual stream after the block, at the positions that are passed on."""
        x = step("resid_pre", x)
        attended = self.attn(*self.attention_inputs(x, step), step, computed.attending)
        return self.after_attention(x, attended, step, computed.passed_on)

    def attention_inputs(
        self, x: Float[Tensor, "*batch d"], step: Steps = UNWATCHED, shared: bool = True
    ) -> tuple[Float[Tensor, "*batch d"], Float[Tensor, "*batch d"]]:
        """What queries and keys are made from, and what values are made from.

        Where both are normalised it is by one norm, computed once if `shared`. (Twice gives the
        same values; the gradient of the norm is then summed up in another order.)
        """
        x_qk = self.norm("qk", x, step)
        same = shared and {"qk", "v"} <= self.sites
        x_v = x_qk if same else self.norm("v", x, step)
        return step("attn_in_qk", x_qk), step("attn_in_v", x_v)

    def after_attention(
        self,
        x: Float[Tensor, "batch pos d"],
        attended: Float[Tensor, "batch query d"],
        step: Steps = UNWATCHED,
        passed_on: int = POSITIONS,
    ) -> Float[Tensor, "batch last d"]:
        """The rest of the block, from its input and the output of its attention."""
        added = step("attn_out", self.norm("attn_out", attended, step))
        x = self.norm("attn_sum", last(x, passed_on) + last(added, passed_on), step)
        x = step("resid_mid", x)
        mlp_in = step("mlp_in", self.norm("mlp", x, step))
        added = step("mlp_out", self.norm("mlp_out", self.mlp(mlp_in, step), step))
        return step("resid_post", self.norm("mlp_sum", x + added, step))

    def norm(
        self, site: str, x: Float[Tensor, "*batch d"], step: Steps = UNWATCHED
    ) -> Float[Tensor, "*batch d"]:
        """x, normalised if the placement has a norm at this site."""
        if site not in self.sites:
            return x
        name = NORM_OF_SITE[site]
        return normed(self.norms[name], x, step.within(f"norms.{name}"))


class Transformer(WithSteps):
    """Embedding, blocks, unembedding. `initial_model(config)` gives one with initial weights."""

    def __init__(self, config: ModelConfig, vocab: int) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Parameter(torch.empty(vocab, config.d_model))
        self.pos = nn.Parameter(torch.empty(3, config.d_model))
        normed_first = "embed" in PLACEMENTS[config.ln_type].sites
        self.embed_norm = Norm(config) if normed_first else None
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
        if self.unembed is None:
            return self.embed
        unit = self.config.unembed_rows == "unit"
        return F.normalize(self.unembed, dim=1) if unit else self.unembed

    def layers(self) -> list[Block]:
        """The blocks in order."""
        return [block for block in self.blocks if isinstance(block, Block)]

    def trainable(self) -> dict[str, nn.Parameter]:
        """The parameters that training changes, by name."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def forward(
        self,
        tokens: Int[Tensor, "batch 3"],
        step: Steps = UNWATCHED,
        computed: Computed = EVERYTHING,
    ) -> Float[Tensor, "batch vocab"]:
        """The logits at the last position."""
        logits = self.logits_of(self.embedded(tokens), step, computed)
        if self.initial is not None:
            passed_on = computed.passed_on
            logits = logits - self.initial(tokens, computed=Computed(passed_on, passed_on))
        return step("logits", logits)

    def embedded(self, tokens: Int[Tensor, "batch 3"]) -> Float[Tensor, "batch 3 d"]:
        """Embedding plus position: the residual stream before the first block and a norm there."""
        return self.embed[tokens] + self.pos

    def first_normed(
        self, x: Float[Tensor, "*batch d"], step: Steps = UNWATCHED
    ) -> Float[Tensor, "*batch d"]:
        """What is embedded, normalised if the placement has a norm there."""
        if self.embed_norm is None:
            return x
        return normed(self.embed_norm, x, step.within("embed_norm"))

    def logits_of(
        self,
        x: Float[Tensor, "batch 3 d"],
        step: Steps = UNWATCHED,
        computed: Computed = EVERYTHING,
    ) -> Float[Tensor, "batch vocab"]:
        """The logits for what is `embedded`; a subtracted initial model is left out."""
        blocks, x = self.layers(), self.first_normed(x, step)
        for i, block in enumerate(blocks):
            x = block(
                x, step.within(f"blocks.{i}"), computed if i == len(blocks) - 1 else EVERYTHING
            )
        return self.read(x[:, -1], step)

    def read(
        self, x: Float[Tensor, "batch d"], step: Steps = UNWATCHED
    ) -> Float[Tensor, "batch vocab"]:
        """The logits from the residual stream at the last position after the last block."""
        if self.final_norm is not None:
            x = normed(self.final_norm, x, step.within("final_norm"))
        logits = step("final", x) @ self.unembedding.T
        return self.config.output_scaling * logits if self.config.scale_as == "logits" else logits
