"""What an array task does on its node: train its runs, one after the other.

Slurm sends SIGUSR2 some time before the time limit, and SIGTERM when it takes the node away or
the job is cancelled. Either makes the worker save and stop. After SIGUSR2 the task has itself
requeued; after SIGTERM that is Slurm's decision. A requeued task goes on where it stopped, since
everything stands in the run directories.
"""

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from grok_cli.executors.base import Job
from grok_cli.executors.slurm.batch import Batch, Ending
from grok_cli.executors.slurm.queue import blocked
from grok_cli.executors.worker import INTERRUPTED, Worker
from grok_cli.runs.claim import EXPIRES

POLL_SECONDS = 0.1
# Slurm signals worker and task one by one: how long the worker's end may come before ours.
SIGNAL_GAP = 3.0  # seconds


class Orders:
    """The signals that Slurm sent; takes the place of submitit's handlers."""

    def __init__(self) -> None:
        self.stop = self.out_of_time = False
        signal.signal(signal.SIGTERM, self._receive)
        signal.signal(signal.SIGUSR2, self._receive)

    def _receive(self, number: int, frame: object) -> None:
        self.stop = True
        self.out_of_time |= number == signal.SIGUSR2


@dataclass(frozen=True)
class TrainInTurn:
    """The function that submitit calls on the node.

    Attributes:
        folder: of the batch.
        jobs: what to train, with absolute paths.
        threads: of each worker.
    """

    folder: Path
    jobs: tuple[Job, ...]
    threads: int

    def __call__(self) -> None:
        orders, batch = Orders(), Batch(self.folder, "", ())
        stopped = []
        for job in self.jobs:
            name = job.run.path.name
            if batch.over(name):
                continue
            told = Ending(INTERRUPTED)
            ending = told if orders.stop else self._train(job, batch, orders)
            if orders.stop and ending == told:
                stopped.append(name)
            batch.record_end(name, ending)
        if orders.out_of_time and stopped and (refusal := _requeue()):
            for name in stopped:
                batch.record_end(name, Ending(1, f"out of time, and not requeued: {refusal}"))

    def _train(self, job: Job, batch: Batch, orders: Orders) -> Ending:
        """Train a run until its worker ends, by itself or because it was told to stop."""
        batch.record_start(job.run.path.name, int(os.environ.get("SLURM_RESTART_COUNT", 0)))
        self._await_claim(job, orders)
        try:
            with blocked(signal.SIGUSR2):  # would end the worker, which Slurm signals, too
                worker = Worker(job, self.threads)
        except OSError as error:
            return Ending(None, f"cannot start a worker: {error}")
        told = False
        while worker.poll() is None:
            if orders.stop and not told:
                worker.terminate()
                told = True
            time.sleep(POLL_SECONDS)
        worker.release()
        code = worker.returncode
        if code not in (INTERRUPTED, -signal.SIGTERM):
            return Ending(code)
        end = time.monotonic() + SIGNAL_GAP
        while not orders.stop and time.monotonic() < end:
            time.sleep(POLL_SECONDS)
        return Ending(INTERRUPTED)

    def _await_claim(self, job: Job, orders: Orders) -> None:
        """Give the claim of a worker that died with its node the time to expire."""
        end = time.monotonic() + 2 * EXPIRES
        while job.run.owner() and time.monotonic() < end:
            if orders.stop:
                return
            time.sleep(1)


def _requeue() -> str:
    """Have Slurm start this task again; returns why it refuses, or nothing.

    That comes to an end, since a worker that is told to stop does a step before.
    """
    array, job = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ["SLURM_JOB_ID"]
    task = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else job
    command = ["scontrol", "requeue", task]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return (result.stderr.strip() or "scontrol failed") if result.returncode else ""
