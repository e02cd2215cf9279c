"""The spectra of the weight matrices (heavy-tailed self-regularisation)."""

from statistics import fmean

import torch
from jaxtyping import Float
from torch import Tensor

from grok_cli.core.model import Block, Transformer
from grok_cli.core.model_config import ModelConfig
from grok_cli.diagnostics.registry import diagnostic
from grok_cli.diagnostics.spectra import (
    effective_rank,
    gram_spectrum,
    numerical_rank,
    power_law_alpha,
    stable_rank,
)
from grok_cli.diagnostics.subject import Subject

METRICS = ("alpha", "stable_ranks", "effective_ranks", "ranks")
TABLES = ("embed", "unembed")  # measured, but not part of the published mean


@torch.no_grad()
def weight_spectrum(weight: Float[Tensor, "m n"]) -> dict[str, float]:
    """Power-law exponent and effective rank of the eigenvalues of W^T W; stable rank and rank of W.

    Source: Martin and Mahoney 2021, arXiv 1810.01075, as computed in arXiv 2602.06702.
    """
    spectrum = gram_spectrum(weight)
    return {
        "alpha": power_law_alpha(spectrum),
        "stable_ranks": stable_rank(weight),
        "effective_ranks": effective_rank(spectrum),
        "ranks": float(numerical_rank(weight)),
    }


def weight_matrices(model: Transformer) -> dict[str, Float[Tensor, "m n"]]:
    """All weight matrices by name; queries, keys and values apart."""
    found: dict[str, Tensor] = {}
    for i, block in enumerate(model.blocks):
        assert isinstance(block, Block)
        w_q, w_k, w_v = block.attn.qkv.chunk(3)
        found |= {f"layer{i}.q": w_q, f"layer{i}.k": w_k, f"layer{i}.v": w_v}
        found[f"layer{i}.out"] = block.attn.out
        for name in ("w_in", "w_gate", "w_out"):
            if (weight := getattr(block.mlp, name)) is not None:
                found[f"layer{i}.{name}"] = weight
    found["embed"] = model.embed
    if model.unembed is not None:
        found["unembed"] = model.unembed
    return found


def columns(config: ModelConfig) -> list[str]:
    with torch.device("meta"):
        names = list(weight_matrices(Transformer(config, vocab=2)))
    return [f"htsr/{m}" for m in METRICS] + [f"htsr/{name}/{m}" for name in names for m in METRICS]


@diagnostic(
    "htsr",
    columns=columns,
    cost="moderate",
    formula="for each weight matrix W (q, k, v apart): exponent of the power law that fits the "
    "eigenvalues of W^T W, stable rank (Frobenius over spectral norm), effective rank of W^T W, "
    "rank; and their means over all but embedding and unembedding",
    source="Martin and Mahoney 2021, arXiv 1810.01075; arXiv 2602.06702",
)
def htsr(subject: Subject) -> dict[str, float]:
    measured = {name: weight_spectrum(w) for name, w in weight_matrices(subject.model).items()}
    inner = [values for name, values in measured.items() if name not in TABLES]
    means = {f"htsr/{m}": fmean(values[m] for values in inner) for m in METRICS}
    return means | {f"htsr/{name}/{m}": v for name, s in measured.items() for m, v in s.items()}
