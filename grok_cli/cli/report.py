"""`grok report`: what came out of runs, as one page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from grok_cli.errors import GrokError, UsageError

if TYPE_CHECKING:
    from grok_cli.report.report import Report
    from grok_cli.sweeps.spec import Spec

IMAGES = ("accuracy", "generalisation")  # beside a Markdown report


def report(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where the runs are.")],
    study: Annotated[
        str | None,
        typer.Option(
            "--sweep",
            metavar="FILE.yaml|NAME",
            help=escape("The sweep that they are of. [default: the study of the directory's name]"),
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help=escape("[default: DIR/report.html or report.md]")
        ),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Markdown for a README, with figures beside it.")
    ] = False,
) -> None:
    """Write a page on runs: verdict, figures, groups, published numbers, how to repeat it.

    One HTML file that needs no network, or Markdown. The file is the last line on stdout.
    """
    if not directory.is_dir():
        raise UsageError(f"{directory}: no such directory; expected one of runs")
    spec, name = _spec(directory, study)

    from grok_cli.report.pages import html_page, markdown_page
    from grok_cli.report.report import make_report
    from grok_cli.runs.files import write_text

    content = make_report(directory, spec, name)
    file = out or directory / ("report.md" if markdown else "report.html")
    try:
        if markdown:
            write_text(file, markdown_page(content, _images(content, file)))
        else:
            write_text(file, html_page(content))
    except OSError as error:
        raise GrokError(f"cannot write {file}: {error.strerror}") from None
    typer.echo(file)


def _spec(directory: Path, study: str | None) -> "tuple[Spec | None, str]":
    """The sweep that the runs are of, and what `grok sweep` takes to run it."""
    from grok_cli.sweeps.spec import STUDIES, find_spec, read_spec

    if study is not None:
        return read_spec(find_spec(study)), study
    name = directory.resolve().name
    file = STUDIES / f"{name}.yaml"
    return (read_spec(file), name) if file.is_file() else (None, "")


def _images(content: "Report", file: Path) -> list[Path]:
    """The figures of a Markdown report, drawn into files beside it."""
    from grok_cli.figures.bands import drawn_bands
    from grok_cli.figures.catalogue import make_chart
    from grok_cli.figures.matplotlib import draw, save

    if not drawn_bands(content.measured, ["test/accuracy"]):
        return []
    files = []
    for name in IMAGES:
        image = file.with_name(f"{file.stem}-{name}.png")
        save(draw(make_chart(name, content.measured)), image)
        files.append(image)
    return files
