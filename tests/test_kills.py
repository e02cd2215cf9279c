"""Runs and sweeps that are killed at random moments end byte-equal to undisturbed ones.

The suite kills a run twice; `GROK_KILLS=100` kills that many runs and sweeps. A moment is drawn
from the time that the undisturbed one takes, and what was killed goes on until it is finished.
"""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import SMALL_FLAGS

KILLS = int(os.environ.get("GROK_KILLS", "2"))
SWEEPS = KILLS // 4  # how many of them are of sweeps
TRAIN = ["train", *SMALL_FLAGS, "--steps", "400", "--measure", "rank:50", "--name", "r", "--quiet"]
SWEEP = ["sweep", "--grid", "model.ln_type=off,pre", "--seeds", "2", "--runs-dir", "runs"]
SWEEP += [*SMALL_FLAGS, "--steps", "300", "--set", "train.save_every=30", "--jobs", "2"]
TIMES = ("seconds", "steps_per_second")


def start(place: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    place.mkdir(exist_ok=True)
    with (place / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "grok_cli", *arguments],
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def content(place: Path) -> dict[str, object]:
    """What the runs' files hold, without times: by their path below the place."""
    found: dict[str, object] = {}
    for file in sorted((place / "runs").rglob("*")):
        name = str(file.relative_to(place))
        if file.name == "summary.json":
            summary = json.loads(file.read_text())
            found[name] = {k: v for k, v in summary.items() if k not in TIMES}
        elif file.name in ("metrics.csv", "config.yaml") or file.parent.name == "snapshots":
            found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
        elif file.name.startswith("."):
            found[name] = "left behind"
    return found


def undisturbed(place: Path, arguments: list[str]) -> tuple[dict[str, object], float]:
    """What the runs' files hold in the end, and the seconds that it took."""
    began = time.monotonic()
    assert start(place, *arguments).wait() == 0, (place / "log").read_text()
    return content(place), time.monotonic() - began


def kill_and_go_on(place: Path, arguments: list[str], moment: float) -> None:
    """Start, kill after so many seconds, and go on until it is done."""
    process = start(place, *arguments)
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
    for _ in range(5):
        again = arguments
        if arguments[0] == "train" and (place / "runs/r/config.yaml").exists():
            again = ["train", "--resume", "runs/r", "--quiet"]
        if start(place, *again).wait() == 0:
            return
        time.sleep(1)  # a worker that was killed may still be ending
    raise AssertionError((place / "log").read_text())


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, object], float]:
    return undisturbed(tmp_path_factory.mktemp("run"), TRAIN)


@pytest.fixture(scope="module")
def whole_sweep(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, object], float]:
    return undisturbed(tmp_path_factory.mktemp("sweep"), SWEEP)


@pytest.mark.parametrize("number", range(KILLS - SWEEPS))
def test_killed_run_ends_byte_equal(
    number: int, whole_run: tuple[dict[str, object], float], tmp_path: Path
) -> None:
    expected, seconds = whole_run
    kill_and_go_on(tmp_path, TRAIN, random.Random(f"run {number}").random() * seconds)
    assert content(tmp_path) == expected


@pytest.mark.parametrize("number", range(SWEEPS))
def test_killed_sweep_ends_byte_equal(
    number: int, whole_sweep: tuple[dict[str, object], float], tmp_path: Path
) -> None:
    expected, seconds = whole_sweep
    kill_and_go_on(tmp_path, SWEEP, random.Random(f"sweep {number}").random() * seconds)
    assert content(tmp_path) == expected
