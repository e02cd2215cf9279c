"""`grok report`: what came out of runs, as one page."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from grok_cli.cli import completion
from grok_cli.cli.parameters import Where, argument, option
from grok_cli.cli.selection import check_directory, check_found, end
from grok_cli.errors import UsageError


def report(
    directory: Annotated[
        Path,
        argument("DIR", "Where the runs are.", autocompletion=completion.run_directories),
    ],
    study: Annotated[
        str | None,
        option(
            "The sweep that they are of. [default: the study of the directory's name]",
            "--sweep",
            metavar="FILE.yaml|NAME",
            autocompletion=completion.studies,
        ),
    ] = None,
    where: Where = None,
    out: Annotated[
        Path | None,
        option("[default: DIR/report.html or report.md]", *("--out", "-o"), metavar="FILE"),
    ] = None,
    markdown: Annotated[
        bool, option("Markdown for a README, with figures beside it.", "--markdown")
    ] = False,
    compact: Annotated[
        Path | None,
        option(
            "Write a folder to keep without the runs: README.md, figures, thinned curves and a row "
            "a run as CSV; below a megabyte.",
            metavar="FOLDER",
        ),
    ] = None,
    inside: Annotated[
        int | None,
        option(
            "Of how many runs the page shows snapshots. [default: one seed of each group, at most "
            "6]",
            min=0,
            metavar="N",
        ),
    ] = None,
    url: Annotated[
        str,
        option(
            "Where the page will be published: links to it get a preview, whose picture is written "
            "beside it."
        ),
    ] = "",
) -> None:
    """Write a page on runs: when they generalise, what is inside, figures, published numbers.

    One HTML file that needs no network, or Markdown. It looks into snapshots of some runs, which
    takes a fifth of a second each; `--inside 0` leaves that out. The file is the last line on
    stdout.
    """
    check_directory(directory)
    if (inside is not None or url) and (markdown or compact is not None):
        raise UsageError("--inside, --url: of the HTML page; leave out --markdown, --compact")
    if url and not url.startswith(("https://", "http://")):
        raise UsageError(f"--url {url}: expected an address such as https://example.org/page.html")
    if compact is not None and (markdown or out is not None):
        raise UsageError("--compact FOLDER writes a folder; leave out --markdown and --out")
    to_stdout = out in (Path("-"), Path("/dev/stdout"))
    if to_stdout and (markdown or url):
        raise UsageError(f"--out {out}: pictures are written beside the file; name one")

    from grok_cli.report.output import write_compact, write_html, write_markdown
    from grok_cli.report.report import make_report
    from grok_cli.sweeps.spec import spec_named
    from grok_cli.sweeps.studies import study_of

    spec = spec_named(study) if study is not None else study_of(directory)

    content = make_report(directory, spec, where=where or ())
    check_found(content.results, where)
    file = compact or out or directory / ("report.md" if markdown else "report.html")
    if compact is not None or markdown:
        (write_compact if compact else write_markdown)(content, file)
    else:
        words = ["grok", "report", str(directory), *(["--sweep", study] if study else [])]
        words += [word for text in where or () for word in ("--where", text)]
        words += ["--inside", str(inside)] if inside is not None else []
        write_html(content, file, inside, command=shlex.join(words), url=url)
    if not to_stdout:  # where the page itself is
        typer.echo(file)
    end(content.problems)
