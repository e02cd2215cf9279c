"""W&B's sweep files, translated into ours: parameters with `value` become `base`, those with
`values` become `grid`. W&B's agents are not needed."""

from collections.abc import Mapping
from typing import Any

from grok_cli.core.config import SECTIONS
from grok_cli.runs.settings import SettingsError


def is_wandb(content: Mapping[str, Any]) -> bool:
    """Whether the content of a sweep file is written for W&B."""
    return "parameters" in content


def translate(content: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The same sweep in our fields.

    Args:
        source: the file, for messages.

    Raises:
        SettingsError: it draws its points while it runs, or is no sweep of W&B.
    """
    method = content.get("method", "grid")
    if method != "grid":
        raise SettingsError(
            f"{source}: method: {method} draws its points while it runs; expected method: grid"
        )
    base: dict[str, Any] = {}
    grid: dict[str, Any] = {}
    for key, parameter in _parameters(content["parameters"], "", source).items():
        if "values" in parameter:
            grid[key] = parameter["values"]
        elif "value" in parameter:
            base[key] = parameter["value"]
        else:
            raise SettingsError(f"{source}: {key}: expected `values` (or `value`) in a grid")
    for key in ("project", "entity"):
        if content.get(key):
            base[f"wandb.{key}"] = content[key]
    return {"question": content.get("description"), "base": base, "grid": grid}


def _parameters(parameters: Any, prefix: str, source: str) -> dict[str, Mapping[str, Any]]:
    """{"section.key": parameter}; W&B nests parameters in `parameters`."""
    if not isinstance(parameters, Mapping):
        raise SettingsError(f"{source}: parameters: expected a mapping, found {parameters!r:.60}")
    flat: dict[str, Mapping[str, Any]] = {}
    for name, parameter in parameters.items():
        if not isinstance(parameter, Mapping):
            raise SettingsError(f"{source}: {prefix}{name}: expected `value` or `values` below it")
        if "parameters" in parameter and (prefix or name in SECTIONS):
            flat |= _parameters(parameter["parameters"], f"{prefix}{name}.", source)
        else:
            flat[f"{prefix}{name}"] = parameter
    return flat
