"""The form for models that do not factor: several layers, or norms after attention or the MLP.

The first layer's attention is computed from tables (steps 1 and 2 of `fast/__init__.py`), and after
the last layer's attention only the last position. The rest is the model's own modules and autograd,
some rows at a time, so that memory stays small.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from grok_cli.core.engines.engine import Score
from grok_cli.core.engines.fast.crew import Crew
from grok_cli.core.engines.fast.feed import backward_from
from grok_cli.core.engines.fast.rows import mean_score
from grok_cli.core.engines.fast.sums import gather, weighted_sums
from grok_cli.core.engines.fast.tables import Rows, TokenTables
from grok_cli.core.loss import correct_rows, row_losses
from grok_cli.core.model import Block, Trace, Transformer


class LayeredForm:
    """Scores rows and, in `step`, leaves the gradient of the mean loss in the parameters."""

    def __init__(
        self, model: Transformer, p: int, loss_dtype: torch.dtype, chunk: int, crew: Crew
    ) -> None:
        self.model, self.p, self.loss_dtype = model, p, loss_dtype
        self.chunk, self.crew = chunk, crew
        self.blocks: list[Block] = list(model.blocks)  # type: ignore[arg-type]
        self.n_queries = 1 if len(self.blocks) == 1 else 3

    def step(self, rows: Rows) -> Score:
        """Score of the rows; adds the gradient of the loss to every `.grad`."""
        n, parameters = len(rows.labels), self.model.parameters()
        trainable = [parameter for parameter in parameters if parameter.requires_grad]
        streams = self.first_attention(rows)

        def chunk(part: slice) -> tuple[Score, Tensor, list[Tensor]]:
            stream = streams.detach()[part].requires_grad_()
            score = self.score(stream, rows, part)
            d_stream, *gradients = torch.autograd.grad(
                score.loss / n, [stream, *trainable], materialize_grads=True
            )
            return Score(score.loss.detach(), score.correct), d_stream, gradients

        scores, d_streams, gradients = zip(
            *self.crew.map(chunk, rows.parts(self.chunk)), strict=True
        )
        for parameter, shares in zip(trainable, zip(*gradients, strict=True), strict=True):
            parameter.grad = torch.stack(shares).sum(0)
        backward_from([streams], [torch.cat(d_streams)])
        return mean_score(scores, n)

    def evaluate(self, rows: Rows) -> Score:
        """Score of the rows; call it without gradients."""
        streams = self.first_attention(rows)

        @torch.no_grad()
        def score(part: slice) -> Score:
            return self.score(streams[part], rows, part)

        return mean_score(self.crew.map(score, rows.parts(self.chunk)), len(rows.labels))

    def first_attention(self, rows: Rows) -> Float[Tensor, "batch query 2 d"]:
        """The residual stream before the first attention, and what attention adds to it."""
        tables, attn = TokenTables.of(self.model, self.p), self.blocks[0].attn
        table = tables.lines(attn.out, constant=torch.zeros_like(tables.x[0]))
        added = weighted_sums(table, tables.attention(rows, self.n_queries), rows.terms)
        x = gather(tables.x, rows.tokens)
        return torch.stack((x, added.view_as(x)), dim=2)

    def score(self, streams: Float[Tensor, "part query 2 d"], rows: Rows, part: slice) -> Score:
        """The sum of these rows' losses, and how many of them are correct."""
        model, (first, *others) = self.model, self.blocks
        x = after_attention(first, *streams.unbind(2))
        for block in others[:-1]:
            x = block(x, Trace())
        z = last_position(others[-1], x) if others else x[:, -1]
        z = z if model.final_norm is None else model.final_norm(z)
        logits = model.config.output_scaling * (z @ model.unembedding.T)
        if rows.offset is not None:
            logits = logits - rows.offset[part]
        labels = rows.labels[part, 0]
        losses = row_losses(logits, labels, self.loss_dtype)
        return Score(losses.sum(), correct_rows(logits, labels))


def after_attention(
    block: Block, x: Float[Tensor, "*batch d"], added: Float[Tensor, "*batch d"]
) -> Float[Tensor, "*batch d"]:
    """A block's output, from its input x and the output of its attention."""
    x = block.norm("attn_sum", x + block.norm("attn_out", added))
    return block.norm("mlp_sum", x + block.norm("mlp_out", block.mlp(block.norm("mlp", x))))


def last_position(block: Block, x: Float[Tensor, "batch pos d"]) -> Float[Tensor, "batch d"]:
    """A block's output at the last position alone."""
    attn, (w_q, w_k, w_v) = block.attn, block.attn.qkv.chunk(3)
    x_qk, x_v = block.norm("qk", x), block.norm("v", x)
    q, k, v = (attn.split(y) for y in (x_qk[:, -1:] @ w_q.T, x_qk @ w_k.T, x_v @ w_v.T))
    weights = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(dim=-1)
    return after_attention(block, x[:, -1], (weights @ v).flatten(1) @ attn.out.T)
