"""Forward passes as the diagnostics need them: nothing is computed that they do not look at."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grok_cli.core.loss import row_losses
from grok_cli.core.model import Transformer
from grok_cli.core.positions import ALL_ATTENTION, ANSWER_ONLY
from grok_cli.core.steps import Watched

PER_LAYER = ("pattern", "attn_out")  # the steps of a `Trace`


@dataclass
class Trace:
    """Steps of one forward pass; lists have one entry a layer. `core/steps.py` describes them.

    Attributes:
        attention: attention weights ("pattern").
        attn_out: what attention adds to the residual stream.
        residual: what the unembedding reads ("final"); Z in the diagnostics' formulas.
        logits: the model's output.
    """

    attention: list[Float[Tensor, "batch head query key"]]
    attn_out: list[Float[Tensor, "batch pos d"]]
    residual: Float[Tensor, "batch d"]
    logits: Float[Tensor, "batch vocab"]

    @classmethod
    def of(cls, model: Transformer, tokens: Int[Tensor, "batch 3"]) -> "Trace":
        """The trace of these rows."""
        parts = [[f"blocks.{i}.{s}" for i in range(len(model.blocks))] for s in PER_LAYER]
        steps = Watched({name for names in parts for name in names} | {"final", "logits"})
        with torch.no_grad():
            model(tokens, steps, ALL_ATTENTION)
        attention, attn_out = ([steps.kept[name] for name in names] for names in parts)
        return cls(attention, attn_out, steps.kept["final"], steps.kept["logits"])


def logits(model: Transformer, tokens: Int[Tensor, "batch 3"]) -> Float[Tensor, "batch vocab"]:
    """The same as model(tokens), with a third of the work in the last block."""
    out: Tensor = model(tokens, computed=ANSWER_ONLY)
    return out


def mean_loss(
    model: Transformer, tokens: Int[Tensor, "batch 3"], labels: Int[Tensor, " batch"]
) -> Float[Tensor, ""]:
    """Mean cross-entropy in nats, in float64, as training minimises it."""
    return row_losses(logits(model, tokens) * model.loss_scale, labels, torch.float64).mean()
