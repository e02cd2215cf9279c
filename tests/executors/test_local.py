"""Runs in processes of this machine: forked from one that has everything imported, or started."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from grok_cli.executors import local, warm
from grok_cli.executors.base import Change, Job
from grok_cli.executors.local import LocalExecutor
from grok_cli.executors.worker import INTERRUPTED
from grok_cli.runs.claim import read_claim
from grok_cli.runs.directory import RunDir, find_runs
from tests.executors.jobs import make_jobs
from tests.waiting import wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="forks on Linux only"),
]

LONG = 100_000


@pytest.fixture
def make(request: pytest.FixtureRequest) -> Iterator[Callable[..., LocalExecutor]]:
    """Make executors that are closed, and whose workers are killed, whatever happens."""
    with contextlib.ExitStack() as stack:

        def make(workers: int = 2, threads: int = 1) -> LocalExecutor:
            executor = LocalExecutor(workers, threads)
            stack.callback(executor.close)
            stack.callback(executor.kill)
            return executor

        yield make


def followed(executor: LocalExecutor, jobs: Sequence[Job]) -> list[Change]:
    """All that is told until every job has ended."""
    told: list[Change] = []

    def all_ended() -> bool:
        told.extend(executor.poll())
        return sum(change.state == "ended" for change in told) == len(jobs)

    wait_for(all_ended)
    return told


def train_started(executor: LocalExecutor, jobs: Sequence[Job]) -> list[int]:
    """The processes of the jobs' workers, once each has saved a state."""

    def owners() -> list[int] | None:
        executor.poll()
        claims = [read_claim(job.run.path / "claim.json") for job in jobs]
        saved = all(job.run.resume_file.exists() for job in jobs)
        return [int(claim["pid"]) for claim in claims if claim] if saved and all(claims) else None

    pids: list[int] = wait_for(owners)
    return pids


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has waited for counts, too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_forked_runs_are_those_of_started_processes_byte_for_byte(
    make: Callable[..., LocalExecutor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forked = make_jobs(tmp_path / "forked", 3)
    executor = make()
    executor.submit(forked)
    told = followed(executor, forked)
    assert [change.exit_code for change in told if change.state == "ended"] == [0, 0, 0]
    monkeypatch.setattr(local, "Server", None)  # would fail if it were used
    started = make_jobs(tmp_path / "started", 1)
    executor = make()
    executor.submit(started)
    followed(executor, started)
    assert forked[0].run.metrics_file.read_bytes() == started[0].run.metrics_file.read_bytes()
    for job in (forked[0], started[0]):
        (session,) = json.loads(job.run.environment_file.read_text())
        assert session["command"] == f"grok train --resume {job.run.path} --threads 1 --stop-at-eof"
        assert (session["threads"], session["flush_denormal"]) == (1, True)
        assert "finished at step 60 of 60" in job.run.log_file.read_text()
        assert "\nstep 60/60 " in "\n" + job.run.log_file.read_text()  # which stderr says


def test_a_forked_worker_has_a_session_of_its_own_and_stops_when_told(
    make: Callable[..., LocalExecutor], tmp_path: Path
) -> None:
    jobs = make_jobs(tmp_path, 2, LONG)
    executor = make()
    executor.submit(jobs)
    pids = train_started(executor, jobs)
    assert len({parent(pid) for pid in pids}) == 1
    assert [os.getsid(pid) for pid in pids] == pids
    assert os.getsid(parent(pids[0])) != os.getsid(0)
    executor.stop()
    told = followed(executor, jobs)
    assert [change.exit_code for change in told] == [INTERRUPTED] * 2
    assert {job.run.summary()["status"] for job in jobs} == {"interrupted"}


def test_a_killed_worker_says_so_and_the_other_goes_on(
    make: Callable[..., LocalExecutor], tmp_path: Path
) -> None:
    jobs = make_jobs(tmp_path, 2, LONG)
    executor = make()
    executor.submit(jobs)
    pids = train_started(executor, jobs)
    os.kill(pids[0], signal.SIGKILL)
    (change,) = wait_for(executor.poll)
    assert (change.job, change.exit_code) == (jobs[0], -signal.SIGKILL)
    assert not gone(pids[1])
    executor.kill()
    wait_for(lambda: gone(pids[1]))


def test_when_the_forking_process_is_killed_its_runs_stop_and_begin_again(
    make: Callable[..., LocalExecutor], tmp_path: Path
) -> None:
    jobs = make_jobs(tmp_path, 2, LONG)
    executor = make()
    executor.submit(jobs)
    pids = train_started(executor, jobs)
    os.kill(parent(pids[0]), signal.SIGKILL)
    told: list[Change] = []

    def both_again() -> bool:
        told.extend(executor.poll())
        return [change.state for change in told].count("started") == 2

    wait_for(both_again)
    assert [change.state for change in told].count("requeued") == 2
    wait_for(lambda: all(gone(pid) for pid in pids))
    again = train_started(executor, jobs)
    assert [parent(pid) for pid in again] == [os.getpid()] * 2, "not forked a second time"
    executor.kill()
    followed(executor, jobs)


def test_a_process_that_cannot_fork_is_done_without(
    make: Callable[..., LocalExecutor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm, "__name__", "no_such_module")
    jobs = make_jobs(tmp_path, 2)
    executor = make()
    executor.submit(jobs)
    told = followed(executor, jobs)
    assert [change.state for change in told].count("requeued") == 0
    assert [change.exit_code for change in told if change.state == "ended"] == [0, 0]


def test_killed_sweep_leaves_no_process_and_goes_on(tmp_path: Path) -> None:
    """SIGKILL of a sweep of forked runs: they save and stop, as does what forks them."""
    command = [
        *(sys.executable, "-m", "grok_cli", "sweep", "--seeds", "1,2", "--runs-dir", str(tmp_path)),
        *("--grid", "model.ln_type=mlp-pre", "--steps", "400", "--modulus", "11"),
        *("--d-model", "16", "--set", "model.n_heads=2", "--set", "run.save_every=50"),
        *("--threads", "1", "--jobs", "2"),
    ]
    sweep = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def owners() -> dict[RunDir, int] | None:
        runs = list(find_runs(tmp_path))
        claims = {run: read_claim(run.path / "claim.json") for run in runs}
        saved = [run.resume_file.exists() for run in runs]
        under_way = len(runs) == 2 and all(saved) and all(claims.values())
        return (
            {run: int(claim["pid"]) for run, claim in claims.items() if claim}
            if under_way
            else None
        )

    pids = wait_for(owners)
    server = parent(next(iter(pids.values())))
    sweep.kill()
    sweep.wait()
    wait_for(lambda: all(gone(pid) for pid in (server, *pids.values())))
    assert {run.summary()["status"] for run in pids} <= {"interrupted", "finished"}
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    for run in pids:
        rows = run.metrics_file.read_text().splitlines()
        assert [row.partition(",")[0] for row in rows[1:]] == [str(n + 1) for n in range(400)]


def test_runs_that_come_one_by_one_are_forked_from_the_second_on(
    make: Callable[..., LocalExecutor], tmp_path: Path
) -> None:
    first, second = make_jobs(tmp_path, 2)
    executor = make(workers=1)
    for job in (first, second):
        executor.submit([job])
        assert executor.room() == 0
        (change,) = executor.poll()
        assert change.state == "started"
        assert bool(executor._server) == (job is second)
        followed(executor, [job])
        assert executor.room() == 1
