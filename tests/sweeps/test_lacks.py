"""What a sweep measures of runs that are done: what they lack, and what is said if it cannot be."""

import errno
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from grok_cli.diagnostics.registry import DIAGNOSTICS
from grok_cli.runs import measuring
from grok_cli.runs.directory import snapshot_step
from grok_cli.runs.measured import add_measured
from grok_cli.sweeps.lacks import lacks, measure_missing
from grok_cli.sweeps.plan import PlannedRun, plan_runs
from grok_cli.sweeps.spec import Spec
from tests.sweeps.test_reuse import done
from tests.typed import Grok


def finished(directory: Path, *steps: int, **every: int) -> PlannedRun:
    """A finished run with snapshots of these steps, in name only, and what is to be measured."""
    spec = Spec(grid={"model.ln_type": ["off"]}, seeds=[1])
    (run,) = plan_runs(spec, {"measure.diagnostics": every}, None, directory)
    done(run)
    run.run.snapshots_dir.mkdir()
    for step in steps:
        run.run.snapshot_file(step).write_bytes(b"no snapshot")
    return run


def test_a_step_that_one_diagnostic_has_measured_is_lacked_by_another(tmp_path: Path) -> None:
    run = finished(tmp_path, 0, 1, 20, 30, 40, rank=20, margin=20)
    columns = DIAGNOSTICS["rank"].columns(run.config.model)
    add_measured(run.run.measured_file, {20: dict.fromkeys(columns, 1.0), 40: {columns[0]: 1.0}})
    found = {lack.diagnostic: [snapshot_step(file) for file in lack.files] for lack in lacks(run)}
    assert found == {"rank": [1, 40], "margin": [1, 20, 40]}


def test_where_no_snapshot_is_of_a_step_that_is_due_all_are_measured(tmp_path: Path) -> None:
    (lack,) = lacks(finished(tmp_path, 0, 7, 30, rank=20))
    assert [snapshot_step(file) for file in lack.files] == [0, 7, 30]


def test_what_is_measured_is_said_and_stops_when_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking, asked, said = lacks(finished(tmp_path, 20, 40, rank=20, margin=20)), [], []
    place = lacking[0].run.path

    def measure(files: Sequence[Path], names: Sequence[str]) -> Iterator[None]:
        for file in files:
            asked.append((snapshot_step(file), *names))
            yield None
        if names == ["margin"]:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(measuring, "measure_snapshots", measure)
    file = lacking[0].run.measured_file
    assert measure_missing(lacking, said.append) == [
        f"cannot write {file}: No space left on device"
    ]
    assert asked == [(20, "rank"), (40, "rank"), (20, "margin"), (40, "margin")]
    assert said == [
        f"[{n}/2] measuring {name}: {place}" for n, name in ((1, "rank"), (2, "margin"))
    ]
    asked.clear()
    assert measure_missing(lacking, should_stop=lambda: len(asked) > 0) == []
    assert asked == [(20, "rank")]


def test_what_was_measured_while_training_is_not_lacked(tmp_path: Path) -> None:
    run = finished(tmp_path, 20, rank=20, margin=20)
    columns = DIAGNOSTICS["rank"].columns(run.config.model)
    run.run.metrics_file.write_text(",".join(["step", *columns]) + "\n")
    assert [lack.diagnostic for lack in lacks(run)] == ["margin"]


def test_what_cannot_be_measured_is_said_and_makes_the_sweep_fail(
    typed: Grok, tmp_path: Path
) -> None:
    run = finished(tmp_path / "runs", 20)
    sweep = ["sweep", "--grid=model.ln_type=off", "--seeds=1,", "--runs-dir=runs"]
    whole = typed(*sweep)
    assert (whole.returncode, "not measured" in whole.stderr) == (0, False)
    result = typed(*sweep, "--measure=rank:20")
    assert "not measured: " in result.stderr
    assert run.name in result.stderr
    assert result.returncode == 1


def test_where_nothing_is_missing_nothing_heavy_is_imported() -> None:
    """The same sweep typed again, when all is done, takes a second less."""
    code = (
        "import sys; from grok_cli.sweeps.lacks import measure_missing; "
        "sys.exit(measure_missing([]) != [] or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
