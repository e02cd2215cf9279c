"""What a driver makes of what an executor tells it. The executor here is scripted: instead of
processes it writes the summaries that workers leave."""

import errno
import itertools
import json
import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from grok_cli.executors.base import Change, Job
from grok_cli.executors.options import ExecutorOptions
from grok_cli.runs.claim import Claim
from grok_cli.runs.sweep_record import read_records
from grok_cli.sweeps.drive import Driver, SweepWatcher, is_hopeless
from grok_cli.sweeps.plan import PlannedRun, plan_runs, take_over
from grok_cli.sweeps.reuse import TrainedRuns
from grok_cli.sweeps.spec import PAPER
from grok_cli.sweeps.states import ENDS, TRANSITIONS, Entry, Event, State
from grok_cli.sweeps.sweep import Sweep, run_sweep

Ending = tuple[str, int]  # status that the worker leaves, its exit code
FINISHED, CRASHED, DIVERGED = ("finished", 0), ("running", 1), ("diverged", 1)


class ScriptedExecutor:
    """Starts a job a poll, and ends it at the next as the script says."""

    def __init__(self, *endings: Ending) -> None:
        self.endings, self.waiting = deque(endings), deque[Job]()
        self.running: Job | None = None
        self.started = 0
        self.stopped = self.killed = self.closed = False

    def attach(self, jobs: Sequence[Job]) -> list[Job]:
        return []

    def room(self) -> int | None:
        return None

    def submit(self, jobs: Sequence[Job]) -> None:
        self.waiting.extend(jobs)

    def poll(self) -> list[Change]:
        if self.running is not None:
            job, self.running = self.running, None
            status, code = self.endings.popleft()
            write_summary(job.run.path, status)
            return [Change(job, "ended", code)]
        if self.waiting:
            self.running = self.waiting.popleft()
            self.started += 1
            return [Change(self.running, "started")]
        return []

    def stop(self) -> None:
        self.stopped = True
        self.waiting.clear()

    def kill(self) -> None:
        self.killed = True

    def close(self) -> None:
        self.closed = True


def write_summary(directory: Path, status: str) -> None:
    summary = {"status": status, "message": "why", "step": 5, "phase": "plateau"}
    (directory / "summary.json").write_text(json.dumps(summary))


@pytest.fixture
def runs(tmp_path: Path) -> list[PlannedRun]:
    return plan_runs(PAPER, {"model.ln_type": "pre"}, [1, 2], tmp_path)


def states(entries: Sequence[Entry]) -> list[str]:
    return [entry.state for entry in entries]


def driven(runs: list[PlannedRun], executor: ScriptedExecutor, **options: Any) -> list[Entry]:
    return Driver(runs, executor, SweepWatcher(), sleep=lambda seconds: None, **options).run()


def test_finished_runs_are_not_run_again(runs: list[PlannedRun]) -> None:
    assert states(driven(runs, ScriptedExecutor(FINISHED, FINISHED))) == ["finished"] * 2
    again = ScriptedExecutor()
    entries = driven(runs, again)
    assert again.started == 0
    assert [entry.attempts for entry in entries] == [0, 0]


def test_a_crash_is_retried_and_then_a_failure(runs: list[PlannedRun]) -> None:
    once = ScriptedExecutor(CRASHED, FINISHED, FINISHED)
    assert states(driven(runs, once)) == ["finished"] * 2
    for run in runs:
        run.run.summary_file.unlink()
    twice = ScriptedExecutor(CRASHED, CRASHED, CRASHED, FINISHED)
    runs[0].run.log_file.write_text("grok: the disk is full\n")
    first, second = driven(runs, twice)
    assert {first.state, second.state} == {"failed", "finished"}
    assert twice.started == 4
    assert first.reason == "the disk is full (exit code 1)"


def test_divergence_is_not_retried(runs: list[PlannedRun]) -> None:
    executor = ScriptedExecutor(DIVERGED, FINISHED)
    first, second = driven(runs, executor, retries=5)
    assert (first.state, first.reason, second.state) == ("diverged", "why", "finished")
    assert executor.started == 2
    assert states(driven(runs, ScriptedExecutor())) == ["diverged", "finished"]


@pytest.mark.parametrize(("ending", "state"), [(DIVERGED, "diverged"), (CRASHED, "failed")])
def test_fail_fast_stops_the_rest(runs: list[PlannedRun], ending: Ending, state: str) -> None:
    executor = ScriptedExecutor(ending)
    entries = driven(runs, executor, fail_fast=True, retries=0)
    assert states(entries) == [state, "waiting"]
    assert executor.stopped


def test_a_worker_that_cannot_be_started_is_not_tried_again(runs: list[PlannedRun]) -> None:
    class Unable(ScriptedExecutor):
        asked = 0

        def poll(self) -> list[Change]:
            self.asked += 1
            assert self.asked == 1, "tried again"
            return [Change(self.waiting.popleft(), "ended", None, "no process") for _ in "12"]

    entries = driven(runs, Unable(), retries=5)
    assert [(entry.state, entry.reason) for entry in entries] == [("failed", "no process")] * 2


def test_fail_fast_leaves_a_sweep_alone_in_which_nothing_fails(runs: list[PlannedRun]) -> None:
    executor = ScriptedExecutor(FINISHED, FINISHED)
    assert states(driven(runs, executor, fail_fast=True)) == ["finished"] * 2
    assert not executor.stopped


def test_it_is_looked_once_a_second_how_far_the_running_ones_are(runs: list[PlannedRun]) -> None:
    seconds = itertools.count(step=0.4)
    seen: list[list[Any]] = []

    class Looking(SweepWatcher):
        def refreshed(self) -> None:
            seen.append([entry.summary.get("step") for entry in driver.entries])

    class Slow(ScriptedExecutor):
        """Its first run is on its way, at step 7, for some polls."""

        def poll(self) -> list[Change]:
            if self.running is None or next(polls) > 6:
                return super().poll()
            file = self.running.run.path / "summary.json"
            file.write_text(json.dumps({"status": "running", "step": 7}))
            return []

    polls = itertools.count()
    driver = Driver(
        runs,
        Slow(FINISHED, FINISHED),
        Looking(),
        sleep=lambda seconds: None,
        clock=lambda: next(seconds),
    )
    assert states(driver.run()) == ["finished"] * 2
    assert [7, None] in seen
    assert len(seen) < next(seconds)


def test_a_sweep_is_recorded_unless_all_of_it_is_done(
    runs: list[PlannedRun], tmp_path: Path
) -> None:
    asked: list[tuple[Path, int, int | None]] = []

    class Options(ExecutorOptions):
        def make(self, directory: Path, n_runs: int, threads: int | None) -> Any:
            asked.append((directory, n_runs, threads))
            return ScriptedExecutor(FINISHED, FINISHED)

    sweep = Sweep(PAPER, tmp_path, tuple(runs), Options(kind="scripted"), threads=3)
    for command in ("grok sweep one", "grok sweep two"):
        assert states(run_sweep(sweep, command, SweepWatcher())) == ["finished"] * 2
    assert [entry["command"] for entry in read_records(tmp_path)] == ["grok sweep one"]
    assert asked == [(tmp_path, 2, 3)] * 2


def test_a_worker_that_was_told_to_stop_is_not_retried(runs: list[PlannedRun]) -> None:
    executor = ScriptedExecutor(("interrupted", 130), FINISHED)
    first, second = driven(runs, executor)
    assert (first.state, first.reason) == ("interrupted", "was told to stop")
    assert (second.state, second.reason) == ("finished", "")


def test_stop_waits_for_the_running_and_drops_the_rest(runs: list[PlannedRun]) -> None:
    executor = ScriptedExecutor(("interrupted", 130))
    entries = driven(runs, executor, should_stop=lambda: executor.started > 0)
    assert states(entries) == ["interrupted", "waiting"]


def test_a_worker_that_crashes_while_all_stop_is_interrupted(runs: list[PlannedRun]) -> None:
    executor = ScriptedExecutor(CRASHED)
    entries = driven(runs, executor, should_stop=lambda: executor.started > 0)
    assert states(entries) == ["interrupted", "waiting"]
    assert entries[0].reason == "was told to stop"


def test_a_worker_that_was_killed_is_told_so_whatever_it_said_last(runs: list[PlannedRun]) -> None:
    runs[0].create()
    runs[0].run.log_file.write_text("step 5/10\n")
    first, _ = driven(runs, ScriptedExecutor(("running", -9), FINISHED), retries=0)
    assert (first.state, first.reason) == ("failed", "killed by SIGKILL")


@pytest.mark.parametrize(
    ("number", "hopeless"),
    [
        *((errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EROFS, True)),
        *((errno.EACCES, False), (errno.EIO, False)),
    ],
)
def test_what_every_other_run_would_meet_is_hopeless(number: int, hopeless: bool) -> None:
    assert is_hopeless(f"cannot write x: {os.strerror(number)}; mend it") == hopeless


def test_a_run_that_another_process_trains_is_awaited(runs: list[PlannedRun]) -> None:
    runs[0].create()
    polls = 0

    class Impatient(ScriptedExecutor):
        def poll(self) -> list[Change]:
            nonlocal polls
            polls += 1
            if polls == 10:
                write_summary(runs[0].run.path, "finished")
                claim.__exit__(None, None, None)
            return super().poll()

    executor = Impatient(FINISHED)
    with Claim(runs[0].run.path) as claim:
        assert states(driven(runs, executor)) == ["finished"] * 2
    assert executor.started == 1
    assert polls >= 10


def test_a_run_that_diverges_elsewhere_fails_fast(runs: list[PlannedRun]) -> None:
    class Elsewhere(ScriptedExecutor):
        polls = 0

        def poll(self) -> list[Change]:
            self.polls += 1
            assert self.polls < 5, "goes on"
            write_summary(runs[0].run.path, "diverged")
            claim.__exit__(None, None, None) if not self.stopped else None
            return []

    runs[0].create()
    executor = Elsewhere()
    with Claim(runs[0].run.path) as claim:
        entries = driven(runs, executor, fail_fast=True)
    assert [(entry.state, entry.reason) for entry in entries] == [
        *(("diverged", "why"), ("waiting", ""))
    ]
    assert executor.stopped


def test_what_an_executor_holds_is_let_go_of_however_a_sweep_ends(runs: list[PlannedRun]) -> None:
    done, begun, failed = (ScriptedExecutor(FINISHED, FINISHED) for _ in range(3))
    driven(runs, done)
    Driver(runs, begun, SweepWatcher()).begin()

    def broken() -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        driven(runs, failed, should_stop=broken)
    assert [executor.closed for executor in (done, begun, failed)] == [True] * 3
    assert [executor.killed for executor in (done, begun, failed)] == [False, False, True]


def test_a_run_that_another_process_gave_up_is_taken_over(runs: list[PlannedRun]) -> None:
    runs[0].create()
    identity = {"host": os.uname().nodename, "pid": 2**22 + 1, "started": "0", "token": "x"}
    (runs[0].run.path / "claim.json").write_text(json.dumps(identity))
    write_summary(runs[0].run.path, "running")
    executor = ScriptedExecutor(FINISHED, FINISHED)
    assert states(driven(runs, executor)) == ["finished"] * 2
    assert executor.started == 2


def test_a_directory_that_cannot_be_made_fails_its_run_only(
    tmp_path: Path, runs: list[PlannedRun]
) -> None:
    runs[0].run.path.write_text("in the way")
    entries = driven(runs, ScriptedExecutor(FINISHED))
    assert states(entries) == ["failed", "finished"]
    assert "cannot make" in entries[0].reason


def test_an_error_of_the_driver_kills_the_workers(runs: list[PlannedRun]) -> None:
    executor = ScriptedExecutor()
    interrupt: Callable[[], bool] = lambda: (_ for _ in ()).throw(KeyboardInterrupt)  # noqa: E731
    with pytest.raises(KeyboardInterrupt):
        driven(runs, executor, should_stop=interrupt)
    assert executor.killed


class OneByOne(ScriptedExecutor):
    """Has room for one job at a time, as this machine has room for its workers only."""

    def room(self) -> int | None:
        return int(self.running is None and not self.waiting)


def test_every_state_knows_where_every_event_leads() -> None:
    for state in get_args(State):
        assert TRANSITIONS[state].keys() == set(get_args(Event))
    for end in ENDS:
        assert set(TRANSITIONS[end].values()) == {end}


def test_a_directory_is_made_when_its_run_starts(runs: list[PlannedRun]) -> None:
    there: list[list[bool]] = []

    class Looking(OneByOne):
        def poll(self) -> list[Change]:
            there.append([run.run.exists() for run in runs])
            return super().poll()

    assert states(driven(runs, Looking(FINISHED, FINISHED))) == ["finished"] * 2
    assert there == [[True, False], [True, False], [True, True], [True, True]]


def test_a_machine_that_was_taken_away_is_no_attempt(runs: list[PlannedRun]) -> None:
    class Preempted(OneByOne):
        taken = 0

        def poll(self) -> list[Change]:
            if self.running is not None and self.taken < 3:
                self.taken += 1
                job = self.running
                return [Change(job, "requeued", reason="preempted"), Change(job, "started")]
            return super().poll()

    executor = Preempted(CRASHED, FINISHED, FINISHED)
    entries = driven(runs, executor, retries=1)
    assert states(entries) == ["finished"] * 2
    assert entries[0].attempts == 2


def test_a_full_disk_stops_the_sweep_with_one_message(
    runs: list[PlannedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("grok_cli.runs.directory.write_text", full)
    driver = Driver(runs, ScriptedExecutor(), SweepWatcher(), sleep=lambda seconds: None)
    assert states(driver.run()) == ["waiting"] * 2
    assert "No space left on device" in driver.trouble
    assert str(runs[0].run.path) in driver.trouble


def test_a_worker_that_found_the_disk_full_stops_the_others(runs: list[PlannedRun]) -> None:
    for run in runs:
        run.create()
        run.run.log_file.write_text("grok: cannot write to x: No space left on device; mend it\n")
    executor = OneByOne(CRASHED)
    driver = Driver(runs, executor, SweepWatcher(), retries=3, sleep=lambda seconds: None)
    assert states(driver.run()) == ["failed", "waiting"]
    assert executor.started == 1
    assert driver.trouble == "cannot write to x: No space left on device"


def test_a_terminal_that_is_gone_ends_no_run(runs: list[PlannedRun]) -> None:
    class Gone(SweepWatcher):
        def changed(self, entry: Entry) -> None:
            raise OSError(errno.EIO, "Input/output error")

    executor = ScriptedExecutor(FINISHED, FINISHED)
    entries = Driver(runs, executor, Gone(), sleep=lambda seconds: None).run()
    assert states(entries) == ["finished"] * 2
    assert not executor.killed


def test_a_run_of_another_sweep_is_linked_and_not_trained(
    runs: list[PlannedRun], tmp_path: Path
) -> None:
    theirs = plan_runs(PAPER, {"model.ln_type": "pre"}, [1], tmp_path / "theirs")[0]
    theirs.create()
    write_summary(theirs.run.path, "finished")
    taken = take_over(runs, TrainedRuns([theirs.run]))
    executor = ScriptedExecutor(FINISHED)
    first, second = driven(taken, executor)
    assert (first.attempts, second.attempts, executor.started) == (0, 1, 1)
    assert runs[0].run.path.resolve() == theirs.run.path


def test_a_run_that_another_sweep_started_meanwhile_is_awaited_there(
    runs: list[PlannedRun], tmp_path: Path
) -> None:
    theirs = plan_runs(PAPER, {"model.ln_type": "pre"}, [2], tmp_path / "theirs")[0]

    def look_again(planned: PlannedRun) -> PlannedRun:
        if planned.config.train.seed != 2:
            return planned
        theirs.create()
        write_summary(theirs.run.path, "finished")
        return replace(planned, taken_from=theirs.run)

    executor = OneByOne(FINISHED)
    assert states(driven(runs, executor, look_again=look_again)) == ["finished"] * 2
    assert executor.started == 1
    assert runs[1].run.path.is_symlink()
