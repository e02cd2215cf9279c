"""Products of matrices: torch's own, or by oneDNN, which comes with torch.

For float32 on a CPU torch asks MKL, which on other processors than Intel's leaves half the width of
AVX-512 unused: there oneDNN is twice as fast. Torch has one door to it, the operation that
`torch.compile` uses for linear layers.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, no_type_check

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.overrides import TorchFunctionMode

MATMUL = (torch.matmul, Tensor.matmul, Tensor.__matmul__)


class Products:
    """Torch's own, for all devices and types. One factor is given transposed, as linear layers hold
    theirs."""

    @staticmethod
    def of(x: Float[Tensor, "*n k"], w: Float[Tensor, "... k"]) -> Float[Tensor, "*n _"]:
        """x w^T."""
        return x @ w.mT

    @staticmethod
    def add(out: Float[Tensor, "n m"], x: Float[Tensor, "n k"], w: Float[Tensor, "m k"]) -> None:
        """Add x w^T to `out`."""
        out.addmm_(x, w.T)

    @staticmethod
    def everywhere() -> AbstractContextManager[object]:
        """Within it all products with a matrix, in this thread, are of this kind."""
        return nullcontext()


class OneDnnProducts(Products):
    """By oneDNN, for float32 on a CPU."""

    @staticmethod
    def of(x: Float[Tensor, "*n k"], w: Float[Tensor, "m k"]) -> Float[Tensor, "*n m"]:
        if not (w.is_contiguous() or w.T.is_contiguous()):
            w = w.contiguous()  # for whose strides oneDNN has only its slow reference
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, w, None, "none", [], "")
        return product

    @staticmethod
    def add(out: Float[Tensor, "n m"], x: Float[Tensor, "n k"], w: Float[Tensor, "m k"]) -> None:
        out += OneDnnProducts.of(x, w)

    @staticmethod
    def everywhere() -> AbstractContextManager[object]:
        return ByOneDnn()


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        return OneDnnProducts.of(x, w)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (x, w), grad = ctx.saved_tensors, grads[0]
        of_x, of_w = ctx.needs_input_grad
        return (
            OneDnnProducts.of(grad, w.T) if of_x else None,
            OneDnnProducts.of(grad.flatten(0, -2).T, x.flatten(0, -2).T) if of_w else None,
        )


class ByOneDnn(TorchFunctionMode):
    """Within it this thread's products with a matrix are oneDNN's; differentiable."""

    @no_type_check  # takes anything, and is called for each operation
    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in MATMUL and args[0].dim() > 1 and args[1].dim() == 2:
            return _Linear.apply(args[0], args[1].T)
        if func is F.linear:
            return _Linear.apply(args[0], args[1]) + args[2]
        return func(*args, **(kwargs or {}))


def products_of(kernels: str, dtype: torch.dtype, device: torch.device) -> type[Products]:
    """The products of kernels that are called so."""
    return OneDnnProducts if kernels != "torch" and has_onednn(dtype, device) else Products


def has_onednn(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether oneDNN is there for such matrices, and is expected to be faster."""
    return (
        dtype == torch.float32
        and device.type == "cpu"
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )
