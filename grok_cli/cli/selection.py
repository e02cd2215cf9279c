"""What commands on many runs have in common: what they refuse, and what they say was left out."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from grok_cli.cli.output import say
from grok_cli.errors import GrokError, UsageError

if TYPE_CHECKING:
    from grok_cli.results import Results


def check_directory(directory: Path, hint: str = "expected runs of `grok train`") -> None:
    """Raise UsageError unless there is such a directory."""
    if not directory.is_dir():
        found = "is no directory" if directory.exists() else "no such directory"
        raise UsageError(f"{directory}: {found}; {hint}")


def directories_of_runs(typed: Sequence[Path] | None) -> list[Path]:
    """The directories that were typed, or else `runs`; UsageError if one is not there."""
    directories = list(typed or [Path("runs")])
    for directory in directories:
        check_directory(directory, "`grok train --runs-dir` makes one")
    return directories


def csv_files(paths: Sequence[Path]) -> list[Path]:
    """The paths, if they are CSV files; [] if they are directories of runs.

    Raises:
        UsageError: one is not there, or there are both.
    """
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: no such file or directory; `grok runs` lists runs")
    files = [path for path in paths if not path.is_dir()]
    if files and len(files) < len(paths):
        raise UsageError("expected directories of runs or CSV files, found both")
    return files


def say_problems(problems: Sequence[str]) -> None:
    """Name on stderr what could not be read."""
    for problem in problems:
        say(f"skipped: {problem}")


def say_left_out(results: "Results", included: bool = False) -> None:
    """Name on stderr the runs that are not finished."""
    found = [run for run in results.runs if run.status != "finished"]
    for action, runs in (("left out", results.left_out), ("included", found if included else ())):
        for run in runs:
            say(f"{action}: {run.name} ({run.status})")


def say_repeated(results: "Results") -> None:
    """Name on stderr the runs that count as several seeds and are one."""
    from grok_cli.results.group import repeated

    found = [runs for group in results.groups for runs in repeated(group.runs)]
    if found:
        names = ", ".join(run.name for run in found[0])
        more = f" ({len(found) - 1} more such)" if found[1:] else ""
        say(
            f"{names} have one seed and the same settings, and count as {len(found[0])} runs{more};"
            " name the directories of those that are to count"
        )


def check_found(results: "Results", where: Sequence[str] | None) -> None:
    """Name on stderr what could not be read and what counts twice, and raise an error if there is
    no run.

    Raises:
        GrokError: none could be read.
        UsageError: none is finished, or what they should be fits none.
    """
    say_problems(results.problems)
    if results.groups:
        say_repeated(results)
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
