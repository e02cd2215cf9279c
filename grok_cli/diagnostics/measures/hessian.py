"""Curvature of the training loss."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grok_cli.core.model import Transformer
from grok_cli.diagnostics.forward import mean_loss
from grok_cli.diagnostics.registry import diagnostic
from grok_cli.diagnostics.subject import Subject

TOLERANCE = 1e-2  # relative accuracy of the eigenvalues
Vector = NDArray[np.float64]


def loss_hessian(
    model: Transformer, tokens: Tensor, labels: Tensor
) -> tuple[int, Callable[[Vector], Vector]]:
    """Number of parameters, and the function v -> H v, H the Hessian of the mean loss.

    H v is the gradient of (gradient · v), by a second backward pass (Pearlmutter 1994).
    """
    parameters = list(model.trainable().values())
    sizes = [p.numel() for p in parameters]
    with torch.enable_grad():
        loss = mean_loss(model, tokens, labels)
        gradients = torch.autograd.grad(loss, parameters, create_graph=True)
        gradient = torch.cat([g.reshape(-1) for g in gradients])

    def product(v: Vector) -> Vector:
        direction = torch.as_tensor(v, dtype=gradient.dtype, device=gradient.device)
        parts = torch.autograd.grad(
            gradient, parameters, grad_outputs=direction.reshape(-1), retain_graph=True
        )
        return torch.cat([g.reshape(-1) for g in parts]).double().cpu().numpy()

    return sum(sizes), product


def extreme_eigenvalues(n: int, product: Callable[[Vector], Vector]) -> tuple[float, float]:
    """Smallest and largest eigenvalue of a symmetric operator on n dimensions, by Lanczos."""
    from scipy.sparse.linalg import LinearOperator, eigsh

    operator = LinearOperator((n, n), matvec=product, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(n)
    low, high = eigsh(operator, k=2, which="BE", v0=start, tol=TOLERANCE, return_eigenvectors=False)
    return float(low), float(high)


@diagnostic(
    "hessian",
    columns=["hessian/max_eigenval", "hessian/smallest_eigenval"],
    cost="expensive",
    formula="largest and smallest eigenvalue of the Hessian of the training loss over all "
    "parameters, by Lanczos iteration on Hessian-vector products, to 1 % (the published "
    "min_eigenval is the smallest of the three largest)",
    source="Pearlmutter 1994; Ghorbani et al. 2019, arXiv 1901.10159",
)
def hessian(subject: Subject) -> dict[str, float]:
    n, product = loss_hessian(subject.model, subject.tokens("train"), subject.labels("train"))
    low, high = extreme_eigenvalues(n, product)
    return {"hessian/max_eigenval": high, "hessian/smallest_eigenval": low}
