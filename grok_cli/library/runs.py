"""Several runs on this disk, and whatever a path leads to."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from grok_cli.errors import UsageError, warn
from grok_cli.library.run import Run
from grok_cli.results import Results
from grok_cli.results.table import Include
from grok_cli.runs.directory import RunDir, find_runs, paths_of

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, repr=False)
class Runs(Sequence[Run]):
    """Several runs: those of a sweep, of a directory, or of a glob. A sequence.

    Attributes:
        runs: in the sweep's order, else by path.

    Examples:
        >>> runs = grok.load("runs")
        >>> runs
        1 runs: 1 finished
        >>> [run.config.model.ln_type for run in runs]
        ['off']
    """

    runs: tuple[Run, ...]

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> "Runs": ...
    def __getitem__(self, index: int | slice) -> "Run | Runs":
        return Runs(self.runs[index]) if isinstance(index, slice) else self.runs[index]

    def __len__(self) -> int:
        return len(self.runs)

    def __repr__(self) -> str:
        counts = Counter(run.summary["status"] for run in self.runs)
        return f"{len(self)} runs: {', '.join(f'{n} {status}' for status, n in counts.items())}"

    def results(
        self,
        metrics: str | Sequence[str] | None = None,
        *,
        group_by: str | Sequence[str] = (),
        include: Include = "finished",
    ) -> "pl.DataFrame":
        """What was measured in all runs, as one tidy table.

        Args:
            metrics: those wanted; None: all.
            group_by: settings that name a group; none given: all that differ, seeds left out.
            include: "finished", or "all": also runs that diverged or are not finished.

        Returns:
            A row a value. Columns "group" (String, for people: "pre, weight decay 0.5"), "run"
            (String), "seed" (Int64), "step" (Int64), "metric" (String), "value" (Float64).

        Raises:
            UsageError: there is no such setting. A file that is damaged is a `GrokWarning`.

        Examples:
            >>> grok.load("runs").results("train/loss").columns
            ['group', 'run', 'seed', 'step', 'metric', 'value']
        """
        import polars as pl

        results = results_of(self, group_by, include)
        labels = pl.Series("group", [group.label for group in results.groups], dtype=pl.String)
        table = results.frame([metrics] if isinstance(metrics, str) else metrics)
        return table.with_columns(labels.gather(table["group"]))


Measured = Run | Runs | Results | str | os.PathLike[str] | Iterable[Run]


def results_of(
    source: Measured, group_by: str | Sequence[str] = (), include: Include = "finished"
) -> Results:
    """What was measured in runs; a single one counts as it is, finished or not.

    Raises:
        UsageError: no run there, or no such setting to group by.
    """
    if isinstance(source, Results):
        return source
    if isinstance(source, (str, os.PathLike)):
        source = load(source)
    if isinstance(source, Run):
        source, include = [source], "all"
    runs = list(source) if isinstance(source, Iterable) else [source]
    if not all(isinstance(run, Run) for run in runs):
        raise UsageError(f"expected a run, runs, or where they lie, found {source!r:.60}")
    keys = [group_by] if isinstance(group_by, str) else list(group_by)
    paths = [run.path for run in runs if isinstance(run, Run)]
    results = Results.from_disk(paths, keys or None, include=include)
    for problem in results.problems:
        warn(problem)
    return results


def load(path: str | os.PathLike[str]) -> Any:
    """A run, a snapshot, or several runs, from where they lie on this disk.

    Args:
        path: a run's directory gives a `Run`, a snapshot's file (snapshots/step_000800.pt) a
            `Snapshot`, a directory of runs or a glob gives `Runs`. A program that is checked by
            types says which it expects: `run: grok.Run = grok.load(path)`.

    Raises:
        UsageError: there is none of them.
        GrokError: the snapshot cannot be read.

    Examples:
        >>> grok.load("runs/add-off-*")[0].summary["status"]
        'finished'
    """
    from grok_cli.runs.checkpoints import load_snapshot

    place = Path(path)
    if place.is_file():
        return load_snapshot(place)
    if RunDir(place).exists():
        return Run(place)
    found = dict.fromkeys(run.path for root in paths_of(place) for run in find_runs(root))
    if not found:
        raise UsageError(
            f"{path}: no run there; expected a run's directory, a snapshot, a directory of runs or "
            "a glob (`grok runs DIR` lists runs)"
        )
    return Runs(tuple(map(Run, found)))
