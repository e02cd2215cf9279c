"""Attention entropy and the rank of what attention writes."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from grok_cli.core.model_config import ModelConfig
from grok_cli.diagnostics.registry import diagnostic
from grok_cli.diagnostics.spectra import effective_rank, gram_spectrum
from grok_cli.diagnostics.subject import Subject


def entropy(weights: Float[Tensor, "*batch key"]) -> Float[Tensor, "*batch"]:
    """Shannon entropy -sum w ln w of each distribution, in nats, in float64; 0 ln 0 = 0."""
    out: Tensor = torch.special.entr(weights.double()).sum(dim=-1)
    return out


@dataclass(frozen=True)
class LayerAttention:
    """Attention of one layer over some rows. Entropies are in nats, at most ln 3 = 1.0986.

    Attributes:
        score_entropy: of the weights averaged over heads, mean over rows and query positions
            (the paper's attention-score entropy).
        answer_entropy: the same at the last query position alone, where the answer is read.
        head_entropy: of each head's own weights, mean over rows and query positions.
        answer_head_entropy: of each head's own weights at the last query position.
        out_effective_rank: effective rank of the attention output at the last position, where the
            answer is read; not the published column (see `layer_attention`).
    """

    score_entropy: float
    answer_entropy: float
    head_entropy: list[float]
    answer_head_entropy: list[float]
    out_effective_rank: float


def layer_attention(
    weights: Float[Tensor, "batch head query key"], out: Float[Tensor, "batch pos d"]
) -> LayerAttention:
    """What `LayerAttention` says, from attention weights and attention's output.

    Source: arXiv 2602.06702; the entropy is the published one. The effective rank is not the
    published column `attention/attn_out_eff_rank`, whose numbers come out as follows: the authors'
    function for a matrix x of features, which forms x^T x itself, applied to the N x N Gram matrix
    G of the outputs, so that the spectrum is that of G^2, in float32. Five-seed means at step 1 of
    attn-pre-qk, attn-pre, attn-pre-v, mlp-pre, pre-v and off are then 3.1 3.6 2.2 1.5 1.7 1.6; with
    rounding noise on the N - d eigenvalues that should be 0 (the root of a semicircle of radius
    1.6e-4 of the largest) 23.6 25.4 21.9 18.8 19.9 19.3; published 23.7 25.8 23.1 19.9 21.1 20.4.
    Most of the published number is thus rounding. (On a CPU the noise is smaller: 1.7 becomes 6.)
    """
    averaged, per_head = entropy(weights.mean(dim=1)), entropy(weights)
    return LayerAttention(
        score_entropy=float(averaged.mean()),
        answer_entropy=float(averaged[:, -1].mean()),
        head_entropy=per_head.mean(dim=(0, 2)).tolist(),
        answer_head_entropy=per_head[:, :, -1].mean(dim=0).tolist(),
        out_effective_rank=effective_rank(gram_spectrum(out[:, -1])),
    )


def measure_layers(subject: Subject, split: str = "all") -> list[LayerAttention]:
    """One `LayerAttention` a layer, over "train", "test" or "all" rows."""
    rows = subject.dataset.rows(split)
    trace = subject.trace
    return [
        layer_attention(weights[rows], out[rows])
        for weights, out in zip(trace.attention, trace.attn_out, strict=True)
    ]


def prefix(group: str, layer: int) -> str:
    """The first layer has the published names; deeper ones name their layer."""
    return f"{group}/layer{layer}" if layer else group


def columns(config: ModelConfig) -> list[str]:
    heads = range(config.n_heads)
    return [
        f"{prefix('attention', layer)}/{metric}"
        for layer in range(config.n_layers)
        for metric in [
            "attn_score_entropy",
            "answer_out_effective_rank",
            "answer_entropy",
            *(f"head{head}_entropy" for head in heads),
            *(f"head{head}_answer_entropy" for head in heads),
        ]
    ]


@diagnostic(
    "attention",
    columns=columns,
    cost="cheap",
    formula="mean over all pairs and query positions of -sum w ln w, w the attention weights "
    "averaged over heads; the same for each head and for the last query alone; effective rank of "
    "the attention output at the last position (exp of the entropy of its Gram matrix's "
    "eigenvalues), which is not the published attn_out_eff_rank. Names without a layer are the "
    "first layer's.",
    source="arXiv 2602.06702",
)
def attention(subject: Subject) -> dict[str, float]:
    return attention_values(subject, "all")


def attention_values(subject: Subject, split: str) -> dict[str, float]:
    """The values of the diagnostic over "train", "test" or "all" rows."""
    values: dict[str, float] = {}
    for layer, measured in enumerate(measure_layers(subject, split)):
        start = prefix("attention", layer)
        values[f"{start}/attn_score_entropy"] = measured.score_entropy
        values[f"{start}/answer_out_effective_rank"] = measured.out_effective_rank
        values[f"{start}/answer_entropy"] = measured.answer_entropy
        for head, value in enumerate(measured.head_entropy):
            values[f"{start}/head{head}_entropy"] = value
        for head, value in enumerate(measured.answer_head_entropy):
            values[f"{start}/head{head}_answer_entropy"] = value
    return values
