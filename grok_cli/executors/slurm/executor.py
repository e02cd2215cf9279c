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
from grok_cli.executors.slurm.batch import Batch, Records
from grok_cli.executors.slurm.options import SlurmOptions
from grok_cli.executors.slurm.queue import (
    NoAnswerError,
    Queue,
    SlurmError,
    Task,
    cancel,
    largest_array,
)
from grok_cli.executors.slurm.submit import NoRoomError, submit_batch
from grok_cli.executors.worker import INTERRUPTED, last_lines
from grok_cli.runs.claim import Claim, ClaimedError
from grok_cli.runs.directory import DONE, RunDir

POLL_SECONDS = 1.0  # between looks at the records, which cost Slurm nothing
QUEUE_SECONDS = (2.0, 30.0)  # between looks at the queue: soon after news, and at most
LATER_SECONDS = 60.0  # after which a queue that took nothing more is tried again
PATIENCE = 60.0  # seconds that workers have to save before their jobs are cancelled the hard way
# The node was taken away without being told to requeue: no fault of the run.
TAKEN = ("PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "REVOKED")


@dataclass
class Place:
    """Where a job stands in the queue.

    Attributes:
        index: the array task that trains it.
        since: when it was known to be there, by the clock `time.monotonic`.
        starts: number of the last start that was told of; -1 if none was.
        running: whether it was last told to be running, since `since`.
    """

    job: Job
    batch: Batch
    index: int
    since: float
    starts: int = -1
    running: bool = False

    @property
    def name(self) -> str:
        return self.job.run.path.name

    def task(self, queue: Queue) -> Task | None:
        return queue.task(self.batch.job_name, self.index)


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
        self._places: dict[Path, Place] = {}
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
            if not self._places:  # else the next poll tells, and what is queued goes on
                raise

    def poll(self) -> list[Change]:
        if self._outside.now() - self._polled < POLL_SECONDS:
            return []
        self._look_at_queue()
        batches = {place.batch.folder: place.batch for place in self._places.values()}
        known = {folder: batch.records() for folder, batch in batches.items()}
        changes = [
            change
            for place in list(self._places.values())
            for change in self._news(place, known[place.batch.folder])
        ]
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
        if self._places:
            self._tell_to_stop()

    def kill(self) -> None:
        self.waiting.clear()
        with contextlib.suppress(SlurmError):
            self._queue = self._outside.read()
        tasks = (place.task(self._queue) for place in self._places.values())
        self._outside.cancel(
            sorted({task.id for task in tasks if task is not None and task.live()})
        )

    def close(self) -> None:
        """Delete the batches of which nothing is left to do or to learn."""
        for batch in Batch.all(self.root):
            runs = [RunDir(self.directory / name) for task in batch.tasks for name in task]
            live = any(self._live(batch, index) for index in range(len(batch.tasks)))
            if not live and all(run.recorded_summary()["status"] in DONE for run in runs):
                batch.delete()

    def busy(self) -> int:
        """How many jobs are in the queue, as far as was told."""
        return len(self._places)

    def where(self, jobs: Sequence[Job]) -> dict[Path, Task]:
        """The tasks of the queue that train or will train the jobs' runs, by run directory."""
        self.attach(jobs)
        tasks = {path: place.task(self._queue) for path, place in self._places.items()}
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
                place = Place(job, batch, index, since=self._queue.read_at)
                task = place.task(self._queue)
                if task is not None and task.waits():  # its starts are of the past
                    place.starts = starts.get(name, -1)
                self._places[job.run.path] = place
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
                    self._places[job.run.path] = Place(job, batch, index, since=now)
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

    def _look_at_queue(self) -> None:
        """Read the queue again if it is time; tell jobs again to stop if they are to."""
        if not self._places:
            return
        if self._outside.now() < self._next_look:
            return
        self._next_look = self._outside.now() + self._queue_pause
        self._queue_pause = min(self._queue_pause * 1.5, QUEUE_SECONDS[1])
        with contextlib.suppress(NoAnswerError):  # its controller restarts, say
            if self._stopped_at is None:
                self._queue = self._outside.read()
            else:
                self._queue_pause = QUEUE_SECONDS[0]
                self._tell_to_stop()

    def _news(self, place: Place, records: Records) -> list[Change]:
        """What is to be told of a job, given records that are newer than the queue."""
        job, task = place.job, place.task(self._queue)
        fresh = self._queue.read_at > place.since  # the queue is newer than what was told last
        gone = fresh and (task is None or not task.live())
        started = records.started.get(place.name, -1)
        ending = place.batch.ending(place.name) if place.name in records.ended else None
        if ending is not None and (gone or ending.exit_code != INTERRUPTED):
            del self._places[job.run.path]
            news = [Change(job, "ended", ending.exit_code, ending.reason)]
            unseen = place.starts < 0 and ending.exit_code != INTERRUPTED
            return [Change(job, "started"), *news] if unseen else news
        if gone:
            return self._lost(place, task)
        requeued = Change(job, "requeued", reason="Slurm requeued its job")
        if place.running and fresh and task is not None and task.waits():
            place.running, place.since = False, self._outside.now()
            return [requeued]
        runs_unseen = self._stopped_at is not None and fresh and task and not task.waits()
        if started > place.starts or (runs_unseen and not place.running):
            before = [requeued] if place.running else []
            place.starts, place.since = max(started, place.starts, 0), self._outside.now()
            place.running = True
            return [*before, Change(job, "started")]
        return []

    def _lost(self, place: Place, task: Task | None) -> list[Change]:
        """A job that left the queue without a record of its worker's end."""
        job = place.job
        del self._places[job.run.path]
        state, name = (task.state, f"Slurm job {task.id}") if task else ("gone", "its Slurm job")
        if state == "CANCELLED":
            return [Change(job, "ended", INTERRUPTED, f"{name} was cancelled")]
        first = [Change(job, "started")] if place.starts < 0 else []
        if state in TAKEN and self._stopped_at is None:
            self.waiting.append(job)
            taken = Change(job, "requeued", reason=f"{name} lost its node ({state})")
            return [taken] if place.running else []
        reason = f"{name} is {state}"
        if task is not None:
            log = place.batch.submitit / f"{task.id}_0_log.out"
            reason += "".join(f": {line}" for line in last_lines(log, 1)) + f"; see {log}"
        return [*first, Change(job, "ended", 1, reason)]

    def _tell_to_stop(self) -> None:
        """Cancel what waits; have what runs save and end.

        Again and again while stopping, since a signal that comes before a task has begun is lost.
        """
        assert self._stopped_at is not None
        late = self._outside.now() - self._stopped_at > PATIENCE
        self._queue = self._outside.read()
        tasks = [task for place in self._places.values() if (task := place.task(self._queue))]
        running = {task.id for task in tasks if task.state == "RUNNING" and not late}
        self._outside.cancel(sorted({task.id for task in tasks if task.live()} - running))
        self._outside.cancel(sorted(running), signal="TERM")
        self._queue = self._outside.read()


def make(options: SlurmOptions, directory: Path, runs: int, threads: int | None) -> SlurmExecutor:
    """The executor of a sweep."""
    return SlurmExecutor(options, directory)
