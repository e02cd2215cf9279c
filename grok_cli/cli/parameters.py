"""How commands declare options and arguments, and those that several commands have."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from grok_cli.cli import completion


def option(help: str, *flags: str, **more: Any) -> Any:
    """An option of a command: its help, its flags, and what else Typer is to know.

    Brackets in the help are brackets, not Rich's markup.
    """
    return typer.Option(*flags, help=escape(help), **more)


def argument(metavar: str, help: str, **more: Any) -> Any:
    """An argument of a command."""
    return typer.Argument(metavar=metavar, help=escape(help), **more)


Json = Annotated[bool, option("Print JSON.", "--json")]
SummaryJson = Annotated[bool, option("Print the summary as JSON on stdout.", "--json")]
Quiet = Annotated[bool, option("Print the path only.", "--quiet", "-q")]
RunsDir = Annotated[Path | None, option("Directory in which the run's is made. [default: runs]")]
RunName = Annotated[str | None, option("Name of the run's directory. [default: from the settings]")]
Csv = Annotated[Path | None, option("Also write a CSV file.", "--csv", metavar="FILE.csv")]
Directories = Annotated[
    list[Path] | None,
    argument(
        "[DIR]...",
        "Where the runs are. [default: runs]",
        show_default=False,
        autocompletion=completion.run_directories,
    ),
]
DirectoriesOrCsv = Annotated[
    list[Path] | None,
    argument(
        "[DIR|FILE.csv]...",
        "Runs, or files of `grok export-csv`. [default: runs]",
        show_default=False,
        autocompletion=completion.run_directories_and_csv,
    ),
]
Snapshots = Annotated[
    list[str] | None,
    argument(
        "PATH...",
        "Snapshots, run directories, or globs of them.",
        autocompletion=completion.run_directories,
    ),
]
Where = Annotated[
    list[str] | None,
    option(
        "Only runs with this setting or status, e.g. ln_type=pre,off or status=finished "
        "(repeatable).",
        "--where",
        metavar="KEY=VALUE",
        autocompletion=completion.assignments,
    ),
]
GroupBy = Annotated[
    list[str] | None,
    option(
        "Settings that name a group. [default: all that vary, but not seeds]",
        "--group-by",
        metavar="KEY",
        autocompletion=completion.settings_keys,
    ),
]
Everything = Annotated[bool, option("Also runs that diverged or are not finished.", "--all")]
