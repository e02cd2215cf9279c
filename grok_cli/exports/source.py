"""The runs of an export, wherever they come from, and their metrics as polars frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from grok_cli.errors import GrokError, UsageError
from grok_cli.runs.directory import find_runs
from grok_cli.runs.settings import flat_settings

STEP = "step"


@dataclass(frozen=True)
class RunData:
    """A run as an export sees it.

    Attributes:
        name: names it in messages and in summary.csv.
        settings: {"section.key": value}.
        summary: status, phases and last metrics, as in summary.json.
        files: CSV files with a column "step" and a column a metric. Where two of them hold the
            same metric at the same step, the first one counts.
    """

    name: str
    settings: dict[str, Any]
    summary: dict[str, Any]
    files: tuple[Path, ...]

    @property
    def status(self) -> str:
        return str(self.summary["status"])

    @property
    def seed(self) -> Any:
        return self.settings.get("train.seed")

    def metrics(self) -> list[str]:
        """The metrics that the run has, in the order of its files."""
        names = dict.fromkeys(name for file in self.files for name in header(file))
        return [name for name in names if name != STEP]

    def series(self, metric: str) -> pl.DataFrame:
        """The steps at which a metric was measured, in order, and its values.

        Returns:
            Columns "step" (Int64) and `metric` (Float64), without empty values.

        Raises:
            GrokError: a file holds something else than numbers.
        """
        found = [_read(file, [metric]) for file in self.files if metric in header(file)]
        if not found:
            return pl.DataFrame(schema={STEP: pl.Int64, metric: pl.Float64})
        rows = pl.concat(found).drop_nulls()
        return rows.unique(STEP, keep="first", maintain_order=True).sort(STEP)


def local_runs(directory: Path) -> list[RunData]:
    """The runs in a directory; those without any metrics have no files.

    Raises:
        UsageError: there is no run.
    """
    found = list(find_runs(directory))
    if not found:
        raise UsageError(f"{directory} holds no runs; make some with `grok sweep` or `grok train`")
    return [
        RunData(
            name=str(run.path.relative_to(directory)) if run.path != directory else run.path.name,
            settings=flat_settings(run.config()),
            summary=run.summary(),
            files=tuple(
                file
                for file in (run.metrics_file, run.measured_file)
                if file.exists() and file.stat().st_size > 0
            ),
        )
        for run in found
    ]


def header(file: Path) -> list[str]:
    """The column names of a CSV file."""
    with file.open() as lines:
        return lines.readline().rstrip("\n").split(",")


def _read(file: Path, metrics: Sequence[str]) -> pl.DataFrame:
    schema = {name: pl.Int64 if name == STEP else pl.Float64 for name in header(file)}
    try:
        return pl.read_csv(_whole_lines(file), schema=schema, columns=[STEP, *metrics])
    except pl.exceptions.PolarsError as error:
        raise GrokError(
            f"{file} is damaged: {str(error).splitlines()[0]}; expected a number a cell, by step"
        ) from None


def _whole_lines(file: Path) -> Path | bytes:
    """The file, or its content up to the last line that was written whole."""
    with file.open("rb") as content:
        content.seek(-1, 2)
        if content.read() == b"\n":
            return file
    text = file.read_bytes()
    return text[: text.rfind(b"\n") + 1]
