"""The factors, and by hand the gradients of the parameters from theirs (step 6).

The formulas and their numbers are those of `fast/__init__.py`. It is what `FactorsByAutograd` does,
for less: products find both matrices in memory as they need them, only "=" asks, and what is large
is written where it is needed. Norms of tokens, queries, keys and rows of the unembedding are small
and of several kinds, and are left to autograd.

Each class goes one way in `forward` and the other in `backward`, whose paragraphs are those of
`forward` from last to first. d_x is the gradient of x, and xt is x transposed.
"""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn

from grok_cli.core.engines.fast.feed import ByAutograd, Same
from grok_cli.core.engines.fast.products import Products
from grok_cli.core.engines.fast.readers import Readers
from grok_cli.core.engines.fast.rows import Factors, RowKernel
from grok_cli.core.engines.fast.tables import RowLookups
from grok_cli.core.model import Transformer
from grok_cli.core.placement import NORM_OF_SITE


class Tokens:
    """The embedded tokens, what "=" asks for, and what they give (step 1).

    Attributes:
        x: [token d], "=" the last.
        q: the query of "=", divided by the root of its width, [head k].
        kt, vt: keys and values, [head k token].
        readers: norms of x, and which lines of `qkv` read x after each: those of k and v together
            where they read the same, else first those of k and then those of v.
    """

    def __init__(self, model: Transformer, p: int, products: type[Products]) -> None:
        self.model, self.p, self.products = model, p, products
        block, d = model.layers()[0], model.config.d_model
        self.attn = block.attn

        def norm(site: str, norms: nn.ModuleDict) -> ByAutograd | Same:
            return ByAutograd(norms[NORM_OF_SITE[site]]) if site in block.sites else Same()

        self.embed_norm = Same() if model.embed_norm is None else ByAutograd(model.embed_norm)
        qk_norm, v_norm = norm("qk", block.norms), norm("v", block.norms)
        together = ("qk" in block.sites) == ("v" in block.sites)
        apart = [(qk_norm, slice(d, 2 * d)), (v_norm, slice(2 * d, 3 * d))]
        self.readers = [(qk_norm, slice(d, 3 * d))] if together else apart
        self.q_norm, self.k_norm = norm("q", self.attn.norms), norm("k", self.attn.norms)
        root = math.sqrt(d // self.attn.n_heads)
        self.root = math.inf if self.attn.uniform else root  # by which all scores are 0

    def forward(self) -> None:
        embed, pos, p = self.model.embed, self.model.pos, self.p
        x = torch.cat((embed[:p] + pos[0], embed[:p] + pos[1], embed[p : p + 1] + pos[2]))
        self.x = self.embed_norm.forward(x)

        qkv, heads = self.attn.qkv, self.attn.n_heads
        self.read = [norm.forward(self.x) for norm, _ in self.readers]
        of = zip(self.readers, self.read, strict=True)
        parts = [self.products.of(qkv[lines], read) for (_, lines), read in of]
        kt, self.vt = torch.cat(parts).view(2, heads, -1, len(x))
        q = (qkv[: qkv.shape[1]] @ self.read[0][-1]).view(heads, 1, -1)

        self.kt = self.k_norm.forward(kt.mT).mT
        self.q = self.q_norm.forward(q)[:, 0] / self.root

    def backward(
        self,
        d_x_equals: Float[Tensor, " d"],
        d_q: Float[Tensor, "head k"],
        d_kt: Float[Tensor, "head k token"],
        d_vt: Float[Tensor, "head k token"],
    ) -> None:
        """Sets the gradients of embedding, positions and W_q, W_k, W_v."""
        d_q = self.q_norm.backward((d_q / self.root)[:, None]).flatten()
        d_kt = self.k_norm.backward(d_kt.mT).mT

        qkv, d = self.attn.qkv, self.model.config.d_model
        d_kvt = torch.cat((d_kt, d_vt)).flatten(0, 1)
        d_qkv, d_x = torch.empty_like(qkv), torch.zeros_like(self.x)
        torch.outer(d_q, self.read[0][-1], out=d_qkv[:d])
        d_reads = []
        for (_, lines), read in zip(self.readers, self.read, strict=True):
            d_out = d_kvt[lines.start - d : lines.stop - d]
            d_qkv[lines] = self.products.of(d_out, read.T)
            d_reads.append(self.products.of(d_out.T, qkv[lines].T))
        d_reads[0][-1] += d_q @ qkv[:d]
        for (norm, _), d_read in zip(self.readers, d_reads, strict=True):
            d_x += norm.backward(d_read)
        qkv.grad = d_qkv

        d_x[-1] += d_x_equals
        d_x, p = self.embed_norm.backward(d_x), self.p
        d_embed = self.model.embed.grad = torch.zeros_like(self.model.embed)
        torch.add(d_x[:p], d_x[p:-1], out=d_embed[:p])
        d_embed[p] = d_x[-1]
        self.model.pos.grad = torch.stack((d_x[:p].sum(0), d_x[p:-1].sum(0), d_x[-1]))


class Attention:
    """The weights of rows' terms, from q and kt of the tokens (step 1)."""

    def forward(
        self, q: Float[Tensor, "head k"], kt: Float[Tensor, "head k token"], rows: RowLookups
    ) -> Float[Tensor, "lookup term"]:
        self.q, self.kt, self.rows = q, kt, rows
        scores = (q[:, None] @ kt)[:, 0].T.contiguous()  # token head
        self.shares = rows.scores.look_up(scores).softmax(0)  # key lookup head
        weight = q.new_ones(self.shares.shape[1], 2 * len(q) + 1)
        weight[:, :-1].view(-1, 2, len(q)).copy_(self.shares[:2].transpose(0, 1))
        return weight

    def backward(
        self, d_weight: Float[Tensor, "lookup term"]
    ) -> tuple[Float[Tensor, "head k"], Float[Tensor, "head k token"]]:
        """The gradients of q and kt."""
        q, kt, shares = self.q, self.kt, self.shares
        d_shares = d_weight[:, :-1].view(-1, 2, len(q)).transpose(0, 1)
        mean = (shares[:2] * d_shares).sum(0)
        d_scores = torch.cat((d_shares, torch.zeros_like(mean)[None])).sub_(mean).mul_(shares)
        d_table = self.rows.scores.grad_of_looked_up(d_scores).T[:, None]  # head 1 token
        return (kt @ d_table.mT)[:, :, 0], q[:, :, None] * d_table


class Lines:
    """The table, from the tokens and their readers (step 2).

    Attributes:
        table: A, [line column].
    """

    def __init__(self, tokens: Tokens, readers: Readers, products: type[Products]) -> None:
        self.tokens, self.readers, self.products = tokens, readers, products
        self.out, columns = tokens.attn.out, len(readers.b)
        self.n_heads = tokens.attn.n_heads
        self.table = readers.b.new_empty(2 * tokens.p * self.n_heads + 1, columns)

    def forward(self) -> None:
        vt, x, b, c = self.tokens.vt, self.tokens.x, self.readers.b, self.readers.c
        self.v_equals = vt[:, :, -1].flatten()
        self.zt = vt[:, :, :-1] - vt[:, :, -1:]  # head k token
        self.wt = self.products.of(self.out.T, b)  # of B O, d column
        torch.addmv(c, b, x[-1], out=self.table[-1]).addmv_(self.wt.T, self.v_equals)
        for lines, zt, wt in self.by_head(self.table):
            lines.copy_(self.products.of(zt.T, wt.T))

    def backward(
        self, d_table: Float[Tensor, "line column"]
    ) -> tuple[
        Float[Tensor, " d"],
        Float[Tensor, "head k token"],
        Float[Tensor, "column d"],
        Float[Tensor, " column"],
    ]:
        """Sets the gradient of O; that of x of "=", vt, B and c."""
        x, b, d_first = self.tokens.x, self.readers.b, d_table[-1]
        by_head = [
            (self.products.of(d_lines, wt), self.products.of(zt, d_lines.T))
            for d_lines, zt, wt in self.by_head(d_table)
        ]
        d_z, d_wt = torch.stack([d_z for d_z, _ in by_head]), torch.cat([d for _, d in by_head])
        d_wt.addr_(self.v_equals, d_first)
        d_v_equals = (self.wt @ d_first).view(self.n_heads, 1, -1) - d_z.sum(1, keepdim=True)
        d_vt = torch.cat((d_z, d_v_equals), dim=1).mT
        self.out.grad = self.products.of(d_wt, b.T).T.contiguous()
        d_b = self.products.of(d_wt.T, self.out).addr_(d_first, x[-1])
        return d_first @ b, d_vt, d_b, d_first

    def by_head(self, table: Float[Tensor, "line column"]) -> Iterator[tuple[Tensor, ...]]:
        """Of each head its lines of the table, its zt and its wt."""
        lines = table[:-1].view(self.n_heads, -1, table.shape[1])
        return zip(lines, self.zt, self.wt.view(self.n_heads, -1, table.shape[1]), strict=True)


class FactorsByHand:
    """Forms the factors, and takes their gradients to the parameters."""

    def __init__(
        self, model: Transformer, p: int, kernel: RowKernel, products: type[Products]
    ) -> None:
        self.tokens, self.attention = Tokens(model, p, products), Attention()
        self.readers = Readers(model, kernel, products)
        self.lines = Lines(self.tokens, self.readers, products)

    @torch.no_grad()
    def forward(self, rows: RowLookups) -> Factors:
        """The factors of these rows, which the next call overwrites."""
        self.tokens.forward()
        weight = self.attention.forward(self.tokens.q, self.tokens.kt, rows)
        self.readers.forward()
        self.lines.forward()
        return Factors(self.lines.table, weight, self.readers.readout, self.readers.bias)

    @torch.no_grad()
    def backward(self, d: Factors) -> None:
        """Sets every `.grad`, from the gradients of the last factors that were formed."""
        d_x_equals, d_vt, d_b, d_c = self.lines.backward(d.table)
        d_q, d_kt = self.attention.backward(d.weight)
        self.tokens.backward(d_x_equals, d_q, d_kt, d_vt)
        self.readers.backward(d_b, d_c, d.readout, d.bias)
