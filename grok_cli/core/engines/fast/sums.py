"""Look-ups in tables, and weighted sums of looked-up lines, with their gradients.

    gather   out[r, j] = table[index[r, j]]
    sums     out[r]    = sum over j of weight[r, j] table[index[r, j]]

Attention over a handful of known tokens is such a sum, and costs far less than the matrix product
that it replaces. Sums, and gradients with respect to the table (sums over all terms that take a
line), run as embedding bags, which are fast on every device and always add in the same order.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

ALL = slice(None)


@dataclass(frozen=True)
class Terms:
    """Which lines of a table each row takes.

    Attributes:
        index: the line that each term of each row takes.
        order: numbers of the terms (row * terms + term), sorted by the line they take.
        ends: where each line's stretch of `order` starts, and the end of the last.
        starts: number of the first term of each row.
        row: the row of each term.
    """

    index: Int[Tensor, "rows terms"]
    order: Int[Tensor, " all_terms"]
    ends: Int[Tensor, " bounds"]
    starts: Int[Tensor, " rows"]
    row: Int[Tensor, " all_terms"]

    @classmethod
    def of(cls, index: Int[Tensor, "rows terms"], lines: int) -> "Terms":
        """These terms, of a table with so many lines."""
        numbers = torch.arange(index.numel(), device=index.device)
        lines_taken, order = index.flatten().sort(stable=True)
        bounds = torch.arange(lines + 1, device=index.device)
        terms = index.shape[1]
        return cls(
            index=index.contiguous(),
            order=order,
            ends=torch.searchsorted(lines_taken, bounds),
            starts=numbers[::terms].contiguous(),
            row=numbers // terms,
        )

    def sums(
        self,
        table: Float[Tensor, "lines width"],
        weight: Float[Tensor, "rows terms"],
        part: slice = ALL,
    ) -> Float[Tensor, "part width"]:
        """The weighted sums of these rows (a slice without a step)."""
        index = self.index[part]
        return _bag(table, index.flatten(), self.starts[: len(index)], weight[part].flatten())

    def grad_of_weight(
        self,
        grad: Float[Tensor, "part width"],
        table: Float[Tensor, "lines width"],
        part: slice = ALL,
    ) -> Float[Tensor, "part terms"]:
        """From the gradient of the sums of these rows, that of their weights."""
        index = self.index[part]
        products: Tensor = torch.ops.aten._embedding_bag_per_sample_weights_backward(
            grad,
            table,
            index.flatten(),
            self.starts[: len(index)],
            self.row[: index.numel()],
            0,  # mode "sum"
        )
        return products.view_as(index)

    def look_up(self, table: Float[Tensor, "lines width"]) -> Float[Tensor, "rows terms width"]:
        """The lines that the rows take."""
        return table.index_select(0, self.index.flatten()).view(*self.index.shape, -1)

    def grad_of_looked_up(
        self, grad: Float[Tensor, "rows terms width"]
    ) -> Float[Tensor, "lines width"]:
        """From the gradient of the lines that the rows take, that of the table."""
        return _bag(grad.flatten(0, 1), self.order, self.ends[:-1], None)

    def lines(self, count: int) -> list[slice]:
        """The table's lines, cut into at most so many stretches, about equally often taken."""
        if count == 1:
            return [ALL]
        shares = torch.arange(1, count) * (len(self.order) // count)
        cuts = [0, *torch.searchsorted(self.ends, shares).tolist(), len(self.ends) - 1]
        return [slice(*cut) for cut in itertools.pairwise(cuts) if cut[0] < cut[1]]

    def grad_of_table(
        self,
        grad: Float[Tensor, "rows width"],
        weight: Float[Tensor, "rows terms"],
        lines: slice = ALL,
    ) -> Float[Tensor, "lines width"]:
        """From the gradient of the sums of all rows, that of these lines of the table."""
        order, starts = self.order, self.ends[:-1]
        if lines != ALL:
            first, end = self.ends[lines.start], self.ends[lines.stop]
            order, starts = order[first:end], starts[lines] - first
        weight = weight.flatten().index_select(0, order)
        return _bag(grad, self.row.index_select(0, order), starts, weight)


def _bag(table: Tensor, index: Tensor, starts: Tensor, weight: Tensor | None) -> Tensor:
    """The (weighted) sum of the lines that each stretch of `index` takes."""
    sums: Tensor = torch.embedding_bag(table, index, starts, per_sample_weights=weight)[0]
    return sums


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, terms: Terms) -> Tensor:
        ctx.terms = terms
        return terms.look_up(table)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return ctx.terms.grad_of_looked_up(grads[0]), None


class _Sums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, weight: Tensor, terms: Terms) -> Tensor:
        ctx.save_for_backward(table, weight)
        ctx.terms = terms
        return terms.sums(table, weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        table, weight = ctx.saved_tensors
        terms, grad = ctx.terms, grads[0].contiguous()
        return terms.grad_of_table(grad, weight), terms.grad_of_weight(grad, table), None


def gather(table: Float[Tensor, "lines width"], terms: Terms) -> Float[Tensor, "rows terms width"]:
    """The lines that the rows take; differentiable."""
    lines: Tensor = _Gather.apply(table, terms)  # type: ignore[no-untyped-call]
    return lines


def weighted_sums(
    table: Float[Tensor, "lines width"], weight: Float[Tensor, "rows terms"], terms: Terms
) -> Float[Tensor, "rows width"]:
    """The weighted sums of all rows; differentiable."""
    rows: Tensor = _Sums.apply(table, weight, terms)  # type: ignore[no-untyped-call]
    return rows
