"""Trains runs as job arrays of a Slurm cluster.

The queue and the records of the batches are the truth: a driver holds nothing that another one,
on any login node, could not find there. Submission happens under a claim, so that two drivers of
one sweep do not queue it twice; should they, the claims of the runs let only one job train each.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from grok_cli.executors.base import Change, Job
from grok_cli.executors.slurm.batch import Batch
from grok_cli.executors.slurm.options import SlurmOptions
from grok_cli.executors.slurm.queue import (
    ArrayTask,
    NoAnswerError,
    Queue,
    SlurmError,
    cancel,
    largest_array,
)
from grok_cli.executors.slurm.states import FollowedJob, State
from grok_cli.executors.slurm.submit import NoRoomError, submit_batch
from grok_cli.runs.claim import Claim, ClaimedError
from grok_cli.runs.directory import DONE, RunDir

POLL_SECONDS = 1.0  # between looks at the records, which cost Slurm nothing
QUEUE_SECONDS = (2.0, 30.0)  # between looks at the queue: soon after news, and at most
LATER_SECONDS = 60.0  # after which a queue that took nothing more is tried again
PATIENCE = 60.0  # seconds that workers have to save before their jobs are cancelled the hard way


@dataclass(frozen=True)
class Outside:
    """Slurm's commands and the clock."""

    read: Callable[[], Queue] = Queue.read
    submit: Callable[[Batch, Sequence[Sequence[Job]], SlurmOptions], None] = submit_batch
    cancel: Callable[..., None] = cancel
    largest_array: Callable[[], int] = largest_array
    now: Callable[[], float] = time.monotonic


class SlurmExecutor:
    """Queues jobs, follows them, and has those of a stopped sweep save and leave the queue.

    Raises:
        SlurmError: there is no Slurm here, or it refuses what it is asked for. A controller that
            does not answer later on is asked again.
    """

    def __init__(
        self, options: SlurmOptions, directory: Path, outside: Outside | None = None
    ) -> None:
        self.options, self.directory = options, directory
        self._outside = outside or Outside()
        self.root = directory.absolute() / ".slurm"
        self.waiting: list[Job] = []
        self._followed: dict[Path, FollowedJob] = {}
        self._queue = self._outside.read()
        self._queue_pause = QUEUE_SECONDS[0]
        self._largest = self._size = 0  # tasks of an array: what is allowed, and what was taken
        self._polled = self._not_before = self._next_look = 0.0
        self._stopped_at: float | None = None

    def attach(self, jobs: Sequence[Job]) -> list[Job]:
        self._queue = self._outside.read()
        return self._attach(jobs)

    def room(self) -> int | None:
        return None

    def submit(self, jobs: Sequence[Job]) -> None:
        self.waiting.extend(jobs)
        self._not_before = 0.0
        try:
            self._fill()
        except SlurmError:
            if not self._followed:  # else the next poll tells, and what is queued goes on
                raise

    def poll(self) -> list[Change]:
        if self._outside.now() - self._polled < POLL_SECONDS:
            return []
        self._look_at_queue()
        changes = self._look_at_jobs()
        if changes:
            self._queue_pause = QUEUE_SECONDS[0]
            self._next_look = min(self._next_look, self._outside.now() + self._queue_pause)
        if self._stopped_at is None:
            changes += self._fill_or_give_up()
        self._polled = self._outside.now()
        return changes

    def stop(self) -> None:
        self.waiting.clear()
        self._stopped_at = self._outside.now()
        self._polled = 0.0
        if self._followed:
            self._tell_to_stop()

    def kill(self) -> None:
        self.waiting.clear()
        with contextlib.suppress(SlurmError):
            self._queue = self._outside.read()
        self._outside.cancel(sorted({task.id for task in self._tasks().values() if task.live()}))

    def close(self) -> None:
        """Delete the batches of which nothing is left to do or to learn."""
        for batch in Batch.all(self.root):
            runs = [RunDir(self.directory / name) for task in batch.tasks for name in task]
            live = any(self._live(batch, index) for index in range(len(batch.tasks)))
            if not live and all(run.recorded_summary()["status"] in DONE for run in runs):
                batch.delete()

    def busy(self) -> int:
        """How many jobs are in the queue, as far as was told."""
        return len(self._followed)

    def where(self, jobs: Sequence[Job]) -> dict[Path, ArrayTask]:
        """The tasks of the queue that train or will train the jobs' runs, by run directory."""
        self.attach(jobs)
        return self._tasks()

    def _tasks(self) -> dict[Path, ArrayTask]:
        """The array tasks of the jobs that are followed, as the queue was last read."""
        tasks = {path: job.task(self._queue) for path, job in self._followed.items()}
        return {path: task for path, task in tasks.items() if task is not None}

    def _attach(self, jobs: Sequence[Job]) -> list[Job]:
        """Find jobs in the queue as it was last read."""
        wanted = {job.run.path.name: job for job in jobs}
        attached = []
        for batch in Batch.all(self.root):
            indices = [index for index in range(len(batch.tasks)) if self._live(batch, index)]
            starts = batch.records().started if indices else {}
            for index, name in [(i, name) for i in indices for name in batch.tasks[i]]:
                if name not in wanted or batch.over(name):
                    continue
                job = wanted.pop(name)
                followed = FollowedJob(job, batch, index, since=self._queue.read_at)
                task = followed.task(self._queue)
                if task is not None and task.waits():  # its starts are of the past
                    followed.starts = starts.get(name, -1)
                self._followed[job.run.path] = followed
                attached.append(job)
        return attached

    def _live(self, batch: Batch, index: int) -> bool:
        task = self._queue.task(batch.job_name, index)
        return task is not None and task.live()

    def _fill(self) -> None:
        """Submit what waits, as far as there is room."""
        if not self.waiting or self._outside.now() < self._not_before:
            return
        self.root.mkdir(parents=True, exist_ok=True)
        later = self._outside.now() + LATER_SECONDS
        try:
            self._largest = self._largest or self._outside.largest_array()
            with Claim(self.root):
                self._queue = self._outside.read()
                queued = {job.run.path for job in self._attach(self.waiting)}  # by another driver
                self.waiting = [job for job in self.waiting if job.run.path not in queued]
                self._submit_arrays()
        except ClaimedError:  # another driver of this sweep is submitting
            self._not_before = self._outside.now() + POLL_SECONDS
        except (NoRoomError, NoAnswerError):
            self._not_before = later

    def _submit_arrays(self) -> None:
        """Submit arrays that are as large as allowed, or else as the queue takes.

        Raises:
            NoRoomError: it takes no task more.
        """
        per_task = self.options.runs_per_job
        self._size = self._size or self._largest
        while self.waiting:
            jobs = self.waiting[: self._size * per_task]
            groups = [jobs[i : i + per_task] for i in range(0, len(jobs), per_task)]
            names = [[job.run.path.name for job in group] for group in groups]
            batch = Batch.create(self.root, self.directory.absolute().name, names)
            try:
                self._outside.submit(batch, groups, self.options)
            except NoRoomError:
                batch.delete()
                self._size = max(1, len(groups) // 2)
                if len(groups) == 1:
                    raise
                continue
            except NoAnswerError:
                raise  # what was written down finds the jobs, should they be in the queue
            except SlurmError:
                batch.delete()
                raise
            now = self._outside.now()
            for index, group in enumerate(groups):
                for job in group:
                    self._followed[job.run.path] = FollowedJob(job, batch, index, since=now)
            del self.waiting[: len(jobs)]
            self._size = min(2 * self._size, self._largest)

    def _fill_or_give_up(self) -> list[Change]:
        """Submit what waits; where Slurm refuses it, the jobs that are queued go on."""
        try:
            self._fill()
        except SlurmError as error:
            refused, self.waiting = self.waiting, []
            return [Change(job, "ended", None, str(error)) for job in refused]
        return []

    def _look_at_jobs(self) -> list[Change]:
        """Go on with each job as the queue and the records say."""
        changes: list[Change] = []
        stopping, now = self._stopped_at is not None, self._outside.now()
        batches = {job.batch.folder: job.batch for job in self._followed.values()}
        records = {folder: batch.records() for folder, batch in batches.items()}
        for path, job in list(self._followed.items()):
            changes += job.look(self._queue, records[job.batch.folder], now, stopping)
            if job.state in (State.WAITING, State.ENDED):
                del self._followed[path]
            if job.state is State.WAITING:
                self.waiting.append(job.job)
        return changes

    def _look_at_queue(self) -> None:
        """Read the queue again if it is time; tell jobs again to stop if they are to."""
        if not self._followed or self._outside.now() < self._next_look:
            return
        self._next_look = self._outside.now() + self._queue_pause
        self._queue_pause = min(self._queue_pause * 1.5, QUEUE_SECONDS[1])
        with contextlib.suppress(NoAnswerError):  # its controller restarts, say
            if self._stopped_at is None:
                self._queue = self._outside.read()
            else:
                self._queue_pause = QUEUE_SECONDS[0]
                self._tell_to_stop()

    def _tell_to_stop(self) -> None:
        """Cancel what waits; have what runs save and end.

        Again and again while stopping, since a signal that comes before a task has begun is lost.
        """
        assert self._stopped_at is not None
        late = self._outside.now() - self._stopped_at > PATIENCE
        self._queue = self._outside.read()
        tasks = self._tasks().values()
        running = {task.id for task in tasks if task.state == "RUNNING" and not late}
        self._outside.cancel(sorted({task.id for task in tasks if task.live()} - running))
        self._outside.cancel(sorted(running), signal="TERM")
        self._queue = self._outside.read()


def make_executor(
    options: SlurmOptions, directory: Path, runs: int, threads: int | None
) -> SlurmExecutor:
    """The executor of a sweep."""
    return SlurmExecutor(options, directory)
