"""The kinds of executor, their options, and how one is made.

Options come from the section `executor:` of a sweep file and from flags, which win:

    executor: {kind: slurm, partition: cpu, time: 4:00:00, options: {constraint: avx512}}

What an option does is written once, beside its field; it is the help text of the flag, too.
"""

import difflib
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from grok_cli.errors import UsageError
from grok_cli.sweeps.executor import Executor
from grok_cli.sweeps.local import LocalExecutor, available_cores, share_cores

MEMORY_UNITS = {"M": 2**20, "G": 2**30, "T": 2**40}  # bytes
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


class _Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


class LocalOptions(_Options):
    """Processes on this machine."""

    kind: Literal["local"] = "local"
    jobs: int | None = Field(None, ge=1, description="Runs at a time, or auto: as the cores allow.")

    @field_validator("jobs", mode="before")
    @classmethod
    def _auto(cls, value: Any) -> Any:
        return None if value == "auto" else value

    def share(self, runs: int, threads: int | None) -> tuple[int, int]:
        """Runs at a time and threads of each, for a sweep of so many runs, done ones included.

        Not by those that are left: with the plain engine another number of threads gives other
        last digits, and the same sweep typed again must go on as it began.
        """
        return share_cores(runs, self.jobs, threads, available_cores())


class _ClusterOptions(_Options):
    cpus: int = Field(1, ge=1, description="CPU cores of a run, and its threads.")
    memory: str | None = Field(
        None, pattern=r"^[1-9]\d*[MGT]$", description="Memory of a run, e.g. 2G."
    )

    def memory_bytes(self) -> int | None:
        """Memory of a run in bytes; None where it is left to the cluster."""
        return int(self.memory[:-1]) * MEMORY_UNITS[self.memory[-1]] if self.memory else None


class SlurmOptions(_ClusterOptions):
    """Job arrays of a Slurm cluster."""

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


class RayOptions(_ClusterOptions):
    """Tasks of a Ray cluster."""

    kind: Literal["ray"] = "ray"
    address: str | None = Field(
        None,
        description="Ray cluster, e.g. auto or ray://HOST:10001; without: RAY_ADDRESS, else one "
        "that is started here.",
    )
    gpus: float = Field(0.0, ge=0, description="GPUs of a run; runs may share one: 0.25.")
    storage: Literal["shared", "driver"] = Field(
        "shared",
        description="shared: all nodes see the runs' directory; driver: results are brought back "
        "to this machine.",
    )
    lost_retries: int = Field(
        3, ge=0, description="New attempts of a run whose worker or node was lost."
    )
    nodes_may_join: bool = Field(
        False, description="The cluster grows on demand: wait for a node that can hold a run."
    )
    runtime_env: dict[str, Any] = Field(
        {}, description="What Ray prepares for workers, e.g. env_vars; see Ray's documentation."
    )


ExecutorOptions = LocalOptions | SlurmOptions | RayOptions
KINDS: dict[str, type[LocalOptions] | type[SlurmOptions] | type[RayOptions]] = {
    "local": LocalOptions,
    "slurm": SlurmOptions,
    "ray": RayOptions,
}


def build_options(
    section: Any,
    source: str,
    kind: str | None = None,
    flags: Mapping[str, tuple[str, Any]] | None = None,
) -> ExecutorOptions:
    """The options that a sweep file's section and flags give.

    Args:
        section: the content of `executor:`; None if there is none, a text for the kind alone. It
            does not count where `kind` names another executor.
        source: where the section is from, for messages.
        kind: the executor that was typed, if one was.
        flags: {field: (flag as typed, value)}.

    Raises:
        UsageError: an unknown executor, an option that it does not have, or a value out of range.
    """
    section = {"kind": section} if isinstance(section, str) else section or {}
    if not isinstance(section, Mapping):
        raise UsageError(f"{source}: executor: expected kind and options, found {section!r:.60}")
    written = section.get("kind")
    if section and written is None:
        raise UsageError(f"{source}: executor: expected kind: {', '.join(KINDS)}")
    if written is not None and written not in KINDS:
        raise UsageError(f"{source}: executor: unknown kind {written}; {_nearest(written, KINDS)}")
    if kind is not None and kind not in KINDS:
        raise UsageError(f"--executor {kind}: {_nearest(kind, KINDS)}")
    chosen = kind or written or "local"
    model = KINDS[chosen]
    values: dict[str, Any] = dict(section) if written == chosen else {"kind": chosen}
    for name in values:
        if name not in model.model_fields:
            hint = _nearest(name, model.model_fields)
            raise UsageError(f"{source}: executor: {chosen} has no option {name}; {hint}")
    origin = dict.fromkeys(values, f"{source}: executor: ")
    for name, (flag, value) in (flags or {}).items():
        if name not in model.model_fields:
            owners = [other for other, options in KINDS.items() if name in options.model_fields]
            raise UsageError(
                f"{flag}: an option of --executor {' and '.join(owners)}, not of {chosen}; leave "
                "it out, or choose that executor"
            )
        if isinstance(value, dict):  # flags add to what the file says
            value = {**(values.get(name) or {}), **value}
        values[name] = value
        origin[name] = f"{flag}: "
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        name = str(problem["loc"][0])
        message = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        if problem["type"] == "string_pattern_mismatch":
            message = "a number and a unit, e.g. 500M or 2G"
        if problem["type"] != "value_error":
            message = f"expected {message}, found {problem['input']!r}"
        where = origin[name] if origin[name].startswith("--") else f"{origin[name]}{name}: "
        raise UsageError(f"{where}{message}") from None


def make_executor(
    options: ExecutorOptions, directory: Path, runs: int, threads: int | None
) -> Executor:
    """The executor that options describe.

    Args:
        directory: of the sweep's runs.
        runs: how many the sweep has, done ones included.
        threads: of a run, where they were given; on a cluster they are its CPUs.

    Raises:
        UsageError: its extra is not installed, or threads and CPUs differ.
    """
    if isinstance(options, LocalOptions):
        return LocalExecutor(*options.share(runs, threads))
    if threads not in (None, options.cpus):
        raise UsageError(
            f"train.threads is {threads} and --cpus {options.cpus}: with --executor "
            f"{options.kind} a run has as many threads as CPUs; give --cpus alone"
        )
    if isinstance(options, SlurmOptions):
        _need("submitit", "slurm")
        from grok_cli.sweeps.slurm.executor import SlurmExecutor

        return SlurmExecutor(options, directory)
    _need("ray", "ray")
    from grok_cli.sweeps.on_ray.executor import RayExecutor

    return RayExecutor(options)


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


def _need(module: str, extra: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise UsageError(
            f"--executor {extra} needs the extra [{extra}]: pip install 'grok-cli[{extra}]' "
            f"(with pipx: pipx inject grok-cli {module})"
        )


def _nearest(name: Any, known: Any) -> str:
    nearest = difflib.get_close_matches(str(name), known, n=1)
    names = ", ".join(name for name in known if name != "kind")
    return f"did you mean {nearest[0]}?" if nearest else f"expected one of {names}"
