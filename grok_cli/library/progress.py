"""A line that says how far something is, and Ctrl-C that lets it be saved."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from grok_cli.core.training import Outcome, Recorder, Row, Trainer
from grok_cli.sweeps.drive import SweepWatcher
from grok_cli.sweeps.states import Entry

SECONDS = 0.25  # between two texts of a line
WIDTH = 24  # of a bar
EIGHTHS = " ▏▎▍▌▋▊▉█"


def shell() -> Any:
    """IPython's shell, of a notebook or a terminal; None where there is none."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def bar(done: float, total: float) -> str:
    """A bar of characters: done of total."""
    eighths = round(WIDTH * 8 * done / max(total, 1))
    full, rest = divmod(eighths, 8)
    return ("█" * full + EIGHTHS[rest] * (rest > 0)).ljust(WIDTH)


class Line:
    """A line that is written over: in a notebook below its cell, on a terminal's stderr; else
    only its last text is written."""

    def __init__(self) -> None:
        self._in_notebook = hasattr(shell(), "kernel")
        self._display: Any = None
        self._shown = 0.0
        self._text = ""

    def show(self, text: str) -> None:
        self._text = text
        if time.monotonic() - self._shown >= SECONDS:
            self._shown = time.monotonic()
            if self._in_notebook:
                self._update()
            elif sys.stderr.isatty():
                sys.stderr.write(f"\r\x1b[2K{text}")
                sys.stderr.flush()

    def end(self) -> None:
        if self._in_notebook:
            self._update()
        else:
            over = "\r\x1b[2K" if sys.stderr.isatty() else ""
            sys.stderr.write(f"{over}{self._text}\n")

    def _update(self) -> None:
        from IPython.display import display

        content = {"text/plain": self._text}
        if self._display is None:
            self._display = display(content, raw=True, display_id=True)
        else:
            self._display.update(content, raw=True)


class RunLine(Recorder):
    """How far a run is, as a line."""

    def start(self, trainer: Trainer, columns: Sequence[str]) -> None:
        self._line, self._trainer, self._last = Line(), trainer, Row()

    def rows(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._last |= row
        step, steps = self._trainer.step, self._trainer.config.train.steps
        accuracy = self._last.get("test/accuracy")
        known = "" if accuracy is None else f", test accuracy {accuracy:.3f}"
        self._line.show(
            f"{bar(step, steps)} step {step} of {steps}, {self._trainer.phases.now}{known}"
        )

    def finish(self, trainer: Trainer, outcome: Outcome) -> None:
        self._line.end()


class SweepLine(SweepWatcher):
    """How many runs of a sweep are done, as a line."""

    def start(self, entries: Sequence[Entry]) -> None:
        self._line, self._entries = Line(), entries
        self._show()

    def changed(self, entry: Entry) -> None:
        self._show()

    def refreshed(self) -> None:
        self._show()

    def finish(self) -> None:
        self._show()
        self._line.end()

    def _show(self) -> None:
        done = sum(entry.ended() for entry in self._entries)
        running = [entry for entry in self._entries if entry.state == "running"]
        parts = sum(
            entry.summary.get("step", 0) / entry.planned.config.train.steps for entry in running
        )
        total = len(self._entries)
        self._line.show(
            f"{bar(done + parts, total)} {done} of {total} runs done, {len(running)} running"
        )


@contextmanager
def stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """A function that tells whether Ctrl-C, or a notebook's stop button, was pressed meanwhile; a
    second time raises at once. In a thread, which gets no signals, it never was."""
    received: list[int] = []

    def receive(number: int, frame: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, receive)
    try:
        yield lambda: bool(received)
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler if before is None else before)
