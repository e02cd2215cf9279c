"""Brings the runs of a sweep to their end with an executor: retries, claims, interruption.

Truth stands in the run directories. The executor says that a worker ended; what became of the run
is read from its summary, so that a sweep typed again, or on another machine, finds the same.
"""

import errno
import os
import time
from collections.abc import Callable, Sequence

from grok_cli.errors import GrokError
from grok_cli.executors.base import Change, Executor, Job
from grok_cli.executors.worker import INTERRUPTED, ending
from grok_cli.runs.bystander import bystander
from grok_cli.runs.directory import DONE
from grok_cli.runs.files import last_lines
from grok_cli.sweeps.plan import PlannedRun
from grok_cli.sweeps.states import Entry, Event

POLL_SECONDS = 0.2
REFRESH_SECONDS = 1.0  # workers renew their summaries every two seconds
# With these, no further run can be written either.
HOPELESS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class SweepWatcher:
    """Hears what happens in a sweep. This one ignores it; subclasses show it."""

    def start(self, entries: Sequence[Entry]) -> None:
        """The sweep begins."""

    def changed(self, entry: Entry) -> None:
        """A run has another state, or another attempt."""

    def refreshed(self) -> None:
        """The summaries of running runs were read again."""

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
        look_again: asked when a run is about to start whose directory is not there: the same run,
            or the one that another sweep started meanwhile.
        clock, sleep: seconds that pass, and waiting for some of them.

    Attributes:
        trouble: why no run can go on, such as a full disk; empty if that did not happen.
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
        look_again: Callable[[PlannedRun], PlannedRun] = lambda planned: planned,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.entries = [Entry(planned) for planned in runs]
        self.executor, self.watcher = executor, bystander(SweepWatcher, watcher)
        self.retries, self.fail_fast, self.should_stop = retries, fail_fast, should_stop
        self.look_again, self.clock, self.sleep = look_again, clock, sleep
        self.is_stopping = False
        self.trouble = ""
        self._refreshed = clock()

    def begin(self) -> list[Entry]:
        """Hand every run that is to be trained to the executor, and leave it there."""
        self._survey()
        try:
            self._attach()
            self._hand_over()
        finally:
            self.watcher.finish()
            self.executor.close()
        return self.entries

    def run(self) -> list[Entry]:
        """Drive every run to its end; returns their entries."""
        self._survey()
        try:
            self._attach()
            while True:
                if self.should_stop() and not self.is_stopping:
                    self._stop()
                self._hand_over()
                if self._is_over():
                    break
                for change in self.executor.poll():
                    self._take(change)
                for entry in self.entries:
                    if entry.state == "elsewhere":
                        self._await(entry)
                self._refresh()
                self.sleep(POLL_SECONDS)
        except BaseException:  # a second Ctrl-C, or an error of this program
            self.executor.kill()
            raise
        finally:
            self.watcher.finish()
            self.executor.close()
        return self.entries

    def _survey(self) -> None:
        """See what is there, and link what another sweep has trained."""
        self._by_path = {entry.planned.run.path: entry for entry in self.entries}
        for entry in self.entries:
            if entry.planned.taken_from is not None:
                entry.planned.create()
            self._look(entry)
        self.watcher.start(self.entries)

    def _attach(self) -> None:
        """Find the runs that the executor has already."""
        jobs = [
            job_of(entry.planned)
            for entry in self.entries
            if entry.state not in DONE and entry.planned.run.exists()
        ]
        for job in self.executor.attach(jobs):
            self._by_path[job.run.path].enter("handed over")  # until the executor tells more

    def _hand_over(self) -> None:
        """Give the executor as many of the waiting runs as it has room for; only then are their
        directories made."""
        room = self.executor.room()
        jobs: list[Job] = []
        for entry in self.entries:
            if self.is_stopping or (room is not None and len(jobs) >= room):
                break
            if entry.state == "waiting" and self._may_start(entry) and self._create(entry):
                jobs.append(job_of(entry.planned))
                entry.enter("handed over")
        if jobs:
            self.executor.submit(jobs)

    def _may_start(self, entry: Entry) -> bool:
        """Whether the runs that it leaves, and takes weights from, are at their end."""
        before = (self._by_path.get(run.path) for run in entry.planned.relatives)
        return all(one is None or one.ended() for one in before)

    def _create(self, entry: Entry) -> bool:
        """Make the run's directory; whether the run is to be handed over."""
        try:
            if not entry.planned.run.exists():
                entry.planned = self.look_again(entry.planned)
            entry.planned.create()
            if entry.planned.taken_from is None or not self._look(entry):
                return True
            self.watcher.changed(entry)
            return False
        except GrokError as error:
            entry.reason = str(error)
            if is_hopeless(entry.reason):
                self._give_up(entry.reason.partition(";")[0])
                return False
        entry.enter("failed")
        self.watcher.changed(entry)
        self._mind_failure(entry)
        return False

    def _is_over(self) -> bool:
        if self.is_stopping:
            return not any(entry.state == "running" for entry in self.entries)
        return all(entry.ended() for entry in self.entries)

    def _stop(self) -> None:
        self.is_stopping = True
        self.executor.stop()
        for entry in self.entries:
            if entry.state == "queued":  # the executor forgets those that have not started
                entry.enter("given back")
        self.watcher.stopping()

    def _give_up(self, trouble: str) -> None:
        """Nothing can be written: have all workers stop."""
        self.trouble = self.trouble or trouble
        if not self.is_stopping:
            self._stop()

    def _refresh(self) -> None:
        """Read again how far the running ones are."""
        if self.clock() - self._refreshed < REFRESH_SECONDS:
            return
        self._refreshed = self.clock()
        for entry in self.entries:
            if entry.state == "running":
                entry.summary = entry.planned.run.recorded_summary()
        self.watcher.refreshed()

    def _look(self, entry: Entry) -> bool:
        """See how far a run is that no worker of ours trains; whether it is somebody's or done."""
        entry.summary = entry.planned.summary()
        status = entry.summary["status"]
        events: dict[str, Event] = {
            "finished": "finished",
            "diverged": "diverged",
            "running": "claimed",
        }
        if status not in events:
            return False
        entry.reason = entry.summary.get("message", "") if status == "diverged" else ""
        entry.enter(events[status])
        return True

    def _await(self, entry: Entry) -> None:
        """See whether the other process is done with a run, or gone."""
        if not self._look(entry):
            entry.enter("stopped" if self.is_stopping else "given back")
            entry.reason = "was told to stop" if self.is_stopping else ""
        if entry.state != "elsewhere":
            self.watcher.changed(entry)
            self._mind_failure(entry)

    def _take(self, change: Change) -> None:
        entry = self._by_path[change.job.run.path]
        if change.state == "started":
            entry.enter("started")
            entry.attempts += 1
        elif change.state == "requeued":
            entry.enter("given back")
            entry.enter("handed over")
            entry.reason = change.reason
            entry.attempts -= 1  # no fault of the worker
        else:
            self._settle(entry, change)
        self.watcher.changed(entry)
        self._mind_failure(entry)

    def _settle(self, entry: Entry, change: Change) -> None:
        """A worker ended: done, stopped, crashed, or turned away by another's claim."""
        if self._look(entry):
            return
        if change.exit_code == INTERRUPTED or self.is_stopping:
            entry.enter("stopped")
            entry.reason = "was told to stop"
            return
        entry.reason = change.reason or self._why(entry, change)
        if is_hopeless(entry.reason):
            entry.enter("failed")
            self._give_up(entry.reason.partition(";")[0])
        elif entry.attempts <= self.retries and change.exit_code is not None:
            entry.enter("given back")
        else:
            entry.enter("failed")

    def _why(self, entry: Entry, change: Change) -> str:
        """The last line of the log, or how the process ended."""
        lines = last_lines(entry.planned.run.log_file, 1)
        how = ending(change.exit_code)
        killed = change.exit_code is not None and change.exit_code < 0
        return how if killed or not lines else f"{lines[0].removeprefix('grok: ')} ({how})"

    def _mind_failure(self, entry: Entry) -> None:
        if self.fail_fast and entry.state in ("failed", "diverged") and not self.is_stopping:
            self._stop()


def job_of(planned: PlannedRun) -> Job:
    """What an executor has to do for a run whose directory exists."""
    return Job(planned.run, tuple(planned.changes()))


def is_hopeless(reason: str) -> bool:
    """Whether a worker ended for a reason that every other run would meet, too."""
    return any(os.strerror(number) in reason for number in HOPELESS)
