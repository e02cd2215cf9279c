"""`grok studies`: the experiments that come with the program, and how far each is here."""

from pathlib import Path
from typing import Annotated

import typer

from grok_cli.cli import completion
from grok_cli.cli.output import ABSENT, Column, duration, print_json, print_table, say
from grok_cli.cli.parameters import Json, argument, option
from grok_cli.cli.selection import end
from grok_cli.sweeps.studies import copy_study, find_study, overview

app = typer.Typer(
    help="List the experiments that come with the program; `grok sweep NAME` runs one.",
    invoke_without_command=True,
)


def _time(seconds: float | None) -> str:
    return "unknown" if seconds is None else duration(seconds) if seconds else ABSENT


COLUMNS = (
    Column("name", "study"),
    Column("share", "done", number=True, drop=3),
    Column("seconds", "time left", number=True, text=_time, drop=2),
    Column("question", folds=True, drop=1),
)
Name = Annotated[
    str,
    argument("NAME", "A study; `grok studies` lists them.", autocompletion=completion.study_names),
]


@app.callback()
def studies(
    context: typer.Context,
    runs_dir: Annotated[Path, option("Where runs are; those of a study in DIR/NAME.")] = Path(
        "runs"
    ),
    as_json: Json = False,
) -> None:
    """List the experiments that come with the program; `grok sweep NAME` runs one.

    A smaller version: `grok sweep NAME --seeds 1 --until-grokked`.
    """
    if context.invoked_subcommand is not None:
        return
    found = overview(runs_dir, measure=True)
    if as_json:
        print_json([vars(study) for study in found.studies])
    else:
        rows = [vars(study) | {"share": f"{study.done}/{study.runs}"} for study in found.studies]
        print_table(COLUMNS, rows)
        typer.echo(
            f"{found.done} of {found.runs} runs are done; one that studies share is trained and "
            "counted once"
        )
    for problem in found.problems:
        say(problem)
    end(found.problems)


@app.command()
def show(name: Name) -> None:
    """Print a study's file."""
    typer.echo(find_study(name).read_text(), nl=False)


@app.command()
def copy(name: Name, file: Annotated[Path, argument("FILE.yaml", "The new file.")]) -> None:
    """Copy a study's file, to start one's own: `grok sweep FILE.yaml` runs it."""
    copy_study(name, file)
    typer.echo(file)
