"""Backwards from tensors whose gradients are known, without what PyTorch imports for that.

`torch.autograd.backward(tensors, gradients)` imports sympy to compare shapes, which takes a third
of a second in every process. A scalar whose backward hands the gradients out needs no comparison.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class _Head(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradients: Sequence[Tensor], *tensors: Tensor) -> Tensor:
        ctx.gradients = gradients
        return tensors[0].new_zeros(())

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor | None, ...]:
        return None, *ctx.gradients


def backward_from(tensors: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
    """Add to every `.grad` what these gradients of these tensors give there."""
    head: Tensor = _Head.apply(gradients, *tensors)  # type: ignore[no-untyped-call]
    head.backward()  # type: ignore[no-untyped-call]
