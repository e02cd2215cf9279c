"""What the options of every executor are: a frozen model, whose fields are the options.

An executor is found by its options. They name the function that makes it, so that looking at them
imports nothing of a cluster.
"""

import importlib.util
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from grok_cli.errors import UsageError, lacking
from grok_cli.executors.base import Executor

MEMORY_UNITS = {"M": 2**20, "G": 2**30, "T": 2**40}  # bytes


class ExecutorOptions(BaseModel):
    """Options of a kind of executor; their descriptions are the help of the command line.

    Attributes:
        maker: "module:function", called as (options, directory, runs, threads), which returns the
            executor: the directory is that of the sweep's runs, `runs` how many it has, done ones
            included, and `threads` those of a run where they were given.
        needs: the module that must be installed, and what pip is asked for to have it.
        flags: flags of `grok sweep`, each with the field that it sets; others are set in files.
        queued: jobs stay with the executor when the command ends; it is a `QueueExecutor`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    maker: ClassVar[str]
    needs: ClassVar[tuple[str, str] | None] = None
    flags: ClassVar[Mapping[str, str]] = {}
    queued: ClassVar[bool] = False

    kind: str

    def at_once(self, runs: int, threads: int | None) -> tuple[int, int] | None:
        """Runs at a time and threads of each, for a sweep of so many runs; None: not known."""
        return None

    def make(self, directory: Path, runs: int, threads: int | None) -> Executor:
        """The executor.

        Raises:
            UsageError: its extra is not installed, or it cannot do what is asked for.
        """
        if self.needs is not None:
            module, requirement = self.needs
            if importlib.util.find_spec(module) is None:
                raise lacking(f"--executor {self.kind}", requirement)
        make = pkgutil.resolve_name(self.maker)
        return cast(Executor, make(self, directory, runs, threads))


def _memory(text: str) -> str:
    if not (text[:-1].isdecimal() and text[-1:] in MEMORY_UNITS and int(text[:-1])):
        raise ValueError("expected a number and a unit, e.g. 500M or 2G")
    return text


class ClusterOptions(ExecutorOptions):
    """Options of an executor on other machines."""

    cpus: int = Field(1, ge=1, description="CPU cores of a run, and its threads.")
    memory: Annotated[str, AfterValidator(_memory)] | None = Field(
        None, description="Memory of a run, e.g. 2G."
    )

    def memory_bytes(self) -> int | None:
        """Memory of a run in bytes; None where it is left to the cluster."""
        return int(self.memory[:-1]) * MEMORY_UNITS[self.memory[-1]] if self.memory else None

    def make(self, directory: Path, runs: int, threads: int | None) -> Executor:
        if threads not in (None, self.cpus):
            raise UsageError(
                f"run.threads is {threads} and --cpus {self.cpus}: with --executor {self.kind} a "
                "run has as many threads as CPUs; give --cpus alone"
            )
        return super().make(directory, runs, threads)
