"""What runs in a Ray cluster, without Ray: a worker process that is asked for news."""

import os
from pathlib import Path

import pytest

from grok_cli.executors.base import Job
from grok_cli.executors.ray.actor import News, WorkerActor, new_home
from grok_cli.executors.ray.mirror import Stamps, seed_files, write_parcel
from grok_cli.runs.claim import process_started
from grok_cli.runs.directory import RunDir, create_run
from tests.conftest import small_config
from tests.waiting import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where copies are trained."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def followed(
    worker: WorkerActor, run: RunDir, seen: Stamps, stop_at_step: int | None = None
) -> int:
    """The exit code of a worker, whose files and log are brought to a run's directory."""
    last: list[News] = []
    log = b""

    def ended() -> bool:
        nonlocal log, seen
        step = run.recorded_summary().get("step", 0)
        news = worker.news(seen, len(log), stop_at_step is not None and step >= stop_at_step)
        assert news.parcel is not None
        log += news.log
        seen = seen | write_parcel(run.path, news.parcel)
        last.append(news)
        return news.last()

    wait_for(ended)
    run.log_file.write_bytes(log)
    assert last[-1].exit_code is not None
    return last[-1].exit_code


def test_copy_is_trained_brought_back_and_removed(tmp_path: Path, scratch: Path) -> None:
    run = create_run(tmp_path / "run", small_config())
    worker = WorkerActor()
    seen = worker.start(Job(run), 1, seed_files(run.path))
    assert followed(worker, run, seen) == 0
    assert run.summary()["status"] == "finished"
    assert len(run.metrics_file.read_text().splitlines()) == 61
    assert "finished at step 60" in run.log_file.read_text()
    assert list(scratch.glob("*/*/run/config.yaml"))
    worker.clean()
    assert not list(scratch.glob("*/*"))


def test_worker_that_is_to_stop_saves(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", small_config(train__steps=100_000))
    worker = WorkerActor()
    seen = worker.start(Job(run), 1, seed_files(run.path))
    assert followed(worker, run, seen, stop_at_step=20) == 130
    assert run.summary()["status"] == "interrupted"
    assert run.resume_file.exists()
    worker.clean()


def test_directory_that_is_not_shared_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"is not there on .* --storage driver"):
        WorkerActor().start(Job(RunDir(tmp_path / "elsewhere")), 1, None)


def test_copies_of_dead_processes_are_removed(tmp_path: Path) -> None:
    alive = tmp_path / f"{os.getppid()}-{process_started(os.getppid())}"
    names = (alive.name, f"{os.getppid()}-another", f"{2**22 + 1}-5", "stray")
    for name in names:
        (tmp_path / name / "run").mkdir(parents=True)
    home = new_home(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {alive.name, home.name}
