"""A run as tables and figures see it: settings, summary, and what was measured at which step."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    Array = NDArray[Any]

STEP = "step"
SEED = "train.seed"
PLANNED = "train.steps"


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a number, which True is not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def number(value: object) -> float | None:
    """A finite number as a summary states it; None for anything else."""
    return float(value) if is_number(value) and math.isfinite(value) else None


@dataclass(frozen=True)
class Source:
    """Where the metrics of a run come from.

    Attributes:
        metrics: the names of what was measured, in order.
        series: of one of them: columns "step" (Int64) and its name (Float64), by step, without
            empty values.
    """

    metrics: Sequence[str]
    series: "Callable[[str], pl.DataFrame]"

    @classmethod
    def of(cls, tables: "Mapping[str, pl.DataFrame]") -> "Source":
        """Tables in memory: from each name its series."""
        return cls(list(tables), tables.__getitem__)


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
    source: Source = field(default_factory=lambda: Source.of({}), repr=False)

    @property
    def status(self) -> str:
        return str(self.summary.get("status", "unknown"))

    @property
    def seed(self) -> Any:
        return self.settings.get(SEED)

    def metrics(self) -> Sequence[str]:
        """The names of what was measured, in the order of its files."""
        return self.source.metrics

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

    def arrays(self, metric: str) -> "tuple[Array, Array]":
        """`series` as two arrays: the steps, in order, and the values."""
        table = self.series(metric)
        return table[STEP].to_numpy(), table[metric].to_numpy()
