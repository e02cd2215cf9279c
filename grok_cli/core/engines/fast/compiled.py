"""The rows of the factored form by compiled kernels: the numbers of `RowKernel`, for less time."""

import itertools
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from grok_cli.core.engines.engine import Score
from grok_cli.core.engines.fast import kernels
from grok_cli.core.engines.fast.rows import Factors, RowKernel
from grok_cli.core.engines.fast.tables import RowLookups
from grok_cli.core.model_config import ModelConfig


class Buffers(NamedTuple):
    """What a chunk is computed in; kept, as fresh memory costs as much as the arithmetic does."""

    sums: Float[Tensor, "chunk column"]
    hidden: Float[Tensor, "chunk hidden"]
    slope: Float[Tensor, "chunk inputs"]
    inverse_sigma: Float[Tensor, " chunk"]


class Share(NamedTuple):
    """What a chunk adds to the score and to the gradients that rows share."""

    loss: float
    correct: int
    d_readout: Float[Tensor, "vocab hidden"]
    d_bias: Float[Tensor, " inputs"]
    d_constant: Float[Tensor, " column"]


class CompiledRowKernel(RowKernel):
    """A `RowKernel` for CPUs, by the kernels of kernels.py."""

    multiple = 16  # float32 numbers of a vector of AVX-512, so that all lines begin at one

    def __init__(self, config: ModelConfig, *others: Any) -> None:
        super().__init__(config, *others)
        self.kind = kernels.ACTIVATIONS.index(config.activation)
        self.idle: deque[Buffers] = deque()
        self.d_sums = self.d_table = torch.empty(0, 0)

    def evaluate(self, factors: Factors, rows: RowLookups) -> Score:
        def score(part: slice) -> tuple[float, int]:
            with self.buffers(factors) as buffers:
                sums = buffers.sums[: part.stop - part.start]
                return self.ahead(factors, rows, part, sums, buffers, differentiate=False)

        losses, correct = zip(*self.crew.map(score, rows.parts(self.chunk)), strict=True)
        return self.mean(losses, correct, len(rows.labels))

    def differentiate(self, factors: Factors, rows: RowLookups) -> tuple[Score, Factors]:
        n, table = len(rows.labels), factors.table
        if len(self.d_sums) < n:
            self.d_sums = table.new_empty(n, self.columns)
        if self.d_table.shape != table.shape:
            self.d_table = torch.empty_like(table)
        d_sums, d_table, d_weight = self.d_sums[:n], self.d_table, torch.zeros_like(factors.weight)

        def chunk(part: slice) -> Share:
            with self.buffers(factors) as buffers:
                return self.backward_into(
                    d_sums[part], d_weight[part], factors, rows, part, buffers
                )

        def lines(tokens: tuple[int, int]) -> None:
            kernels.table_gradient(
                *arrays(d_sums, factors.weight, rows.terms.order, rows.terms.ends),
                *tokens,
                d_table.numpy(),
            )

        shares = self.crew.map(chunk, rows.parts(self.chunk))
        losses, correct, d_readouts, d_biases, d_constants = zip(*shares, strict=True)
        heads, threads = rows.terms.index.shape[1] // 2, self.crew.threads
        tokens = (len(table) - 1) // heads
        cuts = [tokens * i // threads for i in range(threads + 1)]
        self.crew.map(lines, list(itertools.pairwise(cuts)))
        torch.sum(torch.stack(d_constants), 0, out=d_table[-1])
        gradient = Factors(
            table=d_table,
            weight=d_weight,
            readout=torch.stack(d_readouts).sum(0),
            bias=None if factors.bias is None else torch.stack(d_biases).sum(0),
        )
        return self.mean(losses, correct, n), gradient

    def backward_into(
        self,
        d_sums: Float[Tensor, "part column"],
        d_weight: Float[Tensor, "part term"],
        factors: Factors,
        rows: RowLookups,
        part: slice,
        buffers: Buffers,
    ) -> Share:
        """These rows' share; puts their D into `d_sums`, and the gradient of their weights."""
        loss, correct = self.ahead(factors, rows, part, d_sums, buffers, differentiate=True)
        d_logits, n = d_sums[:, self.logits], len(d_sums)
        d_readout = self.products.of(d_logits.T, buffers.hidden[:n].T)
        d_hidden = self.products.of(d_logits, factors.readout.T)
        d_bias, d_constant = d_sums.new_zeros(self.y.stop), d_sums.new_zeros(self.columns)
        kernels.backward(
            *arrays(factors.table, rows.terms.index[part], d_hidden, buffers.slope[:n]),
            self.z.stop - self.z.start,
            *arrays(buffers.inverse_sigma, d_sums, d_weight, d_bias, d_constant),
        )
        return Share(loss, correct, d_readout, d_bias, d_constant)

    def ahead(
        self,
        factors: Factors,
        rows: RowLookups,
        part: slice,
        sums: Float[Tensor, "part column"],
        buffers: Buffers,
        differentiate: bool,
    ) -> tuple[float, int]:
        """The sum of these rows' losses, and how many are correct. If they are differentiated,
        `sums` has the gradient of the logits and `buffers` what the way back needs."""
        hidden = buffers.hidden[: len(sums)]
        bias = sums.new_empty(0) if factors.bias is None else factors.bias
        kernels.forward(
            *arrays(factors.table, rows.terms.index[part], factors.weight[part], sums),
            self.z.stop - self.z.start,
            bias.numpy(),
            self.eps,
            self.kind,
            *arrays(
                buffers.inverse_sigma, hidden, buffers.slope if differentiate else buffers.slope[:1]
            ),
        )
        self.products.add(sums[:, self.logits], hidden, factors.readout)
        offset = sums.new_empty(0, 0) if rows.offset is None else rows.offset[part]
        vocab = self.logits.stop - self.logits.start
        answered: tuple[float, int] = kernels.answer(
            sums.numpy(),
            self.logits.start,
            vocab,
            *arrays(rows.labels[part], offset),
            1 / len(rows.labels) if differentiate else 0.0,
        )
        return answered

    def mean(self, losses: tuple[float, ...], correct: tuple[int, ...], n: int) -> Score:
        return Score(
            torch.tensor(sum(losses) / n, dtype=self.loss_dtype), torch.tensor(sum(correct))
        )

    @contextmanager
    def buffers(self, factors: Factors) -> Iterator[Buffers]:
        """Buffers that no other thread has."""
        new = factors.table.new_empty
        try:
            buffers = self.idle.pop()
        except IndexError:
            rows = self.chunk
            hidden = factors.readout.shape[1]
            buffers = Buffers(
                new(rows, self.columns), new(rows, hidden), new(rows, self.y.stop), new(rows)
            )
        yield buffers
        self.idle.append(buffers)


def arrays(*tensors: Tensor) -> Iterator[Any]:
    """The tensors as numpy's arrays, on the same memory."""
    return (tensor.numpy() for tensor in tensors)


def compile_kernels(dtype: torch.dtype) -> None:
    """Compile the kernels for numbers of this type, or take them from numba's cache."""

    def real(*shape: int) -> kernels.Array:
        return torch.zeros(*shape, dtype=dtype).numpy()

    table, index, weight, sums = real(3, 3), np.zeros((1, 3), np.int64), real(1, 3), real(1, 3)
    kernels.forward(table, index, weight, sums, 0, real(1), 0.0, 0, real(1), real(1, 1), real(1, 1))
    kernels.answer(sums, 1, 2, index[:, :1].copy(), real(0, 0), 0.0)
    kernels.backward(
        table, index, real(1, 1), real(1, 1), 0, real(1), sums, weight, real(1), real(3)
    )
    kernels.table_gradient(sums, weight, index[0], np.zeros(4, np.int64), 0, 2, table)
