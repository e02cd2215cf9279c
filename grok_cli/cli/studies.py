"""`grok studies`: the experiments that come with the program, and how far each is here."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from grok_cli.cli.output import escape, print_json
from grok_cli.sweeps.studies import Overview, copy_study, find_study, overview

app = typer.Typer(
    help="List the experiments that come with the program; `grok sweep NAME` runs one.",
    invoke_without_command=True,
)

RunsDir = Annotated[Path, typer.Option(help="Where runs are; those of a study in DIR/NAME.")]


@app.callback()
def studies(
    context: typer.Context,
    runs_dir: RunsDir = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
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
        Console().print(_table(found))
        typer.echo(
            f"{found.done} of {found.runs} runs are done; one that studies share is trained and "
            "counted once"
        )
    for problem in found.problems:
        typer.echo(escape(problem), err=True)
    if found.problems:
        raise typer.Exit(1)


@app.command()
def show(name: Annotated[str, typer.Argument(help="A study; `grok studies` lists them.")]) -> None:
    """Print a study's file."""
    typer.echo(find_study(name).read_text(), nl=False)


@app.command()
def copy(
    name: Annotated[str, typer.Argument(help="A study; `grok studies` lists them.")],
    file: Annotated[Path, typer.Argument(metavar="FILE.yaml", help="The new file.")],
) -> None:
    """Copy a study's file, to start one's own: `grok sweep FILE.yaml` runs it."""
    copy_study(name, file)
    typer.echo(file)


def _table(found: Overview) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("study", no_wrap=True)
    table.add_column("done", justify="right", no_wrap=True)
    table.add_column("time left", justify="right", no_wrap=True)
    table.add_column("question", overflow="fold")
    for study in found.studies:
        done = Text(f"{study.done}/{study.runs}", "green" if study.done == study.runs else "")
        table.add_row(study.name, done, _time(study.seconds), study.question)
    return table


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    return str(timedelta(seconds=round(seconds))) if seconds else "–"
