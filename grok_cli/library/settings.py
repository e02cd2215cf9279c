"""Settings as Python gives them: a dictionary, a Config, a file, or keywords with short names."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict

from grok_cli.core.config import Config
from grok_cli.errors import suggestion
from grok_cli.runs.settings import SHORT_NAMES, SettingsError, flat_settings, flatten, layer

Settings = Config | Mapping[str, Any] | str | PathLike[str] | None


class Shortcuts(TypedDict, total=False):
    """Settings with the names that they have on the command line."""

    ln_type: str
    seed: int
    steps: int
    lr: float
    weight_decay: float
    task: str
    modulus: int
    layers: int
    d_model: int
    eval_every: int
    device: str
    threads: int | None
    wandb: str
    until_grokked: bool
    measure: Mapping[str, int]


def settings_of(settings: Settings, shortcuts: Mapping[str, Any], source: str) -> dict[str, Any]:
    """What was given, as {"section.key": value}; shortcuts win.

    Args:
        source: the function that was called, for messages.

    Raises:
        SettingsError: an unknown name, or a file that is none of settings.
    """
    if isinstance(settings, Config):
        values = flat_settings(settings)
    elif isinstance(settings, Mapping):
        values = flatten(spelled(settings), source)
    else:
        values, _ = layer(None if settings is None else Path(settings), {}, ())
    for name in shortcuts:
        if name not in SHORT_NAMES:
            raise SettingsError(
                f"{source}: unknown argument {name}; {suggestion(name, SHORT_NAMES)}; any other "
                'setting stands in a dictionary, as in {"model.norm": "rmsnorm"}'
            )
    values |= spelled(shortcuts)
    return {key: plain(value) for key, value in values.items()}


def spelled(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The same with "section.key" instead of short names."""
    return {SHORT_NAMES.get(name, name): value for name, value in settings.items()}


def plain(value: Any) -> Any:
    """A value as a file of settings has it: numbers of Python's own, and lists."""
    if hasattr(value, "tolist"):  # of numpy or torch
        return value.tolist()
    return list(value) if isinstance(value, (tuple, range)) else value
