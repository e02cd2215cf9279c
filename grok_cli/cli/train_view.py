"""Shows a run while it trains: a live view on a terminal, log lines elsewhere. Both on stderr."""

import math
import time
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from grok_cli.cli.output import duration, escape
from grok_cli.core.training import Outcome, Recorder, Row, Trainer

PHASE_STYLE = {
    "memorising": "yellow",
    "plateau": "magenta",
    "generalising": "cyan",
    "generalised": "bold green",
    "collapsed": "bold red",
}
LOG_SECONDS = 10.0
CURVE_ROWS = 3
LABEL_WIDTH, SCALE_WIDTH = 14, 5
NARROWEST_CURVE = 10
EIGHTHS = " ▁▂▃▄▅▆▇█"


class Watcher(Recorder):
    """Knows the newest metrics, the speed and the time left."""

    def start(self, trainer: Trainer, columns: Sequence[str]) -> None:
        self.trainer, self.steps = trainer, trainer.config.train.steps
        self.started, self.first_step = time.monotonic(), trainer.step
        self.last: Row = {}

    def rows(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self.last |= row

    def speed(self) -> float:
        """Steps per second of this session, measuring and storing included."""
        seconds = time.monotonic() - self.started
        return (self.trainer.step - self.first_step) / max(seconds, 1e-9)

    def time_left(self) -> str:
        """Time until the last step at the present speed, as h:mm:ss."""
        return duration((self.steps - self.trainer.step) / max(self.speed(), 1e-9))

    def metric(self, name: str) -> str:
        value = self.last.get(name)
        if value is None:
            return "–"
        return f"{value:.4f}" if name.endswith("accuracy") else f"{value:.3e}"


class LogLines(Watcher):
    """A line every ten seconds, and whenever the phase changes."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def start(self, trainer: Trainer, columns: Sequence[str]) -> None:
        super().start(trainer, columns)
        self.said, self.phase = time.monotonic(), trainer.phases.now
        if trainer.step:
            self._print(f"resuming at step {trainer.step}")

    def rows(self, rows: Sequence[Row]) -> None:
        super().rows(rows)
        phase = self.trainer.phases.now
        if phase != self.phase or time.monotonic() - self.said > LOG_SECONDS:
            self._line()
            self.said, self.phase = time.monotonic(), phase

    def finish(self, trainer: Trainer, outcome: Outcome) -> None:
        if self.last:
            self._line()

    def _line(self) -> None:
        self._print(
            f"step {self.last['step']:>{len(str(self.steps))}}/{self.steps}  "
            f"train loss {self.metric('train/loss')} acc {self.metric('train/accuracy')}  "
            f"test loss {self.metric('test/loss')} acc {self.metric('test/accuracy')}  "
            f"{self.trainer.phases.now}  {self.speed():.1f} steps/s"
        )

    def _print(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True)


class LiveView(Watcher):
    """Progress, speed, phase, accuracies, and both losses (log scale) over the steps so far."""

    def __init__(self, console: Console, title: str) -> None:
        self.console, self.title = console, title
        self.curves: dict[str, list[tuple[float, float]]] = {"train": [], "test": []}

    def start(self, trainer: Trainer, columns: Sequence[str]) -> None:
        super().start(trainer, columns)
        self.live = Live(console=self.console, get_renderable=self._render, refresh_per_second=4)
        self.live.start()

    def rows(self, rows: Sequence[Row]) -> None:
        super().rows(rows)
        for row in rows:
            for split, curve in self.curves.items():
                loss = row.get(f"{split}/loss")
                if loss is not None and 0 < loss < math.inf:
                    curve.append((row["step"], math.log10(loss)))

    def finish(self, trainer: Trainer, outcome: Outcome) -> None:
        self.live.stop()

    def _render(self) -> Panel:
        step, phase = self.trainer.step, self.trainer.phases.now
        where = Text.assemble(f"step {step} of {self.steps}  ", (phase, PHASE_STYLE[phase]))
        pace = Text(f"{self.speed():.1f} steps/s, {self.time_left()} left", "dim", no_wrap=True)
        inside = self.console.width - 4
        parts: list[RenderableType] = [where, pace]
        if inside >= where.cell_len + pace.cell_len + 2:
            head = Table.grid(expand=True)
            head.add_column(ratio=1)
            head.add_column(justify="right")
            head.add_row(where, pace)
            parts = [head]
        bar = Table.grid(expand=True)  # which ends the bar's line
        bar.add_row(ProgressBar(total=self.steps, completed=step))
        parts.append(bar)
        parts.append(self._losses(step, inside))
        return Panel(Group(*parts), title=Text(escape(self.title)), border_style="dim")

    def _losses(self, step: int, width: int) -> Table:
        """Each split's loss and accuracy, and beside them, where there is room, the loss so far
        on one log scale, whose ends stand on the right."""
        room = width - LABEL_WIDTH - SCALE_WIDTH - 2
        low, high = log_range([y for curve in self.curves.values() for _, y in curve])
        table = Table.grid(padding=(0, 1))
        for split, style in (("train", "yellow"), ("test", "green")):
            label = Text.assemble(
                (f"{split} loss\n", style),
                f"{self.metric(f'{split}/loss')}\nacc {self.metric(f'{split}/accuracy')}",
            )
            if room < NARROWEST_CURVE:
                table.add_row(label)
                continue
            heights = [(y - low) / (high - low) for y in resample(self.curves[split], step, room)]
            scale = Text(f"1e{high:+d}\n\n1e{low:+d}", style="dim")
            table.add_row(label, Text(block_curve(heights), style=style), scale)
        table.columns[0].min_width = LABEL_WIDTH
        return table


def log_range(values: Sequence[float]) -> tuple[int, int]:
    """The whole powers of ten that hold the values (log10), one apart at least."""
    if not values:
        return -1, 0
    low, high = math.floor(min(values)), math.ceil(max(values))
    return low, max(high, low + 1)


def resample(curve: list[tuple[float, float]], steps: int, width: int) -> list[float]:
    """The last known value at each of `width` equally spaced steps in (0, steps]."""
    values, i, value = [], 0, 0.0
    for column in range(1, width + 1):
        while i < len(curve) and curve[i][0] <= steps * column / width:
            value, i = curve[i][1], i + 1
        values.append(value)
    return values


def block_curve(values: list[float], rows: int = CURVE_ROWS) -> str:
    """Values in [0, 1] as columns of block characters, `rows` lines high."""
    heights = [round(value * rows * 8) for value in values]
    lines = (
        "".join(EIGHTHS[min(max(height - 8 * row, 0), 8)] for height in heights)
        for row in reversed(range(rows))
    )
    return "\n".join(lines)
