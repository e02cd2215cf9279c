"""Hands a batch to Slurm through submitit."""

import contextlib
import io
import re
import signal
from collections.abc import Sequence
from dataclasses import replace

import submitit

from grok_cli.executors.base import Job
from grok_cli.executors.slurm.batch import Batch
from grok_cli.executors.slurm.options import SlurmOptions, slurm_minutes
from grok_cli.executors.slurm.queue import NoAnswerError, SlurmError, blocked, outside_any_job
from grok_cli.executors.slurm.task import TrainInTurn
from grok_cli.runs.directory import RunDir

SIGNAL_SECONDS = 90  # before the time limit, and up to a minute earlier, runs are told to save
# How sbatch says that there are too many jobs, and that it does not know what became of them.
FULL = re.compile(r"Submit\w*Limit|temporarily unable", re.I)
UNKNOWN = re.compile(r"Unable to contact|timed out", re.I)


class NoRoomError(SlurmError):
    """The queue takes no such array now."""


def submit_batch(batch: Batch, groups: Sequence[Sequence[Job]], options: SlurmOptions) -> None:
    """Submit a batch: a task for each group of jobs.

    Raises:
        NoRoomError: the queue is full.
        NoAnswerError: the jobs may be in the queue, or not.
        SlurmError: Slurm refuses it.
    """
    tasks = [
        TrainInTurn(
            batch.folder,
            tuple(replace(job, run=RunDir(job.run.path.absolute())) for job in group),
            options.cpus,
        )
        for group in groups
    ]
    free = {name: value for name, value in options.options.items() if value is not False}
    executor = submitit.SlurmExecutor(folder=batch.submitit)
    executor.update_parameters(
        job_name=batch.job_name,
        partition=options.partition,
        account=options.account,
        time=slurm_minutes(options.time) if options.time else None,
        cpus_per_task=options.cpus,
        gpus_per_node=options.gpus or None,
        mem=options.memory,
        array_parallelism=len(tasks),
        signal_delay_s=SIGNAL_SECONDS,
        stderr_to_stdout=True,
        wckey=None,
        srun_args=[f"--cpus-per-task={options.cpus}"],  # srun does not inherit it from sbatch
        additional_parameters={"requeue": True, **free},
    )
    try:
        # Ctrl-C is for this process, not for sbatch; and submitit prints what it raises.
        silence = contextlib.redirect_stderr(io.StringIO())
        with outside_any_job(), blocked(signal.SIGINT), silence:
            executor.submit_array(tasks)
    except submitit.core.utils.FailedJobError as error:
        words = " ".join(str(error).split())
        if FULL.search(words):
            raise NoRoomError(words) from None
        if UNKNOWN.search(words):
            raise NoAnswerError(words) from None
        raise SlurmError(f"Slurm refuses the jobs: {words}") from None
