"""Sizes of weights, gradient and update, for each group of parameters."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from grok_cli.core.model import Transformer
from grok_cli.core.model_config import ModelConfig
from grok_cli.diagnostics.forward import mean_loss
from grok_cli.diagnostics.registry import diagnostic
from grok_cli.diagnostics.subject import Subject

KINDS = ("weight", "grad", "update", "from_init")


def group_of(parameter: str) -> str:
    """Group of a parameter's name: "blocks.0.mlp.w_in" is in "layer0.mlp"."""
    parts = parameter.split(".")
    return f"layer{parts[1]}.{parts[2]}" if parts[0] == "blocks" else parts[0]


def group_norms(tensors: Mapping[str, Tensor]) -> dict[str, float]:
    """Euclidean norm of each group's tensors taken together, in float64."""
    squares: dict[str, float] = {}
    for name, tensor in tensors.items():
        group = group_of(name)
        squares[group] = squares.get(group, 0.0) + float(tensor.double().square().sum())
    return {group: math.sqrt(square) for group, square in squares.items()}


def columns(config: ModelConfig) -> list[str]:
    with torch.device("meta"):
        names = Transformer(config, vocab=2).trainable()
    groups = dict.fromkeys(group_of(name) for name in names)
    return [f"norms/{group}/{kind}" for group in groups for kind in KINDS]


@diagnostic(
    "norms",
    columns=columns,
    cost="moderate",
    formula="norm of each group's weights, of the gradient of the training loss there, of the last "
    "update (nan for a snapshot), and of the way from the initial weights (nan if unknown)",
    source="per group; over all parameters they are recorded at each step as grads/*",
)
def norms(subject: Subject) -> dict[str, float]:
    parameters = subject.model.trainable()
    with torch.enable_grad():
        loss = mean_loss(subject.model, subject.tokens("train"), subject.labels("train"))
        gradients = torch.autograd.grad(loss, list(parameters.values()))
    weights = {name: p.detach() for name, p in parameters.items()}
    start = None if subject.initial is None else subject.initial.trainable()
    nothing = dict.fromkeys(weights, torch.tensor(math.nan))

    def moved(since: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
        return nothing if since is None else {n: w - since[n].detach() for n, w in weights.items()}

    measured = {
        "weight": weights,
        "grad": dict(zip(weights, gradients, strict=True)),
        "update": moved(subject.previous),
        "from_init": moved(start),
    }
    per_kind = {kind: group_norms(tensors) for kind, tensors in measured.items()}
    return {
        f"norms/{group}/{kind}": per_kind[kind][group]
        for group in per_kind["weight"]
        for kind in KINDS
    }
