"""Brings the runs of a sweep to their end with an executor: retries, claims, interruption.

Truth stands in the run directories. The executor says that a worker ended; what became of the run
is read from its summary, so that a sweep typed again, or on another machine, finds the same.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from grok_cli.errors import GrokError
from grok_cli.executors.base import Change, Executor, Job
from grok_cli.executors.worker import INTERRUPTED, ending, last_lines
from grok_cli.runs.directory import DONE
from grok_cli.sweeps.plan import PlannedRun

POLL_SECONDS = 0.2
REFRESH_SECONDS = 1.0  # workers renew their summaries every two seconds
ENDED = (*DONE, "failed", "interrupted")


@dataclass
class Entry:
    """A run of a sweep while it is driven.

    Attributes:
        state: "waiting", "running", "elsewhere" (another process trains it), "finished",
            "diverged", "failed" or "interrupted".
        summary: the run's summary when it was last read.
        attempts: workers that were started for it, without those whose machine was taken away.
        reason: why it failed or diverged.
        skipped: it was done before this sweep began.
    """

    planned: PlannedRun
    state: str = "waiting"
    summary: dict[str, Any] = field(default_factory=lambda: {"status": "new"})
    attempts: int = 0
    reason: str = ""
    skipped: bool = False

    def ended(self) -> bool:
        return self.state in ENDED


class SweepWatcher:
    """Hears what happens in a sweep. This one ignores it; subclasses show it."""

    def start(self, entries: Sequence[Entry]) -> None:
        """The sweep begins."""

    def changed(self, entry: Entry) -> None:
        """A run has another state, or another attempt."""

    def stopping(self) -> None:
        """Workers were told to save and stop."""

    def finish(self) -> None:
        """The sweep has ended."""


class Driver:
    """A sweep under way.

    Args:
        retries: further workers for a run whose worker crashed. A run that diverged would diverge
            again, and one that was told to stop was told so by somebody: neither is retried.
        fail_fast: stop everything at the first run that failed or diverged.
        should_stop: asked all the time; once true, workers save and stop.
    """

    def __init__(
        self,
        runs: Sequence[PlannedRun],
        executor: Executor,
        watcher: SweepWatcher,
        *,
        retries: int = 1,
        fail_fast: bool = False,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.entries = [Entry(planned) for planned in runs]
        self.executor, self.watcher = executor, watcher
        self.retries, self.fail_fast, self.should_stop = retries, fail_fast, should_stop
        self.stopping = False
        self._refreshed = 0.0

    def begin(self) -> list[Entry]:
        """Hand every run that is to be trained to the executor, and leave it there."""
        self._survey()
        try:
            self._hand_over()
        finally:
            self.watcher.finish()
            self.executor.close()
        return self.entries

    def run(self) -> list[Entry]:
        """Drive every run to its end; returns their entries."""
        self._survey()
        try:
            self._hand_over()
            while not self._over():
                if self.should_stop() and not self.stopping:
                    self._stop()
                for change in self.executor.poll():
                    self._take(change)
                for entry in self.entries:
                    if entry.state == "elsewhere":
                        self._await(entry)
                self._refresh()
                time.sleep(POLL_SECONDS)
        except BaseException:  # a second Ctrl-C, or an error of this program
            self.executor.kill()
            raise
        finally:
            self.watcher.finish()
            self.executor.close()
        return self.entries

    def _survey(self) -> None:
        """See what is there."""
        self._by_path = {entry.planned.run.path: entry for entry in self.entries}
        for entry in self.entries:
            self._look(entry)
            if entry.state in DONE:
                entry.skipped = True
        self.watcher.start(self.entries)

    def _hand_over(self) -> None:
        """Give the executor the runs that it does not have yet and that nobody else trains."""
        open_entries = [entry for entry in self.entries if entry.state not in DONE]
        jobs = [job_of(entry.planned) for entry in open_entries if entry.planned.run.exists()]
        attached = {job.run.path for job in self.executor.attach(jobs)}
        for path in attached:
            self._by_path[path].state = "waiting"  # until the executor tells more
        self._submit(
            [
                entry
                for entry in open_entries
                if entry.state == "waiting" and entry.planned.run.path not in attached
            ]
        )

    def _over(self) -> bool:
        open_states = ("running",) if self.stopping else ("running", "waiting", "elsewhere")
        return not any(entry.state in open_states for entry in self.entries)

    def _stop(self) -> None:
        self.stopping = True
        self.executor.stop()
        self.watcher.stopping()

    def _submit(self, entries: Sequence[Entry]) -> None:
        jobs = []
        for entry in entries:
            try:
                entry.planned.create()
                jobs.append(job_of(entry.planned))
            except GrokError as error:
                entry.state, entry.reason = "failed", str(error)
                self.watcher.changed(entry)
        self.executor.submit(jobs)

    def _refresh(self) -> None:
        """Read again how far the running ones are."""
        if time.monotonic() - self._refreshed < REFRESH_SECONDS:
            return
        self._refreshed = time.monotonic()
        for entry in self.entries:
            if entry.state == "running":
                entry.summary = entry.planned.run.recorded_summary()

    def _look(self, entry: Entry) -> None:
        """Set the state of a run that no worker of ours trains."""
        entry.summary = entry.planned.summary()
        status = entry.summary["status"]
        entry.reason = entry.summary.get("message", "") if status == "diverged" else ""
        others = {"running": "elsewhere", "new": "waiting", "interrupted": "waiting"}
        entry.state = status if status in DONE else others[status]

    def _await(self, entry: Entry) -> None:
        """See whether the other process is done with a run, or gone."""
        self._look(entry)
        if entry.state == "waiting" and self.stopping:
            entry.state, entry.reason = "interrupted", "was told to stop"
        elif entry.state == "waiting":
            self._submit([entry])
        if entry.state != "elsewhere":
            self.watcher.changed(entry)
            self._mind_failure(entry)

    def _take(self, change: Change) -> None:
        entry = self._by_path[change.job.run.path]
        if change.state == "started":
            entry.state = "running"
            entry.attempts += 1
        elif change.state == "requeued":
            entry.state, entry.reason = "waiting", change.reason
            entry.attempts -= 1  # no fault of the worker
        else:
            self._settle(entry, change)
        self.watcher.changed(entry)
        self._mind_failure(entry)

    def _settle(self, entry: Entry, change: Change) -> None:
        """A worker ended: done, stopped, crashed, or turned away by another's claim."""
        self._look(entry)
        if entry.state != "waiting":
            return
        if change.exit_code == INTERRUPTED or self.stopping:
            entry.state, entry.reason = "interrupted", "was told to stop"
            return
        entry.reason = change.reason or self._why(entry, change)
        if entry.attempts <= self.retries and change.exit_code is not None:
            self._submit([entry])
        else:
            entry.state = "failed"

    def _why(self, entry: Entry, change: Change) -> str:
        """The last line of the log, or how the process ended."""
        lines = last_lines(entry.planned.run.log_file, 1)
        how = ending(change.exit_code)
        killed = change.exit_code is not None and change.exit_code < 0
        return how if killed or not lines else f"{lines[0].removeprefix('grok: ')} ({how})"

    def _mind_failure(self, entry: Entry) -> None:
        if self.fail_fast and entry.state in ("failed", "diverged") and not self.stopping:
            self._stop()


def job_of(planned: PlannedRun) -> Job:
    """What an executor has to do for a run whose directory exists."""
    return Job(planned.run, tuple(planned.changes()))
