"""Runs in directories on this disk, each file read once."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grok_cli.errors import GrokError, UsageError
from grok_cli.results.run import STEP, Run, Source, Tables
from grok_cli.runs.directory import RunDir, find_runs
from grok_cli.runs.settings import flat_settings

if TYPE_CHECKING:
    import polars as pl

KEPT_BYTES = 128 * 2**20  # of metrics in memory; what goes beyond is read again when needed


def find(
    directories: Iterable[Path], problems: list[str], with_metrics: Callable[[Run], bool]
) -> list[Run]:
    """The runs at or below directories, each once; damaged ones go to `problems`.

    Args:
        with_metrics: whether the metrics of a run will be asked for; no others are read.

    Raises:
        UsageError: there is no such directory, or it holds no run.
    """
    found: dict[Path, Run] = {}
    memory = Memory(KEPT_BYTES)
    for root in directories:
        if not root.is_dir():
            raise UsageError(f"{root}: no such directory; expected runs of `grok train`")
        directories_of_runs = list(find_runs(root))
        if not directories_of_runs:
            raise UsageError(f"{root} holds no runs; make some with `grok sweep` or `grok train`")
        for place in directories_of_runs:
            try:
                run = _describe(place, root)
                run = replace(run, source=_source(place, memory)) if with_metrics(run) else run
            except GrokError as error:
                problems.append(str(error))
            else:
                found[place.path.resolve()] = run
    return _distinct(found)


def _describe(place: RunDir, root: Path) -> Run:
    name = place.path.name if place.path == root else str(place.path.relative_to(root))
    return Run(name, flat_settings(place.config()), place.summary(), place.path)


def _distinct(by_path: Mapping[Path, Run]) -> list[Run]:
    """Runs of one name are named by their paths."""
    count = Counter(run.name for run in by_path.values())
    return [
        replace(run, name=str(run.path)) if count[run.name] > 1 else run for run in by_path.values()
    ]


class Memory:
    """How much of the metrics is kept in memory, all runs together."""

    def __init__(self, limit: int) -> None:
        self.left = limit
        self._steps: dict[int, pl.Series] = {}

    def has_room(self, size: int) -> bool:
        """Take `size` bytes of what is left, if there are as many."""
        if size > self.left:
            return False
        self.left -= size
        return True

    def shared(self, steps: "pl.Series") -> "pl.Series":
        """Equal steps, which most runs have, are kept once."""
        known = self._steps.setdefault(hash((steps.len(), steps.sum())), steps)
        return known if known.equals(steps) else steps


def _source(place: RunDir, memory: Memory) -> Source:
    """The metrics of a run, read once and thereby checked.

    Raises:
        GrokError: a file is damaged.
    """
    files = [
        file
        for file in (place.metrics_file, place.measured_file)
        if file.exists() and file.stat().st_size > 0
    ]
    series = read_series(files)
    if not memory.has_room(sum(int(table.estimated_size()) for table in series.values())):
        return Files(files, list(series))
    import polars as pl

    return Tables(
        {
            metric: pl.DataFrame([memory.shared(table[STEP]), table[metric]])
            for metric, table in series.items()
        }
    )


class Files:
    """Metrics in CSV files that are read whenever they are asked for."""

    def __init__(self, files: Sequence[Path], metrics: list[str]) -> None:
        self._files, self._metrics = files, metrics

    def metrics(self) -> list[str]:
        return self._metrics

    def series(self, metric: str) -> "pl.DataFrame":
        return read_series(self._files, [metric])[metric]


def read_series(
    files: Sequence[Path], metrics: Sequence[str] | None = None
) -> "dict[str, pl.DataFrame]":
    """The series of each metric in CSV files with a column "step" and a column a metric.

    Where two files hold the same metric at the same step, the first one counts.

    Args:
        metrics: those wanted; None: all.

    Raises:
        GrokError: a file is damaged; the message names it.
    """
    import polars as pl

    found: dict[str, list[pl.DataFrame]] = {}
    for file in files:
        table = _read(file, metrics)
        for name in table.columns:
            if name != STEP:
                rows = table.select(STEP, name)
                found.setdefault(name, []).append(rows.drop_nulls() if _has_gaps(rows) else rows)
    return {name: _joined(tables) for name, tables in found.items()}


def _has_gaps(rows: "pl.DataFrame") -> bool:
    return any(column.null_count() for column in rows)


def _joined(tables: "list[pl.DataFrame]") -> "pl.DataFrame":
    import polars as pl

    if len(tables) == 1 and (tables[0][STEP].diff().drop_nulls() > 0).all():
        return tables[0]
    rows = pl.concat(tables)
    return rows.unique(STEP, keep="first", maintain_order=True).sort(STEP)


def _read(file: Path, metrics: Sequence[str] | None) -> "pl.DataFrame":
    """The rows that were written whole.

    The bytes are read here: a path would be taken for a pattern where it holds brackets.
    """
    import polars as pl

    try:
        content = file.read_bytes()
    except OSError as error:
        raise GrokError(f"{file}: cannot be read: {os.strerror(error.errno or 0)}") from None
    names = content.partition(b"\n")[0].decode(errors="replace").rstrip("\r").split(",")
    if STEP not in names or len(set(names)) < len(names):
        raise GrokError(f"{file} is damaged: expected columns {STEP} and a metric each, by name")
    schema: dict[str, Any] = {name: pl.Int64 if name == STEP else pl.Float64 for name in names}
    wanted = names if metrics is None else [STEP, *(name for name in names if name in metrics)]
    try:
        return pl.read_csv(content[: content.rfind(b"\n") + 1], schema=schema, columns=wanted)
    except pl.exceptions.PolarsError as error:
        raise GrokError(
            f"{file} is damaged: {str(error).splitlines()[0]}; expected a number a cell, by step"
        ) from None
