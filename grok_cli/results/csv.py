"""Runs in CSV files: the wide columns of `grok export-csv` and of the W&B console, long files, and
summaries.

The only place where the names of such columns are taken apart.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grok_cli.errors import UsageError
from grok_cli.results.cells import cell_name
from grok_cli.results.group import Group, usual_values
from grok_cli.results.run import PLANNED, SEED, STEP, Run, Source
from grok_cli.runs.files import read_whole
from grok_cli.runs.settings import parse_value

if TYPE_CHECKING:
    import polars as pl

LONG = ("group", "seed", STEP, "metric", "value")
SUMMARY = ("group", STEP)  # and at least one of NOTED
NOTED = ("memorised_at", "generalised_at", "sustained_at")  # steps
KIND = re.compile(r"(?P<base>.+?)__(?P<kind>MIN|MAX|STD|SEED_.*|RUN_.*)", re.DOTALL)
BETWEEN = " - "  # a group and its metric, in the name of a column
OF_MEAN = {"": "mean", "MIN": "min", "MAX": "max", "STD": "std"}


@dataclass
class _Found:
    """What files hold of a group: from each metric the tables of its runs, or of its mean; or runs
    of which there is a row."""

    runs: dict[str, dict[str, "pl.DataFrame"]] = field(default_factory=dict)
    means: dict[str, "pl.DataFrame"] = field(default_factory=dict)
    rows: list[Run] = field(default_factory=list)


def read_groups(files: Sequence[Path]) -> list[Group]:
    """The groups in files of `grok export-csv` (also with --long or --summary), or from W&B.

    Raises:
        UsageError: no such file, a file that is not of that form, or two that hold the same.
    """
    found: dict[str, _Found] = {}
    for file in files:
        table = _read(file)
        if set(table.columns) >= set(LONG):
            _add_long(found, table, file)
        elif set(table.columns) >= set(SUMMARY) and set(table.columns) & set(NOTED):
            _add_summary(found, table, file)
        else:
            _add_wide(found, table, file)
    groups = [_group(name, content) for name, content in found.items()]
    usual = usual_values([group.settings for group in groups])
    return [replace(group, usual=usual) for group in groups]


def _read(file: Path) -> "pl.DataFrame":
    import polars as pl

    try:
        return pl.read_csv(io.BytesIO(read_whole(file)), infer_schema_length=None)
    except FileNotFoundError:
        raise UsageError(f"{file}: no such file or directory") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UsageError(f"{file}: cannot be read as CSV ({str(error).splitlines()[0]})") from None


def _add_long(found: dict[str, _Found], table: "pl.DataFrame", file: Path) -> None:
    import polars as pl

    if table.select("group", "seed", STEP, "metric").is_duplicated().any():
        raise UsageError(
            f"{file}: several values of one group, seed and step, as of an export with "
            "--group-by a part of what varies; export without --group-by, or plot the runs"
        )
    keys = ["group", "metric", "seed"]
    texts = table.with_columns(pl.col(keys).cast(pl.String), _steps(table[STEP], file))
    for (group, metric, seed), rows in texts.group_by(keys, maintain_order=True):
        series = _series(rows[STEP], rows["value"], str(metric))
        _add_run(found, str(group), str(metric), f"SEED_{seed}", series, file)


def _add_summary(found: dict[str, _Found], table: "pl.DataFrame", file: Path) -> None:
    """Runs of which there is a row: what they are called, their settings, and when it happened."""
    whole = [name for name in (STEP, PLANNED, *NOTED) if name in table.columns]
    table = table.with_columns(_steps(table[name], file, name != STEP) for name in whole)
    for number, row in enumerate(table.iter_rows(named=True), 1):
        row = {name: cell_name(cell) for name, cell in row.items()}
        late = [name for name in NOTED if (row.get(name) or 0) > row[STEP]]
        if late:
            raise UsageError(
                f"{file}: row {number}: {late[0]} {row[late[0]]} lies after the run's last step, "
                f"{row[STEP]}; expected at most that, or an empty cell"
            )
        if row.get("status") == "diverged" and row.get(PLANNED) is None:
            raise UsageError(
                f"{file}: row {number}: the run diverged, and it is not said how many steps it was "
                f"to make; expected a column {PLANNED}: write the file anew by `grok export-csv "
                "--summary`"
            )
        settings = {name: cell for name, cell in row.items() if "." in name and "/" not in name}
        run = Run(str(row.get("run") or f"{file}, row {number}"), settings, row)
        found.setdefault(str(row["group"]), _Found()).rows.append(run)


def _add_wide(found: dict[str, _Found], table: "pl.DataFrame", file: Path) -> None:
    columns = wide_columns(table.columns[1:])
    if not columns or table.columns[0].lower() != STEP:
        raise UsageError(
            f'{file}: expected a file of `grok export-csv`, with columns "Step" and '
            f'"GROUP - METRIC", found {", ".join(table.columns[:4])}'
        )
    steps = _steps(table[table.columns[0]], file)
    table = table.with_columns(steps)
    for (group, metric), kinds in columns.items():
        runs = {kind: name for kind, name in kinds.items() if kind.startswith(("SEED_", "RUN_"))}
        for kind, name in runs.items():
            _add_run(found, group, metric, kind, _series(steps, table[name], metric), file)
        if not runs:
            content = found.setdefault(group, _Found())
            if metric in content.means:
                raise _twice(group, metric, file)
            content.means[metric] = _mean(table, kinds)


def _add_run(
    found: dict[str, _Found], group: str, metric: str, kind: str, series: "pl.DataFrame", file: Path
) -> None:
    runs = found.setdefault(group, _Found()).runs.setdefault(kind, {})
    if metric in runs:
        raise _twice(group, metric, file)
    runs[metric] = series


def _twice(group: str, metric: str, file: Path) -> UsageError:
    return UsageError(
        f"{file}: another file holds {metric} of {group}, too; expected each once: name fewer files"
    )


def wide_columns(names: Sequence[str]) -> dict[tuple[str, str], dict[str, str]]:
    """What the columns of a wide file hold.

    A column that extends one before it by "__MIN" and the like belongs to that; groups and runs may
    have any name. What follows " - " at the end of all others is a metric; of several readings the
    one is taken that gives the shortest metrics.

    Returns:
        From (group, metric): {"": the column of the mean, "MIN": ..., "SEED_456": ...}.
    """
    bases: dict[str, dict[str, str]] = {}
    latest = ""
    for name in names:
        extends = latest and name.startswith(f"{latest}__")
        kind = name[len(latest) + 2 :] if extends else ""
        if extends and (kind in OF_MEAN or kind.startswith(("SEED_", "RUN_"))):
            bases[latest][kind] = name
        elif match := KIND.fullmatch(name):  # of which there is no mean
            bases.setdefault(match["base"], {})[match["kind"]] = name
        else:
            latest = name
            bases.setdefault(name, {})[""] = name
    parts = {base: base.rpartition(BETWEEN) for base in bases}
    return {(group, metric): bases[base] for base, (group, dash, metric) in parts.items() if dash}


def _steps(column: "pl.Series", file: Path, may_be_empty: bool = False) -> "pl.Series":
    """The steps as whole numbers.

    Raises:
        UsageError: one is something else.
    """
    import polars as pl

    steps: pl.Series = column.cast(pl.Int64, strict=False)
    for wrong in column.filter(steps.is_null() & (column.is_not_null() | (not may_be_empty))):
        found = "an empty cell" if wrong is None else repr(wrong)
        raise UsageError(f"{file}: {column.name}: expected whole numbers, found {found}")
    return steps


def _series(steps: "pl.Series", values: "pl.Series", metric: str) -> "pl.DataFrame":
    import polars as pl

    table = pl.DataFrame({STEP: steps, metric: values.cast(pl.Float64, strict=False)})
    return table.drop_nulls().sort(STEP)


def _mean(table: "pl.DataFrame", kinds: Mapping[str, str]) -> "pl.DataFrame":
    """A group's mean in the columns of `Group.mean`; where it is all there is, its own bounds."""
    import polars as pl

    def column(kind: str, without: str = "") -> "pl.Expr":
        name = kinds.get(kind, without)
        values = pl.col(name).cast(pl.Float64, strict=False) if name else pl.lit(None, pl.Float64)
        return values.alias(OF_MEAN[kind])

    mean = kinds.get("", "")
    columns = [column(""), column("MIN", mean), column("MAX", mean), column("STD")]
    counted = pl.lit(None, pl.UInt32).alias("runs")
    steps = pl.col(table.columns[0]).alias(STEP)
    return table.select(steps, *columns, counted).filter(
        pl.any_horizontal(pl.col("mean", "min", "max").is_not_null())
    )


def _group(name: str, content: _Found) -> Group:
    settings = parse_name(name)
    runs = tuple(
        Run(
            name=kind.removeprefix("RUN_") if kind.startswith("RUN_") else f"{name}, {kind}",
            settings=settings | ({SEED: _seed(kind)} if kind.startswith("SEED_") else {}),
            source=Source.of(series),
        )
        for kind, series in content.runs.items()
    )
    return Group(settings, (*runs, *content.rows), content.means, name)


def _seed(kind: str) -> Any:
    text = kind.removeprefix("SEED_")
    return None if text in ("", "None") else parse_value(text)  # "None": of a run without a seed


def parse_name(name: str) -> dict[str, Any]:
    """The settings in a group's name, "key: value, key: value"; {} if it is not of that form."""
    parts = re.split(r", (?=[a-z]+\.[a-z_0-9]+: )", name)
    pairs = [part.partition(": ") for part in parts]
    if not all(re.fullmatch(r"[a-z]+\.[a-z_0-9]+", key) and colon for key, colon, _ in pairs):
        return {}
    return {key: parse_value(value) if value.strip() else value for key, _, value in pairs}
