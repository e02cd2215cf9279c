"""What one network has learned, in a few numbers, and one of its answers."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from grok_cli.core.loss import correct_rows, row_losses
from grok_cli.core.phases import Phases
from grok_cli.core.tasks import TASKS
from grok_cli.diagnostics.measures.attention import measure_layers
from grok_cli.diagnostics.measures.progress import answer_waves, excluded_loss, restricted_loss
from grok_cli.diagnostics.measures.rank import compressibility
from grok_cli.diagnostics.subject import Subject
from grok_cli.errors import UsageError


@dataclass(frozen=True)
class Findings:
    """What a network has learned; the measures are defined in `measures/`.

    Attributes:
        accuracy, loss: of "train" and "test" rows.
        phase: by the thresholds of core/phases.py, from these accuracies alone.
        restricted_loss, excluded_loss, keys: Nanda et al. 2023; keys are (frequency, share of the
            answer's waves in the logits). None and [] where the task is not a + b or a - b mod p.
        attention: per layer and head, the mean weight of a, b and = at the last query position.
        entropy, out_rank: attention entropy and effective rank of attention's output, per layer.
        rank, effective_rank: of the residual stream before the unembedding, over test rows.
    """

    accuracy: dict[str, float]
    loss: dict[str, float]
    phase: str
    restricted_loss: float | None
    excluded_loss: float | None
    keys: list[tuple[int, float]]
    attention: list[list[list[float]]]
    entropy: list[float]
    out_rank: list[float]
    rank: float
    effective_rank: float


def findings_of(subject: Subject) -> Findings:
    """Measure what `Findings` says."""
    scale = subject.model.loss_scale
    accuracy, loss, phase = standing(subject, subject.logits("all"))
    waves = answer_waves(subject)
    restricted, excluded, keys = None, None, []
    if waves is not None:
        restricted = restricted_loss(waves, scale)
        train = subject.logits("train"), subject.labels("train")
        excluded = excluded_loss(waves, *train, scale)
        keys = [(int(k), float(waves.share[k - 1])) for k in waves.keys]
    layers = measure_layers(subject)
    rank = compressibility(subject.residual("test"))
    return Findings(
        accuracy=accuracy,
        loss=loss,
        phase=phase,
        restricted_loss=restricted,
        excluded_loss=excluded,
        keys=keys,
        attention=[w[:, :, -1].mean(dim=0).tolist() for w in subject.trace.attention],
        entropy=[layer.score_entropy for layer in layers],
        out_rank=[layer.out_effective_rank for layer in layers],
        rank=rank["rank"],
        effective_rank=rank["effective_rank"],
    )


def standing(
    subject: Subject, logits: Float[Tensor, "batch vocab"]
) -> tuple[dict[str, float], dict[str, float], str]:
    """Accuracy and loss of "train" and "test" rows, by the logits of all rows, and the phase by
    these accuracies alone."""
    accuracy, loss = {}, {}
    for split in ("train", "test"):
        of_split, labels = logits[subject.dataset.rows(split)], subject.labels(split)
        accuracy[split] = int(correct_rows(of_split, labels)) / len(labels)
        losses = row_losses(of_split * subject.model.loss_scale, labels, torch.float64)
        loss[split] = float(losses.mean())
    phases = Phases()
    phases.see_train(0, accuracy["train"])
    phases.see_test(0, accuracy["test"])
    return accuracy, loss, phases.now


@dataclass(frozen=True)
class Answer:
    """A network's answer to one pair.

    Attributes:
        answer, runner_up: the classes of the two highest logits, and their softmax
            probabilities, computed in float64 of the logits times the loss scale.
        truth: the right class.
        split: "train" or "test", wherever the pair stands.
    """

    a: int
    b: int
    answer: int
    probability: float
    runner_up: int
    runner_up_probability: float
    truth: int
    split: str


def ask(subject: Subject, task_name: str, a: int, b: int) -> Answer:
    """The network's answer to a ∘ b.

    Args:
        task_name: which task the data set is of.

    Raises:
        UsageError: the task is not defined for that pair.
    """
    data, task = subject.dataset, TASKS[task_name]
    if (a, b) not in task.pairs(data.p):
        no_zero = task.divides and not task.zero_divisor_ok
        raise UsageError(
            f"{a} {b}: the task '{task.name}' is defined for elements from 0 to {data.p - 1}"
            + (", b not 0" if no_zero else "")
        )
    pair = torch.tensor([a, b], device=data.tokens.device)
    row = int((data.tokens[:, :2] == pair).all(dim=1).nonzero()[0])
    logits = subject.logits("all")[row].double() * subject.model.loss_scale
    top = logits.softmax(dim=0).topk(2)
    return Answer(
        a,
        b,
        answer=int(top.indices[0]),
        probability=float(top.values[0]),
        runner_up=int(top.indices[1]),
        runner_up_probability=float(top.values[1]),
        truth=int(data.labels[row]),
        split="train" if bool((data.train == row).any()) else "test",
    )
