"""The form for models that do not factor: several layers, or norms after attention or the MLP.

The first layer's attention is computed from tables (steps 1 and 2 of `fast/__init__.py`), and after
the last layer's attention only the last position. The rest is the model's own modules and autograd,
some rows at a time, so that memory stays small.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from grok_cli.core.engines.engine import Score
from grok_cli.core.engines.fast.crew import Crew
from grok_cli.core.engines.fast.feed import backward_from
from grok_cli.core.engines.fast.products import products_of
from grok_cli.core.engines.fast.rows import mean_score
from grok_cli.core.engines.fast.sums import gather, weighted_sums
from grok_cli.core.engines.fast.tables import RowLookups, TokenTables
from grok_cli.core.loss import RowLosses, correct_rows
from grok_cli.core.model import Transformer


class LayeredForm:
    """Scores rows and, in `step`, leaves the gradient of the mean loss in the parameters."""

    def __init__(
        self,
        model: Transformer,
        p: int,
        losses: RowLosses,
        loss_dtype: torch.dtype,
        chunk: int,
        crew: Crew,
        kernels: str,
    ) -> None:
        self.products = products_of(kernels, model.embed.dtype, model.embed.device)
        self.model, self.p, self.losses, self.loss_dtype = model, p, losses, loss_dtype
        self.chunk, self.crew = chunk, crew
        self.blocks = model.layers()
        self.n_queries = 1 if len(self.blocks) == 1 else 3

    def step(self, rows: RowLookups) -> Score:
        """Score of the rows; adds the gradient of the loss to every `.grad`."""
        n, parameters = len(rows.labels), self.model.parameters()
        trainable = [parameter for parameter in parameters if parameter.requires_grad]
        streams = self.first_attention(rows)

        def chunk(part: slice) -> tuple[Score, Tensor, list[Tensor]]:
            stream = streams.detach()[part].requires_grad_()
            with self.products.everywhere():
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

    def evaluate(self, rows: RowLookups) -> Score:
        """Score of the rows; call it without gradients."""
        streams = self.first_attention(rows)

        @torch.no_grad()
        def score(part: slice) -> Score:
            with self.products.everywhere():
                return self.score(streams[part], rows, part)

        return mean_score(self.crew.map(score, rows.parts(self.chunk)), len(rows.labels))

    def first_attention(self, rows: RowLookups) -> Float[Tensor, "batch query 2 d"]:
        """The residual stream before the first attention, and what attention adds to it."""
        with self.products.everywhere():
            tables, attn = TokenTables.of(self.model, self.p), self.blocks[0].attn
            table = tables.lines(attn.out, constant=torch.zeros_like(tables.x[0]))
            added = weighted_sums(table, tables.attention(rows, self.n_queries), rows.terms)
            x = gather(tables.x, rows.tokens)
            return torch.stack((x, added.view_as(x)), dim=2)

    def score(
        self, streams: Float[Tensor, "part query 2 d"], rows: RowLookups, part: slice
    ) -> Score:
        """The sum of these rows' losses, and how many of them are correct."""
        model, (first, *others) = self.model, self.blocks
        x, attended = streams.unbind(2)
        x = first.after_attention(x, attended, passed_on=self.n_queries)
        for block in others[:-1]:
            x = block(x)
        for block in others[-1:]:  # which is read at the last position
            x_qk, x_v = block.attention_inputs(x, shared=False)
            x = block.after_attention(x, block.attn(x_qk, x_v, queries=1), passed_on=1)
        logits = model.read(x[:, -1]) * model.loss_scale
        if rows.offset is not None:
            logits = logits - rows.offset[part]
        labels = rows.labels[part, 0]
        losses = self.losses(logits, labels, self.loss_dtype)
        return Score(losses.sum(), correct_rows(logits, labels))
