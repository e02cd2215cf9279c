"""Attention entropy on the rows on which the published runs measured it."""

from grok_cli.core.model_config import ModelConfig
from grok_cli.diagnostics.measures.attention import layer_attention, prefix
from grok_cli.diagnostics.registry import diagnostic
from grok_cli.diagnostics.subject import Subject

PUBLISHED_SPLIT = 0  # seed of the split whose training rows were looked at, whatever a run's seed


def columns(config: ModelConfig) -> list[str]:
    layers = range(config.n_layers)
    return [f"{prefix('attention', layer)}/published_rows_entropy" for layer in layers]


@diagnostic(
    "attention-published",
    columns=columns,
    cost="cheap",
    formula="attention/attn_score_entropy over the rows that train in the split of seed 0, "
    "whatever the run's own split: those of the published curves",
    source="rows as inferred: published five-seed means are met to seven digits",
)
def attention_published(subject: Subject) -> dict[str, float]:
    rows, trace = subject.dataset.training_rows_of(PUBLISHED_SPLIT), subject.trace
    layers = zip(columns(subject.config), trace.attention, trace.attn_out, strict=True)
    return {
        name: layer_attention(weights[rows], out[rows]).score_entropy
        for name, weights, out in layers
    }
