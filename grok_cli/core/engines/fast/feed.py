"""Backwards from tensors whose gradients are known, without what PyTorch imports for that.

`torch.autograd.backward(tensors, gradients)` imports sympy to compare shapes, which takes a third
of a second in every process. A scalar whose backward hands the gradients out needs no comparison.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
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


class ByAutograd:
    """A function of one tensor, amid what goes back by hand, whose gradients autograd takes.

    Those of its parameters are added to their `.grad`.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        with torch.enable_grad():
            self.x = x.detach().requires_grad_()
            self.out = self.function(self.x)
        return self.out.detach()

    def backward(self, d_out: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        with torch.enable_grad():
            backward_from([self.out], [d_out])
        assert self.x.grad is not None
        return self.x.grad


class Same:
    """x itself, in place of a function that is not there."""

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return x

    def backward(self, d_out: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return d_out
