"""Measures that a sweep asks for and that a run lacks: computed from the run's snapshots.

A run may have been trained for another sweep, which measured less, or before this one asked for
more. Measuring never changes training, so the run need not be trained again.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from grok_cli.diagnostics.columns import present_column
from grok_cli.diagnostics.registry import DIAGNOSTICS
from grok_cli.errors import GrokError, cause
from grok_cli.runs.directory import RunDir, snapshot_step
from grok_cli.runs.files import read_header
from grok_cli.runs.measured import read_measured
from grok_cli.sweeps.plan import PlannedRun
from grok_cli.sweeps.states import Entry


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
    trained_with = set(map(present_column, read_header(run.metrics_file)))
    measured = read_measured(run.measured_file)
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


def missing_measures(entries: Iterable[Entry]) -> list[Lack]:
    """What the finished runs lack of what the sweep measures."""
    return [lack for entry in entries if entry.state == "finished" for lack in lacks(entry.planned)]


def measure_missing(
    lacking: Sequence[Lack],
    say: Callable[[str], None] = lambda text: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[str]:
    """Compute what runs lack, and keep the values in their measured.csv; returns what could not
    be, a message each."""
    if not lacking:
        return []
    from grok_cli.runs.measuring import measure_snapshots  # which takes a second to import

    problems = []
    for number, lack in enumerate(lacking, 1):
        if should_stop():
            break
        say(f"[{number}/{len(lacking)}] measuring {lack.diagnostic}: {lack.run.path}")
        try:
            for _ in measure_snapshots(lack.files, [lack.diagnostic]):
                if should_stop():
                    break
        except GrokError as error:
            problems.append(f"{lack.diagnostic} of {lack.run.path}: {error}")
        except OSError as error:
            problems.append(f"cannot write {lack.run.measured_file}: {cause(error)}")
    return problems


def _due(files: list[Path], every: int) -> list[Path]:
    """The snapshots of the steps at which training would have measured, else all."""
    steps = {file: snapshot_step(file) for file in files}
    due = [file for file, step in steps.items() if step == 1 or (step and step % every == 0)]
    return due or files
