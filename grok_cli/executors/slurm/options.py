"""Options of `--executor slurm`."""

import re
from typing import Any, Literal

from pydantic import Field, field_validator

from grok_cli.executors.options import ClusterOptions

SHORTEST_TIME = 5  # minutes; a job is told to save 90 s, or a minute more, before its limit
# Options of sbatch that are fields here, and those that this program gives itself.
FIELDS_OF_SBATCH = {
    **{"account": "account", "partition": "partition", "time": "time", "mem": "memory"},
    **{"cpus-per-task": "cpus", "gpus": "gpus", "gpus-per-node": "gpus"},
}
OWN_SBATCH_OPTIONS = (
    *("array", "chdir", "error", "input", "job-name", "nodes", "ntasks", "open-mode", "output"),
    *("parsable", "requeue", "no-requeue", "signal", "test-only", "wait", "wrap"),
)


class SlurmOptions(ClusterOptions):
    """Job arrays of a Slurm cluster."""

    maker = "grok_cli.executors.slurm.executor:make_executor"
    needs = ("submitit", "submitit>=1.5")
    queued = True
    flags = {  # noqa: RUF012 -- a ClassVar of the base class
        **{"--cpus": "cpus", "--gpus": "gpus", "--memory": "memory", "--partition": "partition"},
        **{"--account": "account", "--time": "time", "--runs-per-job": "runs_per_job"},
        **{"--slurm-option": "options"},
    }

    kind: Literal["slurm"] = "slurm"
    gpus: int = Field(0, ge=0, description="GPUs of a run.")
    partition: str | None = Field(None, description="Partition, or several: a,b.")
    account: str | None = Field(None, description="Account that is charged.")
    time: str | None = Field(
        None,
        description="Time limit of a job as Slurm writes it: minutes, HH:MM:SS or D-HH:MM:SS. "
        "Runs that are not done by then are saved, and go on in the requeued job.",
    )
    runs_per_job: int = Field(
        1, ge=1, description="Runs that a job trains, one after the other; for short runs."
    )
    options: dict[str, str | int | bool] = Field(
        {}, description="Any other option of sbatch, e.g. constraint=avx512 (repeatable)."
    )

    @field_validator("time", mode="before")
    @classmethod
    def _limit(cls, value: Any) -> Any:
        if value is None:
            return None
        if slurm_minutes(str(value)) < SHORTEST_TIME:
            raise ValueError(f"{value}: expected {SHORTEST_TIME} minutes or more, for time to save")
        return str(value)

    @field_validator("options")
    @classmethod
    def _free(cls, options: dict[str, Any]) -> dict[str, Any]:
        for name in options:
            if name in FIELDS_OF_SBATCH:
                raise ValueError(f"{name} is the option {FIELDS_OF_SBATCH[name]} here; use that")
            if name in OWN_SBATCH_OPTIONS:
                raise ValueError(f"{name} is given by this program itself; leave it out")
        return options


def slurm_minutes(text: str) -> int:
    """The minutes that one of Slurm's forms of time means, seconds rounded up.

    Raises:
        ValueError: none of these forms.
    """
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text.strip())
    if match is None:
        raise ValueError(f"{text}: expected minutes, HH:MM:SS or D-HH:MM:SS")
    days, *parts = match.groups()
    numbers = [int(part) for part in parts if part is not None]
    if days is not None:  # D-H, D-H:M, D-H:M:S
        hours, minutes, seconds = (*numbers, 0, 0)[:3]
    elif len(numbers) == 3:
        hours, minutes, seconds = numbers
    else:  # M, M:S
        hours, (minutes, seconds) = 0, (*numbers, 0)[:2]
    return (int(days or 0) * 24 + hours) * 60 + minutes + -(-seconds // 60)
