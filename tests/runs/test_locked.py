"""Directories of somebody else, into which nobody lets us look, stop no other run."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from grok_cli.results.disk import find_on_disk
from grok_cli.runs.directory import create_run, find_runs
from grok_cli.sweeps.estimate import recorded_speeds
from grok_cli.sweeps.reuse import runs_beside
from tests.conftest import small_config


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run's directory into which nobody lets us look, beside a run."""
    create_run(tmp_path / "mine", small_config())
    place = tmp_path / "add-off-s1-0123456789"
    create_run(place, small_config())
    stat, scandir = os.stat, os.scandir

    def stat_or_not(path: Any, **options: Any) -> os.stat_result:
        if place in Path(path).parents:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, **options)

    def scandir_or_not(path: Any = ".") -> Any:
        if Path(path) == place:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "stat", stat_or_not)
    monkeypatch.setattr(os, "scandir", scandir_or_not)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != place)
    return place


def test_locked_directory_with_a_runs_name_is_named_and_stops_no_other(locked: Path) -> None:
    assert [run.path.name for run in find_runs(locked.parent)] == [locked.name, "mine"]
    problems: list[str] = []
    found = find_on_disk([locked.parent], problems, with_metrics=lambda run: True)
    assert [run.name for run in found] == ["mine"]
    assert problems == [f"{locked} cannot be looked into: permission denied"]


def test_locked_directory_beside_a_sweep_is_no_matter_of_it(locked: Path) -> None:
    assert [run.path.name for run in runs_beside(locked.parent / "mine" / "x")] == []
    assert [run.path.name for run in runs_beside(locked.parent / "new")] == ["mine"]
    assert not recorded_speeds(find_runs(locked.parent))
