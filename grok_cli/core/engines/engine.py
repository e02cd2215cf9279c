"""What an engine is: it computes the loss of some rows and its gradient.

All engines work on the parameters of one `Transformer`, so that a run may change engines at any
step.
"""

from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor


class Score(NamedTuple):
    """How well the model answers some rows; both stay on the device until they are read.

    Attributes:
        loss: mean of the rows' `train.loss`, in `train.loss_dtype`.
        correct: number of rows whose largest logit is at the label.
    """

    loss: Float[Tensor, ""]
    correct: Int[Tensor, ""]


@runtime_checkable
class Engine(Protocol):
    """Computes scores and gradients of one model on one data set.

    Attributes:
        kernels: what it computes with, as in `run.kernels`.
    """

    kernels: str

    def step(self, rows: Int[Tensor, " batch"]) -> Score:
        """Score of the rows; leaves its loss's gradient in `.grad` of each trainable parameter."""

    def evaluate(self, rows: Int[Tensor, " batch"]) -> Score:
        """Score of the rows; gradients stay as they are."""
