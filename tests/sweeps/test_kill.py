"""Whatever is killed, the same command again ends with the metrics of an undisturbed sweep."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from grok_cli.runs.claim import read_claim
from grok_cli.runs.directory import RunDir, find_runs
from tests.conftest import SMALL_FLAGS
from tests.typed import Grok
from tests.waiting import PATIENCE, wait_for

pytestmark = pytest.mark.slow

STEPS = 600
SWEEP = (
    *("sweep", "--seeds", "1,", "--grid", "model.ln_type=mlp-pre", "--steps", str(STEPS)),
    *(
        "--modulus",
        "11",
        "--d-model",
        "16",
        "--set",
        "model.n_heads=2",
        "--threads",
        "1",
        "--no-reuse",
    ),
    *("--set", "run.save_every=50", "--set", "train.snapshot_every=1000"),
)
FLAGS = [flag for flag in SMALL_FLAGS if "threads" not in flag]


def start(directory: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "grok_cli", *SWEEP, "--runs-dir", str(directory)]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def worker(run: RunDir) -> int | None:
    """The process that trains this run, if it has come past its first saved states."""
    claim = read_claim(run.path / "claim.json")
    return int(claim["pid"]) if claim and rows(run) > 100 else None


def rows(run: RunDir) -> int:
    return run.metrics_file.read_bytes().count(b"\n") if run.metrics_file.exists() else 0


def test_killed_workers_and_sweeps_change_no_metric(tmp_path: Path) -> None:
    undisturbed = start(tmp_path / "whole")

    # A worker is killed, and the sweep starts another. Then the sweep is killed, and its worker
    # notices, saves and stops.
    sweep = start(tmp_path / "torn")
    run = wait_for(lambda: next(find_runs(tmp_path / "torn"), None))
    victim = wait_for(lambda: worker(run))
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: worker(run) not in (None, victim))
    sweep.kill()
    assert "killed by SIGKILL" in sweep.communicate()[1]
    wait_for(lambda: read_claim(run.path / "claim.json") is None)
    assert run.summary()["status"] == "interrupted"
    assert run.summary()["step"] < STEPS

    # The same command, interrupted politely, and then left alone.
    sweep = start(tmp_path / "torn")
    wait_for(lambda: run.summary()["status"] == "running")
    sweep.send_signal(signal.SIGINT)
    _, err = sweep.communicate()
    assert sweep.returncode == 130, err
    assert "go on with the same command: grok sweep" in err
    assert run.summary()["status"] == "interrupted"
    sweep = start(tmp_path / "torn")
    out, err = sweep.communicate()
    assert sweep.returncode == 0, err
    assert out.splitlines()[-1] == str(tmp_path / "torn")

    assert undisturbed.wait(PATIENCE) == 0
    undisturbed.communicate()
    whole = tmp_path / "whole" / run.path.name / "metrics.csv"
    assert run.metrics_file.read_bytes() == whole.read_bytes()
    assert rows(run) == STEPS + 1
    sessions = json.loads(run.environment_file.read_text())
    assert [session["threads"] for session in sessions] == [1] * len(sessions)
    assert len(sessions) >= 3


def test_last_run_left_gets_the_threads_of_the_others(typed: Grok, tmp_path: Path) -> None:
    """Another number of threads would give other last digits than the undisturbed sweep's."""
    command = ["sweep", "--grid=model.ln_type=off,pre", "--seeds=1", *FLAGS]
    assert typed(*command).returncode == 0
    first, second = (RunDir(path.parent) for path in sorted(tmp_path.rglob("config.yaml")))
    undisturbed = second.metrics_file.read_bytes()
    shutil.rmtree(second.path)
    assert typed(*command).returncode == 0
    threads = [
        json.loads(run.environment_file.read_text())[0]["threads"] for run in (first, second)
    ]
    assert threads[0] == threads[1]
    assert second.metrics_file.read_bytes() == undisturbed
