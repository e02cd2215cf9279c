"""Whatever is typed and whatever lies in the files: one message, a known exit code, no traceback.

Each case is drawn from its kind and number, so that one that fails can be run alone:
`pytest "tests/test_fuzz.py::test_no_case_ends_in_a_traceback[snapshot-3]"`. The suite runs a few of
each kind; `GROK_FUZZ=1000` runs that many in all, and `GROK_FUZZ_FROM=1000` others.
"""

import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from grok_cli.runs.directory import create_run
from grok_cli.runs.launch import train_run
from tests.cli.test_upload import server  # noqa: F401  (a fixture)
from tests.conftest import small_config
from tests.fuzz_cases import KINDS
from tests.typed import type_in

SECONDS = 60  # of computing, which other work on the machine makes no longer; no case takes as many
WAIT = 1800  # seconds by the clock, for a case that waits and does not compute
MEMORY = 6 << 30  # bytes that a case may take beside what is there
NUMBER = int(os.environ.get("GROK_FUZZ", "64"))
FIRST = int(os.environ.get("GROK_FUZZ_FROM", "0"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 20 steps, one that can go on, their measured values and an export."""
    root = tmp_path_factory.mktemp("fuzz")
    for name, stop in (("done", 20), ("cut", 10)):
        config = small_config(
            train__steps=20, train__snapshot_every=5, train__diagnostics={"rank": 5}
        )
        run = create_run(root / "runs" / name, config)
        steps = iter(range(1, 100))
        train_run(run, config, should_stop=lambda steps=steps, stop=stop: next(steps) == stop)  # type: ignore[misc]
    for command in (["measure", "runs/*", "-m", "margin"], ["export-csv", "runs", "--all"]):
        assert type_in(root, *command).returncode == 0
    return root


@contextlib.contextmanager
def limits() -> Iterator[None]:
    """At most so much time and memory, so that a case that takes more fails alone."""

    def late(number: int, frame: object) -> None:
        raise AssertionError(f"no end after {SECONDS} s of computing or {WAIT} s")

    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, before[1]))
    timers = {signal.SIGPROF: signal.ITIMER_PROF, signal.SIGALRM: signal.ITIMER_REAL}
    handlers = {number: signal.signal(number, late) for number in timers}
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WAIT)
    try:
        yield
    finally:
        for number, timer in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(number, handlers[number])
        resource.setrlimit(resource.RLIMIT_AS, before)


def run_case(kind: str, number: int, place: Path) -> "subprocess.CompletedProcess[str]":
    arguments = KINDS[kind](random.Random(f"{kind} {number}"), place)
    with limits():
        return type_in(place, *arguments)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
@pytest.mark.filterwarnings("default")
@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("kind", "number"),
    [(list(KINDS)[i % len(KINDS)], i // len(KINDS)) for i in range(FIRST, FIRST + NUMBER)],
    ids=lambda value: str(value),
)
def test_no_case_ends_in_a_traceback(kind: str, number: int, place: Path, tmp_path: Path) -> None:
    shutil.copytree(place, tmp_path, dirs_exist_ok=True)
    result = run_case(kind, number, tmp_path)
    shown = f"{[text[:80] for text in result.args]}\n{result.stderr[-2000:]}"
    assert result.returncode in (0, 1, 2, 130), shown
    assert "Traceback" not in result.stdout + result.stderr, shown
    assert "Warning: " not in result.stderr, shown
    assert "\x1b[2J" not in result.stdout, shown
    said = result.stderr.strip() or "Usage: " in result.stdout
    assert result.returncode == 0 or said, f"no message: {shown}"
    if "--json" in result.args and result.returncode == 0 and "--help" not in result.args:
        json.loads(result.stdout, parse_constant=pytest.fail)
    assert not [*tmp_path.rglob("*.tmp")], shown
    for figure in tmp_path.rglob("*.svg"):
        ElementTree.parse(figure)
