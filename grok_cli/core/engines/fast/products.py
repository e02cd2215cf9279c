"""Products of matrices: torch's own, or by oneDNN, which comes with torch.

For float32 on a CPU torch asks MKL, which on other processors than Intel's leaves half the width of
AVX-512 unused: there oneDNN is twice as fast. Torch has one door to it, the operation that
`torch.compile` uses for linear layers.
"""

import torch
from jaxtyping import Float
from torch import Tensor


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


class OneDnnProducts(Products):
    """By oneDNN, for float32 on a CPU."""

    @staticmethod
    def of(x: Float[Tensor, "n k"], w: Float[Tensor, "m k"]) -> Float[Tensor, "n m"]:
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, w, None, "none", [], "")
        return product

    @staticmethod
    def add(out: Float[Tensor, "n m"], x: Float[Tensor, "n k"], w: Float[Tensor, "m k"]) -> None:
        out += OneDnnProducts.of(x, w)


def has_onednn(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether oneDNN is there for such matrices, and is expected to be faster."""
    return (
        dtype == torch.float32
        and device.type == "cpu"
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )
