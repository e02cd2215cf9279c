"""Trains runs on this machine, each in a process of its own."""

import os
import subprocess
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from grok_cli.executors.base import Change, Job
from grok_cli.executors.options import ExecutorOptions
from grok_cli.executors.worker import release, start_worker


class LocalOptions(ExecutorOptions):
    """Processes on this machine."""

    maker = "grok_cli.executors.local:make"
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
    """At most `workers` processes at a time, each with `threads` threads."""

    def __init__(self, workers: int, threads: int) -> None:
        self.workers, self.threads = workers, threads
        self._waiting: deque[Job] = deque()
        self._processes: dict[Job, subprocess.Popen[bytes]] = {}

    def attach(self, jobs: Sequence[Job]) -> list[Job]:
        return []  # workers stop with the process that started them

    def room(self) -> int | None:
        return max(0, self.workers - len(self._processes) - len(self._waiting))

    def submit(self, jobs: Sequence[Job]) -> None:
        self._waiting.extend(jobs)

    def poll(self) -> list[Change]:
        changes = []
        for job, process in list(self._processes.items()):
            if process.poll() is not None:
                release(process)
                del self._processes[job]
                changes.append(Change(job, "ended", process.returncode))
        while self._waiting and len(self._processes) < self.workers:
            changes.append(self._start(self._waiting.popleft()))
        return changes

    def stop(self) -> None:
        self._waiting.clear()
        for process in self._processes.values():
            process.terminate()

    def kill(self) -> None:
        self._waiting.clear()
        for process in self._processes.values():
            process.kill()

    def close(self) -> None:
        pass

    def _start(self, job: Job) -> Change:
        try:
            self._processes[job] = start_worker(job, self.threads)
        except OSError as error:
            return Change(job, "ended", None, f"cannot start a worker: {error}")
        return Change(job, "started")


def make(options: LocalOptions, directory: Path, runs: int, threads: int | None) -> LocalExecutor:
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
