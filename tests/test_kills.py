"""Runs, sweeps and branches that are killed at random moments end byte-equal to undisturbed ones.

The suite kills two runs and a branch; `GROK_KILLS=100` kills that many, every third of them a
sweep, and 25 branches. What is killed, by which signal, after how many rows (or, one in four, after
how many seconds), and whether a file is just being written then, is drawn from the number; what was
killed goes on until it is finished.
"""

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from grok_cli.runs.claim import read_claim
from tests.conftest import SMALL_FLAGS

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("GROK_KILLS", "2"))
SWEEPS = KILLS // 3
TRAIN = [
    "train",
    *SMALL_FLAGS,
    "--set=train.steps=400",
    "--set=run.kernels=numba",
    "--measure",
    "rank:50",
    "--name",
    "r",
    "--quiet",
]
SWEEP = ["sweep", "--grid", "model.ln_type=off,pre", "--seeds", "2", "--runs-dir", "runs"]
SWEEP += [*SMALL_FLAGS, "--set=train.steps=200", "--jobs", "2"]
BRANCH = ["branch", "runs/parent", "--at", "130", "--weight-decay", "0", "--name", "r", "--quiet"]
BRANCHES = max(1, KILLS // 4)
TIMES = ("seconds", "steps_per_second")
WRITING = 2.0  # seconds of waiting for a file that is being written
ENDS = (0, 1, 130, -signal.SIGKILL, -signal.SIGTERM)


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


@dataclass(frozen=True)
class Undisturbed:
    """What a command that nothing disturbed leaves.

    Attributes:
        content: of the runs' files.
        rows: of their metrics.csv.
        seconds: that it took.
    """

    content: dict[str, object]
    rows: int
    seconds: float


def undisturbed(place: Path, arguments: list[str]) -> Undisturbed:
    began = time.monotonic()
    assert start(place, *arguments).wait() == 0, (place / "log").read_text()
    return Undisturbed(content(place), rows(place), time.monotonic() - began)


def rows(place: Path) -> int:
    """How many lines there are in every metrics.csv together."""
    return sum(file.read_bytes().count(b"\n") for file in place.glob("runs/*/metrics.csv"))


def disturb(place: Path, arguments: list[str], rng: random.Random, whole: Undisturbed) -> None:
    """Start, and kill the process or one that trains a run for it."""
    number, while_writing = rng.choice([signal.SIGKILL, signal.SIGTERM]), rng.random() < 0.5
    by_clock, share, before = rng.random() < 0.25, rng.random(), rows(place)
    process, began = start(place, *arguments), time.monotonic()

    def came() -> bool:
        if by_clock:  # also while it starts, and before it ends
            return time.monotonic() - began > share * whole.seconds
        return rows(place) > before + share * (whole.rows - before)

    while process.poll() is None and not came():
        time.sleep(0.002)
    if process.poll() is None:
        end = time.monotonic() + WRITING * while_writing
        while time.monotonic() < end and not list(place.glob("runs/*/.*.tmp")):
            time.sleep(0.001)
        claims = map(read_claim, place.glob("runs/*/claim.json"))
        pids = {process.pid, *(int(claim["pid"]) for claim in claims if claim)}
        with contextlib.suppress(ProcessLookupError):
            os.kill(rng.choice(sorted(pids)), number)
    assert process.wait() in ENDS, (place / "log").read_text()


def go_on(place: Path, arguments: list[str]) -> None:
    """The same again, until it is done."""
    for _ in range(5):
        if arguments[0] != "sweep" and (place / "runs/r/config.yaml").exists():
            arguments = ["train", "--resume", "runs/r", "--quiet"]
        if start(place, *arguments).wait() == 0:
            return
        time.sleep(1)  # a worker that was killed may still be ending
    raise AssertionError((place / "log").read_text())


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return undisturbed(tmp_path_factory.mktemp("run"), TRAIN)


@pytest.fixture(scope="module")
def whole_sweep(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return undisturbed(tmp_path_factory.mktemp("sweep"), SWEEP)


@pytest.mark.parametrize("number", range(KILLS - SWEEPS))
def test_killed_run_ends_byte_equal(number: int, whole_run: Undisturbed, tmp_path: Path) -> None:
    disturb(tmp_path, TRAIN, random.Random(f"run{number}"), whole_run)
    go_on(tmp_path, TRAIN)
    assert content(tmp_path) == whole_run.content
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize("number", range(SWEEPS))
def test_killed_sweep_ends_byte_equal(
    number: int, whole_sweep: Undisturbed, tmp_path: Path
) -> None:
    disturb(tmp_path, SWEEP, random.Random(f"sweep{number}"), whole_sweep)
    go_on(tmp_path, SWEEP)
    assert content(tmp_path) == whole_sweep.content
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.fixture(scope="module")
def whole_branch(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, Undisturbed]:
    """A parent, and what the files hold once it has a branch."""
    place = tmp_path_factory.mktemp("branch")
    parent = [word if word != "r" else "parent" for word in TRAIN]
    assert start(place, *parent).wait() == 0, (place / "log").read_text()
    shutil.copytree(place / "runs", place / "before")
    return place / "before", undisturbed(place, BRANCH)


@pytest.mark.parametrize("number", range(BRANCHES))
def test_killed_branch_ends_byte_equal_and_leaves_its_parent_alone(
    number: int, whole_branch: tuple[Path, Undisturbed], tmp_path: Path
) -> None:
    before, whole = whole_branch
    shutil.copytree(before, tmp_path / "runs")
    disturb(tmp_path, BRANCH, random.Random(f"branch{number}"), whole)
    go_on(tmp_path, BRANCH)
    assert content(tmp_path) == whole.content
    assert "Traceback" not in (tmp_path / "log").read_text()
