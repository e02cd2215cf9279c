"""Progress measures: how much of the network is waves of the answer, and how much is the rest."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grok_cli.core.loss import row_losses
from grok_cli.diagnostics.registry import diagnostic
from grok_cli.diagnostics.subject import Subject
from grok_cli.diagnostics.waves import key_frequencies, only, shares


@dataclass(frozen=True)
class AnswerWaves:
    """The part of the logits that depends on the answer y alone, as waves of y.

    For a + b mod p, cos(2 pi k y / p) and sin(2 pi k y / p) are the directions
    cos(w (a + b)), sin(w (a + b)) of Nanda et al. 2023. Rows are pairs; each answer is that of
    equally many, so that the mean over those is the projection.

    Waves of y are a network's mechanism where it adds or subtracts; elsewhere they mean nothing.

    Attributes:
        by_answer: mean of the logits over the rows of each answer.
        share: share of frequencies 1, ..., p // 2 in the variance of `by_answer`.
        keys: the key frequencies, those that hold 95 % of it.
    """

    by_answer: Float[Tensor, "p vocab"]
    share: Float[Tensor, " frequency"]
    keys: Int[Tensor, " key"]

    @property
    def key_part(self) -> Float[Tensor, "p vocab"]:
        """The waves of the key frequencies, for each answer."""
        return only(self.by_answer, self.keys)


def answer_waves(subject: Subject) -> AnswerWaves | None:
    """The waves of the answer in the logits of all rows; None if the task is not a + b or a - b
    mod p."""
    p, labels, logits = subject.dataset.p, subject.labels("all"), subject.logits("all")
    a, b, _ = subject.dataset.tokens.unbind(1)
    if not any(torch.equal(labels, answer % p) for answer in (a + b, a - b)):
        return None
    # A constant added to a row's logits changes nothing, and may dwarf the rest.
    centred = logits.double() - logits.double().mean(dim=1, keepdim=True)
    by_answer = centred.new_zeros(p, logits.shape[1]).index_add_(0, labels, centred) / p
    share = shares(by_answer)
    return AnswerWaves(by_answer, share, key_frequencies(share))


def restricted_loss(waves: AnswerWaves, scale: float = 1.0) -> float:
    """Loss over all pairs when only the mean and the key waves of the logits are kept.

    Source: Nanda et al. 2023, arXiv 2301.05217, section 5.1.
    """
    kept = waves.by_answer.mean(dim=0) + waves.key_part
    answers = torch.arange(len(kept), device=kept.device)
    return float(row_losses(scale * kept, answers, torch.float64).mean())


def excluded_loss(
    waves: AnswerWaves,
    logits: Float[Tensor, "batch vocab"],
    labels: Int[Tensor, " batch"],
    scale: float = 1.0,
) -> float:
    """Loss over some rows, taken on training rows, when only the key waves are taken away.

    Source: Nanda et al. 2023, arXiv 2301.05217, section 5.1.
    """
    rest = logits.double() - waves.key_part[labels]
    return float(row_losses(scale * rest, labels, torch.float64).mean())


@diagnostic(
    "progress",
    columns=[
        "progress/restricted_loss",
        "progress/excluded_loss",
        "progress/key_count",
        "progress/key_variance",
    ],
    cost="cheap",
    formula="key frequencies: the fewest that hold 95 % of the waves cos(w y), sin(w y) of the "
    "answer y in the logits. Restricted (trig) loss: over all pairs, with the logits' mean and key "
    "waves alone. Excluded loss: over training pairs, without the key waves. key_variance: share "
    "of the key waves in the logits' variance over pairs. nan where the task is not a + b or a - b "
    "mod p",
    source="Nanda et al. 2023, arXiv 2301.05217",
)
def progress(subject: Subject) -> dict[str, float]:
    logits, scale = subject.logits("all"), subject.model.loss_scale
    waves = answer_waves(subject)
    if waves is None:
        return dict.fromkeys(
            (f"progress/{m}_loss" for m in ("restricted", "excluded")), math.nan
        ) | {"progress/key_count": math.nan, "progress/key_variance": math.nan}
    centred = logits.double() - logits.double().mean(dim=1, keepdim=True)
    return {
        "progress/restricted_loss": restricted_loss(waves, scale),
        "progress/excluded_loss": excluded_loss(
            waves, subject.logits("train"), subject.labels("train"), scale
        ),
        "progress/key_count": float(len(waves.keys)),
        "progress/key_variance": float(
            waves.key_part.square().mean(dim=0).sum() / centred.var(dim=0, correction=0).sum()
        ),
    }
