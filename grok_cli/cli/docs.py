"""`grok docs`: the pages that come with the program."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from grok_cli.cli.output import Column, print_table
from grok_cli.cli.parameters import argument, option
from grok_cli.errors import UsageError, did_you_mean

SITE = Path(__file__).parents[1] / "site" / "index.html"  # once it was built; see CONTRIBUTING


def _names(context: typer.Context, incomplete: str) -> list[str]:
    from grok_cli.pages.catalogue import pages

    return [name for name in pages(context.find_root().command) if name.startswith(incomplete)]


def docs(
    context: typer.Context,
    page: Annotated[
        str | None,
        argument("[PAGE]", "A page; without one they are listed.", autocompletion=_names),
    ] = None,
    site: Annotated[
        bool, option("Open the pages in the browser, where they were built.", "--site")
    ] = False,
) -> None:
    """Show a page of the documentation, as its Markdown where the output is no terminal."""
    from grok_cli.pages.catalogue import pages
    from grok_cli.pages.interface import spelled_out

    known = pages(context.find_root().command)
    if page is not None and page not in known:
        hint = did_you_mean(page, known) or "`grok docs` lists them"
        raise UsageError(f"{page} is no page; {hint}")
    if site:
        _open(SITE if page is None else SITE.with_name(f"{page}.html"))
        return
    if page is None:
        rows = [
            {"page": one.name, "title": one.title, "section": one.section}
            for one in known.values()
            if one.section
        ]
        columns = (
            Column("page"),
            Column("title", "what it says", drop=1),
            Column("section", drop=2),
        )
        print_table(columns, rows)
        return
    text = spelled_out(known[page].text())
    console = Console()
    if not console.is_terminal:
        typer.echo(text, nl=False)
        return
    from rich.markdown import Markdown

    console.print(Markdown(text))


def _open(file: Path) -> None:
    """Open a page of the built site.

    Raises:
        UsageError: it was not built.
    """
    if not file.exists():
        raise UsageError(
            f"{file}: the site was not built; in a checkout, `pip install -e '.[docs]'` and "
            "`mkdocs build -f .mkdocs/mkdocs.yml` build it; `grok docs` shows the pages here"
        )
    typer.echo(file)
    webbrowser.open(file.as_uri())
