"""Trains runs in a Ray cluster.

Ray finds the nodes, and tells when one is lost; it restarts nothing itself. A run whose worker
or node was lost is given to Ray again, `lost_retries` times at most, and goes on from what was
saved. A worker that crashed on a node that is fine is the driver's matter, as everywhere.
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from grok_cli.errors import GrokError, UsageError
from grok_cli.executors.base import Change, Job
from grok_cli.executors.ray.actor import WorkerActor
from grok_cli.executors.ray.cluster import Outside, why_no_node_fits
from grok_cli.executors.ray.options import RayOptions
from grok_cli.executors.ray.states import RemoteJob, State

AHEAD = 50  # jobs for which Ray looks for a node at a time; more would only burden it
LOOK_SECONDS = 5.0  # between looks at the nodes while jobs wait for one
PATIENCE = 60.0  # seconds for which jobs wait for a node that could hold them
FAREWELL_SECONDS = 10.0  # for the last actors to tidy up
IDLE = (State.WAITING, State.SEEKING, State.LOST)  # without a worker


class RayExecutor:
    """An executor on a Ray cluster."""

    def __init__(self, options: RayOptions, outside: Outside | None = None) -> None:
        """
        Raises:
            UsageError: there is no such cluster, or no node of it can ever hold a run.
            GrokError: the cluster cannot be used.
        """
        self._outside = outside or Outside()
        self._ray, self._options = self._outside.ray, options
        self.address = self._outside.connect(options.address, options.runtime_env)
        needs = {"CPU": options.cpus, "GPU": options.gpus, "memory": options.memory_bytes() or 0}
        self._needs = {name: much for name, much in needs.items() if much}
        self._actors = self._ray.remote(WorkerActor).options(
            num_cpus=options.cpus,
            num_gpus=options.gpus,
            memory=options.memory_bytes(),
            max_restarts=0,
            max_task_retries=0,
        )
        self._jobs: list[RemoteJob] = []  # in the order in which they are given to Ray
        self._losses: Counter[Path] = Counter()
        self._farewells: list[Any] = []
        self._stopping = False
        self._looked = self._outside.now()
        self._fitted = self._looked  # when a node was last seen that could hold a run
        if problem := self._why_nothing_fits():
            self._ray.shutdown()
            raise UsageError(
                f"{problem}; ask for less, or, if larger nodes join on demand, say "
                "`nodes_may_join: true` in the sweep file's section `executor:`"
            )

    def attach(self, jobs: Sequence[Job]) -> list[Job]:
        return []  # Ray ends actors with the process that started them

    def room(self) -> int | None:
        return None

    def submit(self, jobs: Sequence[Job]) -> None:
        self._jobs += [RemoteJob(job, self._options, self._outside) for job in jobs]

    def poll(self) -> list[Change]:
        try:
            return self._poll()
        except ConnectionError as error:  # of a connection by ray://
            raise GrokError(
                f"the connection to the Ray cluster at {self.address} is lost ({error}); the same "
                "command again goes on with what is saved"
            ) from None

    def _poll(self) -> list[Change]:
        changes = self._recall()
        waiting = self._in(State.WAITING)
        for job in waiting[: max(0, AHEAD - len(self._in(State.SEEKING)))]:
            job.give(self._actors.remote())
        answered = set(self._ready([job.reply for job in self._jobs if job.reply is not None], 0.0))
        for job in self._jobs:
            changes += job.advance(job.reply in answered, self._stopping)
        changes += self._give_up()
        self._forget()
        return changes

    def stop(self) -> None:
        self._stopping = True
        for job in self._in(*IDLE):
            job.drop()
        self._forget()

    def kill(self) -> None:
        self._forget()
        for job in self._jobs:
            with suppress(Exception):  # the cluster may be what is broken
                job.drop()
        self._jobs.clear()

    def close(self) -> None:
        self.kill()
        with suppress(Exception):
            self._ready(self._farewells, FAREWELL_SECONDS)
        self._ray.shutdown()

    def _in(self, *states: State) -> list[RemoteJob]:
        return [job for job in self._jobs if job.state in states]

    def _forget(self) -> None:
        """Let go of the jobs that have ended."""
        self._farewells += [job.farewell for job in self._jobs if job.farewell is not None]
        self._jobs = [job for job in self._jobs if job.state is not State.ENDED]

    def _recall(self) -> list[Change]:
        """Have the lost jobs come first again, but not for ever."""
        changes = []
        for job in self._in(State.LOST):
            if not job.is_free():
                continue
            self._losses[job.job.run.path] += 1
            if self._losses[job.job.run.path] > self._options.lost_retries:
                changes += job.fail(job.lost)
            else:
                job.recall()
                self._jobs.remove(job)
                self._jobs.insert(0, job)
        return changes

    def _give_up(self) -> list[Change]:
        """End the jobs that wait, once no node could hold one for too long."""
        now, seeking = self._outside.now(), self._in(State.SEEKING)
        if not seeking:
            self._fitted = now
        if now - self._looked < LOOK_SECONDS or not seeking:
            return []
        self._looked = now
        problem = self._why_nothing_fits()
        if not problem:
            self._fitted = now
        if now - self._fitted < PATIENCE:
            return []
        ending = self._in(State.SEEKING, State.WAITING)
        return [change for job in ending for change in job.fail(problem)]

    def _why_nothing_fits(self) -> str:
        return (
            "" if self._options.nodes_may_join else why_no_node_fits(self._needs, self._ray.nodes())
        )

    def _ready(self, references: list[Any], seconds: float) -> list[Any]:
        """Those of Ray's references whose answers are there, after so many seconds at most."""
        if not references:
            return []
        count = len(references)
        return list(self._ray.wait(references, num_returns=count, timeout=seconds)[0])


def make_executor(
    options: RayOptions, directory: Path, runs: int, threads: int | None
) -> RayExecutor:
    """The executor of a sweep."""
    return RayExecutor(options)
