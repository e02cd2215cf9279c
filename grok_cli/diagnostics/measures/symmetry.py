"""Clock or pizza: does the answer's logit depend on a - b, and do a and b matter alike."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from grok_cli.core.model import Transformer
from grok_cli.core.positions import ANSWER_ONLY
from grok_cli.diagnostics.registry import diagnostic
from grok_cli.diagnostics.subject import Subject

ROWS = 1000  # sampled pairs of the gradient symmetricity
SAMPLE_SEED = 0


def distance_irrelevance(correct: Float[Tensor, "p p"]) -> float:
    """Mean over distances d of the deviation of L[a, a + d] over a, over that of all of L.

    L[a, b] is the logit of the right answer. 1 if the distance says nothing about it (a clock's
    mechanism), 0 if it says everything (a pizza's).
    Source: Zhong et al. 2023, arXiv 2306.17844.
    """
    p = len(correct)
    a = torch.arange(p, device=correct.device)
    by_distance = correct.double()[a, (a + a[:, None]) % p]  # [d, a]
    spread = by_distance.std(dim=1, correction=0).mean()
    return float(spread / by_distance.std(correction=0))


def gradient_symmetricity(
    model: Transformer, tokens: Int[Tensor, "batch 3"], labels: Int[Tensor, " batch"]
) -> float:
    """Mean over rows of the cosine of the right logit's gradients for the embeddings of a and b.

    1 for a network that is symmetric in its two inputs.
    Source: Zhong et al. 2023, arXiv 2306.17844 (there over sampled logits).
    """
    with torch.enable_grad():
        x = model.embedded(tokens).detach().requires_grad_()
        logits = model.logits_of(x, computed=ANSWER_ONLY)
        correct = logits.gather(1, labels[:, None]).sum()
        (gradient,) = torch.autograd.grad(correct, x)
    return float(F.cosine_similarity(gradient[:, 0], gradient[:, 1]).double().mean())


@diagnostic(
    "symmetry",
    columns=["symmetry/distance_irrelevance", "symmetry/gradient_symmetricity"],
    cost="cheap",
    formula="with L[a, b] the right answer's logit: mean over d of std over a of L[a, a + d], over "
    f"std of L (nan unless all p x p pairs exist); mean over {ROWS} sampled pairs of the cosine of "
    "the gradients of L for the embeddings of a and b",
    source="Zhong et al. 2023, arXiv 2306.17844",
)
def symmetry(subject: Subject) -> dict[str, float]:
    p, labels = subject.dataset.p, subject.labels("all")
    correct = subject.logits("all").gather(1, labels[:, None])
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(SAMPLE_SEED))
    rows = shuffled[:ROWS].to(labels.device)
    irrelevance = distance_irrelevance(correct.view(p, p)) if len(labels) == p * p else math.nan
    return {
        "symmetry/distance_irrelevance": irrelevance,
        "symmetry/gradient_symmetricity": gradient_symmetricity(
            subject.model, subject.dataset.tokens[rows], labels[rows]
        ),
    }
