"""Whether the embedding lies on circles."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from grok_cli.diagnostics.registry import diagnostic
from grok_cli.diagnostics.subject import Subject
from grok_cli.diagnostics.waves import waves

COMPONENTS = 4
SMALLEST = 1e-6  # of the largest component's extent; less is rounding


@torch.no_grad()
def embedding_circularity(table: Float[Tensor, "p d"]) -> float:
    """Mean over the first four principal components of how much one wave explains.

    For a component v over the p tokens: the largest over frequencies k >= 1 of
    2 |sum over j of v_j exp(2 pi i j k / p)|^2 / (p sum over j of v_j^2), which is 1 for a pure
    wave. p is odd; for even p the frequency p / 2 would count double and is left out. Components
    without extent do not count; nan if there is none, or p < 3.
    Source: Zhong et al. 2023, "The clock and the pizza", arXiv 2306.17844.
    """
    p = len(table)
    centred = table.double() - table.double().mean(dim=0)
    u, extent, _ = torch.linalg.svd(centred, full_matrices=False)
    components = u[:, :COMPONENTS][:, extent[:COMPONENTS] > SMALLEST * extent[0]]
    if p < 3 or not components.numel():
        return math.nan
    energy = waves(components).abs().square()[1 : (p + 1) // 2]
    return float((2 / p * energy).amax(dim=0).mean())


@diagnostic(
    "circularity",
    columns=["circularity/embed"],
    cost="cheap",
    formula="mean over the embedding's first four principal components of the largest share that "
    "one frequency has in it",
    source="Zhong et al. 2023, arXiv 2306.17844",
)
def circularity(subject: Subject) -> dict[str, float]:
    p = subject.dataset.p
    return {"circularity/embed": embedding_circularity(subject.model.embed[:p])}
