"""Runs in directories on this disk, each file read once."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grok_cli.diagnostics.columns import present_column
from grok_cli.errors import GrokError, UsageError, cause
from grok_cli.results.run import STEP, Run, Source, Tables
from grok_cli.runs.directory import DONE, RunDir, find_runs
from grok_cli.runs.files import read_json
from grok_cli.runs.settings import flat_settings

if TYPE_CHECKING:
    import polars as pl

# What a summary holds under these keys; any of it may be None.
STEPS = ("step", "memorised_at", "generalised_at", "sustained_at", "delay", "collapsed_at")
NUMBERS = ("seconds", "steps_per_second")
TEXTS = ("status", "phase", "message")
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
                run = _describe(place, root, problems)
                if with_metrics(run):
                    run = replace(run, source=_source(place, run.status in DONE, memory))
            except GrokError as error:
                problems.append(str(error))
            except OSError as error:
                problems.append(f"{error.filename or place.path}: cannot be read: {cause(error)}")
            except RecursionError:
                problems.append(f"{place.path}: a file there is nested too deeply")
            else:
                found[place.path.resolve()] = run
    return _distinct(found)


def _describe(place: RunDir, root: Path, problems: list[str]) -> Run:
    """A run without its metrics; what its summary says of odd types goes to `problems`."""
    name = place.path.name if place.path == root else str(place.path.relative_to(root))
    settings = flat_settings(place.config())
    summary = place.summary()
    if place.summary_file.exists() and read_json(place.summary_file) is None:
        problems.append(
            f"{place.summary_file} is damaged; what it said is left empty, and the run counts as "
            "interrupted"
        )
    sound = sound_summary(summary)
    if odd := [key for key in summary if sound.get(key) != summary[key]]:
        problems.append(
            f"{place.summary_file} is damaged: {', '.join(odd)} of an unexpected type; left empty"
        )
    return Run(name, settings, sound, place.path)


def sound_summary(summary: Mapping[str, Any]) -> dict[str, Any]:
    """A summary with None instead of what is not of the type that its key promises."""
    sound = {
        key: value if _is_sound(key, value) else {} if key == "final" else None
        for key, value in summary.items()
    }
    final = sound.get("final", {})
    return (
        sound | {"final": {present_column(k): v for k, v in final.items() if _is_number(v)}}
        if final
        else sound
    )


def _is_sound(key: str, value: Any) -> bool:
    if value is None:
        return key != "final"
    if key in STEPS:
        return isinstance(value, int) and not isinstance(value, bool)
    if key in NUMBERS:
        return _is_number(value)
    return isinstance(value, dict if key == "final" else str) if key in (*TEXTS, "final") else True


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, type(None))) and not isinstance(value, bool)


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


def _source(place: RunDir, done: bool, memory: Memory) -> Source:
    """The metrics of a run, read once and thereby checked.

    Args:
        done: whether the run was trained to its end, so that there must be some.

    Raises:
        GrokError: a file is damaged.
    """
    files = []
    for file in (place.metrics_file, place.measured_file):
        if file.exists():
            if file.stat().st_size > 0:
                files.append(file)
            elif done:
                raise GrokError(f"{file} is damaged: it is empty")
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
        raise GrokError(f"{file}: cannot be read: {cause(error)}") from None
    names = content.partition(b"\n")[0].decode(errors="replace").rstrip("\r").split(",")
    if STEP not in names or len(set(names)) < len(names):
        raise GrokError(f"{file} is damaged: expected columns {STEP} and a metric each, by name")
    schema: dict[str, Any] = {name: pl.Int64 if name == STEP else pl.Float64 for name in names}
    present = {name: present_column(name) for name in names}
    wanted = [name for name in names if metrics is None or present[name] in [STEP, *metrics]]
    try:
        table = pl.read_csv(content[: content.rfind(b"\n") + 1], schema=schema, columns=wanted)
        return table.rename({name: present[name] for name in wanted})
    except pl.exceptions.PolarsError as error:
        raise GrokError(
            f"{file} is damaged: {str(error).splitlines()[0]}; expected a number a cell, by step"
        ) from None
