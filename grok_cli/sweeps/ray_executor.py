"""Trains runs in a Ray cluster.

Ray finds the nodes, and tells when one is lost; it restarts nothing itself. A lost worker or node
is reported like a crash, so that the driver's retries are the only ones, and the next worker goes
on from what the last one saved.
"""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

import ray

from grok_cli.errors import GrokError, UsageError
from grok_cli.sweeps.executor import Change, Job
from grok_cli.sweeps.ray_cluster import connect, too_large
from grok_cli.sweeps.ray_run import RemoteRun
from grok_cli.sweeps.ray_worker import RayWorker

AHEAD = 50  # runs for which Ray looks for a node at a time; more would only burden it
LOOK_SECONDS = 5.0  # between looks at the nodes while runs wait for one
PATIENCE = 60.0  # seconds for which runs wait for a node that could hold them


class RayExecutor:
    """An executor on a Ray cluster."""

    def __init__(
        self,
        address: str | None = None,
        *,
        cpus: int = 1,
        gpus: float = 0.0,
        memory_gb: float = 0.0,
        storage: Literal["shared", "driver"] = "shared",
        nodes_may_join: bool = False,
        runtime_env: Mapping[str, Any] | None = None,
    ) -> None:
        """
        Args:
            address: see `connect`.
            cpus: of a run; also its threads.
            gpus: of a run; a fraction shares one among runs.
            memory_gb: of a run, in GB; 0 for any. Ray shares it out, but limits nothing.
            storage: "shared": all nodes see the directory of runs under the same path; "driver":
                runs are trained in directories of the nodes and brought back to this machine.
            nodes_may_join: the cluster grows on demand, so a run that no node can hold waits.
            runtime_env: see `connect`.

        Raises:
            UsageError: there is no such cluster, or no node of it can ever hold a run.
            GrokError: the cluster cannot be used.
        """
        self.address = connect(address, runtime_env)
        self._threads, self._storage, self._nodes_may_join = cpus, storage, nodes_may_join
        self._needs = {"CPU": cpus} | ({"GPU": gpus} if gpus else {})
        self._needs |= {"memory": memory_gb * 1e9} if memory_gb else {}
        self._actors = ray.remote(RayWorker).options(
            num_cpus=cpus,
            num_gpus=gpus,
            memory=int(memory_gb * 1e9) or None,
            max_restarts=0,
            max_task_retries=0,
        )
        self._waiting: deque[Job] = deque()
        self._runs: list[RemoteRun] = []
        self._stopping = False
        self._looked = time.monotonic()
        self._fitted = self._looked  # when a node was last seen that could hold a run
        if problem := self._too_large():
            raise UsageError(f"{problem}; ask for less, or say that larger nodes may join")

    def submit(self, jobs: Sequence[Job]) -> None:
        self._waiting.extend(jobs)

    def poll(self) -> list[Change]:
        try:
            return self._poll()
        except ConnectionError as error:  # of a connection by ray://
            raise GrokError(
                f"the connection to the Ray cluster at {self.address} is lost ({error}); the same "
                "command again goes on with what is saved"
            ) from None

    def _poll(self) -> list[Change]:
        while self._waiting and sum(run.is_placing() for run in self._runs) < AHEAD:
            job = self._waiting.popleft()
            actor = self._actors.remote()
            self._runs.append(RemoteRun(job, actor, self._threads, self._storage == "driver"))
        replies = [run.reply for run in self._runs if run.reply is not None]
        ready = []
        if replies:
            ready, _ = ray.wait(replies, num_returns=len(replies), timeout=0)
        answered = set(ready)
        changes = [
            change
            for run in self._runs
            for change in run.advance(run.reply in answered, self._stopping)
        ]
        changes += self._give_up()
        self._runs = [run for run in self._runs if not run.over]
        return changes

    def stop(self) -> None:
        self._stopping = True
        self._waiting.clear()
        for run in self._runs:
            if run.is_placing():
                run.drop()
        self._runs = [run for run in self._runs if not run.over]

    def kill(self) -> None:
        self._waiting.clear()
        for run in self._runs:
            with suppress(Exception):  # the cluster may be what is broken
                run.drop()
        self._runs.clear()

    def _give_up(self) -> list[Change]:
        """End the runs that wait, once no node could hold one for too long."""
        now = time.monotonic()
        placing = [run for run in self._runs if run.is_placing()]
        if not placing:
            self._fitted = now
        if now - self._looked < LOOK_SECONDS or not placing:
            return []
        self._looked = now
        problem = self._too_large()
        if not problem:
            self._fitted = now
        if now - self._fitted < PATIENCE:
            return []
        for run in placing:
            run.drop()
        jobs = [*(run.job for run in placing), *self._waiting]
        self._waiting.clear()
        return [Change(job, "ended", None, problem) for job in jobs]

    def _too_large(self) -> str:
        return "" if self._nodes_may_join else too_large(self._needs)
