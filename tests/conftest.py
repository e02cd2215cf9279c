"""Small runs, and the command as a user types it."""

import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from grok_cli.core.config import Config
from grok_cli.errors import GrokError
from grok_cli.runs.directory import RunDir
from grok_cli.runs.launch import train_run
from tests.typed import Grok, type_in

settings.register_profile("suite", deadline=None)  # no test depends on the clock
settings.load_profile("suite")

SMALL: dict[str, dict[str, Any]] = {
    "data": {"modulus": 13},
    "model": {"d_model": 16, "n_heads": 2},
    "train": {"steps": 60, "snapshot_every": 20},
    "run": {"save_every": 20, "threads": 1},
}
SMALL_FLAGS = [
    f"--set={section}.{key}={value}"
    for section, keys in SMALL.items()
    for key, value in keys.items()
]


def small_config(**changes: Any) -> Config:
    """A configuration that trains in a second; changes as `section__key=value`."""
    settings = {section: dict(values) for section, values in SMALL.items()}
    for name, value in changes.items():
        section, _, key = name.partition("__")
        settings.setdefault(section, {})[key] = value
    return Config.model_validate(settings)


def small_run(path: Path, **changes: Any) -> RunDir:
    """The directory of such a run, which nobody has trained."""
    run = RunDir(path)
    run.write_config(small_config(**changes))
    return run


def stopped_run(path: Path, after: int) -> RunDir:
    """Such a run, stopped after so many steps, with the states that it saved."""
    run, steps = small_run(path), iter(range(1, 1000))
    stopped = train_run(run, small_config(), should_stop=lambda: next(steps) == after)
    assert stopped.status == "interrupted"
    return run


def said(do: Callable[[], object]) -> str:
    """The message with which something is refused."""
    with pytest.raises((GrokError, ValueError, OSError)) as caught:
        do()
    return str(caught.value)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Groups and slow tests come first: others run beside them, and none of them is left last."""
    early = ("xdist_group", "slow")
    items.sort(key=lambda item: [item.get_closest_marker(name) is None for name in early])


@pytest.fixture
def grok(tmp_path: Path) -> Grok:
    """Run `grok ARGUMENTS` as a user does, in a process of its own, in a directory of its own."""

    def run(*arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "grok_cli", *arguments]
        return subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, **options)

    return run


@pytest.fixture
def typed(tmp_path: Path) -> Grok:
    """Run `grok ARGUMENTS` like `grok`, but in this process, which is much faster."""
    return functools.partial(type_in, tmp_path)
