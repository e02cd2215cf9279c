"""What one network looks like inside, as arrays to be drawn: circles, waves, attention, answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grok_cli.core.positions import ANSWER_ONLY
from grok_cli.core.steps import Watched
from grok_cli.diagnostics.findings import standing
from grok_cli.diagnostics.measures.fourier import wave_norms
from grok_cli.diagnostics.subject import Subject
from grok_cli.diagnostics.waves import shares

PLANES = 3  # of key frequencies that are shown
TINY = 1e-30  # a weight of attention below that counts as that
ROUNDING = 1e-9  # of the whole embedding: what is held of a wave below that is no direction


@dataclass(frozen=True, eq=False)
class Inside:
    """One network, looked into.

    Attributes:
        p: number of elements; values of pairs lie at [a, b], nan where the task is not defined.
        keys: the frequencies of the planes, the first holds most of the embedding.
        circles: the p embeddings in the plane of each key frequency, as shares of the radius that
            a perfect circle holding the whole embedding's variance would have.
        embed, unembed: norm of the wave of each frequency 1, ..., p // 2.
        attention: of each layer and head, how much the last position, =, attends to a, to b and
            to itself.
        right: whether the answer is right: 1 or 0.
        train: whether the pair is a training pair.
        by_distance: mean logit of the class that lies d = 0, ..., p - 1 after the right one, less
            the mean over all.
        accuracy, loss: of "train" and "test" rows; loss in nats.
        phase: by these accuracies alone.
    """

    p: int
    keys: tuple[int, ...]
    circles: Float[Tensor, "key p 2"]
    embed: Float[Tensor, " frequency"]
    unembed: Float[Tensor, " frequency"]
    attention: Float[Tensor, "layer head to p p"]
    right: Float[Tensor, "p p"]
    train: Bool[Tensor, "p p"]
    by_distance: Float[Tensor, " p"]
    accuracy: dict[str, float]
    loss: dict[str, float]
    phase: str

    def scores(self, layer: int = 0) -> tuple[Tensor, Tensor]:
        """Attention's scores for a and for b, above that for =, of each head: [head p] each.

        Of the first layer these are all there is to know: there, the score of a position depends
        on its token alone, and the weights over all pairs are softmax(a's, b's, 0). (Of deeper
        layers they are the means over pairs.)
        """
        logs = self.attention[layer].clamp(min=TINY).log()
        scores = logs[:, :2] - logs[:, 2:]
        return scores[:, 0].nanmean(dim=2), scores[:, 1].nanmean(dim=1)


@torch.no_grad()
def look(subject: Subject, keys: Sequence[int] | None = None) -> Inside:
    """Look into a network.

    Args:
        keys: frequencies whose planes are wanted; None: the first `PLANES` by their share in the
            embedding.
    """
    model, data = subject.model, subject.dataset
    p, layers = data.p, len(model.blocks)
    steps = Watched({f"blocks.{i}.pattern" for i in range(layers)} | {"logits"})
    model(data.tokens, steps, ANSWER_ONLY)
    patterns = [steps.kept[f"blocks.{i}.pattern"][:, :, -1] for i in range(layers)]
    logits, embed = steps.kept["logits"], model.embed[:p].double()
    if keys is None:
        keys = key_planes(embed)
    right = (logits.argmax(dim=1) == data.labels).float()
    accuracy, loss, phase = standing(subject, logits)
    is_train = torch.zeros_like(right).index_fill_(0, data.train, 1.0)
    return Inside(
        p=p,
        keys=tuple(keys),
        circles=torch.stack([plane(embed, key) for key in keys]).float(),
        embed=wave_norms(embed).float(),
        unembed=wave_norms(model.unembedding[:p]).float(),
        attention=torch.stack([on_grid(subject, pattern) for pattern in patterns]),
        right=on_grid(subject, right),
        train=on_grid(subject, is_train).nan_to_num() > 0,
        by_distance=by_distance(logits[:, :p], data.labels),
        accuracy=accuracy,
        loss=loss,
        phase=phase,
    )


def key_planes(embed: Float[Tensor, "p d"]) -> tuple[int, ...]:
    """The `PLANES` frequencies that hold most of a table over tokens, the largest first."""
    order = shares(embed).argsort(descending=True, stable=True)
    return tuple(int(place) + 1 for place in order[:PLANES])


def plane(embed: Float[Tensor, "p d"], frequency: int) -> Float[Tensor, "p 2"]:
    """The embeddings, seen in the plane of the two directions that hold a frequency's wave.

    The directions are the parts of the table along cos and sin of 2 pi k a / p, made orthonormal
    in a way that turns neither more than the other (by their polar decomposition), so that a wave
    of equal amplitudes is a circle. Scaled by the root of the table's mean squared norm. A wave
    that has one direction only, as that of p / 2 for even p, lies on a line, the other value 0.
    Source: Liu et al. 2022, arXiv 2205.10343 (circles of embeddings), in the planes of Nanda et al.
    2023, arXiv 2301.05217.
    """
    p = len(embed)
    centred = embed - embed.mean(dim=0)
    angle = 2 * torch.pi * frequency * torch.arange(p, dtype=embed.dtype) / p
    directions = torch.stack([angle.cos(), angle.sin()]) @ centred  # 2 d
    left, extent, right = torch.linalg.svd(directions, full_matrices=False)
    scale = centred.square().sum(dim=1).mean().sqrt().clamp(min=TINY)
    left = left * (extent > ROUNDING * p * scale)
    seen: Tensor = centred @ (left @ right).T / scale
    return seen


def by_distance(
    logits: Float[Tensor, "batch p"], labels: Int[Tensor, " batch"]
) -> Float[Tensor, " p"]:
    """Mean over rows of the logit of class (label + d) mod p, less the mean over d."""
    p = logits.shape[1]
    rows = labels < p
    classes = (labels[rows, None] + torch.arange(p, device=labels.device)) % p
    mean = logits[rows].double().gather(1, classes).mean(dim=0)
    return (mean - mean.mean()).float()


def on_grid(subject: Subject, values: Float[Tensor, "batch ..."]) -> Float[Tensor, "... p p"]:
    """Values of all pairs at [a, b]; nan where the task is not defined."""
    p = subject.dataset.p
    grid = values.new_full((p, p, *values.shape[1:]), torch.nan)
    a, b = subject.dataset.tokens[:, 0], subject.dataset.tokens[:, 1]
    grid[a, b] = values
    return grid.movedim((0, 1), (-2, -1))
