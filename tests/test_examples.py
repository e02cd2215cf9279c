"""The examples are run as they stand: what they print and leave behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(*command: str, cwd: Path) -> str:
    """What an example prints; its package is this one, its `grok` that of this Python."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {
        "PATH": path,
        "PYTHONPATH": str(EXAMPLES.parent),
        "TMPDIR": str(cwd),
        "PYTHONWARNINGS": "error::DeprecationWarning:grok_cli",
        "MPLBACKEND": "Agg",
        "STEPS": "150",  # of the walkthrough's runs
    }
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_library_example_trains_measures_and_plots(tmp_path: Path) -> None:
    printed = run(sys.executable, str(EXAMPLES / "library.py"), cwd=tmp_path)
    assert len(printed.splitlines()) >= 4
    assert (tmp_path / "library.png").read_bytes().startswith(b"\x89PNG")


def test_walkthrough_leads_to_a_report_and_a_table_that_the_analysis_reads(tmp_path: Path) -> None:
    printed = run("bash", str(EXAMPLES / "walkthrough.sh"), cwd=tmp_path)
    folder = Path(printed.splitlines()[-1].removeprefix("everything is in "))
    assert (folder / "generalisation.pdf").read_bytes().startswith(b"%PDF")
    assert "<html" in (folder / "runs/small/report.html").read_text(encoding="utf-8")
    table = folder / "tables/long.csv"
    analysed = run(sys.executable, str(EXAMPLES / "analysis.py"), str(table), cwd=tmp_path)
    assert "mlp-pre" in analysed
    assert "highest" in analysed
