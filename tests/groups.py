"""Runs of two placements on two seeds, trained for a moment, as figures and reports need them."""

from pathlib import Path

from grok_cli.runs.directory import create_run
from grok_cli.runs.launch import train_run
from tests.conftest import small_config

PLACEMENTS, SEEDS = ("off", "pre"), (456, 789)


def train_groups(directory: Path) -> Path:
    """Train them below `directory`, with the diagnostic `rank`; returns it."""
    for placement in PLACEMENTS:
        for seed in SEEDS:
            config = small_config(
                data__modulus=11,
                model__ln_type=placement,
                train__seed=seed,
                measure__diagnostics={"rank": 20},
            )
            run = create_run(directory / config.run_name(), config)
            assert train_run(run, config).status == "finished"
    return directory
