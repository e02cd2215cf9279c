"""Whether the heads of a layer do the same."""

from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor

from grok_cli.core.attention import Attention
from grok_cli.core.model import Block
from grok_cli.core.model_config import ModelConfig
from grok_cli.diagnostics.measures.attention import prefix
from grok_cli.diagnostics.registry import diagnostic
from grok_cli.diagnostics.subject import Subject


def circuits(attn: Attention) -> dict[str, Float[Tensor, "head d d"]]:
    """What each head does to the residual stream, as matrices.

    "qk" is W_q^T W_k, whose form q · k decides what is attended to; "ov" is W_out W_v, what is
    then written. Source: Elhage et al. 2021, "A mathematical framework for transformer circuits".
    """
    heads, d = attn.n_heads, len(attn.out)
    q, k, v = attn.qkv.view(3, heads, d // heads, d)
    out = attn.out.view(d, heads, d // heads).transpose(0, 1)
    return {"qk": q.mT @ k, "ov": out @ v}


def mean_pairwise_cosine(matrices: Float[Tensor, "head n m"]) -> float:
    """Mean over pairs of heads of the cosine between their matrices; nan for one head."""
    unit = matrices.flatten(1).double()
    unit = unit / unit.norm(dim=1, keepdim=True)
    cosines = [unit[g] @ unit[h] for g, h in combinations(range(len(unit)), 2)]
    return float(torch.stack(cosines).mean()) if cosines else float("nan")


def columns(config: ModelConfig) -> list[str]:
    return [
        f"{prefix('heads', layer)}/{c}_cosine"
        for layer in range(config.n_layers)
        for c in ("qk", "ov")
    ]


@diagnostic(
    "heads",
    columns=columns,
    cost="cheap",
    formula="mean over pairs of heads of the cosine between their circuits W_q^T W_k and W_out W_v",
    source="circuits: Elhage et al. 2021, transformer-circuits.pub",
)
@torch.no_grad()
def heads(subject: Subject) -> dict[str, float]:
    values: dict[str, float] = {}
    for layer, block in enumerate(subject.model.blocks):
        assert isinstance(block, Block)
        for name, matrices in circuits(block.attn).items():
            values[f"{prefix('heads', layer)}/{name}_cosine"] = mean_pairwise_cosine(matrices)
    return values
