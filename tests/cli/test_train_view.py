"""What a terminal shows of a run that trains."""

import io
import math
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from grok_cli.cli.train import watcher
from grok_cli.cli.train_view import LiveView, LogLines, block_curve, log_range, resample
from grok_cli.runs.directory import RunDir
from tests.conftest import SMALL_FLAGS


def trainer_at(step: int, phase: str = "plateau", steps: int = 10000) -> Any:
    train = SimpleNamespace(steps=steps)
    return SimpleNamespace(
        step=step, phases=SimpleNamespace(now=phase), config=SimpleNamespace(train=train)
    )


def view(width: int, name: str = "add-off-s456") -> list[str]:
    """The lines of a live view at step 40 of 10,000, whose test loss rises from 1 to 100."""
    console = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
    live = LiveView(console, name)
    trainer = trainer_at(0)
    live.start(trainer, [])
    live.live.stop()
    for step in range(1, 41):
        loss = 10 ** (2 * step / 40)
        trainer.step = step
        live.rows([{"step": step, "train/loss": 1 / loss, "test/loss": loss, "test/accuracy": 0.5}])
    with console.capture() as captured:
        console.print(live._render())
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [30, 50, 80, 140])
def test_step_and_phase_are_there_at_every_width(width: int) -> None:
    lines = view(width)
    assert all(cell_len(line) <= width for line in lines)
    assert any("step 40 of 10000" in line and "plateau" in line for line in lines)
    for label in ("train loss", "test loss"):
        assert any(line.strip("│ ").startswith(label) for line in lines)


def test_chart_is_the_loss_on_a_scale_that_is_labelled() -> None:
    lines = [line.strip("│ ") for line in view(80)]
    top = next(i for i, line in enumerate(lines) if line.startswith("test loss"))
    assert lines[top].endswith("1e+2")  # of both curves: from 1e-2 to 1e+2
    assert lines[top + 2].endswith("1e-2")
    drawn = lines[top].removeprefix("test loss").removesuffix("1e+2").strip()
    assert drawn.endswith("█")  # the test loss ends at the top
    assert "█" not in lines[top].removeprefix("test loss")[:20]  # where it began half-way up


def test_name_is_shown_escaped() -> None:
    assert r"bad\x1b[2J[red]" in view(80, "bad\x1b[2J[red]")[0]


def test_scale_ends_at_whole_powers_of_ten() -> None:
    assert log_range([]) == (-1, 0)
    assert log_range([math.log10(0.5), math.log10(5)]) == (-1, 1)
    assert log_range([2.0]) == (2, 3)


def test_curve_has_the_last_value_known_at_each_column() -> None:
    assert resample([(1, 0.5), (6, 1.0)], 10, 5) == [0.5, 0.5, 1.0, 1.0, 1.0]
    assert block_curve([0.0, 0.5, 1.0], rows=2) == "  █\n ██"


@pytest.mark.parametrize(("term", "shown"), [("xterm", LiveView), ("dumb", LogLines)])
def test_dumb_terminal_gets_log_lines(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, term: str, shown: type
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("FORCE_COLOR", "1")  # makes Rich take stderr for a terminal
    assert type(watcher(RunDir(tmp_path), quiet=False)) is shown


def test_terminal_that_goes_leaves_a_run_that_goes_on(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "grok_cli", "train", *SMALL_FLAGS, "--steps", "100000"]
    command += ["--name", "r", "--set", "train.snapshot_every=100000"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # under nohup, too
    ) as grok:
        os.close(theirs)
        run = RunDir(tmp_path / "runs" / "r")
        while not run.metrics_file.exists():
            os.read(ours, 1000)
        os.close(ours)
        grok.send_signal(signal.SIGHUP)
    assert grok.returncode in (1, 130)
    assert run.recorded_summary()["status"] == "interrupted"
    assert run.resume_file.exists()
