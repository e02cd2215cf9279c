"""The pages that come with the program, and the command that shows them."""

import re
from pathlib import Path

import pytest

from grok_cli.cli import docs
from grok_cli.pages.catalogue import WRITTEN
from tests.typed import Grok

REPOSITORY = Path(__file__).parents[2]
NAMES = sorted(file.stem for file in WRITTEN.glob("*.md"))


def test_pages_are_listed_with_their_titles(typed: Grok) -> None:
    lines = typed("docs").stdout.splitlines()[1:]
    found = {line.split("\t")[0] for line in lines}
    assert {*NAMES, "studies", "measures", "settings", "commands", "interface"} == found
    assert all(len(line.split("\t")[1]) > 3 for line in lines)


@pytest.mark.parametrize("page", NAMES)
def test_page_is_printed_as_it_is_in_a_pipe(typed: Grok, page: str) -> None:
    assert typed("docs", page).stdout == (WRITTEN / f"{page}.md").read_text(encoding="utf-8")


def test_unknown_page_names_the_nearest(typed: Grok) -> None:
    refused = typed("docs", "architectur")
    assert (refused.returncode, "did you mean architecture" in refused.stderr) == (2, True)


def test_site_is_opened_where_it_was_built(
    typed: Grok, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docs, "SITE", tmp_path / "site" / "index.html")
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    refused = typed("docs", "--site")
    assert (refused.returncode, "the site was not built" in refused.stderr) == (2, True)
    (tmp_path / "site").mkdir()
    for name in ("index.html", "sweeps.html"):
        (tmp_path / "site" / name).touch()
    assert typed("docs", "--site").returncode == typed("docs", "sweeps", "--site").returncode == 0
    assert [url.rpartition("/")[2] for url in opened] == ["index.html", "sweeps.html"]


def named_paths(file: Path) -> list[str]:
    """The files of this repository that a page names in backquotes."""
    text = file.read_text(encoding="utf-8")
    return re.findall(r"`((?:grok_cli|tests|core|runs|cli|diagnostics|figures)/[\w./]*\w)`", text)


@pytest.mark.parametrize(
    "file",
    [WRITTEN / "architecture.md", REPOSITORY / ".github/CONTRIBUTING.md"],
    ids=lambda f: f.stem,
)
def test_files_that_a_page_names_are_there(file: Path) -> None:
    for path in named_paths(file):
        places = (REPOSITORY / path, REPOSITORY / "grok_cli" / path)
        assert any(place.exists() for place in places), path


def test_architecture_names_every_folder() -> None:
    text = (WRITTEN / "architecture.md").read_text(encoding="utf-8")
    package = REPOSITORY / "grok_cli"
    folders = {file.parent.relative_to(package) for file in package.rglob("__init__.py")}
    for folder in folders - {Path(), Path("exports")}:
        assert f"`{folder}/`" in text, folder
