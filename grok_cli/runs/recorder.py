"""Keeps a run in its directory while it trains."""

import os
import time
from collections.abc import Sequence
from typing import IO, Any

from grok_cli.core.config import Config
from grok_cli.core.training import Outcome, Recorder, Row, Trainer, keeps_state
from grok_cli.diagnostics.columns import present_column
from grok_cli.errors import GrokError
from grok_cli.runs.checkpoints import save_snapshot
from grok_cli.runs.directory import RunDir
from grok_cli.runs.files import keep_previous, without_nan, write_json, write_text
from grok_cli.runs.states import keep_state
from grok_cli.runs.tensor_files import save_tensors

STATE_KEYS = {  # of a resume state: the trainer's, then the recorder's
    *("step", "weights", "optimizer", "phases"),
    *("columns", "metrics_bytes", "last", "seconds"),
}
MOST_ROW_BYTES = 2**20
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
        self.columns: tuple[str, ...] = ()
        self.metrics: IO[bytes] | None = None

    def start(self, trainer: Trainer, columns: Sequence[str]) -> None:
        self.started, self.started_step = time.monotonic(), trainer.step
        # A run keeps the columns that it began with, also under a version that measures more.
        self.trainer, self.columns = trainer, self.columns or ("step", *columns)
        self.run.snapshots_dir.mkdir(exist_ok=True)
        self.metrics = self._open_metrics(trainer.step)
        self._write_summary("running")
        self._keep_state(trainer.step)

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
        state = state_of(
            trainer.state(),
            self.config,
            self.columns,
            self.metrics.tell(),
            self.last,
            self.seconds(),
        )
        keep_previous(self.run.resume_file, self.run.previous_file)
        save_tensors(self.run.resume_file, state)
        self._keep_state(trainer.step)

    def close(self) -> None:
        """Close metrics.csv, however training ended."""
        if self.metrics is not None:
            self.metrics.close()

    def finish(self, trainer: Trainer, outcome: Outcome) -> None:
        self._write_summary(outcome.status, outcome.message)

    def resume(self, state: dict[str, Any]) -> None:
        """Cut metrics.csv back to where the resume state stands, and keep its columns.

        Raises:
            ValueError: the state holds no columns, position or values.
            GrokError: metrics.csv is gone, shorter than that, or has other columns.
        """
        columns, end = state["columns"], state["metrics_bytes"]
        last, seconds = state["last"], state["seconds"]
        if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
            raise ValueError("its columns are no list of names")
        if type(end) is not int or end < 0 or type(seconds) is not float or not seconds >= 0:
            raise ValueError("its size of metrics.csv or its time is no number")
        if not isinstance(last, dict) or not all(type(v) in (int, float) for v in last.values()):
            raise ValueError("its newest values are no numbers")
        file, header = self.run.metrics_file, ",".join(columns).encode() + b"\n"
        if not file.exists() or file.stat().st_size < end:
            raise GrokError(f"{file} lacks rows that the run had")
        with file.open("r+b") as stream:
            if stream.readline() != header:
                raise GrokError(f"{file} does not have the run's columns")
            if not _ends_with_step(stream, end, state["step"]):
                raise GrokError(f"{file} does not have the run's rows")
            stream.truncate(end)
        self.last, self.seconds_before, self.columns = last, seconds, tuple(columns)

    def _keep_state(self, step: int) -> None:
        """Keep the state of this step for branches, if it is wanted and not kept yet."""
        if step and keeps_state(self.config, step) and not self.run.state_file(step).exists():
            keep_state(self.run, step)

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
        write_json(self.run.summary_file, without_nan(summary))


def state_of(
    training: dict[str, Any],
    config: Config,
    columns: Sequence[str],
    metrics_bytes: int,
    last: dict[str, float],
    seconds: float,
) -> dict[str, Any]:
    """A resume state.

    Args:
        training: what `Trainer.state` gives.
        columns, metrics_bytes: header of metrics.csv, and where its rows of this state end.
        last: newest value of every metric.
        seconds: training time so far.
    """
    return {
        **training,
        "identity": config.identity(),
        "diagnostics": dict(config.measure.diagnostics),
        "columns": list(columns),
        "metrics_bytes": metrics_bytes,
        "last": last,
        "seconds": seconds,
    }


def _ends_with_step(stream: IO[bytes], end: int, step: int) -> bool:
    """Whether the row that ends at byte `end` of a metrics.csv is that of `step`."""
    start = max(end - MOST_ROW_BYTES, 0)
    stream.seek(start)
    rows = stream.read(end - start).split(b"\n")
    if step == 0:  # of a branch: the header alone
        return len(rows) == 2 and rows[-1] == b""
    return rows[-1] == b"" and rows[-2].startswith(b"%d," % step)


def _cell(row: Row, column: str) -> str:
    """The shortest text that reads back as the same number; empty if there is none."""
    value = row.get(present_column(column))  # the file of an old run keeps its titles
    return "" if value is None else repr(value)
