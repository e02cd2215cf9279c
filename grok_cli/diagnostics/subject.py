"""What a diagnostic looks at: a model at one moment, its data, and what diagnostics share."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, TypeVar

from jaxtyping import Float, Int
from torch import Tensor

from grok_cli.core.data import Dataset
from grok_cli.core.model import Transformer
from grok_cli.core.model_config import ModelConfig
from grok_cli.diagnostics.forward import Trace
from grok_cli.errors import UsageError

Kept = TypeVar("Kept")


class NoInitialModelError(UsageError):
    """A diagnostic measures the distance from step 0, and the model at step 0 is not known."""


class Subject:
    """A model as it is now. Make a new one once the weights have changed.

    What several diagnostics need is computed on first use and kept: `trace` is the one forward
    pass over all pairs, from which every look at training, test or all rows is taken.

    Attributes:
        model: the model, which no diagnostic changes.
        dataset: its pairs and their split, on the model's device.
        initial: the model at step 0, for measures of distance from it; None if unknown.
        reference: what `at_start` keeps for the whole run. Pass the same dictionary to all
            subjects of one run, and to those only.
        previous: the trainable weights before the last update; None if unknown.
    """

    def __init__(
        self,
        model: Transformer,
        dataset: Dataset,
        initial: Transformer | None = None,
        reference: dict[str, Any] | None = None,
        previous: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.model, self.dataset, self.initial, self.previous = model, dataset, initial, previous
        self.reference: dict[str, Any] = {} if reference is None else reference

    @property
    def config(self) -> ModelConfig:
        return self.model.config

    @cached_property
    def is_finite(self) -> bool:
        """Whether all weights are finite; where they are not, there is nothing to measure."""
        return all(bool(weight.isfinite().all()) for weight in self.model.state_dict().values())

    @cached_property
    def trace(self) -> Trace:
        """One forward pass over all pairs, rows in the data set's order."""
        return Trace.of(self.model, self.dataset.tokens)

    def at_start(self, name: str, compute: Callable[[Transformer], Kept]) -> Kept:
        """`compute` of the initial model, computed once a run.

        Raises:
            NoInitialModelError: the initial model is not known.
        """
        if name not in self.reference:
            if self.initial is None:
                raise NoInitialModelError(
                    f"diagnostic '{name}' measures the distance from step 0; expected the model "
                    "at step 0 (a run's snapshot step_000000.pt)"
                )
            self.reference[name] = compute(self.initial)
        kept: Kept = self.reference[name]
        return kept

    def tokens(self, split: str) -> Int[Tensor, "batch 3"]:
        """Token rows of "train", "test" or "all"."""
        return self.dataset.tokens[self.dataset.rows(split)]

    def labels(self, split: str) -> Int[Tensor, " batch"]:
        return self.dataset.labels[self.dataset.rows(split)]

    def logits(self, split: str) -> Float[Tensor, "batch vocab"]:
        """The model's output on "train", "test" or "all" rows."""
        return self.trace.logits[self.dataset.rows(split)]

    def residual(self, split: str) -> Float[Tensor, "batch d"]:
        """Z: the residual stream at the last position just before the unembedding."""
        return self.trace.residual[self.dataset.rows(split)]
