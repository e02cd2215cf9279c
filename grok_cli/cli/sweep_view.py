"""Shows a sweep while it runs: a live table on a terminal, a line a change elsewhere (stderr)."""

import time
from collections import Counter
from collections.abc import Callable, Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from grok_cli.cli.output import duration
from grok_cli.results.group import group_keys, in_words, usual_values
from grok_cli.runs.settings import flat_settings
from grok_cli.sweeps.drive import SweepWatcher
from grok_cli.sweeps.plan import steps_left
from grok_cli.sweeps.states import Entry, State

STATE_STYLE: dict[State, str] = {
    "waiting": "dim",
    "queued": "dim",
    "running": "cyan",
    "elsewhere": "blue",
    "finished": "green",
    "diverged": "red",
    "failed": "bold red",
    "interrupted": "yellow",
}
# Which runs are shown first where there is no room for all.
SHOWN_FIRST = (
    *("running", "failed", "diverged", "elsewhere", "interrupted"),
    *("queued", "waiting", "finished"),
)
WIDE = 90  # columns of a terminal from which there is room for everything
# Columns of the table, and from which width of the terminal they are shown.
SHOWN_FROM = {"run": 0, "state": 0, "progress": WIDE, "step": 0, "phase": 50, "test acc": 60}
SHOWN_FROM |= {"steps/s": WIDE, "left": WIDE}
STOPPING = "stopping: runs save their state (Ctrl-C again kills them)"
LOG_SECONDS = 60.0  # after which a line says how far the sweep is
FRAME_LINES = 4  # of the view, besides a line a run


class SweepView(SweepWatcher):
    """Knows what tells the runs apart, how many are in which state, and the time left."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def start(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        settings = [flat_settings(entry.planned.config) for entry in entries]
        keys = group_keys(settings)
        groups = [{key: run.get(key) for key in keys} for run in settings]
        usual = usual_values(groups)
        self.labels = {
            id(entry): f"{in_words(group, usual)} s{run['train.seed']}"
            for entry, run, group in zip(entries, settings, groups, strict=True)
        }

    def label(self, entry: Entry) -> str:
        """The values that tell this run from the others: "pre s456"."""
        return self.labels[id(entry)]

    def counts(self) -> str:
        """How many runs are in which state: "3 finished, 2 running, 7 waiting"."""
        states = Counter(entry.state for entry in self.entries)
        return ", ".join(f"{states[state]} {state}" for state in STATE_STYLE if states[state])

    def time_left(self) -> str:
        """Time until the last step of all runs at the present speed of the running ones."""
        speed = sum(_speed(entry) for entry in self.entries if entry.state == "running")
        steps = sum(
            steps_left(entry.planned, entry.summary) for entry in self.entries if not entry.ended()
        )
        return duration(steps / speed) if speed else "?"


class SweepLog(SweepView):
    """A line whenever a run starts, ends or is tried again, and one a minute in between."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(console)
        self.clock = clock

    def start(self, entries: Sequence[Entry]) -> None:
        super().start(entries)
        self.said = self.clock()
        self._print(f"{len(entries)} runs: {self.counts()}")

    def changed(self, entry: Entry) -> None:
        text = f"{self.label(entry)}  {entry.state}"
        if entry.state == "running" and entry.attempts > 1:
            text += f" (attempt {entry.attempts})"
        elif entry.state == "finished":
            text += f" at step {entry.summary['step']}, {entry.summary['phase']}"
        elif entry.state in ("waiting", "queued") and entry.reason:
            text += f" for another attempt: {entry.reason}"
        elif entry.reason:
            text += f": {entry.reason}"
        done = sum(other.state == "finished" for other in self.entries)
        self._print(f"[{done}/{len(self.entries)}] {text}")

    def refreshed(self) -> None:
        if self.clock() - self.said >= LOG_SECONDS:
            self._print(f"{self.counts()}; {self.time_left()} left")

    def stopping(self) -> None:
        self._print(STOPPING)

    def _print(self, text: str) -> None:
        self.said = self.clock()
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


class SweepTable(SweepView):
    """A table with a line a run, as many as the terminal has room for."""

    def start(self, entries: Sequence[Entry]) -> None:
        super().start(entries)
        self.is_stopping = False
        self.live = Live(console=self.console, get_renderable=self.render, refresh_per_second=2)
        self.live.start()

    def stopping(self) -> None:
        self.is_stopping = True

    def finish(self) -> None:
        self.live.stop()

    def render(self) -> Group:
        """The table at the terminal's present size."""
        room = max(self.console.height - FRAME_LINES, 1)
        order = sorted(self.entries, key=lambda entry: SHOWN_FIRST.index(entry.state))
        hidden = len(order) - room
        more = [Text(f"and {hidden} more", "dim")] if hidden > 0 else []
        done = sum(entry.state == "finished" for entry in self.entries)
        ended = all(entry.ended() for entry in self.entries)
        now = STOPPING if self.is_stopping else "" if ended else f"{self.time_left()} left"
        head = Text(f"{done} of {len(self.entries)} done{', ' * bool(now)}{now}  ", "bold")
        head.append(f"({self.counts()})", "dim")
        head.truncate(self.console.width, overflow="ellipsis")
        return Group(head, self._table(order[:room]), *more)

    def _table(self, entries: Sequence[Entry]) -> Table:
        width = self.console.width
        shown = [name for name, least in SHOWN_FROM.items() if width >= least]
        table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
        for name in shown:
            table.add_column(
                name,
                justify="right" if name in ("step", "test acc", "steps/s", "left") else "left",
                width=20 if name == "progress" else None,
                max_width=(40 if width >= WIDE else 20) if name == "run" else None,
                no_wrap=True,
            )
        for entry in entries:
            cells = self._cells(entry)
            table.add_row(*(cells[name] for name in shown))
        return table

    def _cells(self, entry: Entry) -> dict[str, str | Text | ProgressBar]:
        """What stands in each column."""
        summary, steps = entry.summary, entry.planned.config.train.steps
        step = int(summary.get("step", 0))
        accuracy = summary.get("final", {}).get("test/accuracy")
        state = f"{entry.state} ({entry.attempts})" if entry.attempts > 1 else entry.state
        speed = _speed(entry) if entry.state == "running" else 0.0
        return {
            "run": self.label(entry),
            "state": Text(state, STATE_STYLE[entry.state]),
            "progress": ProgressBar(total=steps, completed=step),
            "step": f"{step}/{steps}" if self.console.width >= WIDE else str(step),
            "phase": str(summary.get("phase", "")),
            "test acc": "" if accuracy is None else f"{accuracy:.4f}",
            "steps/s": f"{speed:.1f}" if speed else "",
            "left": duration(steps_left(entry.planned, summary) / speed) if speed else "",
        }


def _speed(entry: Entry) -> float:
    """Steps per second of a running run; 0 while it is not known."""
    return float(entry.summary.get("steps_per_second", 0.0))
