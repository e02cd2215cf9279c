"""The registry of diagnostics: which there are, what they compute, what they cost.

Looking up or checking a name imports neither torch nor the diagnostics: the names of the package's
own are the file names in `measures/`, those of other packages the names of their entry points.
A diagnostic is imported when it is taken out of `DIAGNOSTICS`.
"""

import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Literal

from grok_cli.core.config import ModelConfig
from grok_cli.diagnostics import measures
from grok_cli.diagnostics.errors import UnknownDiagnosticError
from grok_cli.errors import UsageError

if TYPE_CHECKING:
    from grok_cli.diagnostics.subject import Subject

Cost = Literal["cheap", "moderate", "expensive"]
Compute = Callable[["Subject"], dict[str, float]]
Columns = Callable[[ModelConfig], list[str]]

ENTRY_POINT_GROUP = "grok_cli.diagnostics"


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
    names = columns if callable(columns) else _constant(columns)

    def register(measure: Compute) -> Diagnostic:
        return Diagnostic(name, names, cost, formula, source, measure)

    return register


def _constant(columns: Iterable[str]) -> Columns:
    fixed = list(columns)
    return lambda _config: list(fixed)


class Registry(Mapping[str, Diagnostic]):
    """Diagnostics by name, each imported on first use."""

    @cached_property
    def _modules(self) -> dict[str, str]:
        found = pkgutil.iter_modules(measures.__path__)
        return {m.name.replace("_", "-"): f"{measures.__name__}.{m.name}" for m in found}

    @cached_property
    def _plugins(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}

    def __iter__(self) -> Iterator[str]:
        yield from sorted(self._modules.keys() | self._plugins.keys())

    def __len__(self) -> int:
        return len(self._modules.keys() | self._plugins.keys())

    def __contains__(self, name: object) -> bool:
        return name in self._modules or name in self._plugins

    def __getitem__(self, name: str) -> Diagnostic:
        """The diagnostic of that name.

        Raises:
            UnknownDiagnosticError: there is none; the message names the nearest.
            UsageError: an entry point does not lead to a diagnostic of its name.
        """
        self.check([name])
        if name in self._modules:
            module = self._modules[name]
            found = [v for v in vars(import_module(module)).values() if isinstance(v, Diagnostic)]
        else:
            module = self._plugins[name].value
            try:
                loaded = self._plugins[name].load()
            except (ImportError, AttributeError) as error:
                raise UsageError(
                    f"diagnostic '{name}' of another package ({module}) cannot be imported: "
                    f"{error}; mend or remove that package"
                ) from None
            found = [loaded] if isinstance(loaded, Diagnostic) else []
        matching = [d for d in found if d.name == name]
        if not matching:
            raise UsageError(
                f"{module} was expected to hold a function under @diagnostic('{name}', ...)"
            )
        return matching[0]

    def check(self, names: Iterable[str]) -> None:
        """Refuse a name that no diagnostic has, without importing any.

        Raises:
            UnknownDiagnosticError: the message names the unknown one and the nearest.
        """
        for name in names:
            if name not in self:
                raise UnknownDiagnosticError(name, self)


DIAGNOSTICS = Registry()
