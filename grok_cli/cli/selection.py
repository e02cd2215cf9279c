"""Options that choose runs, and what commands on many runs have in common."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape as plain

from grok_cli.cli import completion
from grok_cli.cli.output import escape
from grok_cli.errors import GrokError, UsageError

if TYPE_CHECKING:
    from grok_cli.results import Results

Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="KEY=VALUE",
        help="Only runs with this setting or status, e.g. ln_type=pre,off or status=finished "
        "(repeatable).",
        autocompletion=completion.assignments,
    ),
]
GroupBy = Annotated[
    list[str] | None,
    typer.Option(
        "--group-by",
        metavar="KEY",
        help=plain("Settings that name a group. [default: all that vary, but not seeds]"),
        autocompletion=completion.settings_keys,
    ),
]
Everything = Annotated[
    bool, typer.Option("--all", help="Also runs that diverged or are not finished.")
]


def check_directory(directory: Path, hint: str = "expected runs of `grok train`") -> None:
    """Raise UsageError unless there is such a directory."""
    if not directory.is_dir():
        found = "is no directory" if directory.exists() else "no such directory"
        raise UsageError(f"{directory}: {found}; {hint}")


def say_problems(problems: Sequence[str]) -> None:
    """Name on stderr what could not be read."""
    for problem in problems:
        typer.echo(f"skipped: {escape(problem)}", err=True)


def say_left_out(results: "Results", included: bool = False) -> None:
    """Name on stderr the runs that are not finished."""
    found = [run for run in results.runs if run.status != "finished"]
    for action, runs in (("left out", results.left_out), ("included", found if included else ())):
        for run in runs:
            typer.echo(f"{action}: {escape(run.name)} ({escape(run.status)})", err=True)


def refuse_empty(results: "Results", where: Sequence[str] | None) -> None:
    """Raise an error that says why there are no runs, if there are none.

    Raises:
        GrokError: none could be read.
        UsageError: none is finished, or what they should be fits none.
    """
    if results.groups:
        return
    if results.left_out:
        raise UsageError("no finished run there; --all takes the others")
    if where:
        raise UsageError(f"no run there with {' and '.join(where)}; `grok runs` lists them")
    raise GrokError("no run there could be read; the lines above say why")


def end(problems: Sequence[str]) -> None:
    """Exit with 1 if something could not be read."""
    if problems:
        raise typer.Exit(1)
