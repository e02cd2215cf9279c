"""`grok docs`: the pages that come with the program."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

import grok_cli
from grok_cli.cli import completion
from grok_cli.cli.output import Column, print_table
from grok_cli.cli.parameters import argument
from grok_cli.errors import UsageError, did_you_mean

PAGES = Path(grok_cli.__file__).parent / "docs"


def names() -> list[str]:
    """The names of the pages."""
    return sorted(file.stem for file in PAGES.glob("*.md"))


def title(page: str) -> str:
    """The first heading of a page."""
    return text_of(page).splitlines()[0].lstrip("# ")


def text_of(page: str) -> str:
    return (PAGES / f"{page}.md").read_text(encoding="utf-8")


def docs(
    page: Annotated[
        str | None,
        argument(
            "[PAGE]",
            "A page; without one they are listed.",
            autocompletion=lambda incomplete: completion.among(names())(incomplete),
        ),
    ] = None,
) -> None:
    """Show a page of the documentation, as its Markdown where the output is no terminal."""
    if page is None:
        rows = [{"page": name, "title": title(name)} for name in names()]
        print_table([Column("page"), Column("title", "what it says", drop=1)], rows)
        return
    if page not in names():
        hint = did_you_mean(page, names()) or "`grok docs` lists them"
        raise UsageError(f"{page} is no page; {hint}")
    console = Console()
    if not console.is_terminal:
        typer.echo(text_of(page), nl=False)
        return
    from rich.markdown import Markdown

    console.print(Markdown(text_of(page)))
