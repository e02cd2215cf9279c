"""A sweep as a whole: planned, forecast, run, looked at, left to a cluster, taken out of it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from grok_cli.errors import GrokError, UsageError, cause
from grok_cli.executors.base import Executor, QueueExecutor
from grok_cli.executors.options import ExecutorOptions
from grok_cli.runs.directory import DONE, RunDir, find_runs
from grok_cli.runs.sweep_record import record_sweep
from grok_cli.sweeps.drive import Driver, SweepWatcher, job_of
from grok_cli.sweeps.estimate import Forecast, Speeds, forecast, measure_unknown, recorded_speeds
from grok_cli.sweeps.plan import PlannedRun, plan_runs, take_over
from grok_cli.sweeps.reuse import TrainedRuns, runs_beside, runs_named, same_run_in
from grok_cli.sweeps.spec import Spec
from grok_cli.sweeps.states import Entry

POLL_SECONDS = 0.5
# Above these, a sweep that has not begun is asked about.
MANY_RUNS, MANY_HOURS = 100, 48.0


@dataclass(frozen=True)
class Sweep:
    """The runs of a sweep, where they are kept, and who trains them.

    Attributes:
        threads: of a run, where they were given.
        look_in: the directory in whose folders other sweeps may start the same runs; None if
            none is taken over.
        around: the runs that were found in the sweep's directory, and where it may take from.
    """

    spec: Spec
    directory: Path
    runs: tuple[PlannedRun, ...]
    options: ExecutorOptions
    threads: int | None = None
    look_in: Path | None = None
    around: tuple[RunDir, ...] = ()

    def standing(self) -> list[tuple[PlannedRun, dict[str, Any]]]:
        """Each run with its summary, as it is now."""
        return [(planned, planned.summary()) for planned in self.runs]

    def workers(self) -> tuple[int | None, int | None]:
        """Runs at a time and threads of each; None where that is not known."""
        return self.options.at_once(len(self.runs), self.threads) or (None, self.threads)

    def executor(self) -> Executor:
        return self.options.make(self.directory, len(self.runs), self.threads)

    def look_again(self, planned: PlannedRun) -> PlannedRun:
        """The same run, or the one that another sweep has started meanwhile."""
        if self.look_in is None or planned.taken_from is not None:
            return planned
        found = same_run_in(self.look_in, planned.run.path, planned.config.digest())
        return replace(planned, taken_from=found)

    def queue(self) -> QueueExecutor:
        """The executor of a sweep whose jobs outlive the command."""
        return cast(QueueExecutor, self.executor())


def plan_sweep(
    spec: Spec,
    options: ExecutorOptions,
    runs_dir: Path | None = None,
    *,
    fixed: Mapping[str, Any],
    seeds: list[int] | None = None,
    reuse: Sequence[Path] | None = (),
) -> Sweep:
    """A sweep, with the runs that are taken from elsewhere: from below its directory, and, unless
    that is the usual one of sweeps without a name, from the directories beside it.

    Args:
        runs_dir: its directory; None: the usual one.
        fixed: settings that win over the sweep's own.
        seeds: of every run; None: as the sweep says.
        reuse: further directories whose trained runs count; None: no run is taken from elsewhere.

    Raises:
        UsageError: settings that are not valid, an edited run, or no runs where `reuse` says.
    """
    directory = runs_dir or spec.home
    beside = spec.name is not None or runs_dir is not None
    runs = plan_runs(spec, fixed, seeds, directory)
    found = list(find_runs(directory))
    if reuse is not None:
        found += [*runs_named(reuse), *(runs_beside(directory) if beside else ())]
        trained = TrainedRuns(found)
    else:
        trained = TrainedRuns(run for run in found if run.path.parent == directory)
    taken = tuple(take_over(runs, trained))
    look_in = None if reuse is None else directory.absolute().parent if beside else directory
    threads = fixed.get("run.threads")
    return Sweep(spec, directory, taken, options, threads, look_in, tuple(found))


def look_ahead(sweep: Sweep, measure: bool = False) -> Forecast:
    """How much is left of a sweep, and how long that takes.

    Args:
        measure: make a few steps to learn the speed where no comparable run finished here.
    """
    standing, (workers, threads) = sweep.standing(), sweep.workers()
    speeds = recorded_speeds(sweep.around)
    if measure:
        left = [planned.config for planned, told in standing if told["status"] not in DONE]
        measure_unknown(speeds, left, threads)
    return forecast(standing, speeds, workers)


def why_ask(sweep: Sweep) -> str | None:
    """What is unusual about a sweep, so that it should be asked about; None if nothing is, or if
    it was begun before."""
    if any(planned.run.exists() for planned in sweep.runs):
        return None
    standing = sweep.standing()
    left = sum(summary["status"] not in DONE for _, summary in standing)
    if left > MANY_RUNS:
        return f"{left:,} runs are to be trained"
    workers, _ = sweep.workers()
    if workers is None:
        return None
    speeds = recorded_speeds(sweep.around) or Speeds.usual()
    hours = (forecast(standing, speeds, workers).seconds or 0.0) / 3600
    return f"this takes about {hours:,.0f} hours" if hours > MANY_HOURS else None


def run_sweep(
    sweep: Sweep,
    command: str,
    watcher: SweepWatcher,
    *,
    retries: int = 1,
    fail_fast: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[Entry]:
    """Bring every run to its end; returns what became of each.

    Args:
        command: what was typed, for the record.

    Raises:
        UsageError: the sweep's directory cannot be written to.
        GrokError: no run can go on, as on a full disk.
    """
    executor = sweep.executor()
    if not all(run.run.exists() and run.summary()["status"] in DONE for run in sweep.runs):
        record(sweep, command)
    driver = Driver(
        sweep.runs,
        executor,
        watcher,
        retries=retries,
        fail_fast=fail_fast,
        should_stop=should_stop,
        look_again=sweep.look_again,
    )
    entries = driver.run()
    if driver.trouble:
        raise GrokError(f"{driver.trouble}; what was recorded is safe. Mend that, then: {command}")
    return entries


def record(sweep: Sweep, command: str) -> None:
    """Make the sweep's directory, and write the command into it.

    Raises:
        UsageError: it cannot be written to.
    """
    try:
        record_sweep(sweep.directory, command, sweep.spec.name, len(sweep.runs))
    except OSError as error:
        raise UsageError(
            f"cannot write to {sweep.directory}: {cause(error)}; choose another --runs-dir"
        ) from None


def where_runs_stand(sweep: Sweep) -> list[dict[str, Any]]:
    """A row a run: how far it is and, on a cluster that queues jobs, its job in the queue."""
    standing = sweep.standing()
    jobs = [job_of(planned) for planned in sweep.runs if planned.run.exists()]
    tasks = sweep.queue().where(jobs) if sweep.options.queued else {}
    training = {
        tasks[planned.run.path].id
        for planned, summary in standing
        if summary["status"] == "running" and planned.run.path in tasks
    }
    rows: list[dict[str, Any]] = []
    for planned, summary in standing:
        state, task = summary["status"], tasks.get(planned.run.path)
        if task is not None and state not in (*DONE, "running"):
            # A task that trains another run comes to this one later.
            state = "queued" if task.waits() or task.id in training else "starting"
        rows.append(
            {
                "path": str(planned.run.path),
                "state": state,
                "step": int(summary.get("step", 0)),
                "steps": planned.config.train.steps,
                "phase": summary.get("phase"),
                "job": task and task.id,
                "note": task and task.note,
            }
        )
    return rows


def leave_to_cluster(sweep: Sweep, command: str) -> tuple[int, int]:
    """Queue what is to be trained and leave it there; returns how many runs the cluster has, and
    how many it had no room for."""
    executor = sweep.queue()
    record(sweep, command)
    Driver(sweep.runs, executor, SweepWatcher(), look_again=sweep.look_again).begin()
    return executor.busy(), len(executor.waiting)


def take_out_of_queue(sweep: Sweep, sleep: Callable[[float], None] = time.sleep) -> int:
    """Have every job of the sweep save and leave the queue; waits until none is left, and returns
    how many there were."""
    executor = sweep.queue()
    jobs = [job_of(planned) for planned in sweep.runs if planned.run.exists()]
    count = len(executor.attach(jobs))
    executor.stop()
    while executor.busy():
        executor.poll()
        sleep(POLL_SECONDS)
    return count
