"""`grok watch`: the page of runs that are still going, on this machine."""

import os
from pathlib import Path
from typing import Annotated

import typer

from grok_cli.cli import completion
from grok_cli.cli.output import say
from grok_cli.cli.parameters import Where, argument, option
from grok_cli.cli.selection import check_directory, end, say_problems
from grok_cli.errors import GrokError, cause

NICE = 10  # the runs come first


def watch(
    directory: Annotated[
        Path, argument("[DIR]", "Where the runs are.", autocompletion=completion.run_directories)
    ] = Path("runs"),
    where: Where = None,
    inside: Annotated[
        int | None,
        option(
            "Of how many runs the page shows snapshots. [default: as in grok report]",
            min=0,
            metavar="N",
        ),
    ] = None,
    port: Annotated[
        int, option("On which port. [default: any that is free]", min=0, max=65535)
    ] = 0,
    once: Annotated[
        bool, option("Print the page on stdout, serve nothing, and end.", "--once")
    ] = False,
) -> None:
    """Serve the page of `grok report` while runs are going: new points come by themselves.

    Prints the page's address on stdout: it holds for this machine only, and until Ctrl-C. The
    command reads run directories and writes nothing, so that it works beside any sweep.
    """
    check_directory(directory)

    import torch

    from grok_cli.report.report import Report, make_report
    from grok_cli.report.server import LivePage, PageServer
    from grok_cli.sweeps.studies import study_of

    problems: dict[str, None] = {}

    def report() -> Report:
        """The report as it is now; what cannot be read is named once."""
        content = make_report(directory, study_of(directory), where=where or ())
        say_problems([problem for problem in content.problems if problem not in problems])
        problems.update(dict.fromkeys(content.problems))
        return content

    page = LivePage(directory, report, inside)
    if once:
        typer.echo(page.now()[1].decode(), nl=False)
        return end([*problems])
    os.nice(NICE)
    torch.set_num_threads(1)
    page.now()  # says now what is wrong
    try:
        server = PageServer(page, port)
    except OSError as error:
        raise GrokError(f"cannot listen on port {port}: {cause(error)}; leave out --port") from None
    with server:
        typer.echo(server.address)
        say("open it in a browser on this machine; Ctrl-C ends it")
        server.serve_forever()
