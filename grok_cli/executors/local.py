"""Trains runs on this machine, each in a process of its own."""

import os
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from grok_cli.executors.base import Change, Job
from grok_cli.executors.options import ExecutorOptions
from grok_cli.executors.warm import ForkedWorker, Server
from grok_cli.executors.worker import Worker


class LocalOptions(ExecutorOptions):
    """Processes on this machine."""

    maker = "grok_cli.executors.local:make_executor"
    flags = {"--jobs": "jobs"}  # noqa: RUF012 -- a ClassVar of the base class

    kind: Literal["local"] = "local"
    jobs: int | None = Field(None, ge=1, description="Runs at a time, or auto: as the cores allow.")

    @field_validator("jobs", mode="before")
    @classmethod
    def _auto(cls, value: Any) -> Any:
        return None if value == "auto" else value

    def at_once(self, runs: int, threads: int | None) -> tuple[int, int]:
        """Runs at a time and threads of each, for a sweep of so many runs, done ones included.

        Not by those that are left: with the plain engine another number of threads gives other
        last digits, and the same sweep typed again must go on as it began.
        """
        return share_cores(runs, self.jobs, threads, available_cores())


class LocalExecutor:
    """At most `workers` processes at a time, each with `threads` threads.

    Several runs are forked from one process that has everything imported, where that is safe: on
    Linux, and with a thread each, for libraries start threads of their own if there are to be more.
    """

    def __init__(self, workers: int, threads: int) -> None:
        self.workers, self.threads = workers, threads
        self._waiting: deque[Job] = deque()
        self._training: dict[Job, Worker | ForkedWorker] = {}
        self._server: Server | None = None
        self._may_fork = sys.platform == "linux" and threads == 1
        self._stopping = self._had_any = False

    def attach(self, jobs: Sequence[Job]) -> list[Job]:
        return []  # workers stop with the process that started them

    def room(self) -> int | None:
        return max(0, self.workers - len(self._training) - len(self._waiting))

    def submit(self, jobs: Sequence[Job]) -> None:
        self._waiting.extend(jobs)

    def poll(self) -> list[Change]:
        changes = []
        for job, worker in list(self._training.items()):
            if worker.poll() is not None:
                worker.release()
                del self._training[job]
                changes += self._ended(job, worker)
        while self._waiting and len(self._training) < self.workers:
            several = self._had_any or len(self._waiting) + len(self._training) > 1
            changes.append(self._start(self._waiting.popleft(), several))
        return changes

    def stop(self) -> None:
        self._stopping = True
        self._waiting.clear()
        for worker in self._training.values():
            worker.terminate()

    def kill(self) -> None:
        self.stop()
        for worker in self._training.values():
            worker.kill()

    def close(self) -> None:
        for worker in self._training.values():
            worker.release()
        if self._server is not None:
            self._server.close()

    def _start(self, job: Job, several: bool) -> Change:
        try:
            self._training[job] = self._worker(job, several)
            self._had_any = True
        except OSError as error:
            return Change(job, "ended", None, f"cannot start a worker: {error}")
        return Change(job, "started")

    def _worker(self, job: Job, several: bool) -> Worker | ForkedWorker:
        if self._may_fork and self._server is None and several:
            self._server = Server(self.threads)
        if self._may_fork and self._server is not None and not self._server.lost:
            return self._server.start(job)
        return Worker(job, self.threads)

    def _ended(self, job: Job, worker: Worker | ForkedWorker) -> list[Change]:
        """What is told of a worker that is gone."""
        if not worker.lost or self._stopping:
            return [Change(job, "ended", worker.returncode)]
        self._may_fork = False
        if self._server is None or not self._server.ready:  # it could not fork
            started = self._start(job, several=False)
            return [] if started.state == "started" else [started]
        self._waiting.appendleft(job)
        return [Change(job, "requeued", reason="the process that forks workers is gone")]


def make_executor(
    options: LocalOptions, directory: Path, runs: int, threads: int | None
) -> LocalExecutor:
    """The executor of a sweep, with the cores shared by its runs."""
    return LocalExecutor(*options.at_once(runs, threads))


def share_cores(runs: int, workers: int | None, threads: int | None, cores: int) -> tuple[int, int]:
    """Workers and threads a worker, so that the cores are used once.

    One-thread workers side by side come first: they need no synchronisation. A number that is
    given stays as it is.
    """
    workers = workers or max(1, cores // (threads or 1))
    workers = max(1, min(workers, runs))
    return workers, threads or max(1, cores // workers)


def available_cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1
