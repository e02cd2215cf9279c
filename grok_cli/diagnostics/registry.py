"""The registry of diagnostics: which there are, what they compute, what they cost.

Looking up or checking a name imports neither torch nor the diagnostics.
"""

import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from grok_cli.core.model_config import ModelConfig
from grok_cli.diagnostics import measures
from grok_cli.errors import UsageError, did_you_mean
from grok_cli.plugins import Parts

if TYPE_CHECKING:
    from grok_cli.diagnostics.subject import Subject

Cost = Literal["cheap", "moderate", "expensive"]
Compute = Callable[["Subject"], dict[str, float]]
Columns = Callable[[ModelConfig], list[str]]


@dataclass(frozen=True)
class Diagnostic:
    """One way to measure a network.

    Attributes:
        name: what the user types, the file's name with hyphens.
        columns: from the model's configuration, the names of the metrics that `measure` returns.
        cost: at the published size (p = 113, one layer, two cores): cheap is below 0.1 s, moderate
            below 1 s; expensive is above that, or grows steeply with the size.
        formula: what is computed, in words.
        source: where the measure is from.
        measure: Subject -> {metric: value}. It leaves model, gradients and random state alone.
    """

    name: str
    columns: Columns
    cost: Cost
    formula: str
    source: str
    measure: Compute


def diagnostic(
    name: str,
    *,
    columns: Iterable[str] | Columns,
    cost: Cost,
    formula: str,
    source: str,
) -> Callable[[Compute], Diagnostic]:
    """Make a function Subject -> {metric: value} the diagnostic `name`.

    `columns` is the metrics' names, or a function that gives them for a model's configuration.
    """
    fixed = [] if callable(columns) else list(columns)
    names = columns if callable(columns) else lambda _config: list(fixed)

    def register(measure: Compute) -> Diagnostic:
        return Diagnostic(name, names, cost, formula, source, measure)

    return register


class UnknownDiagnosticError(UsageError):
    """No diagnostic has this name."""


class Registry(Parts[Diagnostic]):
    """Diagnostics by name. This package's own are the files of `measures/`."""

    kind, expected = "diagnostic", "hold a function under @diagnostic('{}', ...)"

    def __init__(self) -> None:
        names = (module.name for module in pkgutil.iter_modules(measures.__path__))
        super().__init__({n.replace("_", "-"): f"{measures.__name__}.{n}:{n}" for n in names})

    def fits(self, name: str, found: object) -> bool:
        return isinstance(found, Diagnostic) and found.name == name

    def unknown(self, name: str) -> Exception:
        hint = f"{did_you_mean(name, self)} expected one of {', '.join(self)}".strip()
        return UnknownDiagnosticError(f"unknown diagnostic '{name}'; {hint}")

    def check(self, names: Iterable[str]) -> None:
        """Refuse a name that no diagnostic has, without importing any.

        Raises:
            UnknownDiagnosticError: the message names the unknown one and the nearest.
        """
        for name in names:
            if name not in self:
                raise self.unknown(name)


DIAGNOSTICS = Registry()
