"""The life of a job on a Slurm cluster: one table.

Records are newer than the queue, or the queue is newer than what was told last; `FollowedJob`
makes one sign of both, and the table says what it means.
"""

from dataclasses import dataclass
from enum import Enum

from grok_cli.executors.base import Change, Job, Told, changes_of
from grok_cli.executors.slurm.batch import Batch, Records
from grok_cli.executors.slurm.queue import ArrayTask, Queue
from grok_cli.executors.worker import INTERRUPTED
from grok_cli.runs.files import last_lines

# The node was taken away without being told to requeue: no fault of the run.
NODE_TAKEN = ("PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "REVOKED")


class State(Enum):
    """Where a job stands."""

    WAITING = "to be queued: the queue has not taken it yet, or its node was taken away"
    QUEUED = "an array task will train it; no worker of it is known"
    RUNNING = "a worker was told of"
    ENDED = "told of, and followed no more"


class Sign(Enum):
    """What is seen of a job in the queue and in the records."""

    BACK = "Slurm put its task back into the queue"
    STARTED = "a worker started that was not told of"
    ENDED = "its worker ended by itself, or its task is gone"
    STOPPED = "its worker was told to save and stop, or its task was cancelled"
    TAKEN = "its node was taken away for good"


# From a state and a sign to the next state and what is told. A worker counts as an attempt from
# "started" on, so that is told before an end, and taken back by "requeued".
LIFE: dict[State, dict[Sign, tuple[State, tuple[Told, ...]]]] = {
    State.QUEUED: {
        Sign.BACK: (State.QUEUED, ()),
        Sign.STARTED: (State.RUNNING, ("started",)),
        Sign.ENDED: (State.ENDED, ("started", "ended")),
        Sign.STOPPED: (State.ENDED, ("ended",)),
        Sign.TAKEN: (State.WAITING, ()),
    },
    State.RUNNING: {
        Sign.BACK: (State.QUEUED, ("requeued",)),
        Sign.STARTED: (State.RUNNING, ("requeued", "started")),
        Sign.ENDED: (State.ENDED, ("ended",)),
        Sign.STOPPED: (State.ENDED, ("ended",)),
        Sign.TAKEN: (State.WAITING, ("requeued",)),
    },
}


@dataclass(frozen=True)
class Seen:
    """A sign, with the worker's exit code where it ended."""

    sign: Sign
    reason: str = "Slurm requeued its job"
    exit_code: int | None = None


@dataclass
class FollowedJob:
    """A job that the queue has taken.

    Attributes:
        index: of the array task that trains it.
        since: when it came to its state, by the executor's clock; the queue counts if it is newer.
        starts: number of the last start that was told of; -1 if none was.
    """

    job: Job
    batch: Batch
    index: int
    since: float
    starts: int = -1
    state: State = State.QUEUED

    @property
    def name(self) -> str:
        return self.job.run.path.name

    def task(self, queue: Queue) -> ArrayTask | None:
        return queue.task(self.batch.job_name, self.index)

    def look(self, queue: Queue, records: Records, now: float, stopping: bool) -> list[Change]:
        """Go on in its life as far as can be seen; returns what is to be told.

        Args:
            records: of its batch; newer than the queue.
            stopping: a job that is taken away is not to be queued again.
        """
        seen = self._see(queue, records, stopping)
        if seen is None:
            return []
        if seen.sign is Sign.STARTED:
            self.starts = max(records.started.get(self.name, -1), self.starts, 0)
        self.since = now
        self.state, told = LIFE[self.state][seen.sign]
        return changes_of(self.job, told, seen.exit_code, seen.reason)

    def _see(self, queue: Queue, records: Records, stopping: bool) -> Seen | None:
        """The sign that counts first."""
        ending = self.batch.ending(self.name) if self.name in records.ended else None
        if ending is not None and ending.exit_code != INTERRUPTED:
            return Seen(Sign.ENDED, ending.reason, ending.exit_code)
        fresh, task = queue.read_at > self.since, self.task(queue)
        if fresh and (task is None or not task.live()):
            if ending is not None:
                return Seen(Sign.STOPPED, ending.reason, INTERRUPTED)
            return self._without_record(task, stopping)
        begun = fresh and task is not None and not task.waits()
        if fresh and not begun and self.state is State.RUNNING:
            return Seen(Sign.BACK)
        # While stopping, a task that runs counts as started, so that its end is waited for.
        unseen = stopping and begun and self.state is State.QUEUED
        if records.started.get(self.name, -1) > self.starts or unseen:
            return Seen(Sign.STARTED)
        return None

    def _without_record(self, task: ArrayTask | None, stopping: bool) -> Seen:
        """What it means that its task left the queue without a record of its worker's end."""
        if task is None:
            return Seen(Sign.ENDED, "its Slurm job is gone", 1)
        name = f"Slurm job {task.id}"
        if task.state == "CANCELLED":
            return Seen(Sign.STOPPED, f"{name} was cancelled", INTERRUPTED)
        if task.state in NODE_TAKEN and not stopping:
            return Seen(Sign.TAKEN, f"{name} lost its node ({task.state})")
        log = self.batch.submitit / f"{task.id}_0_log.out"
        words = "".join(f": {line}" for line in last_lines(log, 1))
        return Seen(Sign.ENDED, f"{name} is {task.state}{words}; see {log}", 1)
