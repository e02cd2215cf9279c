"""The pages that come with the program, and the command that shows them."""

import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from grok_cli.cli.docs import PAGES, names

Grok = Callable[..., CompletedProcess[str]]
REPOSITORY = Path(__file__).parents[2]


def test_pages_are_listed_with_their_titles(typed: Grok) -> None:
    lines = typed("docs").stdout.splitlines()[1:]
    assert [line.split("\t")[0] for line in lines] == names()
    assert {"cite", "architecture"} <= set(names())
    assert all(len(line.split("\t")[1]) > 3 for line in lines)


@pytest.mark.parametrize("page", names())
def test_page_is_printed_as_it_is_in_a_pipe(typed: Grok, page: str) -> None:
    assert typed("docs", page).stdout == (PAGES / f"{page}.md").read_text(encoding="utf-8")


def test_unknown_page_names_the_nearest(typed: Grok) -> None:
    refused = typed("docs", "architectur")
    assert (refused.returncode, "did you mean architecture" in refused.stderr) == (2, True)


def named_paths(file: Path) -> list[str]:
    """The files of this repository that a page names in backquotes."""
    text = file.read_text(encoding="utf-8")
    return re.findall(r"`((?:grok_cli|tests|core|runs|cli|diagnostics|figures)/[\w./]*\w)`", text)


@pytest.mark.parametrize(
    "file",
    [PAGES / "architecture.md", REPOSITORY / ".github/CONTRIBUTING.md"],
    ids=lambda f: f.stem,
)
def test_files_that_a_page_names_are_there(file: Path) -> None:
    for path in named_paths(file):
        places = (REPOSITORY / path, REPOSITORY / "grok_cli" / path)
        assert any(place.exists() for place in places), path


def test_architecture_names_every_folder() -> None:
    text = (PAGES / "architecture.md").read_text(encoding="utf-8")
    package = REPOSITORY / "grok_cli"
    folders = {file.parent.relative_to(package) for file in package.rglob("__init__.py")}
    for folder in folders - {Path(), Path("exports")}:
        assert f"`{folder}/`" in text, folder
