"""Sweeps on a real Slurm of one node. Whatever is killed, taken away or cancelled, the metrics are
those of an undisturbed sweep of local processes, byte for byte."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from grok_cli.runs.claim import read_claim
from grok_cli.runs.directory import RunDir, find_runs
from tests.executors.slurm_cluster import MAX_ARRAY_SIZE, Cluster, missing, slurm_cluster
from tests.waiting import wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
    pytest.mark.xdist_group("clusters"),  # one cluster for all, which wait while others compute
]

SMALL = (
    *("--modulus", "11", "--d-model", "16", "--set", "model.n_heads=2"),
    *("--set", "train.snapshot_every=1000"),
)
ONE_RUN = (
    *("sweep", "--seeds", "1,", "--grid", "model.ln_type=mlp-pre", "--steps", "2000", *SMALL),
    *("--set", "run.save_every=50"),
)
FIVE_RUNS = (
    *("sweep", "--seeds", "5", "--grid", "model.ln_type=pre", "--steps", "60", *SMALL),
    *("--runs-dir", "my runs"),
)
SLURM = ("--executor", "slurm", "--time", "30", "--memory", "300M")
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with slurm_cluster() as running:
        yield running


@pytest.fixture
def start(cluster: Cluster, tmp_path: Path) -> Iterator[Start]:
    """Start `grok ARGUMENTS` in a directory of its own; what still runs is killed at the end."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str, directory: str = ".") -> "subprocess.Popen[str]":
        (tmp_path / directory).mkdir(exist_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-m", "grok_cli", *arguments],
            cwd=tmp_path / directory,
            env=cluster.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()
    cluster.ask("scancel", *cluster.jobs())
    wait_for(lambda: not cluster.jobs())


def finish(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command that comes to its end."""
    out, err = process.communicate()
    return process.returncode, out, err


def rows(run: RunDir) -> int:
    return run.metrics_file.read_bytes().count(b"\n") if run.metrics_file.exists() else 0


def frozen_worker(run: RunDir, before: int, beyond: int) -> int:
    """The process that trains a run, stopped by SIGSTOP in the middle of its work.

    Args:
        before: a worker that it is not.
        beyond: rows of metrics that it has written at least.
    """

    def look() -> int | None:
        claim = read_claim(run.path / "claim.json")
        pid = int(claim["pid"]) if claim else before
        return pid if pid != before and rows(run) > beyond else None

    pid: int = wait_for(look)
    os.kill(pid, signal.SIGSTOP)
    return pid


def test_killed_worker_node_and_driver_change_no_metric(
    cluster: Cluster, start: Start, tmp_path: Path
) -> None:
    whole = start(*ONE_RUN, "--threads", "1", directory="local")

    sweep = start(*ONE_RUN, *SLURM)
    run = wait_for(lambda: next(find_runs(tmp_path / "runs"), None) or sweep.poll())
    assert isinstance(run, RunDir), finish(sweep)
    worker = frozen_worker(run, 0, beyond=100)
    os.kill(worker, signal.SIGKILL)  # the driver queues another job
    worker = frozen_worker(run, worker, beyond=130)

    cluster.ask("scontrol", "requeue", *cluster.jobs())  # what preemption does
    worker = frozen_worker(run, worker, beyond=180)

    sweep.kill()
    _, _, err = finish(sweep)
    assert "killed by SIGKILL" in err
    assert "Slurm requeued its job" in err
    (job,) = cluster.jobs()
    sweep = start(*ONE_RUN, *SLURM)  # finds the job that is queued
    assert sweep.stderr is not None
    wait_for(lambda: "running" in sweep.stderr.readline())
    assert cluster.jobs() == [job]

    cluster.ask("scancel", "--signal=USR2", job)  # what comes before the time limit
    os.kill(worker, signal.SIGCONT)
    worker = frozen_worker(run, worker, beyond=230)
    assert cluster.jobs() == [job]

    sweep.send_signal(signal.SIGINT)
    os.kill(worker, signal.SIGCONT)
    code, _, err = finish(sweep)
    assert code == 130, err
    assert "go on with the same command: grok sweep" in err
    assert cluster.jobs() == []
    assert run.summary()["status"] == "interrupted"

    code, out, err = finish(start(*ONE_RUN, *SLURM))
    assert code == 0, err
    assert out.splitlines()[-1] == "runs"
    assert whole.wait() == 0
    undisturbed = tmp_path / "local" / "runs" / run.path.name / "metrics.csv"
    assert run.metrics_file.read_bytes() == undisturbed.read_bytes()
    sessions = json.loads(run.environment_file.read_text())
    assert [session["threads"] for session in sessions] == [1] * len(sessions)
    assert len(sessions) == 5  # the killed worker's, and one after each disturbance
    assert "finished at step 2000" in run.log_file.read_text()


def test_detached_sweep_is_seen_cancelled_and_brought_to_its_end(
    cluster: Cluster, start: Start, tmp_path: Path
) -> None:
    """Three tasks of two runs, or one, each: more than an array may have."""
    packed = (*FIVE_RUNS, *SLURM, "--runs-per-job", "2")
    code, out, err = finish(start(*packed, "--detach"))
    assert (code, out) == (0, "my runs\n"), err
    assert "5 of 5 runs are queued or running" in err
    arrays = [job.partition("_")[0] for job in cluster.jobs()]
    assert len(arrays) == 3
    assert max(map(arrays.count, arrays)) <= MAX_ARRAY_SIZE

    code, out, err = finish(start(*packed, "--detach"))  # queues nothing twice
    assert "5 of 5 runs are queued or running" in err
    assert len(cluster.jobs()) == 3

    wait_for(lambda: list((tmp_path / "my runs").glob("*/resume.pt")))
    seen = json.loads(finish(start(*packed, "--status", "--json"))[1])
    assert {row["job"] for row in seen if row["state"] == "queued"} <= set(cluster.jobs())
    assert [row["steps"] for row in seen] == [60] * 5

    code, out, err = finish(start(*packed, "--cancel"))
    assert code == 0, err
    assert cluster.jobs() == []
    seen = json.loads(finish(start(*packed, "--status", "--json"))[1])
    assert {row["state"] for row in seen} <= {"finished", "interrupted", "new"}

    code, _, err = finish(start(*packed))
    assert code == 0, err
    assert finish(start(*FIVE_RUNS, "--threads", "1", directory="local"))[0] == 0
    runs = list(find_runs(tmp_path / "my runs"))
    assert len(runs) == 5
    for run in runs:
        local = tmp_path / "local" / "my runs" / run.path.name / "metrics.csv"
        assert run.metrics_file.read_bytes() == local.read_bytes()


def test_refusal_of_slurm_is_one_message(start: Start) -> None:
    code, _, err = finish(start(*FIVE_RUNS, *SLURM, "--partition", "nowhere"))
    assert code == 2
    assert "Slurm refuses the jobs" in err
    assert "invalid partition" in err
    assert "Traceback" not in err
