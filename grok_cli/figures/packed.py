"""Describes charts for a page's canvas: words and limits as JSON, numbers packed into bytes.

Frames of one chart (a network at one step after another) share their words. Numbers are rounded to
one byte of 255 levels, values along a line and scores to two bytes of 65,535, between the lowest
and the highest of all frames; level 0 stands for no number. Kinds (`Cells.names`) are told as what
changed since the frame before, which deflates to little. `report/page/panels.js` draws all this.
"""

import zlib
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grok_cli.figures.chart import Array, Axis, Chart
from grok_cli.figures.style import ANSWERS, WEIGHTS, WHEEL

RAMP = 16  # colours of a ramp that are told; between them the page mixes


class Blob:
    """Bytes that grow, and where in them what lies."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0

    def add(self, data: NDArray[Any]) -> int:
        """Add an array; returns where it begins, a multiple of 4."""
        start, content = self.size, data.tobytes()
        content += bytes(-len(content) % 4)
        self.parts.append(content)
        self.size += len(content)
        return start

    def levels(self, values: Array, log: bool = False, fine: bool = False) -> dict[str, Any]:
        """Add numbers, rounded to levels; returns what a page needs to read them.

        Args:
            values: (frames, n) or (n,); what is not finite is no number.
            log: rounds their logarithms; what is not positive is then no number either.
            fine: two bytes a number.
        """
        kind, most = (np.dtype("<u2"), 65535) if fine else (np.dtype("u1"), 255)
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled = np.log(values) if log else np.asarray(values, np.float64)
        known = np.isfinite(scaled)
        low = float(scaled[known].min()) if known.any() else 0.0
        high = float(scaled[known].max()) if known.any() else 0.0
        width = (high - low) or 1.0
        places = np.where(known, (np.where(known, scaled, low) - low) / width, 0)
        whole = np.where(known, 1 + np.rint(places * (most - 1)), 0).astype(kind)
        return {
            "at": self.add(whole),
            "n": values.shape[-1],
            "bytes": kind.itemsize,
            "low": low,
            "step": width / (most - 1),
            "log": log,
        }

    def text(self) -> str:
        """All of it, deflated (zlib), in base64."""
        return b64encode(zlib.compress(b"".join(self.parts), 9)).decode()


def pack_frames(frames: Sequence[Sequence[Chart]], blob: Blob) -> list[dict[str, Any]]:
    """Describe charts that change from frame to frame.

    Args:
        frames: the same charts in each; grids that are neither kinds nor made of factors are left
            out: they would be too large for a page.
    """
    return [
        _pack([frame[place] for frame in frames], blob)
        for place, chart in enumerate(frames[0])
        if chart.cells is None or chart.cells.names or chart.cells.factors
    ]


def palettes() -> dict[str, list[str]]:
    """The colours that a page's canvas needs."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    ramp = [to_hex(colormaps[WEIGHTS](place / (RAMP - 1))) for place in range(RAMP)]
    return {"ramp": ramp, "kinds": list(ANSWERS), "wheel": list(WHEEL)}


def _pack(charts: Sequence[Chart], blob: Blob) -> dict[str, Any]:
    first = charts[0]
    told: dict[str, Any] = {"name": first.name, "title": first.about, "note": first.note}
    told["x"] = _axis([chart.x for chart in charts])
    told["y"] = _axis([chart.y for chart in charts])
    told["lines"] = [
        {
            "name": first.legend.keys[line.key].name,
            "colour": first.legend.keys[line.key].look.colour,
            "x": float(line.x[0]),
            "y": blob.levels(np.stack([chart.lines[place].y for chart in charts]), fine=True),
        }
        for place, line in enumerate(first.lines)
    ]
    if first.dots is not None:
        dots = [chart.dots for chart in charts if chart.dots is not None]
        told["dots"] = {
            "x": blob.levels(np.stack([dot.x for dot in dots])),
            "y": blob.levels(np.stack([dot.y for dot in dots])),
            "turns": np.round(first.dots.turns, 4).tolist(),
        }
    cells = [chart.cells for chart in charts if chart.cells is not None]
    if cells and cells[0].names:
        kinds = np.stack([np.nan_to_num(cell.values + 1).astype(np.uint8) for cell in cells])
        changed = kinds.copy()
        changed[1:] ^= kinds[:-1]
        rows, columns = kinds.shape[1:]
        told["kinds"] = {
            "at": blob.add(changed),
            "rows": rows,
            "columns": columns,
            "names": cells[0].names,
        }
    elif cells:
        factors = [cell.factors for cell in cells if cell.factors is not None]
        told["shares"] = {
            "first": blob.levels(np.stack([factor.first for factor in factors]), fine=True),
            "second": blob.levels(np.stack([factor.second for factor in factors]), fine=True),
            "of": factors[0].of,
        }
    return told


def _axis(axes: Sequence[Axis]) -> dict[str, Any]:
    """The same axis for all frames."""
    lows = [axis.low for axis in axes if axis.low is not None]
    highs = [axis.high for axis in axes if axis.high is not None]
    down = axes[0].low is not None and axes[0].high is not None and axes[0].low > axes[0].high
    ends = (max(lows), min(highs)) if down else (min(lows, default=0), max(highs, default=1))
    return {"label": axes[0].label, "low": ends[0], "high": ends[1]}
