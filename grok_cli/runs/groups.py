"""Which settings tell runs apart, and the groups that they make: runs that differ in seeds only."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from grok_cli.core.config import affects_result

SEEDS = ("train.seed", "data.split_seed")
Settings = Mapping[str, Any]  # {"section.key": value}


def varying_keys(settings: Sequence[Settings]) -> list[str]:
    """The settings that affect the result and differ between the runs.

    Keys that this program does not know (of runs read from elsewhere) count as affecting it; a
    key that a run lacks is None there.
    """
    keys = dict.fromkeys(key for run in settings for key in run)
    return [
        key
        for key in keys
        if affects_result(key) and any(run.get(key) != settings[0].get(key) for run in settings)
    ]


def group_keys(settings: Sequence[Settings]) -> list[str]:
    """The settings that name a group: those that vary, seeds left out; else the placement."""
    return [key for key in varying_keys(settings) if key not in SEEDS] or ["model.ln_type"]


def group_label(settings: Settings, keys: Sequence[str]) -> str:
    """The name of a run's group, as the W&B console writes it: "model.ln_type: pre".

    Several keys are joined by ", " in the order of `keys`.
    """
    return ", ".join(f"{key}: {shown(settings.get(key))}" for key in keys)


def shown(value: Any) -> str:
    """A setting's value as the W&B console shows it: 1.0 is "1", None is "null"."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e16:
        return str(int(value))
    return json.dumps(value)


def group_order(settings: Settings, keys: Sequence[str]) -> list[Any]:
    """Sorts groups by the values of their keys: numbers by size, then texts."""
    values = (settings.get(key) for key in keys)
    return [
        (0, value, "") if isinstance(value, (int, float)) else (1, 0, shown(value))
        for value in values
    ]
