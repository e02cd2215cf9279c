"""Diagnostics of runs after they were trained, from their snapshots."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grok_cli.core.config import Config
from grok_cli.core.model import Transformer
from grok_cli.diagnostics.inside import Inside, key_planes, look
from grok_cli.diagnostics.registry import DIAGNOSTICS
from grok_cli.diagnostics.subject import NoInitialModelError, Subject
from grok_cli.errors import GrokError, UsageError
from grok_cli.runs.checkpoints import Snapshot, load_snapshot
from grok_cli.runs.directory import RunDir, changed_settings, run_of_snapshot
from grok_cli.runs.measured import add_measured
from grok_cli.runs.tensor_files import CheckpointError


@dataclass(frozen=True)
class Measurement:
    """What diagnostics say of one snapshot.

    Attributes:
        run: its run; None if the file stands alone.
        values: {metric: value}; nan where the snapshot's weights are not finite.
    """

    snapshot: Snapshot
    run: RunDir | None
    values: dict[str, float]

    @property
    def place(self) -> Path:
        """The run's directory, or the file itself if it stands alone."""
        return self.run.path if self.run else self.snapshot.path

    @property
    def name(self) -> str:
        """That of the run, or of the file if it stands alone."""
        return self.place.resolve().name

    def record(self) -> dict[str, Any]:
        """Snapshot, step and values under the metrics' names."""
        return {"snapshot": str(self.snapshot.path), "step": self.snapshot.step, **self.values}


def measure_snapshots(
    files: Iterable[Path], names: Sequence[str], damaged: list[str] | None = None
) -> Iterator[Measurement]:
    """Compute diagnostics from each snapshot in turn, and add them to the run's measured.csv.

    Args:
        files: snapshots; those of one run one after the other.
        names: of the diagnostics, see `grok_cli.diagnostics.registry`.
        damaged: see `subjects`.

    Raises:
        UnknownDiagnosticError: there is no diagnostic of that name.
        UsageError: a diagnostic needs the model at step 0, which is not there.
        CheckpointError: a snapshot cannot be read.
        OSError: measured.csv cannot be written.
    """
    DIAGNOSTICS.check(names)
    for snapshot, run, subject in subjects(files, damaged):
        values = _values(subject, snapshot.path, names)
        if run is not None:
            add_measured(run.measured_file, {snapshot.step: values})
        yield Measurement(snapshot, run, values)


def subjects(
    files: Iterable[Path], damaged: list[str] | None = None
) -> Iterator[tuple[Snapshot, RunDir | None, Subject]]:
    """What diagnostics look at, of each snapshot in turn; what is computed of a run's first
    model is kept until the next run begins.

    Args:
        damaged: takes what is wrong with snapshots that cannot be read; None: the first one ends
            in a CheckpointError.
    """
    reference: dict[str, object] = {}
    initial: Transformer | None = None
    run: RunDir | None = None
    config: Config | None = None
    for file in files:
        place = run_of_snapshot(file)
        try:
            snapshot = load_snapshot(file)
            if run is None or place is None or place.path != run.path:
                initial = _initial_model(place)
                run, reference, config = place, {}, place.config() if place else None
            _check_owner(snapshot, config)
        except GrokError as error:
            if damaged is None:
                raise
            if str(error) not in damaged:
                damaged.append(str(error))
            continue
        yield snapshot, run, subject_of(snapshot, initial, reference)


def _check_owner(snapshot: Snapshot, config: Config | None) -> None:
    """Raise CheckpointError if a snapshot in a run's directory is of other settings than the run.

    A branch holds snapshots of its parent, too, and is not looked at.
    """
    if config is None or config.branch.parent is not None:
        return
    if changed := changed_settings(snapshot.config, config):
        raise CheckpointError(
            f"{snapshot.path}: a snapshot of other settings than the run's config.yaml has: "
            f"{'; '.join(changed)}; put the right file there, or measure it elsewhere"
        )


def insides(
    files: Sequence[Path], keys: Sequence[int] | None = None
) -> Iterator[tuple[Snapshot, Inside]]:
    """Each snapshot of one run, looked into; those whose weights are not finite are left out.

    Args:
        keys: frequencies whose planes are shown in all of them; None: `last_frequencies`.

    Raises:
        CheckpointError: a snapshot cannot be read.
    """
    keys = last_frequencies(files) if keys is None else keys
    for snapshot, _, subject in subjects(files):
        if subject.is_finite:
            yield snapshot, look(subject, keys)


def last_frequencies(files: Sequence[Path]) -> tuple[int, ...] | None:
    """The key frequencies of the last snapshot with finite weights; None if there is none.

    Raises:
        CheckpointError: a snapshot cannot be read.
    """
    for file in reversed(files):
        subject = subject_of(load_snapshot(file))
        if subject.is_finite:
            return key_planes(subject.model.embed[: subject.dataset.p].detach().double())
    return None


def subject_of(
    snapshot: Snapshot,
    initial: Transformer | None = None,
    reference: dict[str, object] | None = None,
) -> Subject:
    """What diagnostics look at, from a snapshot; `Subject` explains the arguments."""
    dataset = snapshot.dataset()
    return Subject(snapshot.model(dataset.vocab), dataset, initial, reference)


def subject_at(path: Path) -> tuple[Snapshot, Subject]:
    """A snapshot, or the last one of a run, and what diagnostics look at there.

    Raises:
        UsageError: there is no snapshot.
        GrokError: the snapshot cannot be read, or its weights are not finite.
    """
    if path.is_dir():
        snapshots = RunDir(path).snapshots()
        if not snapshots:
            raise UsageError(f"{path}: no snapshot there; `grok runs` lists runs")
        path = snapshots[-1]
    if not path.exists():
        raise UsageError(f"{path}: no such file; expected a snapshot or a run's directory")
    snapshot = load_snapshot(path)
    subject = subject_of(snapshot)
    if not subject.is_finite:
        raise GrokError(f"{path}: the run diverged, weights are not finite; take an earlier one")
    return snapshot, subject


def _values(subject: Subject, file: Path, names: Iterable[str]) -> dict[str, float]:
    values: dict[str, float] = {}
    for name in names:
        diagnostic = DIAGNOSTICS[name]
        if not subject.is_finite:
            values |= dict.fromkeys(diagnostic.columns(subject.config), math.nan)
            continue
        try:
            values |= diagnostic.measure(subject)
        except NoInitialModelError as error:
            raise UsageError(f"{file}: {error}") from None
    return values


def _initial_model(run: RunDir | None) -> Transformer | None:
    """The run's model at step 0; None if it is not there."""
    if run is None or not run.snapshot_file(0).exists():
        return None
    return load_snapshot(run.snapshot_file(0)).model()
