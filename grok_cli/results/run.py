"""A run as tables and figures see it: settings, summary, and what was measured at which step."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import polars as pl

STEP = "step"
SEED = "train.seed"


class Source(Protocol):
    """Where the metrics of a run come from."""

    def metrics(self) -> list[str]:
        """The names of what was measured, in order."""
        ...

    def series(self, metric: str) -> "pl.DataFrame":
        """One of them: columns "step" (Int64) and `metric` (Float64), by step, no empty values."""
        ...


class Tables:
    """Metrics that are in memory: from each name its series."""

    def __init__(self, series: "Mapping[str, pl.DataFrame] | None" = None) -> None:
        self._series = dict(series or {})

    def metrics(self) -> list[str]:
        return list(self._series)

    def series(self, metric: str) -> "pl.DataFrame":
        return self._series[metric]


@dataclass(frozen=True, eq=False)
class Run:
    """A run.

    Attributes:
        name: names it in messages and tables.
        settings: {"section.key": value}.
        summary: status, phases and last metrics, as in summary.json.
        path: its directory; None where it is not on this disk.
        source: where its metrics come from.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None
    source: Source = field(default_factory=Tables, repr=False)

    @property
    def status(self) -> str:
        return str(self.summary.get("status", "unknown"))

    @property
    def seed(self) -> Any:
        return self.settings.get(SEED)

    def metrics(self) -> list[str]:
        """The names of what was measured, in the order of its files."""
        return self.source.metrics()

    def series(self, metric: str) -> "pl.DataFrame":
        """The steps at which a metric was measured, in order, and its values.

        Returns:
            Columns "step" (Int64) and `metric` (Float64), without empty values; no rows where it
            was not measured.
        """
        import polars as pl

        if metric not in self.metrics():
            return pl.DataFrame(schema={STEP: pl.Int64, metric: pl.Float64})
        return self.source.series(metric)
