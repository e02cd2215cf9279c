"""Whether a state that was read from a file is one of this run, before any of it is used."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from grok_cli.core.phases import Phases


def check_alike(found: Any, expected: Any, place: str) -> None:
    """Raise ValueError unless tensors of the same shapes and types stand in the same places."""
    if isinstance(expected, Tensor):
        if not isinstance(found, Tensor) or found.shape != expected.shape:
            raise ValueError(f"{place}: expected a tensor of shape {tuple(expected.shape)}")
        if found.dtype != expected.dtype:
            raise ValueError(f"{place}: expected {expected.dtype}, found {found.dtype}")
        return
    names = _names(expected)
    if _names(found) != names:
        raise ValueError(f"{place}: expected {len(names)} tensors, found others")
    for name in names:
        check_alike(found[name], expected[name], f"{place}.{name}")


def _names(parts: Any) -> set[Any]:
    """Keys of a mapping, indices of a list."""
    if isinstance(parts, Mapping):
        return set(parts)
    return set(range(len(parts))) if isinstance(parts, list) else set()


def check_phases(found: Any, step: int) -> None:
    """Raise ValueError unless each phase began at a step that was made, or has not begun."""
    fresh = Phases().state()
    if not isinstance(found, dict) or found.keys() != fresh.keys():
        raise ValueError(f"phases: expected {', '.join(fresh)}")
    for name, value in found.items():
        if fresh[name] is None:  # a step
            is_right = value is None or (type(value) is int and 0 < value <= step)
        else:  # an accuracy
            is_right = isinstance(value, float) and 0 <= value <= 1
        if not is_right:
            raise ValueError(f"phases.{name}: {value!r:.40} is none of a run at step {step}")
