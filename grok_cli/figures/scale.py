"""Axes: from values to places, and which values get a number."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grok_cli.figures.chart import Array, Axis


@dataclass(frozen=True)
class Scale:
    """An axis from `low` to `high`, both positive if it is logarithmic."""

    low: float
    high: float
    log: bool = False

    @classmethod
    def of(cls, values: Array, log: bool = False) -> "Scale":
        """The smallest axis that holds all finite values (all positive ones, if logarithmic)."""
        fit = values[np.isfinite(values) & ((values > 0) | (not log))]
        if not len(fit):
            return cls(1, 10, log) if log else cls(0, 1, log)
        low, high = float(fit.min()), float(fit.max())
        if low == high:
            low, high = (low / 2, high * 2) if log else (low - 0.5, high + 0.5)
        return cls(low, high, log)

    def place(self, values: Array) -> Array:
        """Where values are: 0 at `low`, 1 at `high`, nan where the axis has no such value."""
        if not self.log:
            return (values - self.low) / (self.high - self.low)
        with np.errstate(divide="ignore", invalid="ignore"):
            place = np.log(values / self.low) / math.log(self.high / self.low)
        return np.where(values > 0, place, np.nan)

    def ticks(self, count: int) -> list[float]:
        """About `count` round values on the axis."""
        candidates = self._log_ticks() if self.log else []
        for ticks in candidates:
            if 2 <= len(ticks) <= count:
                return ticks
        if self.log and len(candidates[-1]) > count:  # many decades: every second, third, ...
            return candidates[-1][:: math.ceil(len(candidates[-1]) / count)]
        step = _round_step((self.high - self.low) / max(count - 1, 1))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [i * step for i in range(first, last + 1) if not self.log or i > 0]

    def _log_ticks(self) -> list[list[float]]:
        """From many to few: 1, 2, 5 a decade; 1, 3 a decade; 1 a decade."""
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        return [
            [m * 10.0**d for d in decades for m in mantissas if self._holds(m * 10.0**d)]
            for mantissas in ((1, 2, 5), (1, 3), (1,))
        ]

    def _holds(self, value: float) -> bool:
        return self.low * (1 - 1e-9) <= value <= self.high * (1 + 1e-9)


def axis_scale(axis: Axis, values: Array) -> Scale:
    """The scale of an axis: where it does not say itself where it ends, the values do."""
    fitted = Scale.of(values, axis.log)
    return Scale(
        fitted.low if axis.low is None else axis.low,
        fitted.high if axis.high is None else axis.high,
        axis.log,
    )


def spread_out(count: int, most: int) -> NDArray[np.int64]:
    """Which of `count` values in order are told: so many evenly, and as many by ratio, which are
    dense at the start, for a logarithmic axis."""
    if not count:
        return np.array([], np.int64)
    dense = np.geomspace(1, count, most).astype(np.int64) - 1
    return np.union1d(dense, np.linspace(0, count - 1, most).astype(np.int64))


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, ... (and fractions) that is at least `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return power * next(m for m in (1, 2, 5, 10) if m * power >= least * (1 - 1e-9))


def tick_text(value: float) -> str:
    """A tick's number: 2,000 or 0.05 or 1e-6."""
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e6:
        return f"{value:,.0f}" if value == round(value) else f"{value:.4g}"
    return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
