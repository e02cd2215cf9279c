"""`grok watch` as a process of its own: how it ends, and what it leaves."""

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.written_runs import make_run

ENDS = {signal.SIGINT: 130, signal.SIGTERM: -signal.SIGTERM, signal.SIGHUP: -signal.SIGHUP}


def files(directory: Path) -> dict[str, tuple[int, bytes]]:
    """Every file there, with when it was changed and what it holds."""
    found = (path for path in directory.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in found}


@pytest.mark.slow
def test_every_signal_ends_it_without_a_word_and_no_run_is_touched(tmp_path: Path) -> None:
    rows = {"step": [10, 20], "test/accuracy": [0.1, 0.2]}
    make_run(tmp_path / "runs", dict(rows), "running")
    before = files(tmp_path)
    usual = {number: signal.signal(number, signal.SIG_DFL) for number in ENDS}  # under nohup, too
    try:
        watching = {
            number: subprocess.Popen(
                [sys.executable, "-m", "grok_cli", "watch", "runs"],
                cwd=tmp_path,
                env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for number in ENDS
        }
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
    for number, process in watching.items():
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert process.stderr is not None
        assert "Ctrl-C ends it" in process.stderr.readline()
        with urllib.request.urlopen(address, timeout=120) as answer:
            assert answer.read().startswith(b"<!DOCTYPE html>")
        process.send_signal(number)
        assert process.wait(120) == ENDS[number]
        assert process.communicate() == ("", "")
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(address, timeout=120)
    assert files(tmp_path) == before
