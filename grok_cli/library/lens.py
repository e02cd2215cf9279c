"""A network as a HookedTransformer of TransformerLens, where that can compute the same."""

import warnings
from typing import TYPE_CHECKING, Any

import torch

from grok_cli.core.model_config import ModelConfig
from grok_cli.core.norm import Norm
from grok_cli.core.placement import PLACEMENTS
from grok_cli.errors import UsageError, lacking

if TYPE_CHECKING:
    from grok_cli.core.model import Block, Transformer

REQUIREMENT = "transformer-lens>=3,<4"  # 4.0 removed HookedTransformer
# A block's norms, and what they are there. It norms q, k and v alike, and never the stream itself.
NORMS = {"attn_in": "ln1", "attn_out": "ln1_post", "mlp_in": "ln2", "mlp_out": "ln2_post"}
KINDS = {"layernorm": "LN", "rmsnorm": "RMS"}
SITES = {"qk", "v", "attn_out", "mlp", "mlp_out"}
# Settings that may have any value; of all others only the default is known to be the same there.
FREE = {
    *("ln_type", "norm_eps", "final_norm", "n_layers", "d_model", "n_heads", "mlp_ratio"),
    *("activation", "unembed", "output_scaling", "scale_as", "init", "init_draws", "init_scale"),
}


def expressible() -> list[str]:
    """The placements that a HookedTransformer can have."""
    return [
        name
        for name, placement in PLACEMENTS.items()
        if placement.sites <= SITES and ("qk" in placement.sites) == ("v" in placement.sites)
    ]


def hooked(model: "Transformer") -> Any:
    """The HookedTransformer with the same weights; `hooked(model)(tokens)[:, -1]` are the logits.

    Its norms are modules put in where the placement has them, so that TransformerLens must not fold
    them into weights; `cfg.normalization_type` is that of the final norm. A factor on the logits is
    in the unembedding. Attention is bidirectional.

    Raises:
        UsageError: it cannot compute this network, or TransformerLens is not installed.
    """
    config = model.config
    _refuse(config)
    try:
        from transformer_lens import HookedTransformer, HookedTransformerConfig
    except ImportError:
        raise lacking("an export to TransformerLens", REQUIREMENT) from None
    weights = model.embed
    settings = HookedTransformerConfig(
        n_layers=config.n_layers,
        d_model=config.d_model,
        n_ctx=len(model.pos),
        d_head=config.d_model // config.n_heads,
        n_heads=config.n_heads,
        d_mlp=config.d_mlp,
        d_vocab=len(weights),
        d_vocab_out=len(model.unembedding),
        act_fn=config.activation,
        eps=config.norm_eps,
        normalization_type=None,
        use_normalization_before_and_after="attn_out" in PLACEMENTS[config.ln_type].sites,
        attention_dir="bidirectional",
        device="cpu",
        dtype=weights.dtype,
    )
    with warnings.catch_warnings():  # that version 4 has none: `REQUIREMENT` knows
        warnings.filterwarnings("ignore", "HookedTransformer is deprecated", DeprecationWarning)
        theirs = HookedTransformer(settings)
    with torch.no_grad():
        theirs.embed.W_E.copy_(weights)
        theirs.pos_embed.W_pos.copy_(model.pos)
        for block, their_block in zip(model.layers(), theirs.blocks, strict=True):
            _fill(block, their_block, theirs.cfg)
        if model.final_norm is not None:
            theirs.ln_final = _norm(model.final_norm, theirs.cfg)
            theirs.cfg.normalization_type = KINDS[config.norm]  # or it is left out
        scale = config.output_scaling if config.scale_as == "logits" else 1.0
        theirs.unembed.W_U.copy_(scale * model.unembedding.T)
        theirs.unembed.b_U.zero_()
    theirs.setup()  # the names of the hooks of the norms
    return theirs.eval()


def _refuse(config: ModelConfig) -> None:
    """Raise UsageError if a HookedTransformer cannot compute the network."""
    if config.ln_type not in expressible():
        raise UsageError(
            f"a HookedTransformer of TransformerLens has no norms as in {config.ln_type}; expected "
            f"one of {', '.join(expressible())}. Steps of any network are read and replaced with "
            "model.run_with_cache and model.run_with_hooks"
        )
    defaults = ModelConfig()
    known = {
        name: [getattr(defaults, name)] for name in ModelConfig.model_fields if name not in FREE
    }
    for name, expected in {**known, "norm": [*KINDS]}.items():
        found = getattr(config, name)
        if found not in expected:
            raise UsageError(
                f"a HookedTransformer of TransformerLens cannot compute model.{name}: {found}; "
                f"expected {' or '.join(map(str, expected))}"
            )


def _fill(block: "Block", theirs: Any, cfg: Any) -> None:
    heads = block.attn.n_heads
    for ours, matrix in zip(
        block.attn.qkv.chunk(3), (theirs.attn.W_Q, theirs.attn.W_K, theirs.attn.W_V), strict=True
    ):
        matrix.copy_(ours.view(heads, -1, ours.shape[1]).mT)  # [head d k]
    theirs.attn.W_O.copy_(block.attn.out.T.reshape(theirs.attn.W_O.shape))  # [head k d]
    theirs.mlp.W_in.copy_(block.mlp.w_in.T)
    theirs.mlp.b_in.copy_(block.mlp.b_in)
    theirs.mlp.W_out.copy_(block.mlp.w_out.T)
    theirs.mlp.b_out.copy_(block.mlp.b_out)
    for bias in (theirs.attn.b_Q, theirs.attn.b_K, theirs.attn.b_V, theirs.attn.b_O):
        bias.zero_()
    for name, norm in block.norms.items():
        setattr(theirs, NORMS[name], _norm(norm, cfg))


def _norm(norm: Any, cfg: Any) -> Any:
    """The same norm as a module of TransformerLens."""
    from transformer_lens.components import LayerNorm, RMSNorm

    assert isinstance(norm, Norm)
    theirs = (RMSNorm if norm.kind == "rmsnorm" else LayerNorm)(cfg)
    if norm.gain is not None:
        theirs.w.copy_(norm.gain)
    if norm.bias is not None:
        theirs.b.copy_(norm.bias)
    return theirs
