"""Executors of other packages, found by their entry points."""

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from grok_cli.cli.executor_options import executor_flags
from grok_cli.errors import UsageError
from grok_cli.executors import registry
from grok_cli.executors.local import LocalExecutor, LocalOptions
from grok_cli.executors.options import ExecutorOptions
from grok_cli.executors.registry import EXECUTORS, Registry, build_options


class LaptopOptions(ExecutorOptions):
    """A lonely machine."""

    maker = f"{__name__}:make_laptop"
    flags = {"--lid": "lid", "--cpus": "cores", "--lr": "lid"}  # noqa: RUF012

    kind: Literal["laptop"] = "laptop"
    lid: Literal["open", "shut"] = Field("open", description="Whether it may sleep.")
    cores: int = Field(1, description="How many it has.")


def make_laptop(
    options: LaptopOptions, directory: Path, runs: int, threads: int | None
) -> LocalExecutor:
    return LocalExecutor(options.cores, threads or 1)


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two packages are installed, of which one cannot be imported."""
    group = "grok_cli.executors"
    points = [
        EntryPoint("laptop", f"{__name__}:LaptopOptions", group),
        EntryPoint("broken", "no_such_module:Options", group),
        EntryPoint("pi", "math:pi", group),
    ]
    monkeypatch.setattr("grok_cli.plugins.entry_points", lambda group: points)
    fresh = Registry()
    monkeypatch.setattr(registry, "EXECUTORS", fresh)
    monkeypatch.setattr("grok_cli.cli.executor_options.EXECUTORS", fresh)


@pytest.mark.usefixtures("plugins")
def test_a_package_adds_an_executor_through_an_entry_point(tmp_path: Path) -> None:
    options = build_options({"kind": "laptop", "cores": 3}, "f.yaml")
    executor = options.make(tmp_path, 8, 2)
    assert isinstance(executor, LocalExecutor)
    assert (executor.workers, executor.threads) == (3, 2)
    with pytest.raises(UsageError, match="did you mean laptop"):
        build_options("lapto", "f.yaml")


@pytest.mark.usefixtures("plugins")
def test_its_options_are_flags_too() -> None:
    flags = {flag.name: flag for flag in executor_flags()}
    assert flags["--lid"].panel == "With --executor laptop"
    assert flags["--cpus"].panel == "With --executor slurm or ray or laptop"
    assert "--lr" not in flags, "a setting of the run keeps its flag"
    typed = {"cpus": ("--cpus", 4)}
    assert build_options("laptop", "f.yaml", None, typed) == LaptopOptions(cores=4)
    with pytest.raises(UsageError, match="--lid: an option of --executor laptop, not of local"):
        build_options(None, "sweep", None, {"lid": ("--lid", "shut")})


@pytest.mark.usefixtures("plugins")
def test_a_broken_package_is_heard_of_only_by_who_asks_for_it() -> None:
    assert build_options(None, "sweep") == LocalOptions()
    with pytest.raises(UsageError, match="mend or remove that package"):
        build_options("broken", "f.yaml")
    with pytest.raises(UsageError, match="expected to be a subclass of ExecutorOptions"):
        build_options("pi", "f.yaml")


def test_each_kind_is_that_of_its_options() -> None:
    for kind, options in EXECUTORS.items():
        assert options.model_fields["kind"].default == kind
        assert set(options.flags.values()) <= set(options.model_fields)
