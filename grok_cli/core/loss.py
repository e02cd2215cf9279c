"""What is minimised, row by row, and accuracy as an exact count."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from grok_cli.core.config import TrainConfig


def row_losses(
    logits: Float[Tensor, "batch vocab"], labels: Int[Tensor, " batch"], dtype: torch.dtype
) -> Float[Tensor, " batch"]:
    """Cross-entropy of each row in nats, -log softmax(logits)[label], computed in `dtype`.

    Written as log(1 + sum over c != y of exp(l_c - l_y)), which does not cancel: the usual
    logsumexp(l) - l_y has an absolute error of one rounding of 1 and reads 0 where the loss is
    below 1e-16, whereas this is accurate to a few roundings however small the loss.
    """
    logits = logits.to(dtype)
    label = labels[:, None]
    margins = (logits - logits.gather(1, label)).scatter(1, label, -torch.inf)
    return F.softplus(margins.logsumexp(dim=1), threshold=40)


def smoothed_losses(
    logits: Float[Tensor, "batch vocab"],
    labels: Int[Tensor, " batch"],
    dtype: torch.dtype,
    smoothing: float,
) -> Float[Tensor, " batch"]:
    """Cross-entropy with a label of 1 - e + e / classes, and e / classes for the other classes.

    Source: Szegedy et al. 2016, arXiv 1512.00567, section 7; e is `train.label_smoothing`.
    """
    return F.cross_entropy(logits.to(dtype), labels, reduction="none", label_smoothing=smoothing)


def squared_losses(
    logits: Float[Tensor, "batch vocab"], labels: Int[Tensor, " batch"], dtype: torch.dtype
) -> Float[Tensor, " batch"]:
    """The mean over classes of (logit - target)^2, the target 1 for the label and else 0."""
    target = F.one_hot(labels, logits.shape[1])
    return (logits.to(dtype) - target).square().mean(dim=1)


def stablemax_losses(
    logits: Float[Tensor, "batch vocab"], labels: Int[Tensor, " batch"], dtype: torch.dtype
) -> Float[Tensor, " batch"]:
    """-log(s(logit of the label) / sum of s over classes), s(x) = x + 1, or 1 / (1 - x) below 0.

    Source: Prieto et al. 2025, arXiv 2501.04697; their `stablemax_cross_entropy`.
    """
    x = logits.to(dtype)
    s = torch.where(x < 0, 1 / (1 - x.clamp(max=0)), x + 1)
    return s.sum(dim=1).log() - s.gather(1, labels[:, None])[:, 0].log()


RowLosses = Callable[[Tensor, Tensor, torch.dtype], Tensor]
LOSSES: dict[str, RowLosses] = {
    "cross-entropy": row_losses,
    "mse": squared_losses,
    "stablemax": stablemax_losses,
}


def losses_of(config: TrainConfig) -> RowLosses:
    """The function of logits, labels and dtype that gives each row's loss in a run."""
    if config.label_smoothing:
        return partial(smoothed_losses, smoothing=config.label_smoothing)
    return LOSSES[config.loss]


def correct_rows(
    logits: Float[Tensor, "batch vocab"], labels: Int[Tensor, " batch"]
) -> Int[Tensor, ""]:
    """How many rows have their largest logit at the label."""
    return (logits.argmax(dim=1) == labels).sum()
