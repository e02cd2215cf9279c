"""Keeps a run in its directory while it trains."""

import json
import os
import time
from collections.abc import Callable, Sequence
from typing import IO, Any

import torch

from grok_cli.core.config import Config
from grok_cli.core.training import Outcome, Recorder, Row, Trainer
from grok_cli.errors import GrokError
from grok_cli.runs.checkpoints import save_snapshot
from grok_cli.runs.directory import RunDir
from grok_cli.runs.files import without_nan, write_atomically, write_text

STATE_KEYS = {  # of a resume state: the trainer's, then the recorder's
    *("step", "weights", "optimizer", "phases"),
    *("columns", "metrics_bytes", "last", "seconds"),
}
SUMMARY_SECONDS = 2.0  # how often summary.json is renewed while training


class RunRecorder(Recorder):
    """Writes metrics.csv, summary.json, snapshots and the resume state.

    Rows written after the last resume state are dropped when a run resumes, and computed again.
    """

    def __init__(self, run: RunDir, config: Config, seconds: float = 0.0) -> None:
        """
        Args:
            seconds: training time of earlier sessions.
        """
        self.run, self.config, self.seconds_before = run, config, seconds
        self.last: dict[str, float] = {}  # the newest value of every metric
        self.metrics: IO[bytes] | None = None

    def start(self, trainer: Trainer, columns: Sequence[str]) -> None:
        self.started, self.started_step = time.monotonic(), trainer.step
        self.trainer, self.columns = trainer, ("step", *columns)
        self.run.snapshots_dir.mkdir(exist_ok=True)
        self.metrics = self._open_metrics(trainer.step)
        self._write_summary("running")

    def rows(self, rows: Sequence[Row]) -> None:
        assert self.metrics is not None
        for row in rows:
            self.last |= row
        lines = (",".join(_cell(row, column) for column in self.columns) for row in rows)
        self.metrics.write("".join(f"{line}\n" for line in lines).encode())
        self.metrics.flush()
        if time.monotonic() - self.summary_written > SUMMARY_SECONDS:
            self._write_summary("running")

    def snapshot(self, trainer: Trainer) -> None:
        save_snapshot(
            self.run.snapshot_file(trainer.step), trainer.step, self.config, trainer.model
        )

    def save(self, trainer: Trainer) -> None:
        assert self.metrics is not None
        os.fsync(self.metrics.fileno())
        state = {
            **trainer.state(),
            "columns": list(self.columns),
            "metrics_bytes": self.metrics.tell(),
            "last": self.last,
            "seconds": self.seconds(),
        }
        write_atomically(self.run.resume_file, lambda file: torch.save(state, file))

    def close(self) -> None:
        """Close metrics.csv, however training ended."""
        if self.metrics is not None:
            self.metrics.close()

    def finish(self, trainer: Trainer, outcome: Outcome) -> None:
        self._write_summary(outcome.status, outcome.message)

    def resume(self, state: dict[str, Any]) -> None:
        """Cut metrics.csv back to where the resume state stands.

        Raises:
            GrokError: metrics.csv is gone, shorter than that, or has other columns.
        """
        self.last, self.seconds_before = state["last"], state["seconds"]
        file, header = self.run.metrics_file, ",".join(state["columns"]).encode() + b"\n"
        if not file.exists() or file.stat().st_size < state["metrics_bytes"]:
            raise GrokError(f"{file} lacks rows that the run had; {self.run.start_over()}")
        with file.open("r+b") as stream:
            if stream.readline() != header:
                raise GrokError(f"{file} does not have the run's columns; {self.run.start_over()}")
            stream.truncate(state["metrics_bytes"])

    def seconds(self) -> float:
        """Training time so far, all sessions, in seconds."""
        return self.seconds_before + time.monotonic() - self.started

    def _open_metrics(self, step: int) -> IO[bytes]:
        if step == 0:
            write_text(self.run.metrics_file, ",".join(self.columns) + "\n")
        return self.run.metrics_file.open("ab")

    def _write_summary(self, status: str, message: str = "") -> None:
        self.summary_written = time.monotonic()
        trainer, seconds = self.trainer, self.seconds()
        session = time.monotonic() - self.started
        summary = {
            "status": status,
            "message": message,
            "step": trainer.step,
            "steps": self.config.train.steps,
            **trainer.phases.summary(),
            "final": {name: value for name, value in self.last.items() if name != "step"},
            "steps_per_second": round((trainer.step - self.started_step) / max(session, 1e-9), 3),
            "seconds": round(seconds, 3),
        }
        write_text(self.run.summary_file, json.dumps(without_nan(summary), indent=2) + "\n")


class Bystander(Recorder):
    """Passes everything on to a watcher, until that cannot write any more (its terminal or pipe is
    gone): training must not end for that."""

    def __init__(self, watcher: Recorder) -> None:
        self.watcher = watcher

    def _tell(self, tell: Callable[[Recorder], None]) -> None:
        try:
            tell(self.watcher)
        except OSError:
            self.watcher = Recorder()

    def start(self, trainer: Trainer, columns: Sequence[str]) -> None:
        self._tell(lambda watcher: watcher.start(trainer, columns))

    def rows(self, rows: Sequence[Row]) -> None:
        self._tell(lambda watcher: watcher.rows(rows))

    def snapshot(self, trainer: Trainer) -> None:
        self._tell(lambda watcher: watcher.snapshot(trainer))

    def save(self, trainer: Trainer) -> None:
        self._tell(lambda watcher: watcher.save(trainer))

    def finish(self, trainer: Trainer, outcome: Outcome) -> None:
        self._tell(lambda watcher: watcher.finish(trainer, outcome))


def _cell(row: Row, column: str) -> str:
    """The shortest text that reads back as the same number; empty if there is none."""
    value = row.get(column)
    return "" if value is None else repr(value)
