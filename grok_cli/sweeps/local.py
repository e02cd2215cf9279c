"""Trains runs on this machine, each in a process of its own."""

import os
import signal
import subprocess
from collections import deque
from collections.abc import Sequence

from grok_cli.sweeps.executor import Change, Job

# Given before Python starts, because the libraries read them when torch is imported.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class LocalExecutor:
    """At most `workers` processes at a time, each with `threads` threads.

    A worker has a session of its own, so that Ctrl-C reaches it only through this process, and
    stops by itself (saving) when this process is gone: its standard input then ends.
    """

    def __init__(self, workers: int, threads: int) -> None:
        self.workers, self.threads = workers, threads
        self._waiting: deque[Job] = deque()
        self._processes: dict[Job, subprocess.Popen[bytes]] = {}

    def submit(self, jobs: Sequence[Job]) -> None:
        self._waiting.extend(jobs)

    def poll(self) -> list[Change]:
        changes = []
        for job, process in list(self._processes.items()):
            if process.poll() is not None:
                _close(process)
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

    def _start(self, job: Job) -> Change:
        try:
            self._processes[job] = start_worker(job, self.threads)
        except OSError as error:
            return Change(job, "ended", None, f"cannot start a worker: {error}")
        return Change(job, "started")


def start_worker(job: Job, threads: int) -> "subprocess.Popen[bytes]":
    """Start a worker on this machine; it prints into the run's log.

    Raises:
        OSError: it cannot be started.
    """
    with job.run.log_file.open("ab") as log:
        return subprocess.Popen(
            [*job.command(), "--threads", str(threads), "--stop-at-eof"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads)),
            start_new_session=True,
        )


def _close(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()


def ending(exit_code: int | None) -> str:
    """How a worker ended, in words."""
    if exit_code is None:
        return "did not start"
    if exit_code < 0:
        return f"killed by {signal.Signals(-exit_code).name}"
    return f"exit code {exit_code}"


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
