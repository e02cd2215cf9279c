"""What the Slurm executor makes of what the queue says. The queue here is scripted; a real one is
in test_slurm.py."""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("submitit", reason="needs the extra [slurm]")

from grok_cli.executors.base import Change, Job
from grok_cli.executors.slurm import queue
from grok_cli.executors.slurm.batch import Batch, Ending
from grok_cli.executors.slurm.executor import Outside, SlurmExecutor
from grok_cli.executors.slurm.options import SlurmOptions
from grok_cli.executors.slurm.queue import ArrayTask, NoAnswerError, Queue, SlurmError
from grok_cli.executors.slurm.states import LIFE, Sign, State
from grok_cli.executors.slurm.submit import NoRoomError
from grok_cli.runs.claim import Claim
from grok_cli.runs.directory import find_runs
from grok_cli.sweeps.drive import Driver, SweepWatcher
from grok_cli.sweeps.plan import plan_runs
from grok_cli.sweeps.spec import PAPER
from tests.executors.jobs import make_jobs, told


class ScriptedSlurm:
    """A queue that holds what was submitted, and whose states the test sets.

    Attributes:
        room: tasks that it takes in all.
        refusal: raised at every submission, if set.
        answers: whether it can be asked.
    """

    def __init__(self) -> None:
        self.states: dict[tuple[str, int], str] = {}
        self.batches: list[Batch] = []
        self.room, self.answers = 1000, True
        self.refusal: Exception | None = None
        self.sizes: list[int] = []
        self.clock = 1000.0
        self.signals: list[tuple[list[str], str | None]] = []
        self.outside = Outside(self.read, self.submit, self.cancel, lambda: 4, self.now)

    def now(self) -> float:
        self.clock += 0.001
        return self.clock

    def read(self) -> Queue:
        if not self.answers:
            raise NoAnswerError("squeue: no answer")
        tasks = {key: ArrayTask(self.id(key), state, "") for key, state in self.states.items()}
        return Queue(tasks, self.now())

    def id(self, key: tuple[str, int]) -> str:
        names = [batch.job_name for batch in self.batches]
        return f"{names.index(key[0]) + 1}_{key[1]}"

    def submit(self, batch: Batch, groups: Sequence[Sequence[Job]], options: SlurmOptions) -> None:
        if self.refusal is not None:
            raise self.refusal
        if len(self.states) + len(groups) > self.room:
            raise NoRoomError("AssocMaxSubmitJobLimit")
        self.sizes.append(len(groups))
        self.batches.append(batch)
        self.states |= {(batch.job_name, index): "PENDING" for index in range(len(groups))}

    def cancel(self, ids: Sequence[str], signal: str | None = None) -> None:
        self.signals.append((list(ids), signal))
        for key in self.states:
            if self.id(key) in ids and signal is None:
                self.states[key] = "CANCELLED"

    def set(self, state: str, batch: int = -1, index: int = 0) -> None:
        self.states[self.batches[batch].job_name, index] = state


@pytest.fixture
def slurm() -> ScriptedSlurm:
    return ScriptedSlurm()


def polled(executor: SlurmExecutor, slurm: ScriptedSlurm) -> list[Change]:
    """What the executor tells when enough time has passed for it to look."""
    slurm.clock += 100
    return executor.poll()


def test_arrays_are_no_larger_than_allowed(slurm: ScriptedSlurm, tmp_path: Path) -> None:
    executor = SlurmExecutor(SlurmOptions(runs_per_job=2), tmp_path, slurm.outside)
    executor.submit(make_jobs(tmp_path, 11))
    assert slurm.sizes == [4, 2]
    assert [len(names) for batch in slurm.batches for names in batch.tasks] == [2] * 5 + [1]


def test_what_the_queue_does_not_take_waits_for_room(slurm: ScriptedSlurm, tmp_path: Path) -> None:
    slurm.room = 3
    executor = SlurmExecutor(SlurmOptions(), tmp_path, slurm.outside)
    executor.submit(make_jobs(tmp_path, 7))
    assert (slurm.sizes, executor.busy(), len(executor.waiting)) == ([2, 1], 3, 4)
    slurm.room = 100
    polled(executor, slurm)
    assert executor.waiting == []
    assert executor.busy() == 7
    assert len(list(Batch.all(tmp_path / ".slurm"))) == len(slurm.sizes)


def test_a_run_is_told_from_start_to_end(slurm: ScriptedSlurm, tmp_path: Path) -> None:
    executor = SlurmExecutor(SlurmOptions(), tmp_path, slurm.outside)
    executor.submit(make_jobs(tmp_path, 1))
    assert polled(executor, slurm) == []
    slurm.set("RUNNING")
    slurm.batches[0].record_start("run0", 0)
    assert told(polled(executor, slurm)) == [("started", None)]
    assert polled(executor, slurm) == []
    slurm.batches[0].record_end("run0", Ending(1, "why"))
    assert told(polled(executor, slurm)) == [("ended", 1)]
    assert executor.busy() == 0


def test_a_requeued_run_is_not_ended(slurm: ScriptedSlurm, tmp_path: Path) -> None:
    executor = SlurmExecutor(SlurmOptions(), tmp_path, slurm.outside)
    executor.submit(make_jobs(tmp_path, 1))
    batch = slurm.batches[0]
    slurm.set("RUNNING")
    batch.record_start("run0", 0)
    polled(executor, slurm)
    batch.record_end("run0", Ending(130))
    slurm.set("COMPLETING")
    assert polled(executor, slurm) == []
    slurm.set("PENDING")
    assert told(polled(executor, slurm)) == [("requeued", None)]
    slurm.set("RUNNING")
    batch.record_start("run0", 1)
    assert told(polled(executor, slurm)) == [("started", None)]
    batch.record_end("run0", Ending(130))
    slurm.set("PENDING")
    polled(executor, slurm)
    batch.record_start("run0", 2)  # ... and a requeue between two looks at the queue
    polled(executor, slurm)
    slurm.set("RUNNING")
    batch.record_start("run0", 3)
    assert told(polled(executor, slurm)) == [("requeued", None), ("started", None)]


def test_every_state_of_a_followed_job_knows_where_every_sign_leads() -> None:
    assert LIFE.keys() == {State.QUEUED, State.RUNNING}
    for signs in LIFE.values():
        assert signs.keys() == set(Sign)
    for sign in Sign:  # a worker that was told of is either taken back, or goes on, or ends
        (queued, first), (running, second) = LIFE[State.QUEUED][sign], LIFE[State.RUNNING][sign]
        assert queued is running
        assert [*second].count("requeued") <= 1
        assert "requeued" not in first


def test_a_worker_that_ended_before_it_was_told_of_counts_once(
    slurm: ScriptedSlurm, tmp_path: Path
) -> None:
    """Also after a requeue, which took the attempt before back."""
    executor = SlurmExecutor(SlurmOptions(), tmp_path, slurm.outside)
    executor.submit(make_jobs(tmp_path, 1))
    (batch,) = slurm.batches
    slurm.set("RUNNING")
    batch.record_start("run0", 0)
    polled(executor, slurm)
    slurm.set("PENDING")
    assert told(polled(executor, slurm)) == [("requeued", None)]
    slurm.set("COMPLETED")
    batch.record_start("run0", 1)
    batch.record_end("run0", Ending(1))
    assert told(polled(executor, slurm)) == [("started", None), ("ended", 1)]


@pytest.mark.parametrize(
    ("crashes", "state", "attempts"), [(1, "finished", 2), (2, "failed", 2), (0, "finished", 1)]
)
def test_requeues_are_no_attempts_and_each_crash_is_one(
    crashes: int, state: str, attempts: int, slurm: ScriptedSlurm, tmp_path: Path
) -> None:
    """Of each job: requeued twice, preempted once, then a crash or the end."""
    (run,) = plan_runs(PAPER, {"model.ln_type": "pre"}, [1], tmp_path)
    starts = 0

    def start() -> None:
        nonlocal starts
        slurm.set("RUNNING")
        slurm.batches[-1].record_start(run.name, starts)
        starts += 1

    def end() -> None:
        nonlocal crashes, starts
        starts = 0
        crashes -= 1
        if crashes < 0:
            run.run.summary_file.write_text('{"status": "finished"}')
        slurm.batches[-1].record_end(run.name, Ending(1 if crashes >= 0 else 0))

    def take_away() -> None:
        nonlocal starts
        starts = 0
        slurm.set("PREEMPTED")

    requeue = partial(slurm.set, "PENDING")
    life = cycle([start, requeue, start, requeue, start, take_away, start, end])

    def sleep(seconds: float) -> None:
        slurm.clock += 100
        next(life)()

    executor = SlurmExecutor(SlurmOptions(), tmp_path, slurm.outside)
    (entry,) = Driver([run], executor, SweepWatcher(), retries=1, sleep=sleep).run()
    assert (entry.state, entry.attempts) == (state, attempts)


@pytest.mark.parametrize(
    ("state", "changes"),
    [
        ("CANCELLED", [("ended", 130)]),
        ("TIMEOUT", [("ended", 1)]),
        ("OUT_OF_MEMORY", [("ended", 1)]),
        ("PREEMPTED", [("requeued", None)]),
        ("NODE_FAIL", [("requeued", None)]),
    ],
)
def test_end_without_a_record(
    state: str, changes: list[Any], slurm: ScriptedSlurm, tmp_path: Path
) -> None:
    executor = SlurmExecutor(SlurmOptions(), tmp_path, slurm.outside)
    executor.submit(make_jobs(tmp_path, 1))
    slurm.set("RUNNING")
    slurm.batches[0].record_start("run0", 0)
    polled(executor, slurm)
    slurm.set(state)
    news = polled(executor, slurm)
    assert told(news) == changes
    assert "1_0" in news[0].reason
    assert len(slurm.batches) == (2 if changes[0][0] == "requeued" else 1)


def test_another_driver_attaches_instead_of_submitting(
    slurm: ScriptedSlurm, tmp_path: Path
) -> None:
    jobs = make_jobs(tmp_path, 3)
    SlurmExecutor(SlurmOptions(), tmp_path, slurm.outside).submit(jobs[:2])
    slurm.batches[0].record_end("run1", Ending(1))
    other = SlurmExecutor(SlurmOptions(), tmp_path, slurm.outside)
    assert other.attach(jobs) == [jobs[0]]
    other.submit(jobs[1:])
    assert [batch.tasks for batch in slurm.batches] == [
        [("run0",), ("run1",)],
        [("run1",), ("run2",)],
    ]


def test_jobs_that_another_driver_queued_meanwhile_are_not_queued_again(
    slurm: ScriptedSlurm, tmp_path: Path
) -> None:
    jobs = make_jobs(tmp_path, 2)
    first, second = (SlurmExecutor(SlurmOptions(), tmp_path, slurm.outside) for _ in range(2))
    assert second.attach(jobs) == []
    (tmp_path / ".slurm").mkdir()
    with Claim(tmp_path / ".slurm"):  # the other is submitting
        second.submit(jobs)
    assert slurm.batches == []
    first.submit(jobs)
    polled(second, slurm)
    assert (len(slurm.batches), second.busy(), second.waiting) == (1, 2, [])


def test_stop_cancels_what_waits_and_has_the_rest_save(
    slurm: ScriptedSlurm, tmp_path: Path
) -> None:
    executor = SlurmExecutor(SlurmOptions(), tmp_path, slurm.outside)
    executor.submit(make_jobs(tmp_path, 2))
    slurm.set("RUNNING", index=0)
    executor.stop()
    assert slurm.signals == [(["1_1"], None), (["1_0"], "TERM")]
    assert told(executor.poll()) == [("started", None), ("ended", 130)]
    assert executor.busy() == 1
    polled(executor, slurm)  # after its time to save
    assert slurm.signals[-2] == (["1_0"], None)
    polled(executor, slurm)
    assert executor.busy() == 0


def test_silence_of_slurm_changes_nothing(slurm: ScriptedSlurm, tmp_path: Path) -> None:
    executor = SlurmExecutor(SlurmOptions(), tmp_path, slurm.outside)
    executor.submit(make_jobs(tmp_path, 1))
    slurm.answers = False
    assert polled(executor, slurm) == []
    assert executor.busy() == 1


def test_refusal_is_an_error_at_first_and_a_failure_of_its_runs_later(
    slurm: ScriptedSlurm, tmp_path: Path
) -> None:
    jobs = make_jobs(tmp_path, 2)
    executor = SlurmExecutor(SlurmOptions(), tmp_path, slurm.outside)
    slurm.refusal = SlurmError("Slurm refuses the jobs: no such partition")
    with pytest.raises(SlurmError):
        executor.submit(jobs)
    assert list(Batch.all(tmp_path / ".slurm")) == []
    executor.waiting.clear()
    slurm.refusal = None
    executor.submit(jobs[:1])
    slurm.refusal = SlurmError("Slurm refuses the jobs: account expired")
    executor.submit(jobs[1:])
    (change,) = polled(executor, slurm)
    assert (change.state, change.exit_code) == ("ended", None)
    assert "account expired" in change.reason
    assert executor.busy() == 1


def test_batches_of_finished_runs_are_deleted(slurm: ScriptedSlurm, tmp_path: Path) -> None:
    jobs = make_jobs(tmp_path, 1)
    executor = SlurmExecutor(SlurmOptions(), tmp_path, slurm.outside)
    executor.submit(jobs)
    executor.close()
    assert len(list(Batch.all(tmp_path / ".slurm"))) == 1
    jobs[0].run.summary_file.write_text('{"status": "finished"}')
    slurm.set("COMPLETED")
    polled(executor, slurm)
    executor.close()
    assert list(Batch.all(tmp_path / ".slurm")) == []


@pytest.mark.parametrize("submitted", [False, True])
def test_driver_that_dies_around_sbatch_leaves_nothing_out_and_nothing_twice(
    submitted: bool, slurm: ScriptedSlurm, tmp_path: Path
) -> None:
    def die(*arguments: Any) -> None:
        if submitted:
            slurm.submit(*arguments)
        raise KeyboardInterrupt

    jobs = make_jobs(tmp_path, 2)
    with pytest.raises(KeyboardInterrupt):
        SlurmExecutor(SlurmOptions(), tmp_path, replace(slurm.outside, submit=die)).submit(jobs)
    again = SlurmExecutor(SlurmOptions(), tmp_path, slurm.outside)
    attached = again.attach(jobs)
    assert attached == (jobs if submitted else [])
    again.submit([job for job in jobs if job not in attached])
    assert [name for batch in slurm.batches for names in batch.tasks for name in names] == [
        *("run0", "run1"),
    ]
    slurm.set("RUNNING")
    slurm.batches[0].record_start("run0", 0)
    slurm.batches[0].record_end("run0", Ending(0))
    assert told(polled(again, slurm)) == [("started", None), ("ended", 0)]


def test_sbatch_does_not_inherit_the_job_that_a_driver_runs_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("SLURM_JOB_ID", "SLURM_CPUS_PER_TASK", "SLURM_CONF", "SBATCH_ACCOUNT"):
        monkeypatch.setenv(name, "1")
    with queue.outside_any_job():
        left = {name for name in os.environ if name.startswith(("SLURM", "SBATCH"))}
    assert left == {"SLURM_CONF", "SBATCH_ACCOUNT"}
    assert os.environ["SLURM_CPUS_PER_TASK"] == "1"


def test_no_slurm_here_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue.shutil, "which", lambda name: None)
    with pytest.raises(SlurmError, match="no squeue here; type the command on a login node"):
        SlurmExecutor(SlurmOptions(), tmp_path)


def test_find_runs_does_not_see_the_bookkeeping(slurm: ScriptedSlurm, tmp_path: Path) -> None:
    jobs = make_jobs(tmp_path, 2)
    SlurmExecutor(SlurmOptions(), tmp_path, slurm.outside).submit(jobs)
    assert [run.path for run in find_runs(tmp_path)] == [job.run.path for job in jobs]
