"""What the first layer computes from tokens alone, kept as tables, and where rows look it up.

The row [a, b, =] meets three tokens: a at position 0, b at 1 and "=" at 2. Over all rows that is
2p + 1 different (token, position) pairs, numbered a, p + b and 2p (called tokens below), where the
plain form computes three for each row.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from grok_cli.core.data import Dataset
from grok_cli.core.engines.fast.sums import Terms, gather
from grok_cli.core.model import Transformer


class RowLookups(NamedTuple):
    """Rows of a data set, as look-ups into the tables.

    In a one-layer model only the last position is a query, in a deeper one all three are, and a
    row has its terms and scores once for each of them.

    Attributes:
        tokens: the tokens at the queries' positions.
        scores: lines (query token, key token) of the table of attention scores, for each of the
            three keys (which the softmax is fastest over if they come first).
        terms: lines of a table with one line for each (head, token but "=") and last a constant
            one. The terms of a row: a in each head, b in each head, and the constant.
        labels: the right class.
        offset: the logits of the initial model where `subtract_init` asks for them, else None.
    """

    tokens: Terms
    scores: Terms
    terms: Terms
    labels: Int[Tensor, "batch 1"]
    offset: Float[Tensor, "batch vocab"] | None

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        numbers: Int[Tensor, " batch"],
        n_heads: int,
        n_queries: int,
        initial: Float[Tensor, "rows vocab"] | None,
    ) -> "RowLookups":
        """These rows of the data set in ascending order, in which neighbours share a's lines."""
        numbers = numbers.sort().values
        p, device = dataset.p, numbers.device
        n_tokens, n_lines = 2 * p + 1, n_heads * 2 * p + 1
        tokens = dataset.tokens[numbers] + torch.tensor([0, p, p], device=device)
        queries = tokens[:, -n_queries:]
        first_query = n_tokens - 1 if n_queries == 1 else 0
        scores = (queries - first_query) * n_tokens + tokens.T[:, :, None]  # key batch query
        heads = torch.arange(n_heads, device=device) * (2 * p)
        index = F.pad((tokens[:, :2, None] + heads).flatten(1), (0, 1), value=n_lines - 1)
        return cls(
            tokens=Terms.of(queries, n_tokens),
            scores=Terms.of(scores.flatten(1), (n_tokens - first_query) * n_tokens),
            terms=Terms.of(index.repeat_interleave(n_queries, 0), n_lines),
            labels=dataset.labels[numbers][:, None],
            offset=None if initial is None else initial[numbers],
        )

    def parts(self, size: int) -> list[slice]:
        """The rows, cut into equal parts of at most this size."""
        n = len(self.labels)
        count = -(-n // size)
        return [slice(n * i // count, n * (i + 1) // count) for i in range(count)]


class TokenTables(NamedTuple):
    """The first layer's inputs, by token.

    Attributes:
        x: embedding plus position.
        q, k, v: queries (divided by the root of their width), keys and values.
    """

    x: Float[Tensor, "token d"]
    q: Float[Tensor, "head token k"]
    k: Float[Tensor, "head token k"]
    v: Float[Tensor, "head token k"]

    @classmethod
    def of(cls, model: Transformer, p: int) -> "TokenTables":
        """The tables of a model on p elements."""
        embed, pos = model.embed, model.pos
        x = torch.cat((embed[:p] + pos[0], embed[:p] + pos[1], embed[p : p + 1] + pos[2]))
        x, block = model.first_normed(x), model.layers()[0]
        x_qk, x_v = block.attention_inputs(x, shared=False)
        q, k, v = block.attn.project(x_qk, x_v, queries=len(x))
        return cls(x, q / math.sqrt(q.shape[2]), k, v)

    def attention(self, rows: RowLookups, n_queries: int) -> Float[Tensor, "lookup term"]:
        """The weight of each of `rows.terms`: attention to a and b in each head, and 1."""
        table = (self.q[:, -1:] if n_queries == 1 else self.q) @ self.k.mT
        lines = table.flatten(1).T.contiguous()  # (query token, key token) x head
        weights = gather(lines, rows.scores).softmax(dim=0)[:2]  # key x lookup x head
        weights = weights.transpose(0, 1).flatten(1)
        return F.pad(weights, (0, 1), value=1.0)

    def lines(
        self, w: Float[Tensor, "width d"], constant: Float[Tensor, " width"]
    ) -> Float[Tensor, "line width"]:
        """The table whose weighted sums over `rows.terms` are w v + constant.

        v is what the heads' attention collects, all heads in a row. As the weights of a, b and "="
        add up to 1, v = v_= + sum over a and b of weight_t (v_t - v_=): "=" needs no terms of its
        own, its share is part of the constant line.
        """
        v_equals = self.v[:, -1:]
        w_heads = w.view(len(w), len(self.v), -1).permute(1, 2, 0)
        lines = [v @ w_head for v, w_head in zip(self.v[:, :-1] - v_equals, w_heads, strict=True)]
        return torch.cat((*lines, (w @ v_equals.flatten() + constant)[None]))
