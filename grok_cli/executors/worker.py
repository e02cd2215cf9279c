"""A worker: the process that trains one run, on whichever machine."""

import os
import signal
import subprocess
import sys

from grok_cli.executors.base import Job

INTERRUPTED = 130  # exit code of a worker that was asked to stop
# Given before Python starts, because the libraries read them when torch is imported.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def worker_arguments(job: Job, threads: int) -> list[str]:
    """What stands behind `grok` in the command of a worker.

    Args:
        threads: always given, since with the plain engine another number gives other last digits.
    """
    train = ("train", "--resume", str(job.run.path), *job.options)
    return [*train, "--threads", str(threads), "--stop-at-eof"]


def worker_environment(threads: int) -> dict[str, str]:
    """The environment variables of a worker."""
    return os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))


class Worker(subprocess.Popen[bytes]):
    """A worker of a job; its output goes to the end of the run's log.

    It has a session of its own, so that Ctrl-C reaches it only through this process; it saves and
    stops at SIGTERM, and when this process is gone: its standard input then ends.

    Raises:
        OSError: it cannot be started.

    Attributes:
        lost: nobody knows its exit code; of a forked one only.
    """

    lost = False

    def __init__(self, job: Job, threads: int) -> None:
        with job.run.log_file.open("ab") as log:
            super().__init__(
                [sys.executable, "-m", "grok_cli", *worker_arguments(job, threads)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=worker_environment(threads),
                start_new_session=True,
            )

    def release(self) -> None:
        """Close what is open of it; if it still runs, it saves and stops."""
        assert self.stdin is not None
        self.stdin.close()


def ending(exit_code: int | None) -> str:
    """How a worker ended, in words."""
    if exit_code is None:
        return "did not start"
    if exit_code < 0:
        return f"killed by {signal.Signals(-exit_code).name}"
    return f"exit code {exit_code}"
