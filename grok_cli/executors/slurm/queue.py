"""Slurm's commands: what is in the queue, what the cluster allows, and cancelling."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from grok_cli.errors import UsageError

# States from which a job does not come back by itself.
OVER = (
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY"),
    *("PREEMPTED", "REVOKED", "TIMEOUT"),
)
WAITING = ("PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT")
ANSWER_SECONDS = 60  # after which a controller that does not answer is given up for now
IDS_AT_A_TIME = 500  # of a command line


class SlurmError(UsageError):
    """Slurm is not there, or refuses something; the message has its own words."""


class NoAnswerError(SlurmError):
    """Slurm did not answer, this time."""


@dataclass(frozen=True)
class ArrayTask:
    """An array task, or a job that is no array, as the queue shows it.

    Attributes:
        id: "12_3", or "12".
        state: Slurm's word, e.g. "PENDING".
        note: why it waits, or on which node it runs.
    """

    id: str
    state: str
    note: str

    def live(self) -> bool:
        """Whether it runs or will run."""
        return self.state not in OVER

    def waits(self) -> bool:
        return self.state in WAITING


class Queue:
    """The user's jobs at one moment, finished ones included as long as Slurm remembers them.

    Attributes:
        read_at: when it was asked for, by the clock `time.monotonic`.
    """

    def __init__(self, tasks: dict[tuple[str, int], ArrayTask], read_at: float) -> None:
        self.tasks, self.read_at = tasks, read_at

    @classmethod
    def read(cls) -> "Queue":
        """Ask Slurm.

        Raises:
            NoAnswerError: it does not answer.
        """
        now = time.monotonic()
        columns = "%F|%K|%T|%r|%N|%j"
        text = _slurm("squeue", f"--user={os.getuid()}", "-h", "-r", "-t", "all", "-o", columns)
        tasks = {}
        for line in text.splitlines():
            number, index, state, reason, node, name = line.split("|", 5)
            array = index.isdecimal()
            key = (name, int(index) if array else 0)
            task_id = f"{number}_{index}" if array else number
            tasks[key] = ArrayTask(task_id, state, reason if state in WAITING else node)
        return cls(tasks, now)

    def task(self, job_name: str, index: int) -> ArrayTask | None:
        return self.tasks.get((job_name, index))


def largest_array() -> int:
    """How many tasks an array may have (`MaxArraySize`).

    Raises:
        NoAnswerError: it does not answer.
    """
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", _slurm("scontrol", "show", "config"), re.M)
    return max(1, int(match[1])) if match else 1


def cancel(ids: Sequence[str], signal: str | None = None) -> None:
    """Cancel Slurm's jobs, or send the processes of their steps a signal; those that are gone are
    none of its business."""
    options = [f"--signal={signal}"] if signal else []
    for start in range(0, len(ids), IDS_AT_A_TIME):
        command = ["scancel", *options, *ids[start : start + IDS_AT_A_TIME]]
        subprocess.run(command, capture_output=True, check=False, start_new_session=True)


@contextmanager
def outside_any_job() -> Iterator[None]:
    """Hide the variables of the job that this process runs in, if any: sbatch would take them for
    options."""
    inherited = ("SLURM_", "SLURMD_", "SRUN_")
    hidden = {
        name: value
        for name, value in os.environ.items()
        if "SLURM_JOB_ID" in os.environ and name.startswith(inherited) and name != "SLURM_CONF"
    }
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)


@contextmanager
def blocked(number: signal.Signals) -> Iterator[None]:
    """Block a signal in this thread, and so for good in a process that is started meanwhile: it
    inherits that. This thread gets the signal afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _slurm(*command: str) -> str:
    if shutil.which(command[0]) is None:
        raise SlurmError(
            f"--executor slurm: no {command[0]} here; type the command on a login node of the "
            "cluster"
        )
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=ANSWER_SECONDS,
            check=True,
            start_new_session=True,  # Ctrl-C is for this process
        ).stdout
    except subprocess.TimeoutExpired:
        raise NoAnswerError(f"{command[0]}: no answer; try again later") from None
    except subprocess.CalledProcessError as error:
        words = " ".join(error.stderr.split())
        raise NoAnswerError(f"{command[0]}: {words or 'failed'}") from None
