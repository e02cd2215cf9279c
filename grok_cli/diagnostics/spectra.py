"""Eigenvalues, and what is read off them: ranks, a power law's exponent, the Gini coefficient.

The published ranks of this protocol were computed in float32, where a spectrum has a noise floor
on which they depend; `gram_spectrum` and `numerical_rank` repeat that arithmetic. What is read off
a spectrum is exact for the spectrum given.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def gram_spectrum(x: Float[Tensor, "n d"]) -> Float[Tensor, " d"]:
    """Eigenvalues of C = x^T x, largest first, in x's type and by the published arithmetic.

    That is sqrt(|eigenvalues of C C^T|). It equals the eigenvalues of C, but for a floor of about
    sqrt(machine epsilon) times the largest: 3e-4 of it in float32. nan if C is not finite.
    Source: code of arXiv 2602.06702.
    """
    c = x.mT @ x
    if not bool(c.isfinite().all()):
        return torch.full_like(c[0], torch.nan)
    spectrum: Tensor = torch.linalg.eigvalsh(c @ c.mT).abs().sqrt().flip(-1)
    return spectrum


def effective_rank(spectrum: Float[Tensor, " d"]) -> float:
    """exp of the Shannon entropy of a non-negative spectrum normalised to sum 1.

    d equal values give d; a single value other than 0 gives 1.
    Source: Roy and Vetterli 2007, "The effective rank: a measure of effective dimensionality".
    """
    share = spectrum.double() / spectrum.double().sum()
    return float(torch.special.entr(share).sum().exp())


def numerical_rank(x: Float[Tensor, "n m"]) -> int:
    """Number of singular values above max(n, m) * machine epsilon * the largest, in x's type."""
    return int(torch.linalg.matrix_rank(x))


def stable_rank(x: Float[Tensor, "n m"]) -> float:
    """Frobenius norm over spectral norm, between 1 and sqrt(min(n, m)).

    Source: arXiv 2602.06702. (Elsewhere the name often means the square of this.)
    """
    values = torch.linalg.svdvals(x)
    return float(values.norm() / values[0])


def power_law_alpha(spectrum: Float[Tensor, " d"]) -> float:
    """Exponent alpha of the power law x^-alpha that fits the spectrum's tail.

    For each candidate start x_min of the tail, alpha is the maximum-likelihood estimate
    1 + n / sum(ln(x / x_min)); the start is taken whose fit has the least Kolmogorov-Smirnov
    distance. Values <= 0 are left out; nan if fewer than two different values remain.
    This is the `powerlaw` package's continuous fit of version 1, with which the published values
    were computed, at a fiftieth of its time; version 2 stops at alpha = 3 unless told otherwise.
    Source: Clauset, Shalizi and Newman 2009, arXiv 0706.1062.
    """
    x = spectrum.double().cpu().sort().values
    x = x[x > 0]
    starts = torch.ones_like(x, dtype=torch.bool)
    starts[1:] = x[1:] > x[:-1]
    starts &= x < x[-1:]
    if not starts.any():
        return float("nan")
    first = starts.nonzero()
    rank_in_tail = torch.arange(len(x)) - first
    in_tail = rank_in_tail >= 0
    log_ratio = (x / x[first]).log().where(in_tail, 0.0)
    size = (len(x) - first).double()
    alpha = 1 + size / log_ratio.sum(dim=1, keepdim=True)
    model = 1 - ((1 - alpha) * log_ratio).exp()
    distance = (rank_in_tail / size - model).abs().where(in_tail, 0.0).amax(dim=1)
    return float(alpha[distance.argmin()])


def gini(values: Float[Tensor, " n"]) -> float:
    """Gini coefficient of non-negative values: 0 if all are equal, 1 - 1/n if one holds all."""
    x, n = values.double().sort().values, len(values)
    place = torch.arange(1, n + 1, device=x.device)
    return float(((2 * place - n - 1) * x).sum() / (n * x.sum()))
