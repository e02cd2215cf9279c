"""`grok upload`: runs that were trained, sent to Weights & Biases afterwards."""

from pathlib import Path
from typing import Annotated

import typer

from grok_cli.cli import completion
from grok_cli.cli.output import say
from grok_cli.cli.parameters import argument, option
from grok_cli.errors import GrokError, UsageError
from grok_cli.runs.directory import find_runs


def upload(
    paths: Annotated[
        list[Path],
        argument(
            "RUN...",
            "Run directories, or directories of runs.",
            autocompletion=completion.run_directories,
        ),
    ],
    project: Annotated[
        str | None, option("W&B project, instead of the run's wandb.project.")
    ] = None,
    entity: Annotated[
        str | None, option("W&B user or team, instead of the run's wandb.entity.")
    ] = None,
) -> None:
    """Send runs that were trained to W&B.

    For runs whose `--wandb online` failed, or that were trained without it. Each row stands there
    once, however often this is tried. The runs' addresses are listed on stdout.
    """
    runs = []
    for path in paths:
        found = list(find_runs(path)) if path.is_dir() else []
        if not found:
            raise UsageError(f"{path}: no run there; `grok runs DIR` lists runs")
        runs += found

    from grok_cli.runs.wandb_recorder import upload_run

    failed = 0
    for run in runs:
        try:
            typer.echo(upload_run(run, project, entity))
        except GrokError as error:
            if len(runs) == 1:
                raise
            failed += 1
            say(f"grok: {error}")
    if failed:
        raise GrokError(f"{failed} of {len(runs)} runs were not sent; try again with the same line")
