"""Which pages there are, under which heading, and their text."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grok_cli
from grok_cli.pages import commands, interface, measures, settings, studies
from grok_cli.sweeps.spec import study_files

PACKAGE = Path(grok_cli.__file__).parent
WRITTEN = PACKAGE / "docs"

# Headings of the list of pages, and their pages in order. A written page that stands under none of
# them comes under OTHERS.
OTHERS = "Guides"
SECTIONS = {
    "Begin": ("start", "notebooks"),
    OTHERS: (
        "training",
        "biases",
        "sweeps",
        "branches",
        "clusters",
        "diagnostics",
        "figures",
        "report",
        "times",
        "speed",
    ),
    "The paper": ("reproduction", "studies", "differences"),
    "Coming from": ("from-wandb", "from-published", "from-transformerlens"),
    "Reference": ("python", "interface", "commands", "settings", "measures"),
    "The project": ("architecture", "changes", "cite"),
}
STUDY = "study-"


@dataclass(frozen=True)
class Page:
    """A page of the documentation.

    Attributes:
        name: what `grok docs` is given.
        title: its first heading.
        section: the heading under which it is listed; of a study "".
        text: its Markdown, made when it is asked for.
    """

    name: str
    title: str
    section: str
    text: Callable[[], str]


def pages(program: Any) -> dict[str, Page]:
    """Every page by name, in the order of the list.

    Args:
        program: the command line as Click has it, of which one page tells.
    """
    made: dict[str, tuple[str, Callable[[], str]]] = {
        "studies": (studies.TITLE, studies.every),
        "interface": (interface.TITLE, interface.every),
        "commands": (commands.TITLE, partial(commands.every, program)),
        "settings": (settings.TITLE, settings.every),
        "measures": (measures.TITLE, measures.every),
    }
    for file in sorted(WRITTEN.glob("*.md")):
        title = file.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
        made[file.stem] = (title, partial(file.read_text, encoding="utf-8"))
    placed = {name: section for section, names in SECTIONS.items() for name in names}
    order = [name for names in SECTIONS.values() for name in names if name in made]
    for name in made.keys() - placed.keys():
        order.insert(order.index(SECTIONS[OTHERS][-1]) + 1, name)
        placed[name] = OTHERS
    found = {name: Page(name, made[name][0], placed[name], made[name][1]) for name in order}
    for study in study_files():
        name = f"{STUDY}{study.stem}"
        found[name] = Page(name, f"Study {study.stem}", "", partial(studies.one, study.stem))
    return found


def linked(text: str, known: dict[str, Page]) -> str:
    """The text, in which each `grok docs NAME` is a link to that page's file."""

    def link(found: re.Match[str]) -> str:
        return f"[{found[0]}]({found[1]}.md)" if found[1] in known else found[0]

    return re.sub(r"(?<!\[)`grok docs ([\w-]+)`", link, text)
