"""Where runs are trained: the small interface between a sweep and the machines it uses.

An executor has `grok train --resume DIRECTORY` run somewhere for each job, and tells what became
of it. Everything else stands in the run directory: a worker that is killed loses its last steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from grok_cli.runs.directory import RunDir


@dataclass(frozen=True)
class Job:
    """A run directory to be trained.

    Attributes:
        run: the directory; it holds at least config.yaml.
        options: further options of `grok train`.
    """

    run: RunDir
    options: tuple[str, ...] = ()


Told = Literal["started", "requeued", "ended"]


@dataclass(frozen=True)
class Change:
    """News of a job.

    Attributes:
        state: "started"; "requeued": the machine was taken away (preempted, lost, out of time) and
            the executor will start the job again by itself; or "ended".
        exit_code: of an ended job: the worker's, -N if signal N killed it, None if it could not
            be started at all, which is not tried again.
        reason: of an ended or requeued job: what the executor knows beyond the run's log; may be
            empty.
    """

    job: Job
    state: Told
    exit_code: int | None = None
    reason: str = ""


def changes_of(job: Job, told: Sequence[Told], exit_code: int | None, reason: str) -> list[Change]:
    """What is told of a job, one after the other; a start has neither exit code nor reason."""
    return [
        Change(job, what) if what == "started" else Change(job, what, exit_code, reason)
        for what in told
    ]


class Executor(Protocol):
    """Trains run directories somewhere."""

    def attach(self, jobs: Sequence[Job]) -> list[Job]:
        """Those of the jobs that an earlier sweep left with this executor and that it will bring
        to their end: it tells of them as of submitted ones. Called once, before `submit`."""

    def room(self) -> int | None:
        """How many jobs it wants now, so that the directories of others are not made yet; None:
        all that there are, as where it queues them."""

    def submit(self, jobs: Sequence[Job]) -> None:
        """Have each job trained as soon as there is room, in this order. Returns at once."""

    def poll(self) -> list[Change]:
        """What happened since the last call. Returns at once."""

    def stop(self) -> None:
        """Have every worker save and stop, and forget the jobs that have not started."""

    def kill(self) -> None:
        """End every worker now."""

    def close(self) -> None:
        """Let go of what this process holds; the sweep is over."""


class QueuedTask(Protocol):
    """What a cluster's queue says of the job that trains a run."""

    @property
    def id(self) -> str:
        """As the cluster's own commands write it."""

    @property
    def note(self) -> str:
        """Why it waits, or on which node it runs."""

    def waits(self) -> bool:
        """Whether it has not begun."""


class QueueExecutor(Executor, Protocol):
    """An executor whose jobs go on when this process ends, until they are told to stop."""

    waiting: list[Job]  # those that the queue has not taken yet

    def busy(self) -> int:
        """How many jobs are in the queue, as far as was told."""

    def where(self, jobs: Sequence[Job]) -> Mapping[Path, QueuedTask]:
        """The tasks of the queue that train or will train the jobs' runs, by run directory."""
