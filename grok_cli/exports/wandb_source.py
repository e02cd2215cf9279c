"""Runs of a W&B project, read through its public API at full resolution."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from grok_cli.core.config import KEYS, present_spelling
from grok_cli.errors import GrokError
from grok_cli.exports.source import STEP, RunData

PREFIX = "wandb:"


def wandb_runs(project: str, scratch: Path) -> Iterator[RunData]:
    """The runs of "ENTITY/PROJECT", one by one as they are downloaded.

    Args:
        scratch: an empty directory that lasts as long as the runs are used.

    Raises:
        GrokError: not logged in, no such project, or no connection.
    """
    import wandb

    try:
        for number, run in enumerate(wandb.Api().runs(project)):
            file = scratch / f"{number}.csv"
            history(run).write_csv(file)
            yield RunData(
                name=run.name, settings=flat(run.config), summary=_summary(run), files=(file,)
            )
    except (wandb.Error, ValueError, OSError) as error:
        raise GrokError(
            f"{PREFIX}{project}: {str(error).strip() or type(error).__name__}; expected "
            f"{PREFIX}ENTITY/PROJECT, a login (`wandb login`) and a connection"
        ) from None


def history(run: Any) -> pl.DataFrame:
    """All rows of a run's history: "step" and the numeric metrics, without W&B's own columns."""
    columns: dict[str, list[float | None]] = {}
    steps: list[int] = []
    for row in run.scan_history():
        for name, value in row.items():
            if not name.startswith("_") and name != STEP and _is_number(value):
                column = columns.setdefault(name, [])
                column += [None] * (len(steps) - len(column))
                column.append(float(value))
        steps.append(int(row["_step"]))
    for column in columns.values():
        column += [None] * (len(steps) - len(column))
    schema = {STEP: pl.Int64} | dict.fromkeys(columns, pl.Float64)
    return pl.DataFrame({STEP: steps, **columns}, schema=schema)


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as {"section.key": value}; a key of this program is not opened further."""
    settings: dict[str, Any] = {}
    for name, value in config.items():
        key = present_spelling(f"{prefix}{name}")
        if isinstance(value, Mapping) and key not in KEYS:
            settings |= flat(value, f"{key}.")
        else:
            settings[key] = value
    return settings


def _summary(run: Any) -> dict[str, Any]:
    """The run's summary in the form of summary.json; W&B's state is its status."""
    last = {name: run.summary[name] for name in run.summary.keys()}  # noqa: SIM118 not a dict
    final = {name: value for name, value in last.items() if "/" in name and _is_number(value)}
    return last | {"status": run.state, "step": last.get("_step"), "final": final}


def _is_number(value: Any) -> bool:
    """Whether a value of the history is a number; W&B writes "NaN" and "Infinity" as texts."""
    if isinstance(value, bool):
        return False
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            float(value)
            return value in ("NaN", "Infinity", "-Infinity")
        return False
    return isinstance(value, (int, float))
