"""What the distribution says of itself, and what pages and messages ask people to install."""

import re
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

import grok_cli
from grok_cli.errors import DISTRIBUTION, lacking
from grok_cli.executors.registry import EXECUTORS

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomllib", reason="tomllib came with Python 3.11")

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "grok_cli"
PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]


def name_of(requirement: str) -> str:
    return re.split(r"[\[<>=~! ]", requirement)[0]


def texts() -> dict[str, str]:
    """Whatever a user reads: pages, examples, and the package's sources with their messages."""
    files = chain(
        REPOSITORY.glob("*.md"),
        REPOSITORY.glob(".github/*.md"),
        (file for kind in ("md", "py", "ipynb", "sh") for file in PACKAGE.rglob(f"*.{kind}")),
        (REPOSITORY / "examples").rglob("*.*"),
    )
    wanted = {".md", ".py", ".ipynb", ".sh"}
    return {str(f): f.read_text(encoding="utf-8") for f in files if f.suffix in wanted}


def test_name_is_one_that_the_registry_takes() -> None:
    assert PROJECT["name"] == DISTRIBUTION
    taken = {"grokcli", "grok", "grokking"}  # punctuation does not count there
    assert re.sub(r"[-_.]", "", DISTRIBUTION.lower()) not in taken


def test_commands_are_grok_and_grok_cli() -> None:
    assert PROJECT["scripts"].keys() == {"grok", "grok-cli"}


@pytest.mark.parametrize("kind", [k for k, options in EXECUTORS.items() if options.needs])
def test_what_an_executor_asks_for_is_its_extra(kind: str) -> None:
    needs = EXECUTORS[kind].needs
    assert needs is not None
    assert EXTRAS[kind] == [needs[1]]


def test_what_is_lacking_is_told_with_the_commands() -> None:
    assert str(lacking("grok fly", "wings>=2")) == (
        "grok fly needs a package that is not installed: pip install 'wings>=2' "
        "(with pipx: pipx inject grokking-lab 'wings>=2')"
    )


def test_no_line_asks_to_install_what_is_not_there() -> None:
    known = {name_of(r) for r in chain(PROJECT["dependencies"], *EXTRAS.values())}
    known |= {"pre-commit", "jupyterlab"}
    asked = re.compile(r"(?:pip install|pipx install|pipx inject \S+) (?:-\S+ )*['\"]?([^\s'\"`]+)")
    for file, text in texts().items():
        assert "git+" not in text, file
        for what in asked.findall(text):
            assert what.startswith((".", "{")) or name_of(what) in known, f"{file}: {what}"
        for wrong in ("grok-cli[", "inject grok-cli", "install grok-cli"):
            assert wrong not in text, file


def test_citation_has_the_version_of_the_program() -> None:
    page = (PACKAGE / "docs/cite.md").read_text(encoding="utf-8")
    assert f"version = {{{grok_cli.__version__}}}" in page
