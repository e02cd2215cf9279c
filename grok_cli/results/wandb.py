"""Runs of a W&B project, read through its public API at full resolution."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from grok_cli.core.config import KEYS, present_spelling
from grok_cli.errors import GrokError
from grok_cli.results.run import STEP, Run, Source, is_number

if TYPE_CHECKING:
    import polars as pl

PREFIX = "wandb:"


def wandb_runs(project: str) -> Iterator[Run]:
    """The runs of "ENTITY/PROJECT", one by one as they are downloaded.

    Raises:
        GrokError: not logged in, no such project, or no connection.
    """
    import wandb

    try:
        for run in wandb.Api().runs(project):
            yield Run(run.name, flat(run.config), _summary(run), source=Source.of(history(run)))
    except (wandb.Error, ValueError, OSError) as error:
        raise GrokError(
            f"{PREFIX}{project}: {str(error).strip() or type(error).__name__}; expected "
            f"{PREFIX}ENTITY/PROJECT, a login (`wandb login`) and a connection"
        ) from None


def history(run: Any) -> "dict[str, pl.DataFrame]":
    """The series of each numeric metric in a run's history, without W&B's own columns."""
    import polars as pl

    found: dict[str, dict[int, float]] = {}
    for row in run.scan_history():
        for name, value in row.items():
            if not name.startswith("_") and name != STEP and _is_number(value):
                found.setdefault(name, {}).setdefault(int(row["_step"]), float(value))
    return {
        name: pl.DataFrame(
            {STEP: list(values), name: list(values.values())},
            schema={STEP: pl.Int64, name: pl.Float64},
        ).sort(STEP)
        for name, values in found.items()
    }


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
    return is_number(value) or value in ("NaN", "Infinity", "-Infinity")
