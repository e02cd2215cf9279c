"""The page of the command line, from the commands themselves."""

import re
from typing import Any

from grok_cli.pages.markdown import page

TITLE = "The command line"
INTRODUCTION = """\
`grok COMMAND --help` says the same. Results go to stdout, progress and messages to stderr. Exit
codes: 0 done, 1 failed, 2 wrongly asked, 130 interrupted (and saved). `NO_COLOR` is honoured;
tables become tab-separated lines in a pipe.
"""


def every(program: Any) -> str:
    """The page."""
    from typer import Context
    from typer.cli import get_docs_for_click

    _uncut(program)
    text = get_docs_for_click(obj=program, ctx=Context(program), name="grok")
    text = text[text.index("**Usage**") :]
    text = re.sub(r"^(#+) (`grok .*`)$", lambda m: f"{m[1]} {m[2]}", text, flags=re.MULTILINE)
    text = re.sub(r"^Examples:\n\n((?:grok .*\n\n?)+)", _examples, text, flags=re.MULTILINE)
    return page(TITLE, INTRODUCTION, text)


def _uncut(group: Any) -> None:
    """Have the commands of a group listed with their whole first paragraph."""
    for command in getattr(group, "commands", {}).values():
        command.short_help = " ".join(command.help.partition("\n\n")[0].split())
        _uncut(command)


def _examples(found: re.Match[str]) -> str:
    lines = [f"$ {line}" for line in found[1].splitlines() if line]
    return "**Examples**:\n\n```console\n" + "\n".join(lines) + "\n```\n\n"
