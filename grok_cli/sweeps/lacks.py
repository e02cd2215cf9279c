"""Measures that a sweep asks for and that a run lacks: computed from the run's snapshots.

A run may have been trained for another sweep, which measured less, or before this one asked for
more. Measuring never changes training, so the run need not be trained again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from grok_cli.diagnostics.columns import present_column
from grok_cli.diagnostics.registry import DIAGNOSTICS
from grok_cli.runs.directory import RunDir, snapshot_step
from grok_cli.runs.measured import read_measured
from grok_cli.sweeps.plan import PlannedRun


@dataclass(frozen=True)
class Lack:
    """A diagnostic that is to be computed from some snapshots of a run."""

    run: RunDir
    diagnostic: str
    files: tuple[Path, ...]


def lacks(planned: PlannedRun) -> list[Lack]:
    """What a run that is done lacks of what the sweep measures.

    Raises:
        GrokError: its measured.csv is damaged.
    """
    run, config = planned.taken_from or planned.run, planned.config
    wanted = config.measure.diagnostics
    if not wanted:
        return []
    trained_with, measured = _columns(run), read_measured(run.measured_file)
    found = []
    for name, every in wanted.items():
        columns = set(DIAGNOSTICS[name].columns(config.model))
        if columns <= trained_with:
            continue
        files = tuple(
            file
            for file in _due(run.snapshots(), every)
            if not columns <= measured.get(snapshot_step(file), {}).keys()
        )
        if files:
            found.append(Lack(run, name, files))
    return found


def measure_lack(lack: Lack, should_stop: Callable[[], bool] = lambda: False) -> None:
    """Compute it, and keep the values in the run's measured.csv.

    Raises:
        GrokError: a snapshot cannot be read, or the diagnostic not be computed.
        OSError: measured.csv cannot be written.
    """
    from grok_cli.runs.measuring import measure_snapshots

    for _ in measure_snapshots(lack.files, [lack.diagnostic]):
        if should_stop():
            return


def _columns(run: RunDir) -> set[str]:
    """The columns of metrics.csv; none if it is not there."""
    try:
        with run.metrics_file.open() as file:
            return {present_column(name) for name in file.readline().rstrip("\n").split(",")}
    except OSError:
        return set()


def _due(files: list[Path], every: int) -> list[Path]:
    """The snapshots of the steps at which training would have measured, else all."""
    steps = {file: snapshot_step(file) for file in files}
    due = [file for file, step in steps.items() if step == 1 or (step and step % every == 0)]
    return due or files
