"""What the weights do when nothing but directions reaches the MLP."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from grok_cli.core.loss import correct_rows, row_losses
from grok_cli.core.positions import ANSWER_ONLY
from grok_cli.core.steps import Steps
from grok_cli.diagnostics.registry import diagnostic
from grok_cli.diagnostics.subject import Subject


class UnitInput(Steps):
    """The same weights, with x / ||x|| as the MLP's input and no norm anywhere."""

    def __init__(self) -> None:
        self.before: Tensor  # the norm at hand

    def __call__(self, name: str, value: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        if name == "in":
            self.before = value
        if name == "out":
            return self.before
        return F.normalize(value, dim=-1) if name == "mlp_in" else value


@diagnostic(
    "spec",
    columns=["train/spec_loss", "train/spec_accuracy", "test/spec_loss", "test/spec_accuracy"],
    cost="moderate",
    formula="loss and accuracy of the same weights when the MLP reads x / ||x|| at each token and "
    "no norm is applied anywhere (nor an initial model subtracted)",
    source="arXiv 2602.06702",
)
def spec(subject: Subject) -> dict[str, float]:
    model = subject.model
    values: dict[str, float] = {}
    for split in ("train", "test"):
        labels = subject.labels(split)
        with torch.no_grad():
            x = model.embedded(subject.tokens(split))
            logits = model.logits_of(x, UnitInput(), ANSWER_ONLY)
        losses = row_losses(logits * model.loss_scale, labels, torch.float64)
        values[f"{split}/spec_loss"] = float(losses.mean())
        values[f"{split}/spec_accuracy"] = int(correct_rows(logits, labels)) / len(labels)
    return values
