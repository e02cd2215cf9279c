"""Trains runs in a Ray cluster.

Ray finds the nodes, and tells when one is lost; it restarts nothing itself. A run whose worker
or node was lost is given to Ray again, `lost_retries` times at most, and goes on from what was
saved. A worker that crashed on a node that is fine is the driver's matter, as everywhere.
"""

import signal
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray

from grok_cli.errors import GrokError, UsageError
from grok_cli.executors.base import Change, Job
from grok_cli.executors.ray.cluster import connect, why_no_node_fits
from grok_cli.executors.ray.options import RayOptions
from grok_cli.executors.ray.run import RemoteRun
from grok_cli.executors.ray.worker import RayWorker
from grok_cli.runs.claim import EXPIRES, live_owner

AHEAD = 50  # runs for which Ray looks for a node at a time; more would only burden it
LOOK_SECONDS = 5.0  # between looks at the nodes while runs wait for one
PATIENCE = 60.0  # seconds for which runs wait for a node that could hold them
CLAIM_SECONDS = EXPIRES + 10.0  # after which a lost worker's claim is not its own any more
FAREWELL_SECONDS = 10.0  # for the last actors to tidy up


class RayExecutor:
    """An executor on a Ray cluster."""

    def __init__(self, options: RayOptions) -> None:
        """
        Raises:
            UsageError: there is no such cluster, or no node of it can ever hold a run.
            GrokError: the cluster cannot be used.
        """
        self.address = connect(options.address, options.runtime_env)
        self._options = options
        needs = {"CPU": options.cpus, "GPU": options.gpus, "memory": options.memory_bytes() or 0}
        self._needs = {name: much for name, much in needs.items() if much}
        self._actors = ray.remote(RayWorker).options(
            num_cpus=options.cpus,
            num_gpus=options.gpus,
            memory=options.memory_bytes(),
            max_restarts=0,
            max_task_retries=0,
        )
        self._waiting: deque[Job] = deque()
        self._runs: list[RemoteRun] = []
        self._lost: dict[RemoteRun, float] = {}  # when; before they are given to Ray again
        self._losses: Counter[Path] = Counter()
        self._farewells: list[Any] = []
        self._stopping = False
        self._looked = time.monotonic()
        self._fitted = self._looked  # when a node was last seen that could hold a run
        if problem := self._why_nothing_fits():
            ray.shutdown()
            raise UsageError(
                f"{problem}; ask for less, or, if larger nodes join on demand, say "
                "`nodes_may_join: true` in the sweep file's section `executor:`"
            )

    def attach(self, jobs: Sequence[Job]) -> list[Job]:
        return []  # Ray ends actors with the process that started them

    def room(self) -> int | None:
        return None

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
        changes = self._recall()
        while self._waiting and sum(run.is_placing() for run in self._runs) < AHEAD:
            self._runs.append(self._give(self._waiting.popleft()))
        replies = [run.reply for run in self._runs if run.reply is not None]
        answered = set(_ready(replies, 0.0))
        for run in self._runs:
            changes += run.advance(run.reply in answered, self._stopping)
            if run.lost:
                changes.append(self._lose(run))
        changes += self._give_up()
        self._farewells += [run.farewell for run in self._runs if run.farewell is not None]
        self._runs = [run for run in self._runs if not run.over]
        return changes

    def stop(self) -> None:
        self._stopping = True
        self._waiting.clear()
        self._lost.clear()
        for run in self._runs:
            if run.is_placing():
                run.drop()
        self._runs = [run for run in self._runs if not run.over]

    def kill(self) -> None:
        self._waiting.clear()
        self._lost.clear()
        for run in self._runs:
            with suppress(Exception):  # the cluster may be what is broken
                run.drop()
        self._runs.clear()

    def close(self) -> None:
        self.kill()
        with suppress(Exception):
            _ready(self._farewells, FAREWELL_SECONDS)
        ray.shutdown()

    def _give(self, job: Job) -> RemoteRun:
        brought_back = self._options.storage == "driver"
        return RemoteRun(job, self._actors.remote(), self._options.cpus, brought_back)

    def _lose(self, run: RemoteRun) -> Change:
        self._losses[run.job.run.path] += 1
        if self._stopping:
            return Change(run.job, "ended", -int(signal.SIGKILL), run.lost)
        self._lost[run] = time.monotonic()
        return Change(run.job, "requeued", reason=run.lost)

    def _recall(self) -> list[Change]:
        """Give Ray the lost runs again whose worker is gone for sure: on shared storage it may
        still save, or its claim has yet to expire."""
        changes = []
        for run, since in list(self._lost.items()):
            late = time.monotonic() - since > CLAIM_SECONDS
            if not late and live_owner(run.job.run.path / "claim.json") is not None:
                continue
            del self._lost[run]
            if self._losses[run.job.run.path] > self._options.lost_retries:
                changes.append(Change(run.job, "ended", None, run.lost))
            else:
                self._waiting.appendleft(run.job)
        return changes

    def _give_up(self) -> list[Change]:
        """End the runs that wait, once no node could hold one for too long."""
        now = time.monotonic()
        placing = [run for run in self._runs if run.is_placing()]
        if not placing:
            self._fitted = now
        if now - self._looked < LOOK_SECONDS or not placing:
            return []
        self._looked = now
        problem = self._why_nothing_fits()
        if not problem:
            self._fitted = now
        if now - self._fitted < PATIENCE:
            return []
        for run in placing:
            run.drop()
        jobs = [*(run.job for run in placing), *self._waiting]
        self._waiting.clear()
        return [Change(job, "ended", None, problem) for job in jobs]

    def _why_nothing_fits(self) -> str:
        return "" if self._options.nodes_may_join else why_no_node_fits(self._needs)


def make(options: RayOptions, directory: Path, runs: int, threads: int | None) -> RayExecutor:
    """The executor of a sweep."""
    return RayExecutor(options)


def _ready(references: list[Any], seconds: float) -> list[Any]:
    """Those of Ray's references whose answers are there, after so many seconds at most."""
    if not references:
        return []
    ready, _ = ray.wait(references, num_returns=len(references), timeout=seconds)
    return list(ready)
