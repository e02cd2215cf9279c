"""The page of the Python interface: a list of names, whose docstrings are the text."""

import inspect
import re
from pkgutil import resolve_name

from grok_cli.pages.markdown import code, page

TITLE = "The Python interface"
INTRODUCTION = """\
`import grok_cli as grok`: what every name takes, returns and raises. `grok docs python` is a tour
of ten minutes. Only what stands here, on the page of named steps below and in `grok docs python` is
promised to stay.
"""
WITHOUT_MEMBERS = {
    "grok_cli",
    "grok_cli.core.steps",
    "grok_cli.Config",
}  # their docstring is what is needed
# Lines "::: NAME" stand for the documentation of that name: the site's builder reads them so.
OPTIONS = "\n    options: {members: false}"
NAMES = {
    "On one screen": ("grok_cli",),
    "Train": ("grok_cli.train", "grok_cli.sweep"),
    "Look": ("grok_cli.load", "grok_cli.Run", "grok_cli.Runs", "grok_cli.plot"),
    "Networks": ("grok_cli.Snapshot", "grok_cli.core.steps.WithSteps", "grok_cli.core.steps"),
    "Settings and errors": (
        "grok_cli.Config",
        "grok_cli.GrokError",
        "grok_cli.UsageError",
        "grok_cli.GrokWarning",
    ),
}


def every() -> str:
    """The page, with a line ::: for each name."""
    parts = [
        f"## {heading}\n\n" + "\n\n".join(map(_reference, names))
        for heading, names in NAMES.items()
    ]
    return page(TITLE, INTRODUCTION, *parts)


def spelled_out(text: str) -> str:
    """The text with the docstrings in the place of the lines that stand for them."""
    lines = re.compile(rf"^::: (\S+)(?:{re.escape(OPTIONS)})?$", re.MULTILINE)
    return lines.sub(lambda found: _documented(found[1]), text)


def _reference(name: str) -> str:
    return f"::: {name}{OPTIONS if name in WITHOUT_MEMBERS else ''}"


def _documented(name: str) -> str:
    value = resolve_name(name)
    short = name.removeprefix("grok_cli.")
    text = inspect.getdoc(value) or ""
    if inspect.isclass(value) and name not in WITHOUT_MEMBERS:
        for member, inner in vars(value).items():
            if member.startswith("_") or not (inspect.isfunction(inner) or _is_property(inner)):
                continue
            signature = "" if _is_property(inner) else str(inspect.signature(inner))
            below = "\n".join(f"    {line}" for line in (inspect.getdoc(inner) or "").split("\n"))
            text += f"\n\n.{member}{signature}\n{below}"
    elif inspect.isfunction(value):
        text = f"{short}{inspect.signature(value)}\n\n{text}"
    return f"### {short}\n\n{code(text)}"


def _is_property(value: object) -> bool:
    return isinstance(value, property)
