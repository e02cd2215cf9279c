"""What a worker is told, and how an executor of this machine keeps count, without any process."""

import signal
from pathlib import Path

import pytest

from grok_cli.executors import local
from grok_cli.executors.base import Job
from grok_cli.executors.local import LocalExecutor
from grok_cli.executors.worker import ending, worker_arguments, worker_environment
from grok_cli.runs.directory import RunDir
from tests.executors.jobs import told

JOBS = [Job(RunDir(f"r{number}")) for number in range(3)]


def test_a_worker_is_told_its_run_its_options_and_its_threads() -> None:
    job = Job(RunDir("a b"), ("--set", 'wandb.mode="offline"'))
    assert worker_arguments(job, 3) == [
        *("train", "--resume", "a b", "--set", 'wandb.mode="offline"'),
        *("--threads", "3", "--stop-at-eof"),
    ]


def test_every_library_has_the_threads_of_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MKL_NUM_THREADS", "8")
    monkeypatch.setenv("KEPT", "kept")
    environment = worker_environment(3)
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "KEPT")
    assert [environment[name] for name in names] == ["3", "3", "3", "kept"]


def test_an_end_is_told_in_words() -> None:
    told = [ending(code) for code in (None, -signal.SIGKILL, 0, 3)]
    assert told == ["did not start", "killed by SIGKILL", "exit code 0", "exit code 3"]


def test_stopped_jobs_that_have_not_started_are_forgotten() -> None:
    executor = LocalExecutor(2, 1)
    assert executor.room() == 2
    executor.submit(JOBS[:1])
    assert executor.room() == 1
    executor.submit(JOBS[1:])
    assert executor.room() == 0
    executor.stop()
    assert (executor.poll(), executor.room()) == ([], 2)


def test_a_worker_that_cannot_be_started_has_no_exit_code_and_takes_no_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    for name in ("Worker", "Server"):
        monkeypatch.setattr(local, name, refuse)
    executor = LocalExecutor(1, 1)
    executor.submit(JOBS)
    changes = executor.poll()
    assert told(changes) == [("ended", None)] * 3
    assert all("Resource temporarily unavailable" in change.reason for change in changes)
