"""Jobs for executors, and what they tell."""

from collections.abc import Sequence
from pathlib import Path

from grok_cli.executors.base import Change, Job
from grok_cli.runs.directory import create_run
from tests.conftest import small_config


def make_jobs(directory: Path, count: int, steps: int = 60) -> list[Job]:
    """Small runs that differ in their seeds."""
    configs = [small_config(train__seed=seed, train__steps=steps) for seed in range(count)]
    return [Job(create_run(directory / f"run{i}", config)) for i, config in enumerate(configs)]


def told(changes: Sequence[Change]) -> list[tuple[str, int | None]]:
    return [(change.state, change.exit_code) for change in changes]
