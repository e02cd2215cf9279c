"""The diagnostics of a run, in the form in which the training loop calls them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from grok_cli.core.data import Dataset
from grok_cli.core.model import Transformer
from grok_cli.diagnostics.registry import DIAGNOSTICS, Diagnostic
from grok_cli.diagnostics.subject import Subject


@dataclass
class PeriodicDiagnostics:
    """Diagnostics that are due at the same steps; they share one forward pass.

    Attributes:
        every: they are due at step 1 and at every multiple of this.
        columns: the metrics that `measure` returns.
    """

    every: int
    columns: list[str]
    diagnostics: list[Diagnostic]
    initial: Transformer | None
    reference: dict[str, Any]

    def measure(
        self, model: Transformer, dataset: Dataset, previous: Mapping[str, Tensor] | None = None
    ) -> dict[str, float]:
        """The metrics of the model as it is now. Model, gradients and random state stay.

        `previous` is the trainable weights before the last update, if at hand: the norms of
        updates are measured against them.
        """
        subject = Subject(model, dataset, self.initial, self.reference, previous)
        values: dict[str, float] = {}
        for diagnostic in self.diagnostics:
            values |= diagnostic.measure(subject)
        return values


def schedule(
    wanted: Mapping[str, int], model: Transformer, initial: Transformer | None
) -> list[PeriodicDiagnostics]:
    """The diagnostics of `config.measure.diagnostics` (name -> steps between), by due steps.

    `initial` is a copy of the model at step 0, on the same device, that training does not touch.

    Raises:
        UnknownDiagnosticError: a name is not registered; the message names the nearest.
    """
    DIAGNOSTICS.check(wanted)
    reference: dict[str, Any] = {}
    periods = []
    for every in sorted(set(wanted.values())):
        due = [DIAGNOSTICS[name] for name in wanted if wanted[name] == every]
        columns = [column for d in due for column in d.columns(model.config)]
        periods.append(PeriodicDiagnostics(every, columns, due, initial, reference))
    return periods
